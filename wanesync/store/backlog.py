"""What waits, runs and was given up: questions about the queue, and second chances."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from wanesync.core.job import DeadClass, Job, JobKind, JobState
from wanesync.core.model import Side
from wanesync.store.db import Row, RuleBroken, Session, Value


class Depth(TypedDict):
    """Waiting and running work of one lane, kind and priority. ``due``: ready and due now."""

    lane: str
    kind: str
    priority: int
    ready: int
    running: int
    oldest_arrived_ms: int
    due: int


class Backlog:
    """The table ``jobs`` as people and guards look at it."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def pending_keys(self, lane: Side, kind: JobKind, keys: Collection[str]) -> set[str]:
        """Those of ``keys`` that have a ready or running job."""
        return (
            {row[0] for row in self._session.rows("pending_keys", lane=lane, kind=kind, keys=keys)} if keys else set()
        )

    def depth(self) -> list[Depth]:
        """How much waits and runs, per lane, kind and priority."""
        rows = self._session.rows("job_depth", now=self._session.now_ms)
        return [
            Depth(
                lane=lane, kind=kind, priority=priority, ready=ready, running=running, oldest_arrived_ms=oldest, due=due
            )
            for lane, kind, priority, ready, running, oldest, due in rows
        ]

    def dead(
        self, *, dead_class: DeadClass | None = None, lane: Side | None = None, since_ms: int = 0, limit: int = 100
    ) -> list[Job]:
        """Dead letters, the newest first."""
        lanes = [lane] if lane else list(Side)
        values: dict[str, Value] = {
            "lanes": lanes,
            "dead_class": dead_class or "",
            "since_ms": since_ms,
            "limit": limit,
        }
        return [job_of(row) for row in self._session.rows("dead_jobs", **values)]

    def retry(self, ids: Collection[str]) -> int:
        """Dead jobs become ready with a clean slate, or are done where one of their key is ready already; how many."""
        rows = self._session.rows("dead_by_ids", ids=ids) if ids else []
        for row in rows:
            self._revive(job_of(row))
        return len(rows)

    def _revive(self, job: Job) -> None:
        now_ms = self._session.now_ms
        self._session.queued = True
        if not self._session.rows("pending_ready", lane=job.lane, kind=job.kind, key=job.key):
            try:
                with self._session.savepoint():
                    self._session.rows("revive_job", id=job.id, now=now_ms)
                return
            except RuleBroken:
                # Another transaction queued one in between: that one stands for it.
                pass
        self._session.rows("supersede_dead", id=job.id, now=now_ms)

    def get(self, job_id: str) -> Job | None:
        """One job in any state."""
        row = self._session.row("get_job", id=job_id)
        return job_of(row) if row else None

    def run_pending(self, run_id: str) -> int:
        """How many jobs of a reconcile run are ready or running."""
        return self._session.number("run_pending", run_id=run_id)

    def count_done_since(self, lane: Side, since_ms: int) -> int:
        """How many jobs of a lane were done at or after a time, superseded ones not counted."""
        return self._session.number("count_done", lane=lane, since_ms=since_ms)


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
