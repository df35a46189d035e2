"""The committer: takes what the calls of a process were answered, several at a time, into the store."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import structlog

from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.store.clock import Clock
from wanesync.sync.calls import AnyCall
from wanesync.sync.runtime import Runtime
from wanesync.worker.commit_answers import Answered, commit_answers, reschedule_all
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lease import Lease

GATHER_MS = 250
"""How long answers are gathered in a crowd."""
MOST = 64
"""Answers in one commit."""

log = structlog.get_logger()


@dataclass(slots=True)
class Committer:
    """Answers of one process on their way into the store. ``waiting``: each lane's calls that have no slot yet."""

    runtime: Runtime
    clock: Clock
    in_flight: InFlight
    lease: Lease
    waiting: Mapping[Side, deque[AnyCall]]
    stopping: threading.Event
    outcomes: SimpleQueue[Answered] = field(default_factory=SimpleQueue)

    def take(self, is_crowded: Callable[[], bool]) -> list[Answered]:
        """What was answered, none after a tenth of a second; in a crowd what comes soon after, too.

        Stripe's answers mostly end a job: one commit is enough for many. What follows HubSpot's should not wait.
        """
        batch: list[Answered] = []
        with suppress(Empty):
            batch.append(self.outcomes.get(timeout=0.1))
            until_ms = self.clock.now_ms() + (GATHER_MS if is_crowded() else 0)
            patient = True
            while len(batch) < MOST:
                patient = patient and batch[-1][0].lane is Side.STRIPE
                # A clock that is set back does not make it wait longer.
                left_ms = min(until_ms - self.clock.now_ms(), GATHER_MS) if patient else 0
                batch.append(self.outcomes.get(timeout=left_ms / 1000) if left_ms > 0 else self.outcomes.get_nowait())
        return batch

    def commit(self, batch: Sequence[Answered]) -> None:
        """One transaction; while the store is down, again and again until the process is to stop."""
        follow_ups: list[AnyCall] | None = None
        lost = False
        while follow_ups is None:
            try:
                follow_ups = self.runtime.commit("outcomes", lambda tx: commit_answers(self.runtime, tx, batch))
            except DatabaseUnavailable as error:
                log.warning("store down", reason=str(error))
                if self.stopping.wait(1):
                    return
            except Exception as error:  # noqa: BLE001 - the open intents tell whoever gets the jobs next
                log.error("outcomes lost", calls=len(batch), error=type(error).__name__)
                lost, follow_ups = not self._set_back(batch, error), []
        self.in_flight.settle([call for call, _ in batch], follow_ups)
        if lost:
            # Not before custody has let go of them: the next heartbeat gives back what is in nobody's hands.
            self.lease.claim_lost = True
        for call in follow_ups:
            self.waiting[call.lane].append(call)
        if follow_ups:
            self.runtime.store.wake_workers()

    def _set_back(self, batch: Sequence[Answered], reason: Exception) -> bool:
        try:
            self.runtime.commit("outcomes", lambda tx: reschedule_all(self.runtime, tx, batch, reason))
        except Exception as error:  # noqa: BLE001 - then the lease gives them back
            log.error("jobs not set back", error=type(error).__name__)
            return False
        return True
