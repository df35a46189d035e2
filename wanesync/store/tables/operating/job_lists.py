"""The queue as operators see it: lists by state, one job with its failed attempts, and counts of values.

Nothing here changes a job. Positions in a list are (time, id): rows that do not change are neither skipped nor
repeated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from wanesync.core.ids import bound
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.operating.queue_filter import (
    AGES_MS,
    FAR_MS,
    READY_STATES,
    JobSelection,
    ListedJob,
    QueueState,
    ValueCount,
    make_pattern,
)
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table
from wanesync.store.tables.jobs import job_of

MAX_COUNTED = 5_000
"""Jobs of a state whose values are counted at most: more would take longer than a page may (our choice)."""
MAX_RUNNING = 2_000
"""More than all workers of an installation run at once."""
MAX_ATTEMPTS_SHOWN = 50
_LAST_COLUMNS = 4  # those of ListedJob behind those of Job
_MANY = 2**31 - 1


class Position(NamedTuple):
    """Where a page of a list ends: time in ms and id of its last job."""

    at_ms: int
    id: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A failed attempt of a job (``retry``, ``dead``) or a crash of its process (``crash``).

    ``code``: what the job waited for then, or its class.
    """

    at_ms: int
    attempt: int
    outcome: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class BulkRunOfJob:
    """What a bulk run did with a job. ``operator``, ``via``: of the run, "" if the run is not kept any more."""

    run_id: str
    outcome: str
    at_ms: int
    operator: str
    via: str


ListedJobs = list[ListedJob]


