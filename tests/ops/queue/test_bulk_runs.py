"""Dead letters are retried and discarded: chosen, counted, confirmed, in slices, once each."""

from __future__ import annotations

import pytest

from tests.support.lanes import bury
from tests.support.store_fixtures import Clock
from tests.support.store_rows import an_update
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.ops.queue import bulk_runs
from wanesync.ops.queue.bulk_runs import (
    BulkRequest,
    BulkRunner,
    CountChanged,
    EmptyFilter,
    cancel_bulk_run,
    carry_out,
    carry_out_slice,
    list_bulk_runs,
    preview_bulk_run,
    read_bulk_run,
    read_outcomes,
    start_bulk_run,
)
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.store.tables.operating.bulk_runs import LEASE_MS

H, S = Side.HUBSPOT, Side.STRIPE
RETRY, DISCARD = BulkAction.RETRY, BulkAction.DISCARD
ANNA, BEN = Operator("anna", Via.PAGE), Operator("ben", Via.API)


def fill(store: Store, count: int, dead_class: DeadClass = DeadClass.REFUSED) -> list[str]:
    return [bury(store, JobRequest(S, JobKind.READ, f"{dead_class}_{n}"), dead_class).id for n in range(count)]


def fill_at_once(store: Store, count: int) -> None:
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(S, JobKind.READ, f"cus_{n}") for n in range(count)])
        for job in tx.jobs.claim(S, None, count, "w1"):
            tx.jobs.mark_dead(job, DeadClass.REFUSED, "it said no")


def all_of(dead_class: DeadClass, action: BulkAction = RETRY, expected: int | None = None) -> BulkRequest:
    return BulkRequest(action, QueueFilter(dead_class=dead_class), expected=expected)


def dead_ids(store: Store) -> set[str]:
    with store.reading() as tx:
        return {job.id for job in tx.dead_letters.latest(limit=10_000)}


def test_letters_are_chosen_by_id_or_by_filter(store: Store) -> None:
    refused, gone = fill(store, 2), fill(store, 1, DeadClass.GONE)
    assert preview_bulk_run(store, BulkRequest(RETRY, ids=frozenset(refused[:1]))).classes == {"refused": 1}
    assert preview_bulk_run(store, all_of(DeadClass.GONE)).classes == {"gone": 1}
    assert preview_bulk_run(store, BulkRequest(RETRY, every=True)).classes == {"gone": 1, "refused": 2}
    assert preview_bulk_run(store, BulkRequest(RETRY, QueueFilter(person="gone_0"))).count == 1
    run = start_bulk_run(store, all_of(DeadClass.GONE), ANNA, "w")
    assert carry_out(store, run.id, "w").changed == 1
    assert dead_ids(store) == {*refused}
    with store.reading() as tx:
        assert tx.job_lists.get_many(gone)[gone[0]].state(tx.now_ms) is QueueState.DUE


def test_an_empty_filter_and_other_states_are_refused(store: Store) -> None:
    fill(store, 1)
    with pytest.raises(EmptyFilter, match="choose a side, kind, class, age, person or reason"):
        preview_bulk_run(store, BulkRequest(RETRY))
    with pytest.raises(EmptyFilter):
        start_bulk_run(store, BulkRequest(DISCARD), ANNA)
    with pytest.raises(ConfigError, match="only dead letters"):
        start_bulk_run(store, BulkRequest(RETRY, QueueFilter(state=QueueState.RETRYING, side=S)), ANNA)
    with pytest.raises(ConfigError, match="at most 1,000 jobs can be marked"):
        preview_bulk_run(store, BulkRequest(RETRY, ids=frozenset(map(str, range(1_001)))))
    assert list_bulk_runs(store) == []


def test_an_id_of_no_letter_chooses_none_at_all(store: Store) -> None:
    (known,) = fill(store, 1)
    with pytest.raises(NotFound, match="no dead job has the id nonsense"):
        preview_bulk_run(store, BulkRequest(RETRY, ids=frozenset({known, "nonsense"})))


