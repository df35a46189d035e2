"""Bulk runs of operators, and what each did with which job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import FAR_MS, JobSelection, QueueState
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table
from wanesync.store.tables.operating.job_lists import Position

LEASE_MS = 10_000
"""How long a process owns a bulk run without carrying on; then another takes it over (our choice)."""


@dataclass(frozen=True, slots=True)
class NewBulkRun:
    """A bulk run to be stored; ``owner``: the process that begins it, "" for the first that is free."""

    action: BulkAction
    selection: JobSelection
    operator: Operator
    total: int
    owner: str = ""


class BulkRuns(Table):
    """The tables ``bulk_runs`` and ``bulk_run_jobs``."""

    __slots__ = ()

    def add(self, new: NewBulkRun) -> str:
        """Store a run of the dead letters given up until now; returns its id."""
        session = self._session
        run_id = session.make_id()
        session.rows(
            "add_bulk_run",
            id=run_id,
            action=new.action,
            selection=_pack(new.selection),
            operator=new.operator.name,
            via=new.operator.via,
            total=new.total,
            until_ms=min(session.now_ms, new.selection.until_ms),
            owner=new.owner,
            lease_ms=session.now_ms + LEASE_MS if new.owner else 0,
            now=session.now_ms,
        )
        return run_id

    def get(self, run_id: str) -> BulkRun | None:
        """Return a run; None without one."""
        row = self._session.row("get_bulk_run", id=run_id)
        return _run(row) if row else None

    def lock(self, run_id: str) -> BulkRun | None:
        """Return a run that no other transaction changes before this one ends."""
        row = self._session.row("lock_bulk_run", id=run_id)
        return _run(row) if row else None

    def page(self, after: Position | None, limit: int) -> list[BulkRun]:
        """Return runs behind a position (time of creation, id), the newest first."""
        at_ms, run_id = after or Position(FAR_MS, "")
        return [_run(row) for row in self._session.rows("list_bulk_runs", at_ms=at_ms, id=run_id, limit=limit)]

    def free(self, owner: str, limit: int = 10) -> list[str]:
        """Return the ids of runs that are carried out by no process, or by this one; the oldest first."""
        return [row[0] for row in self._session.rows("free_bulk_runs", limit=limit, **self._lease(owner))]

    def take(self, run_id: str, owner: str) -> bool:
        """Take a run over that no other process carries out, or prolong the lease; whether it is this process's now."""
        lease_ms = self._session.now_ms + LEASE_MS
        return bool(self._session.rows("take_bulk_run", id=run_id, lease_ms=lease_ms, **self._lease(owner)))

    def handled(self, run_id: str, job_ids: Collection[str]) -> set[str]:
        """Return those of some jobs that a run is done with."""
        return {row[0] for row in self._session.rows("handled_by_bulk_run", run_id=run_id, ids=job_ids)}

    def move(self, run: BulkRun, after: Position, outcomes: Mapping[str, str], changed: int) -> None:
        """Store how far a run is and what became of each job (job id -> outcome), ``changed`` of them not kept."""
        session = self._session
        rows: list[dict[str, Value]] = [
            {"run_id": run.id, "job_id": job_id, "outcome": outcome, "now": session.now_ms}
            for job_id, outcome in sorted(outcomes.items())
        ]
        session.each("add_bulk_run_job", rows)
        session.rows(
            "move_bulk_run",
            id=run.id,
            changed=changed,
            kept=len(outcomes) - changed,
            after_ms=after.at_ms,
            after_id=after.id,
            lease_ms=session.now_ms + LEASE_MS,
        )

    def end(self, run_id: str, state: BulkState, ended_by: str = "") -> bool:
        """End a run; whether it was running."""
        values: dict[str, Value] = {"id": run_id, "state": state, "ended_by": ended_by, "now": self._session.now_ms}
        return bool(self._session.rows("end_bulk_run", **values))

    def release(self, owner: str) -> None:
        """Leave the runs of a process that ends to others."""
        self._session.rows("release_bulk_runs", owner=owner)

    def job_states(self, run_id: str) -> dict[tuple[str, str], int]:
        """Return (outcome, state of the job now, "" if it is not kept any more) -> number of jobs of a run."""
        rows = self._session.rows("states_of_bulk_run", run_id=run_id)
        return {(outcome, state or ""): count for outcome, state, count in rows}

    def _lease(self, owner: str) -> dict[str, Value]:
        now_ms = self._session.now_ms
        return {"owner": owner, "now": now_ms, "ahead_ms": now_ms + LEASE_MS + 2_000}


def _pack(selection: JobSelection) -> str:
    """Return a selection as JSON: ids, codes, keys and times, as the table ``jobs`` holds them in plain text."""
    return orjson.dumps(
        {
            "side": selection.side or "",
            "kind": selection.kind or "",
            "dead_class": selection.dead_class,
            "reason": selection.reason,
            "since_ms": selection.since_ms,
            "keys": None if selection.keys is None else sorted(selection.keys),
            "ids": None if selection.ids is None else sorted(selection.ids),
        }
    ).decode()


def _unpack(text: str, until_ms: int) -> JobSelection:
    plain = orjson.loads(text)
    return JobSelection(
        state=QueueState.DEAD,
        side=Side(plain["side"]) if plain["side"] else None,
        kind=JobKind(plain["kind"]) if plain["kind"] else None,
        dead_class=plain["dead_class"],
        reason=plain["reason"],
        since_ms=plain["since_ms"],
        until_ms=until_ms,
        keys=None if plain["keys"] is None else frozenset(plain["keys"]),
        ids=None if plain["ids"] is None else frozenset(plain["ids"]),
    )


def _run(row: Row) -> BulkRun:
    run_id, action, state, selection, operator, via, total, changed, kept, until_ms, *rest = row
    after_ms, after_id, owner, lease_ms, created_ms, ended_ms, ended_by = rest
    return BulkRun(
        id=run_id,
        action=BulkAction(action),
        state=BulkState(state),
        selection=_unpack(selection, until_ms),
        operator=Operator(operator, Via(via)),
        total=total,
        changed=changed,
        kept=kept,
        until_ms=until_ms,
        after_ms=after_ms,
        after_id=after_id,
        owner=owner,
        lease_ms=lease_ms,
        created_ms=created_ms,
        ended_ms=ended_ms,
        ended_by=ended_by,
    )