class JobLists(Table):
    """The table ``jobs`` as operators see it, with ``job_attempts``."""

    __slots__ = ()

    def page(self, selection: JobSelection, after: Position | None, limit: int) -> ListedJobs:
        """Return the jobs of a selection behind a position, in the order of ``position_of``.

        Dead, finished and discarded jobs: the last that ended first. The others: those that are due first, first.
        """
        has_class = selection.state in {QueueState.DEAD, QueueState.DISCARDED}
        has_wait = selection.state in READY_STATES or selection.state is QueueState.RUNNING
        if (selection.dead_class and not has_class) or (selection.waits_for and not has_wait):
            return []
        if selection.reason and selection.state is QueueState.DONE:
            return []  # a finished job has none
        if selection.keys is not None or selection.state is QueueState.RUNNING:
            return self._page_of_few(selection, after, limit)
        if selection.state in READY_STATES:
            found = [row for side in _sides(selection) for row in self._ready_page(side, selection, after, limit)]
        elif selection.state is QueueState.DONE:
            found = [
                row
                for side in _sides(selection)
                for kind in _kinds(selection)
                for row in self._ended_page("done_page", selection, after, limit, lane=side, kind=kind)
            ]
        else:
            values: dict[str, Value] = {"lanes": _sides(selection), "kinds": _kinds(selection)}
            values["dead_class"] = selection.dead_class
            name = "dead_page" if selection.state is QueueState.DEAD else "discarded_page"
            found = self._ended_page(name, selection, after, limit, **values)
        return sorted(found, key=lambda one: _order(selection, one))[:limit]

    def _ready_page(self, side: Side, selection: JobSelection, after: Position | None, limit: int) -> ListedJobs:
        now_ms, state = self._session.now_ms, selection.state
        at_ms, after_id = after or Position(-1, "")
        rows = self._session.rows(
            "ready_page",
            lane=side,
            kinds=_kinds(selection),
            due_from_ms=now_ms + 1 if state is QueueState.WAITING else 0,
            due_to_ms=now_ms if state is QueueState.DUE else FAR_MS,
            least=int(state is QueueState.RETRYING),
            most=_MANY if state is QueueState.RETRYING else 0,
            at_ms=at_ms,
            id=after_id,
            waits_for=selection.waits_for,
            limit=limit,
            **_common(selection),
        )
        return [listed_of(row) for row in rows]

    def _ended_page(
        self, name: str, selection: JobSelection, after: Position | None, limit: int, **values: Value
    ) -> ListedJobs:
        at_ms, after_id = after or Position(FAR_MS, "")
        more: dict[str, Value] = {"since_ms": selection.since_ms, "until_ms": min(selection.until_ms, at_ms)}
        if name != "done_page":
            more["reason"] = make_pattern(selection.reason)
        return [
            listed_of(row) for row in self._session.rows(name, at_ms=at_ms, id=after_id, limit=limit, **more, **values)
        ]

    def _page_of_few(self, selection: JobSelection, after: Position | None, limit: int) -> ListedJobs:
        """Return a page of jobs that an index finds by another order, so that all of them are read."""
        if selection.keys is not None:
            rows = self.of_keys(selection.keys)
        else:
            rows = [listed_of(row) for row in self._session.rows("running_jobs", limit=MAX_RUNNING)]
        found = sorted(
            (row for row in rows if selection.matches(row, self._session.now_ms)),
            key=lambda one: _order(selection, one),
        )
        if after is not None:
            start = _order_of(selection, after)
            found = [row for row in found if _order(selection, row) > start]
        return found[:limit]

    def of_keys(self, keys: Collection[str]) -> ListedJobs:
        """Return the jobs of some keys that are not finished: ready, running and dead ones."""
        values: dict[str, Value] = {"keys": sorted(map(bound, keys)), "lanes": list(Side), "kinds": list(JobKind)}
        return [listed_of(row) for row in self._session.rows("unfinished_jobs_of_keys", **values)] if keys else []

    def get_many(self, ids: Collection[str]) -> dict[str, ListedJob]:
        """Return id -> job, in any state; unknown ids are left out."""
        rows = self._session.rows("listed_jobs", ids=sorted(ids)) if ids else []
        return {row[0]: listed_of(row) for row in rows}

    def attempts(self, job_id: str) -> list[AttemptRow]:
        """Return the latest failed attempts and crashes of a job, the oldest first."""
        rows = self._session.rows("attempts_of_job", job_id=job_id, limit=MAX_ATTEMPTS_SHOWN)
        return [AttemptRow(*row) for row in reversed(rows)]

    def bulk_runs(self, job_id: str) -> list[BulkRunOfJob]:
        """Return what bulk runs did with a job, the oldest first."""
        rows = self._session.rows("bulk_runs_of_job", job_id=job_id)
        return [BulkRunOfJob(run_id, outcome, at, name or "", via or "") for run_id, outcome, at, name, via in rows]

    # -- counts

    def values(self, state: QueueState) -> tuple[list[ValueCount], bool]:
        """Return how many jobs share which values, and whether there are more jobs than were counted.

        Of the three ready states, those of all three. Finished jobs are not counted: they are too many.
        """
        now_ms = self._session.now_ms
        ages: dict[str, Value] = {f"age_{n}": now_ms - ms for n, ms in enumerate(AGES_MS.values(), 1)}
        if state in READY_STATES:
            rows = self._session.rows("ready_values", now=now_ms, limit=MAX_COUNTED, **ages)
        elif state is QueueState.RUNNING:
            jobs = [listed_of(row) for row in self._session.rows("running_jobs", limit=MAX_RUNNING)]
            return [self.count_one(one) for one in jobs], False
        elif state in {QueueState.DEAD, QueueState.DISCARDED}:
            name = "dead_values" if state is QueueState.DEAD else "discarded_values"
            rows = self._session.rows(name, limit=MAX_COUNTED, **ages)
        else:
            rows = []
        found = [
            ValueCount(side, kind, code, reason, QueueState(at), *rest) for side, kind, code, reason, at, *rest in rows
        ]
        return found, sum(row.count for row in found) >= MAX_COUNTED

    def count_one(self, one: ListedJob) -> ValueCount:
        """Return the values of one job."""
        job, now_ms = one.job, self._session.now_ms
        age = sum(one.at_ms < now_ms - ms for ms in AGES_MS.values())
        state = one.state(now_ms)
        code = job.dead_class if state in {QueueState.DEAD, QueueState.DISCARDED} else job.waits_for
        return ValueCount(job.lane, job.kind, code, job.reason, state, age, 1)

    def count_dead(self, selection: JobSelection) -> dict[str, int]:
        """Return class -> number of dead letters of a selection."""
        if selection.keys is not None or selection.ids is not None:
            return _count_classes(self.dead_of(selection))
        values: dict[str, Value] = {"lanes": _sides(selection), "kinds": _kinds(selection)}
        values["dead_class"] = selection.dead_class
        return dict(self._session.rows("count_dead_matching", **_common(selection), **values))

    def dead_of(self, selection: JobSelection) -> ListedJobs:
        """Return the dead letters of a selection with keys or ids, in the order they were given up."""
        if selection.ids is not None:
            rows = list(self.get_many(selection.ids).values())
        else:
            rows = self.of_keys(selection.keys or ())
        found = [row for row in rows if selection.matches(row, self._session.now_ms)]
        return sorted(found, key=lambda one: (one.ended_ms, one.job.id))

    def dead_slice(self, selection: JobSelection, after: Position, limit: int) -> list[Position]:
        """Return (time, id) of the dead letters of a selection behind a position, in the order they were given up."""
        if selection.keys is not None or selection.ids is not None:
            found = [Position(row.ended_ms, row.job.id) for row in self.dead_of(selection)]
            return [one for one in found if one > after][:limit]
        values: dict[str, Value] = {"lanes": _sides(selection), "kinds": _kinds(selection)}
        values |= {"dead_class": selection.dead_class, "at_ms": after.at_ms, "id": after.id, "limit": limit}
        more = _common(selection)
        more["since_ms"] = max(selection.since_ms, after.at_ms)
        return [Position(at_ms, job_id) for job_id, at_ms in self._session.rows("dead_slice", **more, **values)]


