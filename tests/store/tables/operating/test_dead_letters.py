from __future__ import annotations

from typing import Any

from tests.support.lanes import bury
from tests.support.store_fixtures import Clock
from tests.support.store_reads import count_done
from wanesync.core.jobs import DeadClass, Job, JobKind, JobRequest, JobState, Priority
from wanesync.core.model import Side
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.dead_letters import DeadCount

H, S = Side.HUBSPOT, Side.STRIPE
READ, WRITE = JobKind.READ, JobKind.WRITE


def state_of(store: Store, job: Job) -> JobState:
    with store.reading() as tx:
        found = tx.jobs.get(job.id)
    assert found
    return found.state


def raw_job(tx: Tx, job_id: str, key: str, state: str) -> None:
    """A row as transactions that crossed may leave it, beside another one of its key."""
    tx._session.each(
        "queue_job",
        [
            {
                "id": job_id,
                "lane": H,
                "kind": READ,
                "key": key,
                "run_id": "",
                "turns": 0,
                "priority": 10,
                "due_ms": tx.now_ms,
                "arrived_ms": 1,
                "is_far": 0,
            }
        ],
    )
    if state == "dead":
        (job,) = tx.jobs.claim(H, [READ], 1, "w1")
        values: dict[str, str | int] = {"dead_class": "gone", "reason": "", "now": tx.now_ms}
        tx._session.rows("mark_job_dead", id=job.id, token=job.token, **values)


def test_letters_are_found_by_class_side_kind_and_time(store: Store, clock: Clock) -> None:
    old = bury(store, JobRequest(H, READ, "1"), DeadClass.GONE)
    clock.advance(60_000)
    new = bury(store, JobRequest(S, WRITE, "contact:2"))
    with store.reading() as tx:

        def ids(**which: Any) -> list[str]:
            return [job.id for job in tx.dead_letters.latest(**which)]

        assert ids() == [new.id, old.id]
        assert ids(limit=1) == [new.id]
        assert ids(dead_class=DeadClass.GONE) == ids(lane=H) == ids(kind=READ) == [old.id]
        assert ids(since_ms=tx.now_ms) == ids(since_ms=tx.now_ms - 1_000) == [new.id]
        assert ids(since_ms=tx.now_ms + 1) == ids(dead_class=DeadClass.GONE, lane=S) == []
        assert tx.dead_letters.count(tx.now_ms - 1_000) == [
            DeadCount(H, READ, "gone", 1, 0),
            DeadCount(S, WRITE, "refused", 1, 1),
        ]
        assert tx.jobs.dead_of_keys([H, S], [WRITE], ["contact:2", "1"]) == [(S, WRITE, "contact:2", 10)]
        assert tx.jobs.any_dead()


def test_a_letter_is_revived_at_its_own_priority_behind_what_waits(store: Store, clock: Clock) -> None:
    bulk = bury(store, JobRequest(H, READ, "bulk", Priority.BULK))
    live = bury(store, JobRequest(H, READ, "live"))
    clock.advance(3_600_000)
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, READ, "waits"))
    clock.advance(1)
    with store.transaction() as tx:
        assert tx.dead_letters.retry([bulk.id, live.id, "unknown"]) == 2
        assert not tx.jobs.any_dead()
        (row, _) = tx.jobs.depth()
        assert tx.now_ms - row["oldest_arrived_ms"] < 1_000, "an old letter is no old work"
    with store.transaction() as tx:
        claimed = tx.jobs.claim(H, [READ], 5, "w1")
    assert [(job.key, job.attempts) for job in claimed] == [("waits", 0), ("live", 0), ("bulk", 0)]


def test_of_two_letters_of_one_key_one_lives_on(store: Store) -> None:
    with store.transaction() as tx:
        raw_job(tx, "a", "k", "dead")
        raw_job(tx, "b", "k", "dead")
        assert tx.dead_letters.retry(["a", "b"]) == 2
        assert {letter.state for letter in map(tx.jobs.get, ("a", "b")) if letter} == {JobState.READY, JobState.DONE}


def test_work_that_is_done_closes_what_was_given_up_for_its_key(store: Store) -> None:
    """Two transactions of Postgres leave a key both dead and ready: one gave it up while the other queued it."""
    other = bury(store, JobRequest(H, READ, "other"))
    with store.transaction() as tx:
        raw_job(tx, "dead", "k", "dead")
        raw_job(tx, "ready", "k", "ready")
        (job,) = tx.jobs.claim(H, [READ], 1, "w1")
        assert job.id == "ready"
        tx.jobs.finish(job)
        assert [left.id for left in tx.dead_letters.latest()] == [other.id]
        closed = tx.jobs.get("dead")
        assert closed
        assert closed.state is JobState.DONE
        assert count_done(tx, H, 0) == 1, "superseded is not work done"


def test_what_was_done_lately_is_counted_by_kind(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(H, READ, "a"), JobRequest(H, WRITE, "b")])
        for job in tx.jobs.claim(H, None, 5, "w1"):
            tx.jobs.reschedule(job, tx.now_ms, "once more", count=True)
        assert [row["retrying"] for row in tx.jobs.depth()] == [1, 1]
        tx.jobs.finish_many(tx.jobs.claim(H, None, 5, "w1"))
    clock.advance(60_000)
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, READ, "c"))
        tx.jobs.finish_many(tx.jobs.claim(H, None, 5, "w1"))
        assert tx.jobs.done_since(H, READ, tx.now_ms) == (1, 0)
        assert tx.jobs.done_since(H, READ, tx.now_ms - 60_000) == (2, 1)
        assert tx.jobs.done_since(H, WRITE, tx.now_ms - 60_000) == (1, 1)
        assert tx.jobs.done_since(S, READ, 0) == (0, 0)


def test_nothing_is_given_up_without_a_trace(store: Store, clock: Clock) -> None:
    job = bury(store, JobRequest(H, READ, "1"))
    clock.advance(400 * 86_400_000)
    assert state_of(store, job) is JobState.DEAD
