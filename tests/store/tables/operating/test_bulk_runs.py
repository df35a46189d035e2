"""Bulk runs are stored with their leases and what became of each job."""

from __future__ import annotations

from tests.support.lanes import bury
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import JobSelection
from wanesync.store import Store
from wanesync.store.tables.operating.bulk_runs import LEASE_MS, NewBulkRun
from wanesync.store.tables.operating.job_lists import Position

ANNA = Operator("anna", Via.PAGE)
WANTED = JobSelection(
    side=Side.STRIPE, kind=JobKind.READ, dead_class="gone", reason="no", since_ms=5, keys=frozenset({"7", "contact:7"})
)


def add(store: Store, owner: str = "", selection: JobSelection = WANTED) -> str:
    return store.run(lambda tx: tx.bulk_runs.add(NewBulkRun(BulkAction.DISCARD, selection, ANNA, 3, owner)))


def test_a_run_comes_back_as_it_was_stored(store: Store) -> None:
    run_id = add(store)
    with store.transaction() as tx:
        run = tx.bulk_runs.get(run_id)
        assert run is not None
        assert (run.action, run.state, run.operator, run.total) == (BulkAction.DISCARD, BulkState.RUNNING, ANNA, 3)
        assert run.until_ms == tx.now_ms
        assert run.selection == JobSelection(
            **{name: getattr(WANTED, name) for name in WANTED.__slots__} | {"until_ms": tx.now_ms}
        )
        assert tx.bulk_runs.get("nonsense") is None
        assert tx.bulk_runs.lock(run_id) == run
    marked = add(store, selection=JobSelection(ids=frozenset({"a", "b"})))
    with store.reading() as tx:
        found = tx.bulk_runs.get(marked)
        assert found is not None
        assert (found.selection.ids, found.selection.keys) == (frozenset({"a", "b"}), None)


def test_one_process_owns_a_run_until_its_lease_ends(store: Store, clock: Clock) -> None:
    run_id = add(store)
    assert store.run(lambda tx: tx.bulk_runs.take(run_id, "one"))
    assert not store.run(lambda tx: tx.bulk_runs.take(run_id, "two"))
    assert store.run(lambda tx: (tx.bulk_runs.free("one"), tx.bulk_runs.free("two"))) == ([run_id], [])
    clock.advance(LEASE_MS)
    assert store.run(lambda tx: tx.bulk_runs.take(run_id, "two"))
    assert not store.run(lambda tx: tx.bulk_runs.take(run_id, "one"))
    store.run(lambda tx: tx.bulk_runs.release("two"))
    assert store.run(lambda tx: tx.bulk_runs.take(run_id, "one"))
    clock.advance(-86_400_000)
    assert store.run(lambda tx: tx.bulk_runs.take(run_id, "two")), "a lease that ends far in the future is none"
    assert store.run(lambda tx: tx.bulk_runs.end(run_id, BulkState.CANCELLED, "anna (page)"))
    assert not store.run(lambda tx: tx.bulk_runs.end(run_id, BulkState.DONE))
    assert not store.run(lambda tx: tx.bulk_runs.take(run_id, "one"))
    assert store.run(lambda tx: tx.bulk_runs.free("one")) == []


def test_what_became_of_each_job_is_kept(store: Store) -> None:
    job = bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    run_id = add(store, "one")
    with store.transaction() as tx:
        run = tx.bulk_runs.lock(run_id)
        assert run is not None
        tx.bulk_runs.move(run, Position(9, job.id), {job.id: "kept", "removed since": "discarded"}, 1)
        assert tx.bulk_runs.handled(run_id, [job.id, "other"]) == {job.id}
    with store.reading() as tx:
        moved = tx.bulk_runs.get(run_id)
        assert moved is not None
        assert (moved.changed, moved.kept, moved.after_ms, moved.after_id) == (1, 1, 9, job.id)
        assert tx.bulk_runs.job_states(run_id) == {("kept", "dead"): 1, ("discarded", ""): 1}
        (of_job,) = tx.job_lists.bulk_runs(job.id)
        assert (of_job.run_id, of_job.outcome, of_job.operator, of_job.via) == (run_id, "kept", "anna", "page")
