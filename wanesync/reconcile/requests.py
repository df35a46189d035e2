"""Reads of a comparison: paced as bulk work, repeated after transient failures, and at most as many as allowed."""

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
"""Attempts of one read, our choice: with waits of 0.5 to 8 s between them they bridge an outage of a few seconds."""
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 8.0


def read_with_retries(call: Callable[[], _T]) -> _T:
    """Call a read, and again after transient failures. Raises ``VendorUnavailable`` after the last attempt."""

    def is_transient(error: BaseException) -> bool:
        return isinstance(error, CallError) and error.failure in TRANSIENT

    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(READ_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT_S, max=MAX_WAIT_S),
        reraise=True,
    )
    try:
        return retrying(call)
    except CallError as error:
        raise VendorUnavailable(f"the listing is incomplete and was not used: {error.with_advice}") from error


@dataclass(slots=True)
class Requests:
    """How many requests a run has made; ``limit``: how many it may make, None: any number."""

    limit: int | None = None
    made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> None:
        """Count one request before it is made. Raises ``GuardError`` when the limit is reached."""
        with self._lock:
            if self.limit is not None and self.made >= self.limit:
                raise GuardError(
                    f"--max-requests {self.limit} is used up and the listing is not complete; nothing was written. "
                    "The next run goes on from here"
                )
            self.made += 1


def read_paced(pacer: Pacer, requests: Requests, operation: str, call: Callable[[], _T]) -> _T:
    """The answer of a read; each attempt takes a bulk slot of its own. Raises ``VendorUnavailable`` and ``GuardError``.

    A refusal for the rate lowers the limit it names.
    """

    def attempt() -> _T:
        pacer.wait_for_slot(SlotRequest(operation, bulk=True))
        requests.count()
        try:
            return call()
        except CallError as error:
            pacer.apply_refusal(error, operation)
            raise

    return read_with_retries(attempt)
