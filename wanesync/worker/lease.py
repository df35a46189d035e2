"""A process's lease on its jobs: the name they run under, the heartbeat that prolongs it, and what it sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.model import Side
from wanesync.store.clock import Clock
from wanesync.store.database import Tx
from wanesync.store.tables.processes import LEASE_MS
from wanesync.sync.calls import AnyCall
from wanesync.sync.runtime import Runtime
from wanesync.worker.in_flight import InFlight

log = structlog.get_logger()


class LeaseExpired(WanesyncError):
    """A request did not leave, because the lease on its jobs is gone: whoever has them now settles what is open."""


@dataclass(slots=True)
class Lease:
    """``ends_ms``: by this machine's clock; 0: none yet.

    ``claim_lost``: a claim may be committed and in nobody's hands, its calls were given up, or a beat went
    unacknowledged that may have ended a gap; the next beat looks.
    """

    runtime: Runtime
    sides: Sequence[Side]
    clock: Clock
    in_flight: InFlight
    ends_ms: int = 0
    started_ms: int = 0
    claim_lost: bool = False

    def begin(self) -> None:
        """The process starts."""
        self.started_ms = self.clock.now_ms()
        self.beat()

    def beat(self) -> None:
        """One heartbeat: the lease of every job of this process runs from here."""
        runtime, lanes = self.runtime, ",".join(self.sides)
        runtime.store.sync_clock()
        at_ms = self.clock.now_ms()
        if self.ends_ms and at_ms >= self.ends_ms:
            # Back after its lease: the old name's jobs are swept, answers to them commit nothing.
            runtime.process.name = runtime.new_id(at_ms)
            log.warning("lease lost", name=runtime.name)
        try:
            unbroken = runtime.commit("heartbeat", lambda tx: tx.processes.beat(runtime.name, lanes, self.started_ms))
        except DatabaseUnavailable:
            # It may be done, and have ended a gap that the next one will not see.
            self.claim_lost = True
            raise
        self.ends_ms = at_ms + LEASE_MS
        # Outcomes that were to be committed in the gap were refused: their jobs run in nobody's hands.
        if not unbroken:
            self.claim_lost = True
        if self.claim_lost:
            self._reclaim()

    def check(self, call: AnyCall) -> None:
        """Raises ``LeaseGone`` when a call may not be made any more."""
        if self.clock.now_ms() >= self.ends_ms or any(job.owner != self.runtime.name for job in call.jobs):
            raise LeaseExpired(
                "its lease ended before it was sent: the next beat, or another process, sees to its jobs"
            )

    def give_up(self, call: AnyCall) -> None:
        """A call that may not be made; its jobs are another's, or the next beat sees to them."""
        self.in_flight.settle([call])
        self.claim_lost = True

    def sweep(self) -> None:
        """Take jobs back from processes that no longer beat."""
        rescued = self.runtime.commit("sweep", lambda tx: tx.jobs.requeue_abandoned(LEASE_MS))
        if rescued:
            log.info("rescued", jobs=len(rescued))

    def end(self) -> None:
        """The process ends: what it has not finished goes back, its intents stay open."""
        try:
            self.runtime.commit("release", self._leave)
        except DatabaseUnavailable as error:
            log.warning("could not release jobs", reason=str(error))

    def _leave(self, tx: Tx) -> None:
        tx.jobs.release(self.runtime.name)
        tx.processes.remove(self.runtime.name)

    def _reclaim(self) -> None:
        """A claim whose commit was not acknowledged left its jobs in nobody's hands: they go back."""
        with self.in_flight.standstill() as known:
            if known is not None:
                self.runtime.commit("release", lambda tx: tx.jobs.release(self.runtime.name, known))
                self.claim_lost = False
