"""The calls of a session: what they select, count and wait for, without a side."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.reconcile_harness import InstantClock, ignore, make_runtime
from wanesync.core.diff.bulk_guards import Volume
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import CallError, ConfigError, Failure, GuardError, WanesyncError
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.reconcile.catch_up import OVERLAP_MS, CatchUpResult
from wanesync.reconcile.compare import Compared, Report
from wanesync.reconcile.listing import Progress
from wanesync.reconcile.lock import RUN_LOCK, AlreadyRunning
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.run import Reconcile, Selection
from wanesync.reconcile.session import (
    DEFAULT_MAX_CREATIONS,
    IDLE_LANE_MS,
    ReconcileSession,
    RunState,
    Step,
    check_decisions,
    check_plan,
    open_session,
    read_run,
    wait_for_workers,
)
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store.database import Store, Tx
from wanesync.store.tables.settings import LAST_RUN
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.writer import WRITES

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@dataclass
class FakeReconcile(Reconcile):
    """A comparison that lists two contacts and a customer; ``since``: whether changes alone can be compared."""

    since: bool = True
    calls: list[str] = field(default_factory=list)

    def compare(
        self, progress: Progress, compared: Compared, requests: Requests | None = None, *, fresh: bool = False
    ) -> Report:
        progress(HUBSPOT, 2)
        progress(STRIPE, 1)
        compared(3)
        self.calls.append(f"compare fresh={fresh}")
        return make_report(self.runtime.store)

    def compare_changes(
        self, since_ms: int, progress: Progress, compared: Compared, requests: Requests | None = None
    ) -> Report | None:
        progress(STRIPE, 1)
        return make_report(self.runtime.store) if self.since else None

    def check_guards(self, report: Report, selection: Selection) -> None:
        self.calls.append("guard")

    def queue(self, report: Report, selection: Selection | None = None, run_property: str = "") -> tuple[str, int]:
        self.calls.append(f"queue {run_property}")
        return "run-1", 3


@dataclass
class FakeCatchUp:
    """A catch-up of which HubSpot's fails and Stripe's events do not reach back far enough."""

    marked: int = 0

    def mark_start(self) -> None:
        self.marked += 1

    def run(self, side: Side) -> CatchUpResult:
        if side is HUBSPOT:
            raise CallError(side, Failure.UNREACHED, "no answer")
        return CatchUpResult(side, 0, 0, 1, too_old=True)


def make_report(store: Store) -> Report:
    report = Report(Snapshot.resume(MEMORY, store.encryption, {}, 0), volume=Volume(), to_link=4)
    report.counts.update({DifferenceClass.UPDATE_CUSTOMER: 2})
    return report


@pytest.fixture
def runtime(store: Store) -> Runtime:
    return make_runtime(store)


def open_one(
    runtime: Runtime,
    reconcile: FakeReconcile | None = None,
    catch_up: FakeCatchUp | None = None,
    *,
    writes: bool = False,
) -> AbstractContextManager[ReconcileSession]:
    fake = catch_up or FakeCatchUp()
    return open_session(runtime, reconcile or FakeReconcile(runtime, {}), fake, writes=writes)  # type: ignore[arg-type] # as far as it is used


def test_a_session_holds_the_run_lock_and_closes_its_report(runtime: Runtime, other_store: Store) -> None:
    second = make_runtime(other_store, name="second")
    with open_one(runtime) as session:
        with pytest.raises(AlreadyRunning):
            open_one(second).__enter__()
        snapshot = session.compare(ignore).snapshot
        assert snapshot.count(HUBSPOT) == 0
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        snapshot.count(HUBSPOT)
    with open_one(second):
        pass


def test_a_session_that_writes_stores_the_cursors_and_reads_changes_again(runtime: Runtime) -> None:
    reconcile, catch_up = FakeReconcile(runtime, {}), FakeCatchUp()
    with open_one(runtime, reconcile, catch_up, writes=True) as session:
        assert catch_up.marked == 1
        session.compare(ignore)
    with open_one(runtime, reconcile, catch_up) as session:
        session.compare(ignore)
    assert (catch_up.marked, reconcile.calls) == (1, ["compare fresh=True", "compare fresh=False"])


def test_every_step_of_a_comparison_is_counted_to_its_end(runtime: Runtime) -> None:
    told: list[tuple[Step, int, int | None]] = []
    with open_one(runtime) as session:
        session.compare(lambda *step: told.append(step))
    assert told[:3] == [
        (step, 0, None) for step in (Step.CONTACTS_LISTED, Step.CUSTOMERS_LISTED, Step.RECORDS_COMPARED)
    ]
    assert (Step.CONTACTS_LISTED, 2, None) in told
    assert told[-3:] == [(Step.CONTACTS_LISTED, 2, 2), (Step.CUSTOMERS_LISTED, 1, 1), (Step.RECORDS_COMPARED, 3, 3)]


def test_without_a_full_run_changes_alone_cannot_be_compared(runtime: Runtime, store: Store) -> None:
    with open_one(runtime, FakeReconcile(runtime, {}, since=False)) as session:
        assert session.read_last_run_ms() is None
        assert session.compare_changes(0, ignore) is None
        with pytest.raises(WanesyncError, match="nothing was compared"):
            _ = session.report
    store.run(lambda tx: tx.settings.put(LAST_RUN, "1000000"))
    with open_one(runtime) as session:
        assert session.read_last_run_ms() == 1_000_000 - OVERLAP_MS
        assert session.compare_changes(0, ignore) is session.report


def test_force_must_name_the_number_of_people(runtime: Runtime) -> None:
    with open_one(runtime) as session:
        session.compare(ignore).volume.overwritten = 1200
        with pytest.raises(GuardError, match="--force 7 does not fit: 1,200 linked people"):
            session.select(force=7)
        assert session.select(force=1200) == Selection(force=True, max_creations=DEFAULT_MAX_CREATIONS)
        assert session.select(max_creations=0, limit=5) == Selection(limit=5, max_creations=0)


def test_a_queued_run_tells_which_catch_up_failed(runtime: Runtime) -> None:
    reconcile = FakeReconcile(runtime, {})
    with open_one(runtime, reconcile) as session:
        session.compare(ignore)
        run = session.queue(Selection(), "jobtitle=imported")
    assert (run.run_id, run.jobs, run.linked, run.counts) == ("run-1", 3, 4, {"update_customer": 2})
    assert list(run.catch_up_errors) == [HUBSPOT]
    assert run.events_expired
    assert reconcile.calls[1:] == ["guard", "queue jobtitle=imported"]


def test_nothing_is_queued_after_the_lock_was_lost(runtime: Runtime, store: Store) -> None:
    reconcile = FakeReconcile(runtime, {})
    with open_one(runtime, reconcile) as session:
        session.compare(ignore)
        store.run(lambda tx: tx.settings.put(RUN_LOCK, "another 9999999999999"))
        for call in (lambda: session.queue(Selection()), lambda: session.take_baseline(ignore)):
            with pytest.raises(GuardError, match="lock ended"):
                call()
    assert reconcile.calls[-1] == "guard"


def test_files_are_checked_before_a_session(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the plan"):
        check_plan(runtime, tmp_path / "none.json")
    with pytest.raises(ConfigError, match="line 2"):
        check_decisions(runtime, b"hubspot_id,stripe_id,field,decision\n1,,,perhaps\n")
    check_decisions(runtime, b"hubspot_id,stripe_id,field,decision\n1,,,skip\n")


# -- after a session


def put_jobs(store: Store) -> None:
    """Two jobs of a run on the Stripe lane, and one of no run on HubSpot's."""

    def put(tx: Tx) -> None:
        of_run = [JobRequest(STRIPE, JobKind.WRITE, f"contact:{n}", Priority.BULK, run_id="run-1") for n in (1, 2)]
        tx.jobs.put_many([*of_run, JobRequest(HUBSPOT, JobKind.READ, "7", Priority.BULK)])
        tx.settings.put(WRITES, "on")
        tx.processes.beat("hubspot-worker", "hubspot", tx.now_ms)

    store.run(put)


