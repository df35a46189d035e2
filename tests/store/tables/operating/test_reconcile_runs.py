"""Runs and their plans in the database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.operating.reconcile_runs import RunFacts, RunState
from wanesync.store import Store
from wanesync.store.session import ConstraintViolated
from wanesync.store.tables.operating.reconcile_runs import ReconcileItem
from wanesync.store.tables.retention import DAY_MS, RetentionPolicy
from wanesync.worker.retention import RetentionTask


def add(store: Store, started_by: str = "ada") -> str:
    return store.run(lambda tx: tx.reconcile_runs.add(RunFacts(started_by=started_by)))


def move(store: Store, run_id: str, state: RunState, process: str | None = None) -> bool:
    with store.transaction() as tx:
        run = tx.reconcile_runs.get(run_id)
        assert run
        return tx.reconcile_runs.change(run, state, replace(run.facts, links=1), process)


def test_one_run_is_at_work_at_a_time(store: Store, clock: Clock) -> None:
    first = add(store)
    with pytest.raises(ConstraintViolated):
        add(store)
    assert move(store, first, RunState.PLANNED)
    clock.advance(1)
    second = add(store)
    with store.reading() as tx:
        assert [run.id for run in tx.reconcile_runs.find("", 9)] == [second, first]
        assert [run.id for run in tx.reconcile_runs.find(second, 9)] == [first]
        active = tx.reconcile_runs.active()
    assert active
    assert (active.id, active.state, active.facts.started_by) == (second, RunState.ASKED, "ada")


def test_a_run_is_changed_only_from_the_state_it_was_read_in(store: Store) -> None:
    run_id = add(store)
    with store.reading() as tx:
        before = tx.reconcile_runs.get(run_id)
    assert before
    assert move(store, run_id, RunState.COMPARING, "runs 7")
    assert not store.run(lambda tx: tx.reconcile_runs.change(before, RunState.CANCELLED, before.facts))


def test_its_process_gives_signs_of_life_and_learns_of_a_cancellation(store: Store, clock: Clock) -> None:
    run_id = add(store)
    move(store, run_id, RunState.COMPARING, "runs 7")
    clock.advance(5_000)
    assert store.run(lambda tx: tx.reconcile_runs.beat(run_id, "runs 7")) is False
    assert store.run(lambda tx: tx.reconcile_runs.beat(run_id, "runs 8")) is None
    assert store.run(lambda tx: tx.reconcile_runs.cancel(run_id))
    assert store.run(lambda tx: tx.reconcile_runs.beat(run_id, "runs 7")) is True
    move(store, run_id, RunState.CANCELLED)
    assert not store.run(lambda tx: tx.reconcile_runs.cancel(run_id))
    assert store.run(lambda tx: tx.reconcile_runs.beat(run_id, "runs 7")) is None


def test_a_plan_is_read_by_class_and_as_a_whole_and_ages_first(store: Store, clock: Clock) -> None:
    run_id = add(store)
    items = [
        ReconcileItem(0, "file", True, "", "", "head"),
        ReconcileItem(1, "update_contact", True, "7", "cus_7", "line 1"),
        ReconcileItem(2, "update_contact", True, "8", "cus_8", "line 2"),
        ReconcileItem(3, "conflict", False, "9", "", "line 3"),
    ]
    store.run(lambda tx: tx.reconcile_runs.add_items(run_id, items))
    with store.reading() as tx:
        first = tx.reconcile_runs.items(run_id, "update_contact", "", 1)
        assert [item.data for item in first] == ["line 1"]
        rest = tx.reconcile_runs.items(run_id, "update_contact", first[0].id, 9)
        assert [(item.data, item.hubspot_id) for item in rest] == [("line 2", "8")]
        assert [item.data for item in tx.reconcile_runs.planned(run_id)] == ["head", "line 1", "line 2"]
        assert tx.reconcile_runs.count_planned(run_id) == 3
    store.run(lambda tx: tx.reconcile_runs.erase(["9"], ["cus_8"]))
    with store.reading() as tx:
        assert tx.reconcile_runs.count_planned(run_id) == 2
        assert tx.reconcile_runs.items(run_id, "conflict", "", 9) == []
    move(store, run_id, RunState.PLANNED)
    clock.advance(8 * DAY_MS)
    deleted = RetentionTask(store, RetentionPolicy()).prune()
    assert (deleted["reconcile plans"], deleted["reconcile runs"]) == (2, 0)
    clock.advance(400 * DAY_MS)
    assert RetentionTask(store, RetentionPolicy()).prune()["reconcile runs"] == 1
