"""What waits, runs and was given up: questions about the queue, and second chances."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict

from wanesync.core.jobs import DeadClass, Job, JobKind, JobState
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import ConstraintViolated, Row, Table


class Depth(TypedDict):
    """Waiting and running work of one lane, kind and priority.

    ``due``: ready and due now. ``retrying``: had an attempt that failed. ``oldest_arrived_ms``: of what is due or
    running, else of what waits.
    """

    lane: str
    kind: str
    priority: int
    ready: int
    running: int
    oldest_arrived_ms: int
    due: int
    retrying: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: its job, and when it was given up."""

    job: Job
    died_ms: int


DeadLetters = list[DeadLetter]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which dead letters are meant; left out: all of them. ``since_ms``: those given up at or after a time."""

    dead_class: DeadClass | None = None
    lane: Side | None = None
    kind: JobKind | None = None
    since_ms: int = 0

    def values(self) -> dict[str, Value]:
        """As parameters of a query."""
        return {
            "lanes": [self.lane] if self.lane else list(Side),
            "kinds": [self.kind] if self.kind else list(JobKind),
            "dead_class": self.dead_class or "",
            "since_ms": self.since_ms,
        }


@dataclass(frozen=True, slots=True)
class DeadCount:
    """Dead letters of one lane, kind and class: all of them, and those given up lately."""

    lane: Side
    kind: JobKind
    dead_class: str
    count: int
    lately: int


DeadCounts = list[DeadCount]


class Backlog(Table):
    """The table ``jobs`` as people and guards look at it."""

    __slots__ = ()

    def pending_keys(self, lane: Side, kind: JobKind, keys: Collection[str]) -> set[str]:
        """Those of ``keys`` that have a ready or running job."""
        return (
            {row[0] for row in self._session.rows("pending_keys", lane=lane, kind=kind, keys=keys)} if keys else set()
        )

    def depth(self) -> list[Depth]:
        """How much waits and runs, per lane, kind and priority."""
        names = "lane kind priority ready running oldest_arrived_ms due retrying".split()
        rows = self._session.rows("job_depth", now=self._session.now_ms)
        return [Depth(**dict(zip(names, row, strict=True))) for row in rows]  # type: ignore[typeddict-item] # a row

    # -- dead letters

    def dead(
        self, *, dead_class: DeadClass | None = None, lane: Side | None = None, since_ms: int = 0, limit: int = 100
    ) -> list[Job]:
        """Dead letters, the newest first."""
        return [letter.job for letter in self.dead_letters(JobFilter(dead_class, lane, None, since_ms), limit)]

    def dead_letters(self, which: JobFilter, limit: int) -> DeadLetters:
        """Dead letters and their times, the newest first."""
        rows = self._session.rows("dead_jobs", limit=limit, **which.values())
        return [DeadLetter(job_of(row[:-1]), row[-1]) for row in rows]

    def dead_letters_of(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are dead letters."""
        return {row[0] for row in self._session.rows("dead_by_ids", ids=ids)} if ids else set()

    def count_dead(self, since_ms: int = 0) -> DeadCounts:
        """How many there are per lane, kind and class; ``lately``: since a time."""
        rows = self._session.rows("count_dead", since_ms=since_ms)
        return [DeadCount(Side(lane), JobKind(kind), *rest) for lane, kind, *rest in rows]

    def any_dead(self) -> bool:
        """Whether there is a dead letter at all. Cheap: asked whenever a record changes."""
        return self._session.row("any_dead") is not None

    def dead_of_keys(
        self, lanes: Sequence[Side], kinds: Sequence[JobKind], keys: Collection[str]
    ) -> list[tuple[Side, JobKind, str, int]]:
        """(lane, kind, key, best priority) of the dead letters of some keys."""
        rows = self._session.rows("dead_of_keys", lanes=lanes, kinds=kinds, keys=keys) if keys else []
        return [(Side(lane), JobKind(kind), key, priority) for lane, kind, key, priority in rows]

    def retry(self, ids: Collection[str]) -> int:
        """Dead jobs become ready with a clean slate, or are done where one of their key is ready already; how many.

        Each keeps its priority and goes behind what waits with it. Others of their keys may take a second call.
        """
        found = self.dead_letters_of(ids)
        if not found:
            return 0
        self._session.lanes_to_wake.update(Side)
        try:
            with self._session.savepoint():
                return self._revive(found)
        except ConstraintViolated:
            # Another transaction queued one of the keys in between: by now it is seen, or it is the next one's turn.
            return sum(self._revive_alone(job_id) for job_id in sorted(found))

    def _revive(self, ids: Collection[str]) -> int:
        now_ms = self._session.now_ms
        revived = self._session.rows("revive_jobs", ids=ids, now=now_ms)
        return len(revived) + len(self._session.rows("supersede_revived", ids=ids, now=now_ms))

    def _revive_alone(self, job_id: str) -> int:
        try:
            with self._session.savepoint():
                return self._revive([job_id])
        except ConstraintViolated:
            return len(self._session.rows("supersede_revived", ids=[job_id], now=self._session.now_ms))

    # -- single jobs and counts

    def get(self, job_id: str) -> Job | None:
        """One job in any state."""
        row = self._session.row("get_job", id=job_id)
        return job_of(row) if row else None

    def run_pending(self, run_id: str) -> int:
        """How many jobs of a reconcile run are ready or running."""
        return self._session.number("run_pending", run_id=run_id)

    def done_since(self, lane: Side, kind: JobKind, since_ms: int) -> tuple[int, int]:
        """How many jobs were done at or after a time, superseded ones not counted, and after how many failed tries."""
        row = self._session.row("count_done", lane=lane, kind=kind, since_ms=since_ms)
        return (int(row[0]), int(row[1] or 0)) if row else (0, 0)

    def count_done_since(self, lane: Side, since_ms: int) -> int:
        """How many jobs of a lane were done at or after a time, superseded ones not counted."""
        return sum(self.done_since(lane, kind, since_ms)[0] for kind in JobKind)


def job_of(row: Row) -> Job:
    """The job of a row."""
    job_id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, *rest = row
    token, owner, reason, dead_class, run_id = rest
    return Job(
        id=job_id,
        lane=Side(lane),
        kind=JobKind(kind),
        key=key,
        state=JobState(state),
        priority=priority,
        due_ms=due_ms,
        arrived_ms=arrived_ms,
        attempts=attempts,
        rescues=rescues,
        token=token,
        owner=owner,
        reason=reason,
        dead_class=dead_class,
        run_id=run_id,
    )
