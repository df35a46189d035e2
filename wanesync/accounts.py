"""Which HubSpot portal, Stripe account and Stripe mode the database belongs to.

The first start stores them (the pins); every later start, and every first request of a process, is checked against
them, so that a key of another account can never write into this database's records (docs/correctness.md#state).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import structlog

from wanesync.core.errors import CallError, Failure, KeyRefused, VendorUnavailable, WrongAccount
from wanesync.core.model import Side

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.core.ports import Account
    from wanesync.store.database import Store, Tx
from wanesync.store.tables.settings import PORTAL as PINNED_PORTAL

PORTAL, STRIPE_ACCOUNT, STRIPE_MODE = PINNED_PORTAL, "pin_stripe_account", "pin_stripe_mode"
"""Names of the pins in the settings table."""
PINS = {Side.HUBSPOT: (PORTAL,), Side.STRIPE: (STRIPE_ACCOUNT, STRIPE_MODE)}

RETRY_INTERVAL_S = 1.0
"""Shortest time between two account requests of one process (our choice): requests that wait meanwhile share the
last failure, so that an unreachable side does not get one account request for each of them."""
KEY_REFUSALS = (Failure.UNAUTHORISED, Failure.FORBIDDEN)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pins:
    """The accounts a database belongs to: HubSpot portal id, Stripe account id, Stripe mode; "" while unknown."""

    portal: str = ""
    account: str = ""
    mode: str = ""

    def by_setting(self) -> dict[str, str]:
        """Name of the setting -> value."""
        return {PORTAL: self.portal, STRIPE_ACCOUNT: self.account, STRIPE_MODE: self.mode}

    def check_hubspot(self, account: Account) -> None:
        """Raise ``WrongAccount`` if a HubSpot key belongs to another portal."""
        check_match("HubSpot portal", self.portal, account.id)

    def check_stripe(self, account: Account) -> None:
        """Raise ``WrongAccount`` if a Stripe key belongs to another account or mode."""
        check_match("Stripe account", self.account, account.id)
        check_match("Stripe mode", self.mode, account.mode)


def read_pins(config: Config, store: Store) -> Pins:
    """Return the stored pins, completed from the configuration; raise ``WrongAccount`` where the two differ."""
    pins = store.read(load_pins)
    portal, account = str(config.hubspot.portal_id or ""), config.stripe.account_id or ""
    check_match("HubSpot portal", pins.portal, portal)
    check_match("Stripe account", pins.account, account)
    return Pins(pins.portal or portal, pins.account or account, pins.mode or config.stripe.mode)


def load_pins(tx: Tx) -> Pins:
    """Return the pins as the database holds them."""
    return Pins(*(tx.settings.get(name) or "" for name in (PORTAL, STRIPE_ACCOUNT, STRIPE_MODE)))


def store_pins(tx: Tx, pins: Pins) -> None:
    """Store the known pins; a pin that is stored already stays as it is."""
    for name, value in pins.by_setting().items():
        if value:
            tx.settings.add(name, value)


def find_pinned(store: Store) -> frozenset[Side]:
    """Return the sides whose account is stored, so at least one earlier start reached them."""
    return store.read(
        lambda tx: frozenset(side for side, names in PINS.items() if all(tx.settings.get(name) for name in names))
    )


def check_match(what: str, pinned: str, found: str) -> None:
    """Raise ``WrongAccount`` if both values are known and differ."""
    if pinned and found and pinned != found:
        raise WrongAccount(
            f"this database belongs to {what} {pinned}, the configuration to {found}: use another database for it"
        )


class _FailedCheck(NamedTuple):
    """Why the account of a side could not be confirmed."""

    failure: Failure
    reason: str
    retry_after_ms: int | None


@dataclass(slots=True)
class AccountGate:
    """Blocks the requests of one process to one side until the key's account is confirmed.

    ``fetch_account`` makes one request for the account of the key. ``check`` raises ``WrongAccount`` for another
    account than the pinned one. ``gate`` is what every request passes right before its bytes leave (the rate slot).
    """

    side: Side
    fetch_account: Callable[[], Account]
    check: Callable[[Account], None]
    gate: Callable[[], None]
    monotonic_s: Callable[[], float] = time.monotonic
    _confirmed: bool = False
    _last_failure: _FailedCheck | None = None
    _tried_at_s: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, patient: bool) -> Account | None:
        """Confirm the account at the start of a process.

        None if ``patient`` and the side gave no answer: ``pass_gate`` then confirms it before the first request.
        Raises ``VendorUnavailable``, ``WrongAccount``, and ``KeyRefused``.
        """
        try:
            return self.confirm()
        except CallError as error:
            if patient:
                log.warning("account not confirmed yet", side=self.side, failure=error.failure, reason=error.reason)
                return None
            if error.failure in KEY_REFUSALS:
                raise KeyRefused(f"{self.side} does not accept the key: {error.reason}") from error
            raise VendorUnavailable(f"{self.side} cannot be reached: {error.reason}") from error

    def confirm(self) -> Account:
        """Fetch and check the account; from then on requests pass. Raises ``CallError`` and ``WrongAccount``."""
        account = self.fetch_account()
        self.check(account)
        self._confirmed = True
        return account

    def pass_gate(self) -> None:
        """Run right before a request's bytes leave; raise ``CallError``, nothing sent, if the account is unknown."""
        if not self._confirmed:
            with self._guard:
                self._confirm_late()
        self.gate()

    def _confirm_late(self) -> None:
        if self._confirmed:
            return
        if self._last_failure is None or self.monotonic_s() >= self._tried_at_s + RETRY_INTERVAL_S:
            self._last_failure = self._try_again()
            self._tried_at_s = self.monotonic_s()
        if self._last_failure is not None:
            failure, reason, retry_after_ms = self._last_failure
            raise CallError(self.side, failure, reason, retry_after_ms=retry_after_ms)

    def _try_again(self) -> _FailedCheck | None:
        """Confirm the account once more; whatever the failure, the request that waits for it was never sent."""
        try:
            self.confirm()
        except WrongAccount as error:
            log.error("key belongs to another account; nothing is sent", side=self.side, reason=str(error))
            return _FailedCheck(Failure.UNAUTHORISED, str(error), None)
        except CallError as error:
            failure = Failure.UNAUTHORISED if error.failure in KEY_REFUSALS else Failure.UNREACHED
            return _FailedCheck(failure, error.reason, error.retry_after_ms)
        log.info("account confirmed", side=self.side)
        return None