def test_a_number_that_changed_since_it_was_shown_stops_the_run(store: Store) -> None:
    fill(store, 2)
    shown = preview_bulk_run(store, all_of(DeadClass.REFUSED))
    late = bury(store, JobRequest(S, JobKind.READ, "late"), DeadClass.REFUSED)
    with pytest.raises(CountChanged, match="there are 3 dead letters now, 2 were shown: nothing was done") as changed:
        start_bulk_run(store, all_of(DeadClass.REFUSED, expected=shown.count), ANNA)
    assert (changed.value.expected, changed.value.found) == (2, 3)
    assert list_bulk_runs(store) == []
    marked = BulkRequest(RETRY, ids=frozenset({late.id, "gone meanwhile"}), expected=2)
    with pytest.raises(CountChanged):
        start_bulk_run(store, marked, ANNA)
    assert start_bulk_run(store, all_of(DeadClass.REFUSED, expected=3), ANNA).total == 3


def test_a_retry_names_the_operator_in_the_audit_log_and_the_journal(store: Store) -> None:
    (job_id,) = fill(store, 1)
    run = start_bulk_run(store, BulkRequest(RETRY, ids=frozenset({job_id}), expected=1), ANNA, "w")
    ended = carry_out(store, run.id, "w")
    assert (ended.state, ended.changed, ended.kept, ended.percent, ended.gone) == (BulkState.DONE, 1, 0, 100, 0)
    with store.reading() as tx:
        (row,) = tx.audit.find(AuditFilter(), 10)
        assert (row.operator, row.action, row.subject) == (ANNA, "jobs.retry", run.id)
        assert row.after == {"jobs": 1, "classes": {"refused": 1}, "filter": {"marked": [job_id]}}
        entries = [entry for entry in tx.journal.latest(10) if entry.kind == "retried"]
        summary, of_job = sorted(entries, key=lambda entry: entry.record_id)
        assert (of_job.operator, of_job.side, of_job.record_id) == (ANNA, S, "refused_0")
        assert of_job.data["class"] == "refused"
        assert (summary.operator, summary.record_id, summary.data["jobs"]) == (ANNA, "", 1)
    assert read_outcomes(store, run.id) == {"waiting": 1}


def test_a_discarded_letter_is_closed_and_its_record_stays_open_to_changes(store: Store) -> None:
    (job_id,) = fill(store, 1)
    run = start_bulk_run(store, all_of(DeadClass.REFUSED, DISCARD), ANNA, "w")
    assert carry_out(store, run.id, "w").changed == 1
    with store.reading() as tx:
        listed = tx.job_lists.get_many([job_id])[job_id]
        assert (listed.state(tx.now_ms), listed.job.dead_class) == (QueueState.DISCARDED, "refused")
        assert tx.jobs.done_since(S, JobKind.READ, 0) == (0, 0), "it does not count as done"
        kinds = {entry.kind for entry in tx.journal.latest(10)}
    assert "discarded" in kinds
    assert read_outcomes(store, run.id) == {"discarded": 1}
    store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.READ, "refused_0")))
    with store.reading() as tx:
        assert tx.jobs.pending_keys(S, JobKind.READ, ["refused_0"]) == {"refused_0"}


def test_a_letter_with_an_unanswered_write_is_not_discarded(store: Store) -> None:
    # The write may have taken effect: only the job settles that.
    bury(store, JobRequest(S, JobKind.WRITE, "contact:1"), DeadClass.EXHAUSTED)
    answered = bury(store, JobRequest(S, JobKind.WRITE, "contact:2"), DeadClass.EXHAUSTED)
    store.run(lambda tx: tx.pending_writes.put(an_update("w1")))
    run = start_bulk_run(store, all_of(DeadClass.EXHAUSTED, DISCARD), ANNA, "w")
    ended = carry_out(store, run.id, "w")
    assert (ended.changed, ended.kept) == (1, 1)
    assert read_outcomes(store, run.id) == {"discarded": 1, "kept": 1}
    assert answered.id not in dead_ids(store)
    assert len(dead_ids(store)) == 1


