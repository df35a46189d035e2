"""Several threads and processes on one database at once."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import count_events
from tests.support.store_rows import an_event
from tests.support.threads import together
from wanesync.core.jobs import Job, JobKind, JobRequest, JobState, WaitCode
from wanesync.core.model import Side
from wanesync.store import LeaseLost, Store, TransactionConflict, Tx, make_key, open_store
from wanesync.sync.job_results import reschedule
from wanesync.sync.writes.writer import DAY_MS, WRITES, WRITES_OFF, are_writes_off

H, S = Side.HUBSPOT, Side.STRIPE
READ = JobKind.READ


def test_a_job_goes_to_one_claimer(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        for name in "ab":
            tx.processes.beat(name, "all", 1)
        tx.jobs.put_many([JobRequest(H, READ, f"k{number}") for number in range(200)])

    def drain(of: Store, owner: str) -> list[Job]:
        taken: list[Job] = []
        while jobs := of.run(lambda tx: tx.jobs.claim(H, [READ], 7, owner)):
            taken += jobs
        return taken

    found = together([lambda: drain(store, "a"), lambda: drain(other_store, "b"), lambda: drain(store, "a")])
    keys = Counter(job.key for jobs in found for job in jobs)
    assert len(keys) == 200
    assert set(keys.values()) == {1}
    with store.reading() as tx:
        assert all(tx.jobs.still_held(jobs) == {job.id for job in jobs} for jobs in found)


def test_ten_webhooks_at_once_queue_each_key_once(store: Store, other_store: Store) -> None:
    def post(of: Store, offset: int) -> int:
        keys = [f"k{(number * 37 + offset) % 60}" for number in range(60)]

        def receive(tx: Tx) -> int:
            new = tx.events.put_many([an_event(f"e-{key}") for key in keys])
            tx.jobs.put_many([JobRequest(H, READ, key) for key in keys])
            return len(new)

        return of.run(receive)

    new = together([partial(post, of, offset) for offset in range(5) for of in (store, other_store)])
    assert sum(new) == 60
    with store.reading() as tx:
        assert [row["ready"] for row in tx.jobs.depth()] == [60]
        assert count_events(tx)["total"] == 60


def test_a_join_and_the_end_of_a_job_do_not_lose_work(store: Store, other_store: Store, clock: Clock) -> None:
    """Whatever happens to the running job, a request that was committed is ready, or still to be claimed."""

    def ask(key: str, tx: Tx) -> None:
        tx.jobs.put(JobRequest(H, READ, key))

    def put_back(job: Job, tx: Tx) -> None:
        tx.jobs.reschedule(job, tx.now_ms, "429", count=False)

    for number in range(15):
        key = f"k{number}"
        with store.transaction() as tx:
            tx.processes.beat("w", "all", 1)
            tx.jobs.put(JobRequest(H, READ, key))
            (job,) = tx.jobs.claim(H, [READ], 1, "w")
        together([partial(other_store.run, partial(ask, key)), partial(store.run, partial(put_back, job))])
        # The two processes measured their clocks at different moments.
        clock.advance(10_000)
        with store.transaction() as tx:
            (next_job,) = tx.jobs.claim(H, [READ], 9, "w")
            assert next_job.key == key
            tx.jobs.finish(next_job)
            old = tx.jobs.get(job.id)
            assert old
            assert old.state is JobState.DONE


def test_an_outcome_and_a_rescue_exclude_each_other(store: Store, other_store: Store) -> None:
    for number in range(10):
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(H, READ, f"k{number}"))
            (job,) = tx.jobs.claim(H, [READ], 1, "dead already")

        def finish(job: Job = job) -> str:
            try:
                store.run(lambda tx: tx.jobs.finish(job))
            except LeaseLost:
                return "lost"
            return "finished"

        def sweep() -> str:
            return "rescued" if other_store.run(lambda tx: tx.jobs.requeue_abandoned()) else "nothing"

        assert sorted(together([finish, sweep])) in (["finished", "nothing"], ["lost", "rescued"])
        with store.transaction() as tx:
            for left in tx.jobs.claim(H, [READ], 9, "w"):
                tx.jobs.finish(left)


def test_a_job_that_was_checked_as_held_stays_held_to_the_commit(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put(JobRequest(H, READ, "k"))
        (job,) = tx.jobs.claim(H, [READ], 1, "w")
    swept: list[Job] = []
    with store.transaction() as tx:
        assert tx.jobs.still_held([job]) == {job.id}
        thread = threading.Thread(
            target=lambda: swept.extend(other_store.run(lambda tx: tx.jobs.requeue_abandoned(-1)))
        )
        thread.start()
        tx.jobs.finish(job)
    thread.join(20)
    assert not thread.is_alive()
    assert swept == []


def test_crossing_transactions_run_again(store: Store, other_store: Store) -> None:
    """Each locks what the other one wants next."""
    with store.transaction() as tx:
        tx.settings.put("a", "")
        tx.settings.put("b", "")
    # SQLite has one writer at a time, so nothing can cross: the second waits for its turn.
    barrier = threading.Barrier(1 if store.dialect == "sqlite" else 2)
    tries: Counter[str] = Counter()

    def write(of: Store, first: str, second: str) -> None:
        def work(tx: Tx) -> None:
            tries[first] += 1
            tx.settings.put(first, first)
            if tries[first] == 1:
                barrier.wait(20)
            tx.settings.put(second, first)

        of.run(work)

    together([lambda: write(store, "a", "b"), lambda: write(other_store, "b", "a")])
    with store.reading() as tx:
        assert tx.settings.get("a") == tx.settings.get("b")
    assert (tries.total() == 2) == (store.dialect == "sqlite"), "one of the two had to run again"


def test_a_transaction_that_always_collides_ends(store: Store) -> None:
    tries = []

    def collide(tx: Tx) -> None:
        tries.append(tx.now_ms)
        raise TransactionConflict("again")

    with pytest.raises(TransactionConflict):
        store.run(collide)
    assert len(tries) == 3


LIMIT = 40.0
SLOTS = 60
"""Of each of two processes: together three seconds of the limit."""


def spend(url: str, key: str, ready: object, results: object) -> None:
    """A process that takes slots until it has SLOTS of them, and returns their due times."""
    store = open_store(url, [key])
    due_ms: list[int] = []
    ready.wait(30)  # type: ignore[attr-defined] # multiprocessing's own classes are functions to mypy
    while len(due_ms) < SLOTS:
        slots = store.reserve("hubspot", 3)
        due_ms += slots
        # Wait for the slot, as a worker does; without one, for one to become free.
        wait_ms = slots[-1] - store.now_ms() - 100 if slots else 20
        store.clock.sleep_until(store.clock.monotonic_ms() + wait_ms)
    store.close()
    results.put(due_ms)  # type: ignore[attr-defined] # multiprocessing's own classes are functions to mypy


@pytest.mark.slow
def test_two_processes_never_pass_the_limit_in_any_second(database_url: str) -> None:
    key = make_key()
    store = open_store(database_url, [key], migrate=True)
    with store.transaction() as tx:
        tx.rates.set_limit("hubspot", LIMIT)
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=spend, args=(database_url, key, ready, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(20)
    store.close()
    due = sorted(found[0] + found[1])
    worst = max(sum(1 for at in due if start <= at < start + 1_000) for start in due)
    assert worst <= LIMIT
    assert len(set(due)) == len(due)


def test_turning_writes_on_wakes_jobs_whose_process_has_just_read_that_they_are_off(
    store: Store, other_store: Store
) -> None:
    """Otherwise their jobs would wait for a day without a notice."""
    with store.transaction() as tx:
        tx.settings.put(WRITES, "off")
        tx.jobs.put(JobRequest(S, JobKind.WRITE, "contact:1"))
        tx.processes.beat("a", "all", 1)

    started, order = threading.Event(), list[str]()

    def turn_on(tx: Tx) -> int:
        tx.settings.put(WRITES, "on")
        order.append("on")
        return tx.jobs.make_due(WaitCode.WRITES_OFF)

    def turn_on_there() -> int:
        started.set()
        return other_store.run(turn_on)

    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as tx:
            (job,) = tx.jobs.claim(S, None, 1, "a")
            assert are_writes_off(tx)
            woken = pool.submit(turn_on_there)
            assert started.wait(20)
            reschedule(tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)
            order.append("rescheduled")
        assert woken.result(20) == 1
    assert order == ["rescheduled", "on"], "the change of the setting waits for those that have read it"
    with store.transaction() as tx:
        assert not are_writes_off(tx)