def position_of(selection: JobSelection, listed: ListedJob) -> Position:
    """Return the position of a job in the list of its state."""
    ready = selection.state in READY_STATES
    job = listed.job
    return Position(job.due_ms if ready else job.arrived_ms if _is_running(selection) else listed.ended_ms, job.id)


def listed_of(row: Row) -> ListedJob:
    """Return the job of a row: the columns in the order of the queries of lists."""
    is_fixed, is_superseded, ended_ms, claimed_ms = row[-_LAST_COLUMNS:]
    return ListedJob(job_of(row[:-_LAST_COLUMNS]), bool(is_fixed), bool(is_superseded), ended_ms, claimed_ms)


def _order(selection: JobSelection, listed: ListedJob) -> tuple[int, str]:
    return _order_of(selection, position_of(selection, listed))


def _order_of(selection: JobSelection, position: Position) -> tuple[int, str]:
    """Return what a list is sorted by: upwards; for jobs that ended, the newest first."""
    if selection.state in READY_STATES or _is_running(selection):
        return position
    return -position.at_ms, "".join(chr(0x10FFFF - ord(one)) for one in position.id)


def _is_running(selection: JobSelection) -> bool:
    return selection.state is QueueState.RUNNING


def _sides(selection: JobSelection) -> list[Side]:
    return [selection.side] if selection.side else list(Side)


def _kinds(selection: JobSelection) -> list[JobKind]:
    return [selection.kind] if selection.kind else list(JobKind)


def _common(selection: JobSelection) -> dict[str, Value]:
    return {
        "since_ms": selection.since_ms,
        "until_ms": selection.until_ms,
        "reason": make_pattern(selection.reason),
    }


def _count_classes(found: Collection[ListedJob]) -> dict[str, int]:
    classes = sorted(one.job.dead_class for one in found)
    return {name: classes.count(name) for name in dict.fromkeys(classes)}
