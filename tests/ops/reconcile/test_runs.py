"""Runs as operators start, approve, apply, cancel and discard them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.operating.operators import Operator, OperatorRole, Via
from wanesync.core.operating.reconcile_runs import ASKED_LIMIT_MS, Approvals, RunFacts, RunOptions, RunState
from wanesync.ops.access.tokens import create_token
from wanesync.ops.reconcile.runs import (
    approve_run,
    ask_apply,
    cancel_run,
    describe_volume,
    discard_run,
    fail_run,
    list_classes,
    read_run,
    read_runs,
    start_run,
)
from wanesync.ops.reconcile.work import claim_run
from wanesync.reconcile.lock import AlreadyRunning
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.store.tables.operating.reconcile_runs import ReconcileItem

ADA, BOB = Operator("ada", Via.PAGE), Operator("bob", Via.PAGE)


def planned(store: Store) -> str:
    """A run that was compared, with a plan of one row."""
    run_id = start_run(store, ADA, RunOptions())
    run = claim_run(store, run_id)
    facts = replace(run.facts, compared_ms=store.now_ms(), lines=1)
    with store.transaction() as tx:
        tx.reconcile_runs.add_items(run_id, [ReconcileItem(0, "file", True, "", "", "{}")])
        assert tx.reconcile_runs.change(run, RunState.PLANNED, facts)
    return run_id


def actions(store: Store) -> list[tuple[str, str]]:
    with store.reading() as tx:
        return [(row.operator.name, row.action) for row in reversed(tx.audit.find(AuditFilter(), 99))]


def test_a_run_is_started_once_at_a_time(store: Store) -> None:
    run_id = start_run(store, ADA, RunOptions(("create_contact",), 5))
    with pytest.raises(AlreadyRunning, match="another run"):
        start_run(store, BOB, RunOptions())
    run = read_run(store, run_id)
    assert (run.state, run.facts.started_by, run.facts.options.limit) == (RunState.ASKED, "ada", 5)
    assert [one.id for one in read_runs(store)] == [run_id]
    assert actions(store) == [("ada", "reconcile.start")]


@pytest.mark.parametrize("options", [RunOptions(("in_sync",)), RunOptions(("x",)), RunOptions(limit=0)])
def test_what_is_absurd_is_refused(store: Store, options: RunOptions) -> None:
    with pytest.raises(ConfigError):
        start_run(store, ADA, options)


def test_a_token_is_no_second_operator_beside_the_one_who_made_it(store: Store) -> None:
    create_token(store, ADA, "CI", OperatorRole.ADMIN, 1)
    create_token(store, BOB, "bob's", OperatorRole.ADMIN, 1)
    run_id = planned(store)
    with pytest.raises(GuardError, match="token of his or her own"):
        approve_run(store, Operator("CI", Via.API), run_id, approval=True)
    assert read_run(store, run_id).state is RunState.PLANNED
    approve_run(store, Operator("bob's", Via.API), run_id, approval=True)


def test_it_is_approved_by_another_and_applied(store: Store) -> None:
    run_id = planned(store)
    with pytest.raises(GuardError, match="approved first"):
        ask_apply(store, ADA, run_id, Approvals(), approval=True)
    with pytest.raises(GuardError, match="another operator"):
        approve_run(store, ADA, run_id, approval=True)
    approve_run(store, BOB, run_id, approval=True)
    ask_apply(store, ADA, run_id, Approvals(force=7), approval=True)
    run = read_run(store, run_id)
    assert (run.state, run.facts.approved_by, run.facts.confirmed.force) == (RunState.APPLY_ASKED, "bob", 7)
    assert [name for name, _ in actions(store)] == ["ada", "bob", "ada"]


def test_a_plan_that_lost_rows_is_not_applied(store: Store) -> None:
    run_id = planned(store)
    with store.transaction() as tx:
        run = tx.reconcile_runs.get(run_id)
        assert run
        tx.reconcile_runs.change(run, run.state, replace(run.facts, lines=2))
    with pytest.raises(GuardError, match="its plan is not kept any more"):
        ask_apply(store, ADA, run_id, Approvals(), approval=False)


def test_it_is_cancelled_before_and_while_a_process_works(store: Store) -> None:
    run_id = start_run(store, ADA, RunOptions())
    cancel_run(store, BOB, run_id)
    assert read_run(store, run_id).state is RunState.CANCELLED
    with pytest.raises(GuardError, match="nothing to cancel"):
        cancel_run(store, BOB, run_id)
    run_id = start_run(store, ADA, RunOptions())
    claim_run(store, run_id)
    cancel_run(store, BOB, run_id)
    run = read_run(store, run_id)
    assert (run.state, run.cancel_asked) == (RunState.COMPARING, True), "its process ends it"
    with pytest.raises(GuardError, match="does not wait for a process"):
        claim_run(store, run_id)


def test_a_cancelled_application_leaves_the_plan(store: Store) -> None:
    run_id = planned(store)
    ask_apply(store, ADA, run_id, Approvals(), approval=False)
    cancel_run(store, ADA, run_id)
    assert read_run(store, run_id).state is RunState.PLANNED
    discard_run(store, ADA, run_id)
    assert read_run(store, run_id).state is RunState.DISCARDED
    with pytest.raises(GuardError):
        discard_run(store, ADA, run_id)


def test_a_run_whose_process_is_gone_is_broken_and_frees_the_place(store: Store, clock: Clock) -> None:
    run_id = start_run(store, ADA, RunOptions())
    claim_run(store, run_id)
    clock.advance(61_000)
    run = read_run(store, run_id)
    assert (run.state, run.facts.problem) == (RunState.BROKEN, "its process ended in the middle: start it again")
    second = start_run(store, ADA, RunOptions())
    clock.advance(ASKED_LIMIT_MS + 1)
    assert read_run(store, second).state is RunState.CANCELLED
    third = start_run(store, ADA, RunOptions())
    fail_run(store, third, "no key")
    fail_run(store, third, "again")
    assert (read_run(store, third).state, read_run(store, third).facts.problem) == (RunState.FAILED, "no key")


def test_an_unknown_run_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        read_run(store, "unknown")


def test_a_report_is_described_in_words() -> None:
    facts = RunFacts(counts={"in_sync": 5, "create_contact": 2})
    assert [(str(kind), number, repaired) for kind, number, repaired, _ in list_classes(facts)] == [
        ("in_sync", 5, False), ("create_contact", 2, True),
    ]  # fmt: skip
    assert describe_volume({"overwritten": 3, "fills": 0}) == [("linked people who have a value overwritten", 3)]
