"""Dead letters: lists and counts, and what operators do with them and with jobs that wait after a failed attempt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from wanesync.core.jobs import DeadClass, Job, JobKind
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import ConstraintViolated, Table
from wanesync.store.tables.jobs import job_of


@dataclass(frozen=True, slots=True)
class DeadCount:
    """Number of dead letters of one lane, kind and class; ``lately``: of those given up since a given time."""

    lane: Side
    kind: JobKind
    dead_class: str
    count: int
    lately: int


class DeadLetters(Table):
    """The dead rows of the table ``jobs``, as operators see and change them."""

    __slots__ = ()

    def latest(
        self,
        *,
        dead_class: DeadClass | None = None,
        lane: Side | None = None,
        kind: JobKind | None = None,
        since_ms: int = 0,
        limit: int = 100,
    ) -> list[Job]:
        """Dead letters, the newest first. ``since_ms``: those given up at or after this time."""
        values: dict[str, Value] = {
            "lanes": [lane] if lane else list(Side),
            "kinds": [kind] if kind else list(JobKind),
            "dead_class": dead_class or "",
            "since_ms": since_ms,
        }
        # The last column is the time at which a job was given up.
        return [job_of(row[:-1]) for row in self._session.rows("dead_jobs", limit=limit, **values)]

    def count(self, since_ms: int = 0) -> list[DeadCount]:
        """Number of dead letters per lane, kind and class; ``lately`` counts those given up since ``since_ms``."""
        rows = self._session.rows("count_dead", since_ms=since_ms)
        return [DeadCount(Side(lane), JobKind(kind), *rest) for lane, kind, *rest in rows]

    def retry(self, ids: Collection[str]) -> int:
        """Makes dead jobs ready with their counters reset, or closes them where a job of the key is ready; how many.

        Each keeps its priority, behind the jobs that wait with the same one. Of several dead jobs of one key the
        newest is revived; a second call closes the others.
        """
        return len(self.retry_each(ids))

    def retry_each(self, ids: Collection[str]) -> set[str]:
        """``retry``: the ids of the jobs that are no dead letters any more."""
        found = self._dead_ids(ids)
        if not found:
            return set()
        self._session.lanes_to_wake.update(Side)
        try:
            with self._session.savepoint():
                return self._revive(found)
        except ConstraintViolated:
            # Another transaction queued a job of one of the keys in between: one at a time, the others still revive.
            return {done for job_id in sorted(found) for done in self._revive_alone(job_id)}

    def _revive(self, ids: Collection[str]) -> set[str]:
        now_ms = self._session.now_ms
        revived = self._session.rows("revive_jobs", ids=ids, now=now_ms)
        return {row[0] for row in (*revived, *self._session.rows("supersede_revived", ids=ids, now=now_ms))}

    def _revive_alone(self, job_id: str) -> set[str]:
        try:
            with self._session.savepoint():
                return self._revive([job_id])
        except ConstraintViolated:
            return {row[0] for row in self._session.rows("supersede_revived", ids=[job_id], now=self._session.now_ms)}

    def end_backoffs(self, ids: Collection[str]) -> set[str]:
        """Makes jobs due that only wait for time after a failed attempt, their attempts as they are; their ids."""
        found = self._session.rows("end_backoffs", ids=sorted(ids), now=self._session.now_ms) if ids else []
        self._session.lanes_to_wake.update(row[1] for row in found)
        return {row[0] for row in found}

    def discard(self, ids: Collection[str]) -> set[str]:
        """Closes dead jobs without another attempt, but those with a write that has no answer; the ids of the closed.

        See docs/correctness.md#discarded-jobs.
        """
        found = self._dead_ids(ids)
        return (
            {row[0] for row in self._session.rows("discard_jobs", ids=found, now=self._session.now_ms)}
            if found
            else set()
        )

    def _dead_ids(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are dead letters; their rows are locked."""
        return {row[0] for row in self._session.rows("dead_by_ids", ids=ids)} if ids else set()
