"""The work of a run: compared and stored, applied as planned, cancelled, failed."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.core_builders import FIELDS
from tests.support.reconcile_harness import OpenPacer, Sides, make_reconcile, make_runtime
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import CallError, ConfigError, Failure, GuardError, OutputFailed
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.reconcile_runs import Approvals, Run, RunOptions, RunState
from wanesync.ops.reconcile import work as reconcile_work
from wanesync.ops.reconcile.runs import ask_apply, cancel_run, read_changes, read_run, start_run
from wanesync.ops.reconcile.work import RunCancelled, carry_out, claim_run, describe_problem, write_plan
from wanesync.reconcile.catch_up import CatchUpResult
from wanesync.reconcile.plan_files import PlanReader
from wanesync.reconcile.session import ReconcileSession, open_session
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

ADA = Operator("ada", Via.PAGE)


class NoCatchUp:
    """A catch-up that finds nothing."""

    def mark_start(self) -> None:
        """Store no cursor."""

    def run(self, side: Side) -> CatchUpResult:
        return CatchUpResult(side, 0, 0, 0)


@pytest.fixture
def sides(store: Store) -> Sides:
    """A pair to be linked, a pair with a blank to fill, a contact that is alone, and two that share an address."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="same@example.com")
    made.add_customer("cus_1", email="same@example.com")
    made.add_contact("2", email="fill@example.com", city="Lyon")
    made.add_customer("cus_2", email="fill@example.com")
    made.add_contact("3", email="alone@example.com")
    made.add_contact("4")
    return made


@pytest.fixture
def opener(store: Store, sides: Sides) -> Callable[[Run], object]:
    runtime = make_runtime(store, sides)

    @contextmanager
    def open_one(run: Run) -> Iterator[ReconcileSession]:
        writes = run.state is RunState.APPLYING
        with open_session(runtime, make_reconcile(runtime), NoCatchUp(), writes=writes) as session:  # type: ignore[arg-type] # as far as it is used
            yield session

    return open_one


@pytest.fixture
def reader(store: Store) -> PlanReader:
    return PlanReader(store, FIELDS.version)


def compared(store: Store, opener: reconcile_work.OpenSession, options: RunOptions | None = None) -> str:
    run_id = start_run(store, ADA, options or RunOptions())
    assert carry_out(store, claim_run(store, run_id), opener) is RunState.PLANNED
    return run_id


def test_a_comparison_is_stored_with_its_plan_and_writes_nothing(
    store: Store, opener: reconcile_work.OpenSession, reader: PlanReader
) -> None:
    run_id = compared(store, opener)
    run = read_run(store, run_id)
    assert run.facts.counts["create_customer"] == 1
    assert run.facts.counts["update_customer"] == 1
    assert run.facts.links == 2, "the pair, and what is noted about the contact without an address"
    assert run.facts.progress["contacts_listed"] == (4, 4)
    assert run.facts.volume["created_customers"] == 1
    (found,) = read_changes(reader, run_id, DifferenceClass.UPDATE_CUSTOMER, "", 9)
    assert (found.hubspot_id, found.stripe_id, found.planned) == ("2", "cus_2", True)
    fields = {one.name: one for one in found.fields}
    assert (fields["city"].hubspot, fields["city"].after, fields["city"].writes) == ("Lyon", "Lyon", "stripe")
    (excluded,) = read_changes(reader, run_id, DifferenceClass.EXCLUDED, "", 9)
    assert (excluded.hubspot_id, excluded.planned) == ("4", False)
    assert read_changes(reader, run_id, DifferenceClass.UPDATE_CUSTOMER, found.place, 9) == []
    with store.reading() as tx:
        assert tx.jobs.depth() == []


def test_it_is_applied_exactly_as_it_was_planned(
    store: Store, opener: reconcile_work.OpenSession, sides: Sides, tmp_path: Path
) -> None:
    run_id = compared(store, opener)
    write_plan(store, run_id, tmp_path / "plan")
    assert stat.S_IMODE((tmp_path / "plan").stat().st_mode) == 0o600
    assert b"Lyon" not in (tmp_path / "plan").read_bytes()
    sides.add_contact("2", email="fill@example.com", city="Leeds")
    ask_apply(store, ADA, run_id, Approvals(), approval=False)
    assert carry_out(store, claim_run(store, run_id), opener) is RunState.APPLIED
    run = read_run(store, run_id)
    assert run.facts.result == {"jobs": 3, "linked": 2, "skipped": 1, "keys": 3}
    with store.reading() as tx:
        assert tx.jobs.run_pending(run.facts.job_run) == 3
        (queued,) = tx.audit.find(AuditFilter(action="reconcile.queue"), 9)
        entry = next(row for row in tx.journal.latest(9) if row.kind == "reconcile")
    assert (queued.operator, entry.operator) == (ADA, ADA)


