"""The side probe: requests our account from each side regularly, so that a refused key shows while nothing is to do."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, SidePaused, WrongAccount
from wanesync.core.model import Side
from wanesync.core.rate_limits import SlotRequest
from wanesync.ops.health.side_checks import SideCheck, read_check, store_check
from wanesync.store.tables.settings import operator_pause

if TYPE_CHECKING:
    from wanesync.core.ports import Account
    from wanesync.store.database import Store, Tx
    from wanesync.sync.runtime import Runtime

PROBE_INTERVAL_MS = 25_000
"""Time between two probes of a side, whichever process makes them: an alarm within 60 s, two requests a minute."""
POLL_INTERVAL_S = 5.0
"""How often a process looks whether a probe is due."""
OPERATION = "account"

log = structlog.get_logger()


@dataclass(slots=True)
class SideProbe:
    """Probes the sides this process has keys for until ``stopping`` is set; of several processes one does it."""

    runtime: Runtime
    sides: Iterable[Side]
    stopping: threading.Event

    def run(self) -> None:
        """Work until ``stopping`` is set; runs in a thread beside a worker."""
        while not self.stopping.wait(POLL_INTERVAL_S):
            for side in self.sides:
                self.probe_if_due(side)

    def probe_if_due(self, side: Side) -> None:
        """Probe a side unless that was done lately or an operator paused it, and store what was found."""
        try:
            if self.runtime.store.run(lambda tx: _claim_turn(tx, side)):
                check = self._probe(side)
                self.runtime.store.run(lambda tx: store_check(tx, side, check))
        except (DatabaseUnavailable, SidePaused) as error:
            log.warning("side not probed", side=side, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a defect must not end all later probes
            if not self.stopping.is_set():
                log.error("side probe failed in our own code", side=side, error=type(error).__name__)

    def _probe(self, side: Side) -> SideCheck:
        store, pacer = self.runtime.store, self.runtime.pacers[side]
        pacer.wait_for_slot(SlotRequest(OPERATION))
        try:
            account = self._fetch_account(side)
        except CallError as error:
            pacer.apply_refusal(error, OPERATION)
            return SideCheck(
                store.now_ms(), error.failure, error.reason, store.now_ms(), _find_clock_error(store, error.clock_ms)
            )
        except WrongAccount as error:
            return SideCheck(store.now_ms(), "wrong_account", str(error), store.now_ms())
        return SideCheck(store.now_ms(), clock_error_ms=_find_clock_error(store, account.clock_ms))

    def _fetch_account(self, side: Side) -> Account:
        return self.runtime.hubspot.account() if side is Side.HUBSPOT else self.runtime.stripe.account()


def _find_clock_error(store: Store, clock_ms: int) -> int:
    """Return how far our clock is ahead of a side's, 0 where it did not show it."""
    return store.now_ms() - clock_ms if clock_ms else 0


def _claim_turn(tx: Tx, side: Side) -> bool:
    """Return whether a probe is due; then this process makes it. Times that lie in the future are not believed."""
    if operator_pause(side) in tx.pauses.get_all():
        return False
    name = f"side_probe_ms_{side}"
    text = tx.settings.get(name)
    last_ms = int(text or 0)
    if 0 <= tx.now_ms - last_ms < PROBE_INTERVAL_MS:
        return False
    check = read_check(tx, side)
    if check is None and text is None:
        return tx.settings.add(name, str(tx.now_ms)) == str(tx.now_ms)
    return tx.settings.swap(name, text or "", str(tx.now_ms))
