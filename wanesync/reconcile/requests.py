"""Asking a side on behalf of a comparison: in its own time, patiently, and no more often than the run may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from wanesync.core.errors import CallError, Failure, GuardError, VendorUnavailable
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.pacer import Pacer

_T = TypeVar("_T")
TRANSIENT = frozenset(
    {Failure.NO_ANSWER, Failure.UNREACHED, Failure.UNAVAILABLE, Failure.RATE_LIMITED, Failure.BUSY, Failure.SERVER}
)
READ_ATTEMPTS = 5


def read_patiently(call: Callable[[], _T]) -> _T:
    """One read, tried again on trouble that passes; raises ``VendorUnavailable`` when it does not."""

    def passing(error: BaseException) -> bool:
        return isinstance(error, CallError) and error.failure in TRANSIENT

    retrying = Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_attempt(READ_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=8),
        reraise=True,
    )
    try:
        return retrying(call)
    except CallError as error:
        raise VendorUnavailable(f"the listing is incomplete and was not used: {error}") from error


@dataclass(slots=True)
class Requests:
    """How many requests a run made, and may make."""

    most: int | None = None
    made: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> None:
        """One more; raises ``GuardError`` before it is made where that is too many."""
        with self._guard:
            if self.most is not None and self.made >= self.most:
                raise GuardError(
                    f"--max-requests {self.most} is used up and the listing is not complete; nothing was written. "
                    "The next run goes on from here"
                )
            self.made += 1


def ask(pacer: Pacer, requests: Requests, operation: str, call: Callable[[], _T]) -> _T:
    """The answer of a read, each try of it in a bulk slot of its own. Raises ``VendorUnavailable`` and ``GuardError``.

    A refusal for the rate lowers the limit it names.
    """

    def once() -> _T:
        pacer.wait(SlotRequest(operation, bulk=True))
        requests.count()
        try:
            return call()
        except CallError as error:
            pacer.heed(error, operation)
            raise

    return read_patiently(once)
