"""Wakes the workers when jobs become due, and all parts when limits or pauses change; part of a queue process.

The tables decide; a message only says that it is worth to look. Two queue processes both publish.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusUnavailable
from wanesync.bus.messages import Change, Work
from wanesync.bus.topics import Control, WorkAction
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.purchases.sender import SINK

if TYPE_CHECKING:
    from wanesync.bus.client import BusClient
    from wanesync.bus.envelope import Seal
    from wanesync.core.rate_limits import Limit
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.jobs import DueJob

LOOKBACK_MS = 10_000
"""A job can be committed so much later than it became due: transactions are far shorter."""
MAX_JOBS = 100
"""Jobs of one lane that one round names; one that is not named is claimed all the same."""
ROUND_MS = 200
"""Shortest time between two rounds (our choice): a burst of commits is one round."""
BUSY_ROUND_MS, BUSY_JOBS = 1_000, 50
"""The same after a round that named so many jobs of a lane: its workers have work and need no waking (our choice)."""
IDLE_MS = 1_000
"""Longest time between two rounds: a notification of the database may be lost."""
EXPIRY_S = 30
"""How long the broker keeps these messages: workers look by themselves meanwhile."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class State:
    """What control messages report: the limits in effect, and the names of pauses."""

    limits: dict[str, tuple[float, float]]
    pauses: frozenset[str]


@dataclass(slots=True)
class WorkNotices:
    """Looks for jobs that became due whenever the database signals, or when the next one is due, and publishes.

    ``sink``: how purchases are recorded, as configured; None: as the workers chose.
    """

    store: Store
    clients: Mapping[Side, BusClient]
    seal: Seal
    stopping: threading.Event
    sink: Sink | None = None
    _seen: dict[Side, dict[str, int]] = field(default_factory=lambda: {side: {} for side in Side})
    _state: State | None = None
    _is_busy: bool = False

    def run(self) -> None:
        """Publish until ``stopping`` is set."""
        while not self.stopping.is_set():
            try:
                wait_ms = self.run_round()
                round_ms = BUSY_ROUND_MS if self._is_busy else ROUND_MS
                self.stopping.wait(round_ms / 1000)
                self.store.wait_for_work(max(0, wait_ms - round_ms))
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
                self.stopping.wait(IDLE_MS / 1000)
            except Exception as error:  # noqa: BLE001 - workers look by themselves; the next round may succeed
                log.error("round failed", error=type(error).__name__)
                self.stopping.wait(IDLE_MS / 1000)

    def run_round(self) -> int:
        """Publish what is new; return how long nothing will be due, in ms, at most ``IDLE_MS``."""
        with self.store.reading() as tx:
            due = {side: self._find_due(tx, side) for side in Side}
            following = [at for side in Side if (at := tx.jobs.next_due_after_ms(side)) is not None]
            sink, state, now_ms = self._find_sink(tx), _read_state(tx), tx.now_ms
        self._is_busy = any(len(jobs) >= BUSY_JOBS for jobs in due.values())
        for side, jobs in due.items():
            for action, ids in _sort(side, jobs, sink).items():
                self._publish(side, topics.work(side, action), Work(ids))
        self._publish_changes(state)
        return max(0, min([IDLE_MS, *(at - now_ms for at in following)]))

    def _find_due(self, tx: Tx, side: Side) -> list[DueJob]:
        """Return the jobs that became due since the last round."""
        jobs = tx.jobs.newly_due(side, tx.now_ms - LOOKBACK_MS, MAX_JOBS)
        seen = self._seen[side]
        self._seen[side] = {job.id: job.due_ms for job in jobs}
        return [job for job in jobs if seen.get(job.id) != job.due_ms]

    def _find_sink(self, tx: Tx) -> str:
        return str(self.sink or tx.settings.get(SINK) or Sink.CUSTOM_EVENT)

    def _publish_changes(self, state: State) -> None:
        before, self._state = self._state, state
        if before is None:
            return
        scopes = sorted(dict(before.limits.items() ^ state.limits.items()))
        changes: dict[Control, Sequence[str]] = {
            Control.LIMITS: scopes,
            Control.PAUSE: sorted(state.pauses - before.pauses),
            Control.RESUME: sorted(before.pauses - state.pauses),
        }
        for change, names in changes.items():
            if names:
                side = next((side for side in Side if self.clients[side].is_ready), Side.HUBSPOT)
                self._publish(side, topics.control(change), Change(names))

    def _publish(self, side: Side, topic: str, message: Work | Change) -> None:
        """Publish by the connection of one side."""
        client = self.clients[side]
        if not client.is_ready:
            return
        try:
            client.publish(topic, self.seal.seal(topic, message.encode()), expiry_s=EXPIRY_S)
        except BusUnavailable as error:
            log.debug("message not sent", topic=topic, reason=str(error))


def _sort(side: Side, jobs: Sequence[DueJob], sink: str) -> dict[WorkAction, list[str]]:
    """Return the ids of jobs by what they are expected to do."""
    found: dict[WorkAction, list[str]] = defaultdict(list)
    for job in jobs:
        if job.kind is JobKind.READ:
            found[WorkAction.READ].append(job.id)
        elif job.kind is JobKind.PURCHASE:
            found[WorkAction.NOTE if sink == Sink.NOTE else WorkAction.EVENT].append(job.id)
        else:
            found[WorkAction.UPDATE if job.linked else WorkAction.CREATE].append(job.id)
    if side is Side.HUBSPOT and len(found[WorkAction.CREATE]) > 1:
        found[WorkAction.CREATE_MANY] = found.pop(WorkAction.CREATE)
    return {action: ids for action, ids in found.items() if ids}


def _read_state(tx: Tx) -> State:
    limits: dict[str, Limit] = tx.rates.all()
    in_effect = {scope: (limit.configured, limit.effective) for scope, limit in limits.items()}
    return State(in_effect, frozenset(tx.pauses.get_all()))
