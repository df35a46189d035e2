"""What ``diff`` and ``reconcile`` print around a session: progress, the times they parse, and what was not done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.reconcile_harness import Sides, make_reconcile, make_runtime
from wanesync.cli.commands.compare import diff_reconcile
from wanesync.cli.commands.compare.diff_reconcile import LABELS, Queued, ReportOutput
from wanesync.core.diff.plan_items import Deviation
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.reconcile.apply_decisions import AppliedDecisions
from wanesync.reconcile.catch_up import OVERLAP_MS, CatchUp
from wanesync.reconcile.lock import RunLock
from wanesync.reconcile.plan_files import PlanSelection
from wanesync.reconcile.session import QueuedRun, ReconcileSession, RunState, Step
from wanesync.store.database import Store
from wanesync.store.tables.settings import LAST_RUN

DONE = RunState(left=0, dead=0, writes_on=True)


@pytest.fixture
def session(store: Store) -> ReconcileSession:
    runtime = make_runtime(store, Sides(store.now_ms()))
    return ReconcileSession(runtime, make_reconcile(runtime), CatchUp(runtime, {}), RunLock(store, "first"))


def trouble(
    state: RunState = DONE,
    *,
    run: QueuedRun | None = None,
    applied: AppliedDecisions | None = None,
    chosen: PlanSelection | None = None,
    waited: bool = False,
) -> list[str]:
    queued = Queued(run or QueuedRun("run-1", 3, 0, {}), applied, chosen)
    return diff_reconcile._describe_trouble(queued, state, waited=waited)


def test_every_step_has_a_label() -> None:
    assert LABELS.keys() == set(Step)
    assert len(set(LABELS.values())) == len(Step)


def test_progress_of_any_step_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    with diff_reconcile._show_progress() as follow:
        for step in Step:
            follow(step, 0, None)
            follow(step, 5, None)
            follow(step, 5, 5)
        follow(Step.JOBS_DONE, 0, 0)
    assert capsys.readouterr().out == "", "progress never reaches standard output"


def test_since_is_a_time_or_the_last_run(session: ReconcileSession, store: Store) -> None:
    assert diff_reconcile._read_since(session, "1970-01-02") == 86_400_000
    with pytest.raises(ConfigError, match="there was no run yet"):
        diff_reconcile._read_since(session, "last")
    store.run(lambda tx: tx.settings.put(LAST_RUN, "1000000"))
    assert diff_reconcile._read_since(session, "last") == 1_000_000 - OVERLAP_MS
    with pytest.raises(ConfigError, match="in the future"):
        diff_reconcile._read_since(session, "2999-01-01")


def test_where_all_was_done_nothing_is_said() -> None:
    assert trouble() == []
    assert trouble(RunState(left=3, dead=0, writes_on=True)) == [], "queued, and not waited for"


def test_everything_that_was_not_done_has_a_line() -> None:
    run = QueuedRun("run-1", 3, 0, {}, {Side.STRIPE: "no answer"}, events_expired=True)
    applied = AppliedDecisions(left={"contact:1": "another process holds its lock"})
    chosen = PlanSelection(skipped=[Deviation("contact:2", (), ())])
    state = RunState(left=2, dead=1, writes_on=True, idle_lanes=(Side.HUBSPOT,))
    lines = trouble(state, run=run, applied=applied, chosen=chosen, waited=True)
    for line, part in zip(
        lines,
        (
            "contact:1 was not decided: another process holds its lock",
            "Catching up stripe failed",
            "Purchases of more than 30 days ago",
            "1 key",
            "No worker runs the hubspot lane",
            "1 job failed for good",
        ),
        strict=True,
    ):
        assert part in line


def test_jobs_that_are_left_after_waiting_have_a_line() -> None:
    assert trouble(RunState(left=2, dead=0, writes_on=True), waited=True) == ["2 jobs still waiting."]


def test_jobs_of_decisions_count_with_those_of_the_run() -> None:
    assert Queued(QueuedRun("run-1", 3, 0, {}), AppliedDecisions(jobs=2)).jobs == 5


@pytest.mark.parametrize("name", ["csv_file", "html_file"])
def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    files: dict[str, Path | None] = {"csv_file": None, "html_file": None, name: tmp_path / "missing" / "a"}
    with pytest.raises(ConfigError, match="cannot write"):
        ReportOutput(files["csv_file"], files["html_file"])
