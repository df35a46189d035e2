"""A process's lease on its jobs: its name, the heartbeat that renews the lease, and the release of abandoned jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.model import Side
from wanesync.reconcile.catch_up import pull_back_cursors
from wanesync.store.clock import Clock
from wanesync.store.database import Tx
from wanesync.store.tables.processes import LEASE_MS
from wanesync.sync.calls import AnyCall
from wanesync.sync.restored import pull_back_stamps
from wanesync.sync.runtime import Runtime
from wanesync.worker.in_flight import InFlight

log = structlog.get_logger()


CLOCK_STEP_MS = 1_000
"""A difference of database time and monotonic time that grew by more than this is a step of a clock (our choice)."""

REPAIR_EVERY_MS = 60_000
"""How often stored times are checked without a step: this process may have stood still while the clock was wrong."""


@dataclass(slots=True)
class ClockSteps:
    """Notices steps of database time. ``repairs``: stored times are to be checked, at the start and after a step."""

    repairs: bool = True
    _difference_ms: int | None = None
    _steady_from_ms: int = 0

    def is_steady(self, now_ms: int, monotonic_ms: int) -> bool:
        """Return whether there was no step within the last lease, by monotonic time."""
        difference_ms = now_ms - monotonic_ms
        known_ms, self._difference_ms = self._difference_ms, difference_ms
        if known_ms is not None and abs(difference_ms - known_ms) > CLOCK_STEP_MS:
            log.warning("the clock was set", by_ms=difference_ms - known_ms)
            self._steady_from_ms, self.repairs = monotonic_ms + LEASE_MS, True
        return monotonic_ms >= self._steady_from_ms


class LeaseExpired(WanesyncError):
    """A request was not sent, because the lease on its jobs ended: their next owner settles what is open."""


@dataclass(slots=True)
class Lease:
    """The lease of one process (docs/correctness.md#leases). ``ends_ms``: database time, 0 before the first heartbeat.

    ``claim_lost``: jobs may run under this process's name without being in flight: a claim or a heartbeat may be
    committed without its acknowledgement, or calls were given up. The next heartbeat releases them. ``repair_ms``: when
    stored times are checked next though no step was noticed, in monotonic time.
    """

    runtime: Runtime
    sides: Sequence[Side]
    clock: Clock
    in_flight: InFlight
    ends_ms: int = 0
    started_ms: int = 0
    claim_lost: bool = False
    steps: ClockSteps = field(default_factory=ClockSteps)
    repair_ms: int = 0
    _stored_names: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Send the first heartbeat. Raises ``DatabaseUnavailable``."""
        self.started_ms = self.clock.now_ms()
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat: the lease on this process's jobs lasts 6 s from now.

        Raises ``DatabaseUnavailable``, and ``FieldMapChanged``: this process must stop.
        """
        runtime, lanes = self.runtime, ",".join(self.sides)
        runtime.store.sync_clock()
        runtime.store.refresh_keys()
        now_ms = self.clock.now_ms()
        if self.ends_ms and now_ms >= self.ends_ms:
            # Other processes take the jobs of the old name, and answers to its calls commit nothing.
            runtime.process.name = runtime.new_id(now_ms)
            log.warning("lease lost", name=runtime.name)
        self._stored_names.add(runtime.name)
        try:
            unbroken = runtime.commit("heartbeat", lambda tx: self._beat(tx, lanes))
        except DatabaseUnavailable:
            # It may be committed, and have ended a gap that the next heartbeat does not see.
            self.claim_lost = True
            raise
        self.ends_ms = now_ms + LEASE_MS
        self._stored_names = {runtime.name}
        # Answers that were to be committed during a gap were refused: their jobs are not in flight any more.
        if not unbroken:
            self.claim_lost = True
        if self.claim_lost:
            self._release_lost()

    def _beat(self, tx: Tx, lanes: str) -> bool:
        tx.settings.check_field_map()
        # No other process may say of an earlier name that it ended.
        for name in self._stored_names - {self.runtime.name}:
            tx.processes.remove(name)
        return tx.processes.beat(self.runtime.name, lanes, self.started_ms)

    def check(self, call: AnyCall) -> None:
        """Raise ``LeaseExpired`` if a call may not be sent any more."""
        if self.clock.now_ms() >= self.ends_ms or any(job.owner != self.runtime.name for job in call.jobs):
            raise LeaseExpired(
                "its lease ended before it was sent: the next heartbeat or another process takes its jobs"
            )

    def give_up(self, call: AnyCall) -> None:
        """Give up a call that may not be sent; the next heartbeat releases its jobs unless another process has them."""
        self.in_flight.settle([call])
        self.claim_lost = True

    def sweep(self) -> None:
        """Requeue the jobs of processes without a heartbeat. Raises ``DatabaseUnavailable``.

        After a step of the clock, not before each living process had time for a heartbeat (docs/correctness.md#clocks).
        """
        now_ms, monotonic_ms = self.clock.now_ms(), self.clock.monotonic_ms()
        if not self.steps.is_steady(now_ms, monotonic_ms):
            return
        if self.steps.repairs or monotonic_ms >= self.repair_ms:
            due = self.runtime.commit("sweep", _repair_times)
            self.steps.repairs, self.repair_ms = False, monotonic_ms + REPAIR_EVERY_MS
            if due:
                log.warning("jobs made due whose time a wrong clock had set", jobs=due)
                self.runtime.store.wake_workers()
        requeued = self.runtime.commit("sweep", lambda tx: tx.jobs.requeue_abandoned(LEASE_MS))
        if requeued:
            log.info("abandoned jobs requeued", jobs=len(requeued))

    def end(self) -> None:
        """Release the unfinished jobs at the end of the process; their pending writes stay open."""
        try:
            self.runtime.commit("release", self._leave)
        except DatabaseUnavailable as error:
            log.warning("jobs not released", reason=str(error))

    def _leave(self, tx: Tx) -> None:
        tx.jobs.release(self.runtime.name)
        tx.processes.remove(self.runtime.name)
        tx.processes.remove_obsolete()

    def _release_lost(self) -> None:
        with self.in_flight.no_claims() as job_ids:
            if job_ids is not None:
                self.runtime.commit("release", lambda tx: tx.jobs.release(self.runtime.name, job_ids))
                self.claim_lost = False


def _repair_times(tx: Tx) -> int:
    """Pull back what a wrong clock stored in the future; return how many jobs are due because of it."""
    pull_back_stamps(tx)
    pull_back_cursors(tx)
    return tx.future_times.repair()
