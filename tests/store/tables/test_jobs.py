"""Jobs in the store: claims, joins, retries, leases and rescues."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import count_done, held_locks
from wanesync.core.jobs import (
    DeadClass,
    Job,
    JobKind,
    JobRequest,
    JobState,
    Priority,
    WaitCode,
    idle_wait_ms,
    pass_on,
)
from wanesync.core.model import Side
from wanesync.store import LeaseLost, Store, Tx
from wanesync.store.tables.jobs import Fresh

H, S = Side.HUBSPOT, Side.STRIPE
READ, WRITE = JobKind.READ, JobKind.WRITE


def ask(key: str, priority: Priority = Priority.LIVE, due_ms: int | None = None, kind: JobKind = READ) -> JobRequest:
    return JobRequest(H, kind, key, priority, due_ms)


def queue(store: Store, *requests: JobRequest) -> None:
    with store.transaction() as tx:
        tx.jobs.put_many(requests)


def claim(store: Store, limit: int = 10, owner: str = "w1", kinds: list[JobKind] | None = None) -> list[Job]:
    with store.transaction() as tx:
        tx.processes.beat(owner, "all", 1)
        return tx.jobs.claim(H, kinds or [READ], limit, owner)


def one(jobs: list[Job]) -> Job:
    (job,) = jobs
    return job


def lose(store: Store, clock: Clock) -> list[Job]:
    """Every process dies, and the others notice."""
    clock.advance(6_001)
    with store.transaction() as tx:
        return tx.jobs.requeue_abandoned()


def test_the_best_priority_goes_first_then_the_earliest_arrival(store: Store, clock: Clock) -> None:
    queue(store, ask("c", Priority.BULK))
    clock.advance(1)
    queue(store, ask("b"))
    clock.advance(1)
    queue(store, ask("a"), ask("p", Priority.PURCHASE))
    with store.reading() as tx:
        assert tx.jobs.next_claimable(H) == (READ, Priority.PURCHASE, 0)
        assert tx.jobs.next_claimable(S) is None
    assert [job.key for job in claim(store, 3)] == ["p", "b", "a"]
    job = one(claim(store))
    assert (job.key, job.state, job.owner, job.lane, job.kind) == ("c", JobState.RUNNING, "w1", H, READ)
    assert claim(store) == []


def test_a_second_request_joins_the_first(store: Store, clock: Clock) -> None:
    queue(store, ask("k", Priority.BULK))
    arrived_ms = store.now_ms()
    clock.advance(50)
    queue(store, JobRequest(H, READ, "k", Priority.LIVE, run_id="r"), ask("k", Priority.BULK))
    job = one(claim(store))
    assert (job.priority, job.run_id) == (Priority.LIVE, "r")
    assert abs(job.arrived_ms - arrived_ms) < 40


def test_joining_ends_a_backoff_but_no_fixed_wait(store: Store) -> None:
    queue(store, ask("backing off"), ask("told to wait"))
    with store.transaction() as tx:
        for job in tx.jobs.claim(H, None, 10, "w1"):
            tx.jobs.reschedule(job, tx.now_ms + 60_000, "later", count=True, fixed=job.key == "told to wait")
    assert claim(store) == []
    queue(store, ask("backing off"), ask("told to wait"))
    job = one(claim(store))
    assert (job.key, job.attempts) == ("backing off", 0)
    with store.reading() as tx:
        due_ms = tx.jobs.next_due_ms(H)
        assert due_ms
        assert due_ms - tx.now_ms > 50_000


def test_a_key_that_runs_is_not_claimed_again(store: Store) -> None:
    queue(store, ask("k"))
    first = one(claim(store))
    queue(store, ask("k"), ask("k", kind=WRITE))
    assert claim(store) == []
    with store.reading() as tx:
        assert tx.jobs.next_claimable(H) == (WRITE, Priority.LIVE, 0)
    assert one(claim(store, kinds=[WRITE])).kind is WRITE
    with store.reading() as tx:
        assert tx.jobs.next_due_ms(H) is None
    with store.transaction() as tx:
        tx.jobs.finish(first)
    second = one(claim(store))
    assert second.token != first.token


def test_one_claim_takes_a_key_once(store: Store) -> None:
    queue(store, ask("k", Priority.BULK), ask("k", Priority.LIVE, kind=WRITE), ask("l", kind=WRITE))
    assert {(job.key, job.kind) for job in claim(store, kinds=[READ, WRITE])} == {("k", WRITE), ("l", WRITE)}
    with store.reading() as tx:
        assert tx.jobs.pending_keys(H, READ, ["k", "l"]) == {"k"}
        assert tx.jobs.depth()[1]["ready"] == 1


def test_a_job_is_only_due_later_if_no_other_of_its_key_is_due_runs_or_waits(store: Store, clock: Clock) -> None:
    now_ms = store.now_ms()
    queue(store, ask("now"), ask("later", due_ms=now_ms + 10_000), ask("runs"))
    claimed = {job.key: job for job in claim(store, kinds=[READ])}
    queue(store, ask("runs", due_ms=now_ms + 10_000))
    with store.transaction() as tx:
        tx.jobs.reschedule(claimed["now"], now_ms + 10_000, "failed", count=True, waits_for=WaitCode.BACKOFF)
    with store.reading() as tx:
        assert tx.jobs.keys_due_later(H, READ, ["now", "later", "runs"]) == {"later"}
    clock.advance(10_000)
    with store.reading() as tx:
        assert tx.jobs.keys_due_later(H, READ, ["now", "later", "runs"]) == set()


def test_work_that_is_not_due_waits(store: Store, clock: Clock) -> None:
    now_ms = store.now_ms()
    queue(store, ask("later", due_ms=now_ms + 10_000))
    assert claim(store) == []
    with store.reading() as tx:
        assert tx.jobs.next_claimable(H) is None
        assert tx.jobs.next_due_ms(H) == now_ms + 10_000
        assert tx.jobs.next_due_ms(S) is None
    clock.advance(10_001)
    assert one(claim(store)).key == "later"


def test_an_attempt_counts_and_a_wait_does_not(store: Store) -> None:
    queue(store, ask("k"))
    for count, attempts in ((True, 1), (False, 1), (True, 2)):
        with store.transaction() as tx:
            tx.jobs.reschedule(one(tx.jobs.claim(H, None, 5, "w1")), tx.now_ms, "reason", count=count)
        job = one(claim(store))
        assert (job.attempts, job.reason) == (attempts, "reason")
        with store.transaction() as tx:
            tx.jobs.reschedule(job, tx.now_ms, "reason", count=False)


def test_a_job_that_fails_while_a_newer_one_waits_is_superseded(store: Store, clock: Clock) -> None:
    queue(store, ask("k", Priority.PURCHASE))
    arrived_ms = store.now_ms()
    old = one(claim(store))
    clock.advance(1_000)
    queue(store, ask("k", Priority.BULK))
    with store.transaction() as tx:
        tx.jobs.reschedule(old, tx.now_ms + 5_000, "429", count=False, fixed=True)
        done = tx.jobs.get(old.id)
        assert done
        assert done.state is JobState.DONE
        assert count_done(tx, H, 0) == 0, "superseded is not work done"
    assert claim(store) == [], "the wait holds for the newer one too"
    clock.advance(5_001)
    newer = one(claim(store))
    assert (newer.priority, newer.attempts) == (Priority.PURCHASE, 0)
    assert abs(newer.arrived_ms - arrived_ms) < 900
    queue(store, ask("k"))
    with store.transaction() as tx:
        tx.jobs.mark_dead(newer, DeadClass.REFUSED, "no")
        assert tx.dead_letters.latest() == [], "a newer one is ready, so nothing is given up"


def test_dead_letters_are_listed_retried_and_replaced(store: Store) -> None:
    queue(store, ask("a"), ask("b"), ask("c"))
    with store.transaction() as tx:
        for job in tx.jobs.claim(H, None, 10, "w1"):
            tx.jobs.mark_dead(job, DeadClass.REFUSED if job.key == "a" else DeadClass.GONE, f"why {job.key}")
    with store.reading() as tx:
        assert {job.key for job in tx.dead_letters.latest(dead_class=DeadClass.GONE, lane=H)} == {"b", "c"}
        assert tx.dead_letters.latest(lane=S) == []
        assert tx.dead_letters.latest(since_ms=tx.now_ms + 1_000) == []
        letters = {job.key: job for job in tx.dead_letters.latest()}
        assert (letters["a"].reason, letters["a"].dead_class, letters["a"].attempts) == ("why a", "refused", 1)
    queue(store, ask("b"))
    with store.transaction() as tx:
        assert {job.key for job in tx.dead_letters.latest()} == {"a", "c"}, "the new one stands for b"
        assert tx.dead_letters.retry([letters["a"].id, letters["b"].id, "unknown"]) == 1
    assert {job.key: job.attempts for job in claim(store)} == {"a": 0, "b": 0}


def test_a_retried_letter_yields_to_a_newer_job(store: Store) -> None:
    queue(store, ask("a"))
    running = one(claim(store))
    with store.transaction() as tx:
        tx.jobs.mark_dead(running, DeadClass.GONE, "gone")
        # As a transaction that was on its way would leave it: dead and ready at once.
        tx._session.each("queue_job", [queued("a", tx)])
        assert tx.dead_letters.retry([running.id]) == 1
        retried = tx.jobs.get(running.id)
        assert retried
        assert retried.state is JobState.DONE
    assert one(claim(store)).id != running.id


def queued(key: str, tx: Tx) -> dict[str, str | int]:
    values: dict[str, str | int] = {"id": "id-" + key, "lane": H, "kind": READ, "key": key, "run_id": ""}
    return values | {"priority": 10, "due_ms": tx.now_ms, "arrived_ms": tx.now_ms, "turns": 0, "is_far": 0}


def far_keys(store: Store) -> set[str]:
    with store.reading() as tx:
        return {row[0] for row in tx._session.execute("SELECT key FROM jobs WHERE is_far = 1").fetchall()}


def test_what_is_due_much_later_is_out_of_the_way_until_then(store: Store, clock: Clock) -> None:
    queue(store, ask("far", Priority.PURCHASE, store.now_ms() + 60_000), ask("near", due_ms=store.now_ms() + 1_000))
    assert far_keys(store) == {"far"}
    with store.reading() as tx:
        assert tx.jobs.next_claimable(H) is None
    clock.advance(60_000)
    with store.reading() as tx:
        # Before any claim took it back.
        best = tx.jobs.next_claimable(H)
    assert best is not None
    assert best.priority == Priority.PURCHASE
    assert [job.key for job in claim(store)] == ["far", "near"]
    assert far_keys(store) == set()


def test_a_far_job_comes_back_when_news_arrive_and_is_far_again_when_it_is_put_off(store: Store, clock: Clock) -> None:
    queue(store, ask("k", due_ms=store.now_ms() + 60_000))
    queue(store, ask("k"))
    assert far_keys(store) == set()
    job = one(claim(store))
    with store.transaction() as tx:
        tx.jobs.reschedule(job, store.now_ms() + 60_000, "later", count=True, fixed=True, waits_for="writes_off")
    assert far_keys(store) == {"k"}
    # Its wait is fixed: news do not shorten it.
    queue(store, ask("k"))
    assert far_keys(store) == {"k"}
    with store.transaction() as tx:
        assert tx.jobs.make_due("writes_off") == 1
    assert far_keys(store) == set()
    assert one(claim(store)).key == "k"


def test_a_job_that_is_put_off_into_a_newer_one_of_its_key_makes_that_one_far(store: Store, clock: Clock) -> None:
    queue(store, ask("k"))
    job = one(claim(store))
    queue(store, ask("k"))
    with store.transaction() as tx:
        tx.jobs.reschedule(job, store.now_ms() + 60_000, "later", count=True, fixed=True)
    assert far_keys(store) == {"k"}
    clock.advance(60_001)
    assert one(claim(store)).key == "k"


def test_the_token_fences(store: Store, other_store: Store, clock: Clock) -> None:
    queue(store, ask("k"))
    lost = one(claim(store))
    rescued = one(lose(other_store, clock))
    assert (rescued.state, rescued.rescues, rescued.attempts) == (JobState.READY, 1, 0)
    again = one(claim(other_store, owner="w2"))
    for end in (
        lambda tx: tx.jobs.finish(lost),
        lambda tx: tx.jobs.reschedule(lost, 0, "", count=True),
        lambda tx: tx.jobs.mark_dead(lost, DeadClass.GONE, ""),
    ):

        def commit(tx: Tx, end: Callable[[Tx], None] = end) -> None:
            tx.settings.put("written", "by the dead")
            end(tx)

        with pytest.raises(LeaseLost):
            store.run(commit)
    with other_store.transaction() as tx:
        assert tx.settings.get("written") is None
        assert tx.jobs.still_held([lost, again]) == {again.id}
        tx.jobs.finish(again)
        assert count_done(tx, H, 0) == 1


def test_a_job_is_ours_as_long_as_the_heart_beats(store: Store, clock: Clock) -> None:
    queue(store, ask("k"))
    job = one(claim(store))
    with store.reading() as tx:
        assert tx.jobs.still_held([job]) == {job.id}
        assert tx.jobs.still_held([]) == set()
    clock.advance(5_900)
    with store.transaction() as tx:
        assert tx.jobs.requeue_abandoned() == []
        assert tx.jobs.still_held([job]) == {job.id}
    clock.advance(200)
    with store.transaction() as tx:
        assert tx.jobs.still_held([job]) == set()
        assert tx.processes.alive() == []
        assert not tx.processes.beat("w1", "all", 1), "the lease had run out"
        assert tx.processes.beat("w1", "all", 1)
        assert [row.name for row in tx.processes.alive()] == ["w1"]
        tx.processes.remove("w1")
        assert tx.processes.alive() == []


def test_a_job_whose_processes_died_twice_runs_alone(store: Store, clock: Clock) -> None:
    queue(store, ask("suspect"))
    for _ in range(2):
        assert one(claim(store)).key == "suspect"
        lose(store, clock)
    queue(store, ask("x"), ask("y", Priority.PURCHASE))
    assert [job.key for job in claim(store, 1)] == ["y"]
    assert [job.key for job in claim(store, 10)] == ["x"], "whatever ran beside it would be rescued with it"
    suspect = one(claim(store, 10, "w2"))
    assert suspect.key == "suspect"
    queue(store, ask("z"))
    assert claim(store, 10, "w2") == []
    assert claim(store, 10, "w2", [JobKind.WRITE]) == []
    with store.transaction() as tx:
        tx.jobs.finish(suspect)
    assert [job.key for job in claim(store, 10, "w2")] == ["z"]


def test_a_suspect_gets_its_turn_when_nothing_else_waits_before_it(store: Store, clock: Clock) -> None:
    queue(store, ask("suspect", Priority.BULK))
    for _ in range(2):
        claim(store)
        lose(store, clock)
    queue(store, ask("x"), ask("z", Priority.BULK))
    assert [job.key for job in claim(store, 10)] == ["x", "z"]
    assert claim(store, 10) == []
    clock.advance(30_001)
    assert [(job.key, job.rescues) for job in claim(store, 10)] == [("suspect", 2)], "it does not starve"


def test_the_fifth_death_is_poison(store: Store, clock: Clock) -> None:
    queue(store, ask("poison"))
    for rescues in range(1, 5):
        claim(store)
        assert one(lose(store, clock)).rescues == rescues
    claim(store)
    dead = one(lose(store, clock))
    assert (dead.state, dead.dead_class, dead.rescues) == (JobState.DEAD, "poison", 5)
    assert claim(store) == []
    with store.transaction() as tx:
        assert tx.dead_letters.retry([dead.id]) == 1
    assert one(claim(store)).rescues == 0


def test_a_rescue_joins_a_newer_job_and_stays_suspect(store: Store, clock: Clock) -> None:
    queue(store, ask("k"))
    claim(store)
    lose(store, clock)
    claim(store)
    queue(store, ask("k"))
    assert one(lose(store, clock)).state is JobState.DONE
    assert one(claim(store)).rescues == 2


def test_a_process_that_ends_gives_its_jobs_back(store: Store) -> None:
    queue(store, ask("a"), ask("b"))
    claim(store)
    queue(store, ask("a"))
    with store.transaction() as tx:
        assert tx.jobs.release("w1") == 2
        assert tx.jobs.release("w1") == 0
    assert sorted((job.key, job.attempts, job.rescues) for job in claim(store)) == [("a", 0, 0), ("b", 0, 0)]


def test_a_run_ends_when_its_jobs_do(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(H, READ, key, run_id="r1") for key in "ab"] + [JobRequest(H, READ, "c")])
        assert (tx.jobs.run_pending("r1"), tx.jobs.run_pending("")) == (2, 0)
        tx.jobs.finish_many(tx.jobs.claim(H, None, 5, "w1"))
        assert tx.jobs.run_pending("r1") == 0
        assert count_done(tx, H, tx.now_ms) == 3
        assert count_done(tx, S, 0) == 0


def test_the_depth_says_what_waits_and_runs(store: Store, clock: Clock) -> None:
    queue(store, ask("a"), ask("b"), ask("c", due_ms=store.now_ms() + 99_000))
    with store.reading() as tx:
        (row,) = tx.jobs.depth()
        arrived_ms = row["oldest_arrived_ms"]
        assert 0 <= tx.now_ms - arrived_ms < 1_000
    claim(store, 1)
    with store.reading() as tx:
        assert tx.jobs.depth() == [
            {
                "lane": "hubspot",
                "kind": "read",
                "priority": 10,
                "ready": 2,
                "running": 1,
                "oldest_arrived_ms": arrived_ms,
                "due": 1,
                "retrying": 0,
            }
        ]


def test_a_rescue_frees_the_locks_of_the_dead(store: Store, clock: Clock) -> None:
    queue(store, ask("k"))
    job = one(claim(store))
    with store.transaction() as tx:
        assert tx.locks.take_all(["contact:1"], job.token, "w1", tx.now_ms + 900_000)
    lose(store, clock)
    with store.transaction() as tx:
        assert held_locks(tx, job.token) == set()


def test_bulk_jobs_can_be_left_where_they_are(store: Store) -> None:
    requests = [JobRequest(S, WRITE, "bulk", Priority.BULK), JobRequest(S, READ, "live", Priority.LIVE)]
    with store.transaction() as tx:
        tx.processes.beat("me", "all", 1)
        tx.jobs.put_many(requests[:1])
        assert tx.jobs.next_claimable(S, below=Priority.BULK) is None
        assert tx.jobs.claim(S, None, 9, "me", below=Priority.BULK) == []
        tx.jobs.put_many(requests[1:])
        assert tx.jobs.next_claimable(S, below=Priority.BULK) == (READ, Priority.LIVE, 0)
        assert tx.jobs.next_claimable(S, [WRITE]) == (WRITE, Priority.BULK, 0)
        assert [job.key for job in tx.jobs.claim(S, None, 9, "me", below=Priority.BULK)] == ["live"]
        assert [job.key for job in tx.jobs.claim(S, None, 9, "me")] == ["bulk"]


def test_the_least_urgent_can_be_asked_for(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("me", "all", 1)
        tx.jobs.put_many([JobRequest(S, READ, "live"), JobRequest(S, READ, "bulk", Priority.BULK)])
        assert tx.jobs.next_claimable(S, least=Priority.BULK) == (READ, Priority.BULK, 0)
        assert [job.key for job in tx.jobs.claim(S, [READ], 9, "me", least=Priority.BULK)] == ["bulk"]


def test_what_can_still_be_in_time_goes_first_the_oldest_first(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        for ago_ms, key in ((40, "late"), (30, "later"), (20, "in time"), (10, "new")):
            tx.jobs.put(JobRequest(H, READ, key, arrived_ms=tx.now_ms - ago_ms))
        fresh = Fresh(Priority.LIVE, tx.now_ms - 25, tx.now_ms - 25)
        assert [job.key for job in tx.jobs.claim(H, [READ], 1, "w1", fresh=fresh)] == ["in time"]
        assert [job.key for job in tx.jobs.claim(H, [READ], 9, "w1", fresh=fresh)] == ["new", "late", "later"]


def test_what_can_only_just_be_in_time_goes_first_where_nothing_waits_before_it(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        for ago_ms, key in ((40, "late"), (28, "just"), (20, "in time")):
            tx.jobs.put(JobRequest(H, READ, key, arrived_ms=tx.now_ms - ago_ms))
        fresh = Fresh(Priority.LIVE, tx.now_ms - 25, tx.now_ms - 30)
        assert [job.key for job in tx.jobs.claim(H, [READ], 2, "w1", fresh=fresh)] == ["in time", "late"]
        tx.jobs.put(JobRequest(H, READ, "later", arrived_ms=tx.now_ms - 35))
        assert [job.key for job in tx.jobs.claim(H, [READ], 9, "w1", fresh=fresh)] == ["just", "later"]


def test_what_goes_first_for_its_priority_does_so_whatever_is_late(store: Store, clock: Clock) -> None:
    queue(store, ask("late"), ask("bulk", Priority.BULK))
    clock.advance(60_000)
    queue(store, ask("new"), ask("purchase", Priority.PURCHASE))
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        jobs = tx.jobs.claim(H, [READ], 9, "w1", fresh=Fresh(Priority.PURCHASE, 0, 0))
        assert [job.key for job in jobs] == ["purchase", "late", "new", "bulk"]


def test_a_job_that_passes_work_on_passes_on_since_when_it_is_waited_for(store: Store, clock: Clock) -> None:
    queue(store, ask("a"))
    read = one(claim(store))
    clock.advance(20_000)
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        tx.jobs.put_many([pass_on(read, H, "contact:a"), JobRequest(H, WRITE, "contact:b", arrived_ms=2**62)])
        jobs = tx.jobs.claim(H, [WRITE], 9, "w1")
        assert [(job.key, job.arrived_ms) for job in jobs] == [("contact:a", read.arrived_ms), ("contact:b", tx.now_ms)]


def test_what_a_process_keeps_is_not_released(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("me", "all", 1)
        tx.jobs.put_many([JobRequest(S, READ, "a"), JobRequest(S, READ, "b")])
        kept, lost = tx.jobs.claim(S, [READ], 9, "me")
        assert tx.jobs.release("me", {kept.id}) == 1
        assert tx.jobs.still_held([kept, lost]) == {kept.id}
        assert [(job.key, job.attempts, job.rescues) for job in tx.jobs.claim(S, [READ], 9, "me")] == [(lost.key, 0, 0)]


def test_only_jobs_that_wait_for_that_reason_under_those_keys_become_due(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in ("a", "b", "c", "d")])
        for job in tx.jobs.claim(S, [JobKind.READ], 9, "w"):
            reason = "other" if job.key == "b" else "echo"
            tx.jobs.reschedule(job, tx.now_ms + 9_000, reason, count=False, fixed=job.key == "d", waits_for=reason)
    with store.transaction() as tx:
        assert tx.jobs.make_keys_due(S, JobKind.READ, ["a", "b", "d", "x"], "echo") == 1
        assert tx.jobs.make_keys_due(H, JobKind.READ, ["c"], "echo") == 0
        assert tx.jobs.make_keys_due(S, JobKind.READ, [], "echo") == 0
        assert [job.key for job in tx.jobs.claim(S, [JobKind.READ], 9, "w")] == ["a"]


# -- wake-ups


def wake(store: Store, key: str, by: Job | None = None) -> None:
    store.run(lambda tx: tx.jobs.put(JobRequest(H, WRITE, key, woken_by=by)))


def turn(store: Store, key: str, delay_ms: int = 0) -> Job:
    """A claim of a key that makes no call."""

    def work(tx: Tx) -> Job:
        (job,) = tx.jobs.claim(H, [WRITE], 1, "w1")
        assert job.key == key
        tx.jobs.reschedule(job, tx.now_ms + delay_ms, "it waits", count=False)
        return job

    return store.run(work)


def test_turns_count_until_there_is_news_or_a_call(store: Store) -> None:
    wake(store, "a")
    assert [turn(store, "a").turns for _ in range(3)] == [1, 2, 3]
    wake(store, "a")
    assert turn(store, "a").turns == 1
    job = turn(store, "a")
    store.run(lambda tx: tx.jobs.note_calls(tx.jobs.claim(H, [WRITE], 1, "w1")))
    with store.reading() as tx:
        after = tx.jobs.get(job.id)
    assert after is not None
    assert after.turns == 0


def test_a_request_without_news_takes_over_the_turns_and_waits(store: Store) -> None:
    wake(store, "a")
    job = [turn(store, "a") for _ in range(8)][-1]
    store.run(lambda tx: tx.jobs.finish_many(tx.jobs.claim(H, [WRITE], 1, "w1")))
    wake(store, "b", job)
    with store.reading() as tx:
        assert tx.jobs.next_due_ms(H) == tx.now_ms + idle_wait_ms(9)
    wake(store, "b")
    with store.reading() as tx:
        assert tx.jobs.next_due_ms(H) == tx.now_ms
    assert turn(store, "b").turns == 1


def test_a_job_claimed_twenty_times_without_a_call_is_named(store: Store) -> None:
    wake(store, "a")
    for _ in range(19):
        turn(store, "a")
    with store.reading() as tx:
        assert tx.jobs.idle(10) == []
    turn(store, "a")
    with store.reading() as tx:
        assert [(job.key, job.turns) for job in tx.jobs.idle(10)] == [("a", 20)]


def test_an_abandoned_job_waits_for_nothing(store: Store) -> None:
    wake(store, "a")

    def fall_silent(tx: Tx) -> None:
        (job,) = tx.jobs.claim(H, [WRITE], 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms, "it waits", count=False, waits_for=WaitCode.LOCK)
        tx.jobs.claim(H, [WRITE], 1, "w1")

    store.run(fall_silent)
    (job,) = store.run(lambda tx: tx.jobs.requeue_abandoned(0))
    assert (job.waits_for, job.reason) == (WaitCode.NONE, "")


def test_a_released_job_leaves_no_lock_behind(store: Store) -> None:
    # Its process lives on, so nothing else ends the lock before its longest time.
    queue(store, ask("a"))
    job = one(claim(store, owner="me"))
    with store.transaction() as tx:
        assert tx.locks.take_all({"contact:1"}, job.token, "me", tx.now_ms + 60_000)
        tx.jobs.release("me")
        assert held_locks(tx, job.token) == set()
