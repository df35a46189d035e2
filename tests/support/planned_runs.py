"""Reconcile runs that were compared, without the comparison: for the tests of pages and the API."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

from wanesync.core.diff.difference import Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.plan_items import propose, values_of
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.reconcile_runs import RunOptions, RunState
from wanesync.ops.reconcile.processes import ReconcileProcesses
from wanesync.ops.reconcile.runs import start_run
from wanesync.ops.reconcile.work import claim_run
from wanesync.store import Store
from wanesync.store.tables.operating.reconcile_runs import ReconcileItem

ADA = Operator("ada", Via.PAGE)
EVIL = "<script>alert(1)</script>"


class NoProcesses(ReconcileProcesses):
    """Starts nothing, and notes what it was asked for. ``missing``: the keys it lacks."""

    def __init__(self, store: Store, missing: list[str] | None = None) -> None:
        super().__init__(store, Path("wanesync.toml"), lambda: missing or [])
        self.started: list[str] = []

    def start(self, run_id: str) -> bool:
        """Note the run."""
        if self.missing_keys():
            return False
        self.started.append(run_id)
        return True


def make_difference(number: int, city: str = "Lyon") -> Difference:
    """A customer who gets the contact's city."""
    fields = {"city": FieldDifference(city, "Ulm", "stripe", "it was changed", city)}
    return Difference(DifferenceClass.UPDATE_CUSTOMER, str(number), f"cus_{number}", fields, key=f"contact:{number}")


def add_waiting(store: Store) -> str:
    """Store a run at work whose listing of customers waits."""
    run_id = start_run(store, ADA, RunOptions())
    run = claim_run(store, run_id)
    facts = replace(run.facts, waits_for={"stripe": "jobs use nearly every request"})
    store.run(lambda tx: tx.reconcile_runs.change(run, run.state, facts))
    return run_id


def add_planned(store: Store, people: int = 3, started_by: Operator = ADA, **volume: int) -> str:
    """Store a run that was compared, with a plan for some people and one conflict."""
    run_id = start_run(store, started_by, RunOptions())
    run = claim_run(store, run_id)
    items = [ReconcileItem(n, "update_customer", True, *_ids(n), _make_line(store, n)) for n in range(people)]
    conflict = {
        "class": "conflict", "key": "contact:99", "hubspot_id": "99", "stripe_id": "cus_99", "note": EVIL,
        "fields": [{"name": "email", "hubspot": "ada@example.com", "stripe": "bob@example.com", "why": "kept"}],
    }  # fmt: skip
    items.append(ReconcileItem(people, "conflict", False, "99", "cus_99", json.dumps(conflict)))
    facts = replace(
        run.facts,
        compared_ms=store.now_ms(),
        lines=people,
        requests=7,
        counts={"in_sync": 40, "update_customer": people, "conflict": 1},
        volume={"links": 100, "overwritten": people, "writes_stripe": people, **volume},
    )
    with store.transaction() as tx:
        tx.reconcile_runs.add_items(run_id, items)
        assert tx.reconcile_runs.change(run, RunState.PLANNED, facts)
    return run_id


def _ids(number: int) -> tuple[str, str]:
    return str(number), f"cus_{number}"


def _make_line(store: Store, number: int) -> str:
    found = make_difference(number)
    item = propose(found, store.row_hash)
    sealed = store.encryption.encrypt(json.dumps(values_of(found)), "plan", f"{item.kind} {item.key}", "values")
    return json.dumps(item.as_json() | {"sealed": base64.b64encode(sealed).decode()})