def test_slices_are_bounded_and_none_is_done_twice_after_a_crash(
    store: Store, other_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runs, "SLICE_JOBS", 4)
    fill_at_once(store, 10)
    clock.advance(1)
    run = start_bulk_run(store, all_of(DeadClass.REFUSED), ANNA, "first")
    assert store.run(lambda tx: carry_out_slice(tx, run.id, "first")) == 4
    # The first process is killed here. Of the retried, one is given up again: it belongs to the run no more.
    clock.advance(LEASE_MS // 2)
    with store.transaction() as tx:
        (again,) = tx.jobs.claim(S, [JobKind.READ], 1, "w1")
        tx.jobs.mark_dead(again, DeadClass.REFUSED, "it said no again")
    runner = BulkRunner(other_store, "second")
    runner.run_round()
    assert read_bulk_run(store, run.id).changed == 4, "its lease lasts"
    clock.advance(LEASE_MS)
    runner.run_round()
    ended = read_bulk_run(store, run.id)
    assert (ended.state, ended.changed, ended.kept) == (BulkState.DONE, 10, 0)
    assert dead_ids(store) == {again.id}
    assert store.run(lambda tx: carry_out_slice(tx, run.id, "first")) is None, "it may do no more"
    with store.reading() as tx:
        of_jobs = [entry.data["job"] for entry in tx.journal.latest(100) if entry.kind == "retried" and entry.record_id]
    assert len(of_jobs) == len(set(of_jobs)) == 10
    assert read_outcomes(store, run.id) == {"waiting": 9, "dead": 1}


def test_what_is_queued_again_meanwhile_is_not_counted(store: Store) -> None:
    fill(store, 2)
    run = start_bulk_run(store, all_of(DeadClass.REFUSED), ANNA, "w")
    store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.READ, "refused_1")))
    ended = carry_out(store, run.id, "w")
    assert (ended.total, ended.changed, ended.gone) == (2, 1, 1)


def test_a_run_is_cancelled_between_two_slices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_runs, "SLICE_JOBS", 2)
    fill_at_once(store, 6)
    run = start_bulk_run(store, all_of(DeadClass.REFUSED), ANNA, "w")
    ended = carry_out(store, run.id, "w", lambda _jobs: cancel_bulk_run(store, run.id, BEN))
    assert (ended.state, ended.changed, ended.ended_by, ended.percent) == (BulkState.CANCELLED, 2, "ben (api)", 33)
    assert len(dead_ids(store)) == 4
    assert cancel_bulk_run(store, run.id, ANNA).ended_by == "ben (api)", "once"
    BulkRunner(store, "other").run_round()
    assert read_bulk_run(store, run.id).changed == 2
    with store.reading() as tx:
        assert [row.action for row in tx.audit.find(AuditFilter(), 10)] == ["jobs.cancel", "jobs.retry"]
    with pytest.raises(NotFound, match="no bulk run"):
        cancel_bulk_run(store, "nonsense", ANNA)
    with pytest.raises(NotFound):
        read_bulk_run(store, "nonsense")


def test_a_runner_that_stops_leaves_its_run_to_others_at_once(store: Store, other_store: Store) -> None:
    fill(store, 1)
    run = start_bulk_run(store, all_of(DeadClass.REFUSED), ANNA, "first")
    first = BulkRunner(store, "first")
    first.stopping.set()
    first.run()
    BulkRunner(other_store, "second").run_round()
    assert read_bulk_run(store, run.id).state is BulkState.DONE


def test_runs_are_listed_the_newest_first_page_by_page(store: Store, clock: Clock) -> None:
    runs = []
    for _ in range(3):
        fill(store, 1)
        runs.append(start_bulk_run(store, all_of(DeadClass.REFUSED), ANNA).id)
        clock.advance(1)
    first = list_bulk_runs(store, limit=2)
    assert [run.id for run in first] == runs[:0:-1]
    with store.reading() as tx:
        assert [run.id for run in tx.bulk_runs.page((first[-1].created_ms, first[-1].id), 2)] == runs[:1]  # type: ignore[arg-type] # a plain pair will do