def test_a_lane_without_a_worker_is_idle(store: Store) -> None:
    put_jobs(store)
    assert read_run(store, "run-1") == RunState(left=2, dead=0, writes_on=True, idle_lanes=(STRIPE,))
    store.run(lambda tx: tx.processes.beat("stripe-worker", "stripe", tx.now_ms))
    assert read_run(store, "run-1").idle_lanes == ()


def test_an_idle_lane_is_not_waited_for_long(store: Store) -> None:
    put_jobs(store)
    clock = InstantClock()
    assert wait_for_workers(store, "run-1", 2, ignore, clock).idle_lanes == (STRIPE,)
    assert clock.now_ms() == IDLE_LANE_MS


def test_with_writes_off_nothing_is_waited_for(store: Store) -> None:
    put_jobs(store)
    store.run(lambda tx: tx.settings.put(WRITES, "off"))
    clock = InstantClock()
    assert not wait_for_workers(store, "run-1", 2, ignore, clock).writes_on
    assert clock.now_ms() == 0


def test_a_run_without_jobs_left_is_done(store: Store) -> None:
    told: list[tuple[Step, int, int | None]] = []
    assert wait_for_workers(store, "run-2", 0, lambda *step: told.append(step), InstantClock()).left == 0
    assert told == [(Step.JOBS_DONE, 0, 0)]
