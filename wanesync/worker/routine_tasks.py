"""Routine tasks beside a worker: periodic catch-up of missed events, and the first listing where it is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, GuardError, SidePaused, VendorUnavailable
from wanesync.core.model import Side
from wanesync.reconcile.lock import AlreadyRunning, RunLock
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.settings import time_stamp_name
from wanesync.sync.loader import LISTED

if TYPE_CHECKING:
    from wanesync.reconcile.catch_up import CatchUpResult
    from wanesync.reconcile.run import Reconcile
    from wanesync.store.database import Tx
    from wanesync.sync.runtime import Runtime

POLL_INTERVAL_S = 30.0
"""Time between two rounds: how soon a failed task is tried again, and how exactly ``every_ms`` is kept."""
STARTUP_INTERVAL_MS = 60_000
"""A process that starts catches up unless another one did within this time: restarts may be frequent."""

log = structlog.get_logger()


class CatchUpTask(Protocol):
    """Catch-up as routine tasks need it (``reconcile.catch_up``)."""

    def mark_start(self) -> None:
        """Store the event cursors before the first listing."""
        ...

    def run(self, side: Side) -> CatchUpResult:
        """Catch up one side; raises ``CallError``."""
        ...


@dataclass(slots=True)
class RoutineTasks:
    """Catch-up at the start and every ``every_ms``, and the first listing if ``list_first``.

    ``run`` belongs in a thread beside a worker. Of several processes one does each task: the one that advances the
    time stamp in the settings. ``build_reconcile`` makes the run of the first listing, with its snapshot file.
    """

    runtime: Runtime
    sides: Iterable[Side]
    every_ms: int
    stopping: threading.Event
    catch_up: CatchUpTask
    build_reconcile: Callable[[], Reconcile]
    list_first: bool = False
    _last_ms: dict[Side, int] = field(default_factory=dict)

    def run(self) -> None:
        """Work until ``stopping`` is set; failures are logged and retried in the next round."""
        while not self.stopping.is_set():
            self.run_round()
            self.stopping.wait(POLL_INTERVAL_S)

    def run_round(self) -> None:
        """Run every task that is due once; a failure of one side does not keep the other from its task."""
        if self.list_first and not self._attempt(self._list):
            return
        for side in self.sides:
            self._attempt(partial(self._catch_up_if_due, side))

    def _attempt(self, task: Callable[[], None]) -> bool:
        try:
            task()
        except SidePaused as error:
            log.info("catch-up waits", side=error.side, reason=str(error))
        except (CallError, VendorUnavailable, DatabaseUnavailable) as error:
            log.warning("catch-up failed", reason=str(error))
        except GuardError as error:
            log.error("first listing stopped by a guard", reason=str(error))
            self.list_first = False
        except Exception as error:  # noqa: BLE001 - a defect must not end all later rounds
            # At the end of the program the database is closed while a round may still run.
            if not self.stopping.is_set():
                log.error("catch-up failed in our own code", error=type(error).__name__)
        else:
            return True
        return False

    def _list(self) -> None:
        try:
            self._list_everything()
            self.list_first = False
        except AlreadyRunning as error:
            log.warning("first listing waits for another run", reason=str(error))

    def _list_everything(self) -> None:
        """List both sides and queue the differences, unless that was done once (docs/correctness.md#first-listing)."""
        with self.runtime.store.reading() as tx:
            if tx.settings.get(LISTED) is not None:
                return
        self.catch_up.mark_start()
        with RunLock(self.runtime.store, self.runtime.name):
            reconcile = self.build_reconcile()
            report = reconcile.compare(lambda _side, _count: None, lambda _count: None, fresh=True)
            try:
                reconcile.queue(report)
            finally:
                report.close()
        log.info("first listing done", jobs=report.jobs, linked=report.to_link)

    def _catch_up_if_due(self, side: Side) -> None:
        interval_ms = self.every_ms if side in self._last_ms else min(STARTUP_INTERVAL_MS, self.every_ms)
        if self.runtime.store.run(lambda tx: _claim_turn(tx, side, interval_ms)):
            self._catch_up(side)
        self._last_ms[side] = self.runtime.store.now_ms()

    def _catch_up(self, side: Side) -> None:
        try:
            caught = self.catch_up.run(side)
        except BaseException:
            self.runtime.store.run(lambda tx: tx.settings.put(time_stamp_name(side), "0"))
            raise
        log.info("caught up", side=side, changed=caught.changed, purchases=caught.purchases)
        if caught.too_old:
            log.warning("Stripe keeps events for 30 days only: run wanesync reconcile", side=side)


def _claim_turn(tx: Tx, side: Side, interval_ms: int) -> bool:
    """Whether the last catch-up of any process is at least ``interval_ms`` ago; then this process does the next."""
    stored = tx.settings.add(time_stamp_name(side), "0")
    # A time in the future is one of a clock that was wrong (docs/correctness.md#clocks).
    if -CLOCK_TOLERANCE_MS <= tx.now_ms - int(stored) < interval_ms:
        return False
    return tx.settings.swap(time_stamp_name(side), stored, str(tx.now_ms))
