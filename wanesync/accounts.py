"""Whose key it is: nothing is sent to a side before its account is known to be the one the state belongs to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from wanesync.core.errors import CallError, Failure, VendorUnavailable, WanesyncError, WrongAccount
from wanesync.core.model import Side
from wanesync.core.ports import Account

ASK_AGAIN_S = 1.0
"""Calls that stand in line meanwhile share one answer: a side that is away is not asked by each of them."""
REFUSALS = (Failure.UNAUTHORISED, Failure.FORBIDDEN)

log = structlog.get_logger()


@dataclass(slots=True)
class AccountGate:
    """One side's account as a process knows it.

    ``ask``: one request, whose key it is. ``check``: raises WrongAccount for another account than the pinned one.
    ``gate``: what every request passes before it leaves.
    """

    side: Side
    ask: Callable[[], Account]
    check: Callable[[Account], None]
    gate: Callable[[], None]
    monotonic: Callable[[], float] = time.monotonic
    _known: bool = False
    _refusal: tuple[Failure, str, int | None] | None = None
    _asked_s: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, patient: bool) -> Account | None:
        """Ask at the start. None, if ``patient``: it does not say now, and is asked again before anything else is sent.

        Raises VendorUnavailable, WrongAccount, WanesyncError (the key is refused).
        """
        try:
            return self.confirm()
        except CallError as error:
            if patient:
                log.warning(
                    "its account is asked for again", side=self.side, failure=error.failure, reason=error.reason
                )
                return None
            if error.failure in REFUSALS:
                raise WanesyncError(f"{self.side} does not accept the key: {error.reason}") from error
            raise VendorUnavailable(f"{self.side} cannot be reached: {error.reason}") from error

    def confirm(self) -> Account:
        """Ask; from here on requests pass. Raises CallError and WrongAccount."""
        account = self.ask()
        self.check(account)
        self._known = True
        return account

    def pass_gate(self) -> None:
        """Right before a request's bytes leave. Raises CallError, the request unsent, while the account is unknown."""
        if not self._known:
            with self._guard:
                self._confirm_late()
        self.gate()

    def _confirm_late(self) -> None:
        if self._known:
            return
        if self._refusal is None or self.monotonic() >= self._asked_s + ASK_AGAIN_S:
            self._refusal = self._ask_again()
            self._asked_s = self.monotonic()
        if self._refusal is not None:
            failure, reason, retry_after_ms = self._refusal
            raise CallError(self.side, failure, reason, retry_after_ms=retry_after_ms)

    def _ask_again(self) -> tuple[Failure, str, int | None] | None:
        """None: it is the right one. Whatever went wrong, the request that waits for it never left us."""
        try:
            self.confirm()
        except WrongAccount as error:
            log.error("nothing is sent to another account", side=self.side, reason=str(error))
            return Failure.UNAUTHORISED, str(error), None
        except CallError as error:
            failure = Failure.UNAUTHORISED if error.failure in REFUSALS else Failure.UNREACHED
            return failure, error.reason, error.retry_after_ms
        log.info("account confirmed", side=self.side)
        return None


def compare(what: str, pinned: str, found: str) -> None:
    """Raises WrongAccount where both are known and differ."""
    if pinned and found and pinned != found:
        raise WrongAccount(
            f"this database belongs to {what} {pinned}, the configuration to {found}: use another database for it"
        )
