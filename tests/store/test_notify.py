"""Threads that wait for work, woken by this process and by others."""

from __future__ import annotations

import threading

from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store import Store
from wanesync.store.notify import Notifier, WorkSubscription
from wanesync.store.postgres import PostgresDatabase

H, S = Side.HUBSPOT, Side.STRIPE


def test_work_wakes_the_threads_that_wait_for_its_lane(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, JobKind.READ, "k"))
    store.wait_for_work(0)
    if isinstance(store._database, PostgresDatabase):
        # A listener signals once when it starts: wait for that before what follows.
        assert store._database.notifier.wait(WorkSubscription("no lane", seen=1), 20)
    heard: dict[str, list[bool]] = {}

    def wait(lane: str) -> None:
        while store.wait_for_work(0, lane):
            pass
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(S, JobKind.READ, lane))
        heard[lane] = [store.wait_for_work(0, lane)]

    # One after the other, each in a thread of its own: a watch belongs to a thread.
    for lane in ("", S, H):
        thread = threading.Thread(target=wait, args=(lane,))
        thread.start()
        thread.join(20)
    assert heard[""] == [True]
    assert heard[S] == [True]
    if store.dialect == "postgres":
        assert heard[H] == [False], "a stripe job is no news there"


READ = JobKind.READ


def test_own_commits_wake_at_once(store: Store) -> None:
    # Signals of the creation of the database come first.
    while store.wait_for_work(200):
        pass
    woken = threading.Event()
    waiting = threading.Event()

    def wait() -> None:
        while store.wait_for_work(0):
            pass
        waiting.set()
        if store.wait_for_work(20_000):
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(20)
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, READ, "k"))
    assert woken.wait(10)
    thread.join(10)
    assert store.wait_for_work(20_000), "this thread has not seen the signal yet"


def test_commits_of_another_process_wake(store: Store, other_store: Store) -> None:
    # The first call begins to listen.
    while store.wait_for_work(300):
        pass
    with other_store.transaction() as tx:
        tx.jobs.put(JobRequest(H, READ, "k"))
    assert store.wait_for_work(20_000)


def test_a_signal_between_two_waits_is_not_lost() -> None:
    notifier, subscription = Notifier(), WorkSubscription()
    assert notifier.wait(subscription, 0), "the first wait ends at once"
    assert not notifier.wait(subscription, 0)
    notifier.notify(["stripe"])
    assert notifier.wait(subscription, 0)
    assert not notifier.wait(subscription, 0), "each signal counts once"


def test_a_lane_is_woken_by_its_own_signals_and_by_those_to_all() -> None:
    notifier = Notifier()
    hubspot, stripe = WorkSubscription("hubspot", seen=1), WorkSubscription("stripe", seen=1)
    notifier.notify(["stripe"])
    assert (notifier.wait(hubspot, 0), notifier.wait(stripe, 0)) == (False, True)
    notifier.notify()
    assert (notifier.wait(hubspot, 0), notifier.wait(stripe, 0)) == (True, True)


def test_only_signals_of_its_lane_wake_a_thread_that_waits() -> None:
    notifier, heard = Notifier(), list[bool]()
    assert not notifier.notify(["hubspot"]), "no thread waits"
    subscription = WorkSubscription("hubspot")
    notifier.wait(subscription, 0)
    thread = threading.Thread(target=lambda: heard.append(notifier.wait(subscription, 20)))
    thread.start()
    notifier.await_waiter(20)
    assert not notifier.notify(["stripe"])
    assert notifier.notify(["hubspot", "stripe"])
    thread.join(20)
    assert heard == [True]
    assert not notifier.notify(), "it waits no more"