def test_a_guard_stops_it_and_the_plan_stays(store: Store, opener: reconcile_work.OpenSession, sides: Sides) -> None:
    run_id = compared(store, opener)
    sides.add_contact("5", email="later@example.com")
    ask_apply(store, ADA, run_id, Approvals(max_creations=0), approval=False)
    with pytest.raises(GuardError, match="would be created"):
        carry_out(store, claim_run(store, run_id), opener)
    run = read_run(store, run_id)
    assert (run.state, "would be created" in run.facts.problem) == (RunState.PLANNED, True)
    assert run.facts.volume["created_customers"] == 2, "the number to confirm is that of the newest comparison"
    ask_apply(store, ADA, run_id, Approvals(max_creations=2), approval=False)
    assert carry_out(store, claim_run(store, run_id), opener) is RunState.APPLIED


@pytest.mark.parametrize("fails", [False, True])
def test_what_its_listings_wait_for_is_stored_until_it_ends(
    store: Store, opener: reconcile_work.OpenSession, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    run_id = start_run(store, ADA, RunOptions())
    run = claim_run(store, run_id)
    report, shown = reconcile_work.RunProgress.report, list[object]()
    monkeypatch.setattr(OpenPacer, "waits_for", "its turn")

    def look(self: reconcile_work.RunProgress, *step: object) -> None:
        self.show()
        shown.append(read_run(store, run_id).waits_for)
        if fails:
            raise GuardError("stop")
        report(self, *step)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(reconcile_work.RunProgress, "report", look)
    if fails:
        with pytest.raises(GuardError, match="stop"):
            carry_out(store, run, opener)
    else:
        carry_out(store, run, opener)
    assert shown[0] == {"hubspot": "its turn", "stripe": "its turn"}
    assert read_run(store, run_id).facts.waits_for == {}


def test_a_run_is_cancelled_between_two_steps(
    store: Store, opener: reconcile_work.OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_run(store, ADA, RunOptions())
    run = claim_run(store, run_id)
    report = reconcile_work.RunProgress.report

    def cancel_first(self: reconcile_work.RunProgress, *step: object) -> None:
        with store.reading() as tx:
            current = tx.reconcile_runs.get(run_id)
        if current and not current.cancel_asked:
            cancel_run(store, ADA, run_id)
            self.show()
        report(self, *step)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(reconcile_work.RunProgress, "report", cancel_first)
    with pytest.raises(RunCancelled):
        carry_out(store, run, opener)
    assert read_run(store, run_id).state is RunState.CANCELLED


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ConfigError(["stripe.api_key: is needed"]), "stripe.api_key: is needed"),
        (CallError(Side.STRIPE, Failure.UNREACHED, "no answer"), "no answer"),
        (RuntimeError("ada@example.com"), "an error of this program: RuntimeError"),
    ],
)
def test_what_stops_a_run_is_kept_with_it(store: Store, error: Exception, problem: str) -> None:
    run_id = start_run(store, ADA, RunOptions())

    def refuse(_run: Run) -> NoReturn:
        raise error

    with pytest.raises(type(error)):
        carry_out(store, claim_run(store, run_id), refuse)
    run = read_run(store, run_id)
    assert run.state is RunState.FAILED
    assert problem in run.facts.problem
    assert "ada@example.com" not in run.facts.problem


def test_a_problem_holds_no_address() -> None:
    assert "ada@example.com" not in describe_problem(GuardError("of ada@example.com"))


def test_a_run_that_was_taken_for_lost_ends(store: Store, opener: reconcile_work.OpenSession) -> None:
    run_id = start_run(store, ADA, RunOptions())
    run = claim_run(store, run_id)
    with store.transaction() as tx:
        tx.reconcile_runs.change(run, RunState.BROKEN, run.facts)
    with pytest.raises(RunCancelled):
        carry_out(store, run, opener)
    assert read_run(store, run_id).state is RunState.BROKEN


def test_a_plan_that_is_too_large_is_for_the_command_line(
    store: Store, opener: reconcile_work.OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_work, "MAX_PLANNED", 1)
    run_id = start_run(store, ADA, RunOptions())
    with pytest.raises(GuardError, match="--plan-out"):
        carry_out(store, claim_run(store, run_id), opener)


def test_without_a_place_for_temporary_files_it_says_what_to_do(
    store: Store, opener: reconcile_work.OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    run_id = start_run(store, ADA, RunOptions())
    with pytest.raises(OutputFailed, match="TMPDIR"):
        carry_out(store, claim_run(store, run_id), opener)
    assert "TMPDIR" in read_run(store, run_id).facts.problem
