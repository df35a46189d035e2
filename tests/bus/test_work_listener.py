"""A worker on the bus: woken by messages, reporting after its commits, right without either."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from tests.support.bus_parts import WAIT_S, listening, part_seal
from tests.support.captured_logs import captured_logs
from tests.support.mosquitto import Mosquitto
from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.messages import Change, Done, Work
from wanesync.bus.topics import Control, Report, WorkAction
from wanesync.bus.work_listener import WorkListener
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.roles import Role
from wanesync.store.database import Store

pytestmark = pytest.mark.slow
STRIPE = Side.STRIPE


def make_listener(url: str, store: Store, refresh: threading.Semaphore | None = None) -> WorkListener:
    options = BusOptions(url, topics.client_id(Role.STRIPE_WORKER, "one"))
    refreshed = refresh or threading.Semaphore(0)
    return WorkListener(store, STRIPE, part_seal(Role.STRIPE_WORKER), options, refreshed.release)


def send(client: BusClient, topic: str, message: Work | Change) -> None:
    client.publish(topic, part_seal(Role.QUEUE).seal(topic, message.encode()))


def test_a_message_ends_the_wait_for_work_and_a_forged_one_does_not(mosquitto: Mosquitto, bus_store: Store) -> None:
    refreshed = threading.Semaphore(0)
    listener = make_listener(mosquitto.url, bus_store, refreshed)
    listener.start()
    try:
        assert listener.client.wait_ready(WAIT_S)
        with listening(mosquitto.url) as sender:
            while bus_store.wait_for_work(200, STRIPE):
                pass
            sender.client.publish(topics.work(STRIPE, WorkAction.READ), b"forged")
            assert not bus_store.wait_for_work(300, STRIPE)
            send(sender.client, topics.work(STRIPE, WorkAction.READ), Work(["1"]))
            assert bus_store.wait_for_work(WAIT_S * 1000, STRIPE)
            send(sender.client, topics.control(Control.LIMITS), Change(["stripe"]))
            assert refreshed.acquire(timeout=WAIT_S)
    finally:
        listener.stop()


def test_any_number_of_changed_limits_is_one_read_at_a_time(mosquitto: Mosquitto, bus_store: Store) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def refresh() -> None:
        begun.release()
        assert go_on.wait(WAIT_S)

    options = BusOptions(mosquitto.url, topics.client_id(Role.STRIPE_WORKER, "one"))
    listener = WorkListener(bus_store, STRIPE, part_seal(Role.STRIPE_WORKER), options, refresh)
    topic = topics.control(Control.LIMITS)
    message = Message(topic, part_seal(Role.QUEUE).seal(topic, Change(["stripe"]).encode()))
    for _ in range(100):
        listener._receive(message)
    assert begun.acquire(timeout=WAIT_S)
    assert len([thread for thread in threading.enumerate() if thread.name == "refresh-limits"]) <= 2
    listener._receive(message)
    go_on.set()
    assert begun.acquire(timeout=WAIT_S)


def test_how_each_job_ended_is_reported_after_its_commit(mosquitto: Mosquitto, bus_store: Store) -> None:
    listener = make_listener(mosquitto.url, bus_store)
    wanted = {topics.done(STRIPE, report) for report in Report}
    with listening(mosquitto.url, *topics.done_topics()) as reader:
        listener.start()
        try:
            assert listener.client.wait_ready(WAIT_S)
            keys = ["done", "retry", "wait", "dead", "rolled-back"]
            bus_store.run(lambda tx: tx.jobs.put_many([JobRequest(STRIPE, JobKind.READ, key) for key in keys]))
            bus_store.run(lambda tx: tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, "other side")))

            def end_all() -> dict[str, str]:
                with bus_store.transaction() as tx:
                    tx.processes.beat("worker", "stripe", 1)
                    jobs = {job.key: job for job in tx.jobs.claim(STRIPE, None, 10, "worker")}
                    tx.jobs.finish(jobs["done"])
                    tx.jobs.reschedule(jobs["retry"], tx.now_ms + 9, "500", count=True, waits_for="backoff")
                    tx.jobs.reschedule(jobs["wait"], tx.now_ms + 9, "locked", count=False, waits_for="lock")
                    tx.jobs.mark_dead(jobs["dead"], DeadClass.REFUSED, "refused")
                    with suppress(RuntimeError), tx.savepoint():
                        tx.jobs.finish(jobs["rolled-back"])
                        raise RuntimeError
                    tx.jobs.finish(tx.jobs.claim(Side.HUBSPOT, None, 1, "worker")[0])
                    assert reader.messages == []
                    return {key: job.id for key, job in jobs.items()}

            ids = end_all()
            reader.await_topics(wanted)
        finally:
            listener.stop()
    seal = part_seal(Role.ADMIN)
    told = {m.topic.rpartition("/")[2]: Done.decode(seal.open(m.topic, m.payload)).jobs for m in reader.messages}
    assert {ending: [job.id for job in jobs] for ending, jobs in told.items()} == {
        ending: [ids[ending]] for ending in ("done", "retry", "wait", "dead")
    }
    assert {job.code for jobs in told.values() for job in jobs} == {"", "backoff", "lock", "refused"}


def test_without_a_broker_nothing_waits_and_nothing_fails(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = make_listener(mosquitto.url, bus_store)
    bus_store.report = listener.report
    refused = []

    def refuse(topic: str, *_args: object, **_values: object) -> None:
        refused.append(topic)
        raise BusUnavailable("full")

    monkeypatch.setattr(listener.client, "publish", refuse)

    def end(key: str) -> None:
        with bus_store.transaction() as tx:
            tx.jobs.put(JobRequest(STRIPE, JobKind.READ, key))
            tx.processes.beat("worker", "stripe", 1)
            tx.jobs.finish(tx.jobs.claim(STRIPE, None, 1, "worker")[0])

    end("1")
    assert refused == [], "it is not connected"
    listener.start()
    try:
        assert listener.client.wait_ready(WAIT_S)
        end("2")
    finally:
        listener.stop()
    assert refused == [topics.done(STRIPE, Report.DONE)]
    assert bus_store.read(lambda tx: tx.jobs.done_since(STRIPE, JobKind.READ, 0))[0] == 2


def test_limits_that_cannot_be_read_are_read_by_the_next_round(bus_store: Store) -> None:
    listener = make_listener("mqtt://127.0.0.1:9", bus_store)

    def refuse() -> None:
        raise DatabaseUnavailable("away")

    listener.refresh = refuse
    with captured_logs() as lines:
        listener._refresh()
    assert [line["event"] for line in lines] == ["limits not read"]
    assert not listener._is_refresh_due.is_set(), "the next message begins another round"
