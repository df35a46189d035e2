"""Reconciles that operators ask for, and their plans. Only one is at work at a time, which an index sees to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import orjson

from wanesync.core.ids import bound
from wanesync.core.operating.reconcile_runs import ACTIVE, Run, RunFacts, RunState, read_facts
from wanesync.store.codec import pack
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

DIGITS = 9
"""Of the number of a row within its plan."""
ITEMS_PER_READ = 1_000


@dataclass(frozen=True, slots=True)
class ReconcileItem:
    """A row of a plan: one difference, or lines of the plan file between them. ``data``: its text."""

    number: int
    kind: str
    is_planned: bool
    hubspot_id: str
    stripe_id: str
    data: str
    id: str = ""


class ReconcileRuns(Table):
    """The tables ``reconcile_runs`` and ``reconcile_items``."""

    __slots__ = ()

    def add(self, facts: RunFacts) -> str:
        """Store a new run that is asked for, and return its id. Raises ConstraintViolated while another is at work."""
        session = self._session
        run_id = session.make_id()
        state = RunState.ASKED
        session.rows(
            "add_reconcile_run", id=run_id, state=state, active=int(state in ACTIVE), now=session.now_ms,
            facts=_pack(facts),
        )  # fmt: skip
        return run_id

    def get(self, run_id: str) -> Run | None:
        """Return a run."""
        row = self._session.row("reconcile_run", id=run_id)
        return _run(row) if row else None

    def active(self) -> Run | None:
        """Return the run that is asked for or at work."""
        row = self._session.row("active_reconcile_run")
        return _run(row) if row else None

    def find(self, before: str, limit: int) -> list[Run]:
        """Return runs that were made before the one with this id ("" for the newest), the newest first."""
        return [_run(row) for row in self._session.rows("reconcile_runs_before", before=before or "~", limit=limit)]

    def change(self, run: Run, state: RunState, facts: RunFacts, process: str | None = None) -> bool:
        """Change a run as it was read; False where it was changed meanwhile."""
        return bool(
            self._session.row(
                "change_reconcile_run",
                id=run.id,
                before=run.state,
                facts_before=_pack(run.facts),
                state=state,
                active=int(state in ACTIVE),
                now=self._session.now_ms,
                process=run.process if process is None else bound(process),
                cancel_asked=int(run.cancel_asked and state in ACTIVE),
                facts=_pack(facts),
            )
        )

    def beat(self, run_id: str, process: str) -> bool | None:
        """Note that a process works on a run: whether it is to cancel it; None where it is not its run any more."""
        row = self._session.row("beat_reconcile_run", id=run_id, process=process, now=self._session.now_ms)
        return None if row is None else bool(row[0])

    def cancel(self, run_id: str) -> bool:
        """Ask the process that works on a run to cancel it; False where none does."""
        return self._session.row("cancel_reconcile_run", id=run_id) is not None

    # -- plans

    def add_items(self, run_id: str, items: Sequence[ReconcileItem]) -> None:
        """Store rows of a plan."""
        session = self._session
        batch: list[dict[str, Value]] = []
        for item in items:
            row_id = f"{run_id}/{item.number:0{DIGITS}d}"
            batch.append(
                {
                    "id": row_id,
                    "run_id": run_id,
                    "kind": item.kind,
                    "is_planned": int(item.is_planned),
                    "hubspot_id": bound(item.hubspot_id),
                    "stripe_id": bound(item.stripe_id),
                    "data": session.encryption.encrypt(item.data, "reconcile_items", row_id, "data"),
                }
            )
        session.each("add_reconcile_item", batch)

    def items(self, run_id: str, kind: str, after: str, limit: int) -> list[ReconcileItem]:
        """Return rows of one class, in the order of the plan. ``after``: the id of the row before, "" for the first."""
        rows = self._session.rows("reconcile_items_of_kind", run_id=run_id, kind=kind, after=after, limit=limit)
        return [self._item(row) for row in rows]

    def planned(self, run_id: str, after: str = "") -> Iterator[ReconcileItem]:
        """Return the next rows of a plan file, in its order; none at the end."""
        rows = self._session.rows(
            "planned_reconcile_items", after=after or f"{run_id}/", until=f"{run_id}0", limit=ITEMS_PER_READ
        )
        return map(self._item, rows)

    def count_planned(self, run_id: str) -> int:
        """Return how many rows of a plan file are there."""
        return self._session.number("count_reconcile_items", run_id=run_id)

    def erase(self, contacts: Collection[str], customers: Collection[str]) -> None:
        """Delete the rows about people whose data were deleted for privacy."""
        self._session.rows("erase_reconcile_items", contacts=contacts, customers=customers)

    def _item(self, row: Row) -> ReconcileItem:
        row_id, kind, planned, hubspot_id, stripe_id, blob = row
        text = self._session.encryption.decrypt(blob, "reconcile_items", row_id, "data").decode()
        number = int(row_id.rpartition("/")[2])
        return ReconcileItem(number, kind, bool(planned), hubspot_id, stripe_id, text, row_id)


def _pack(facts: RunFacts) -> str:
    return pack(facts.as_json()).decode()


def _run(row: Row) -> Run:
    run_id, state, beat_ms, process, cancel_asked, facts = row
    return Run(run_id, RunState(state), beat_ms, process, bool(cancel_asked), read_facts(orjson.loads(facts)))
