"""Who is woken, when, and by what; and what all parts are told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from tests.support.bus_parts import part_seal
from wanesync.bus import topics
from wanesync.bus.client import BusUnavailable
from wanesync.bus.messages import Change, Work
from wanesync.bus.topics import Control, WorkAction
from wanesync.bus.work_notices import IDLE_MS, WorkNotices
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.core.roles import Role
from wanesync.store.database import Store

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@dataclass
class Broker:
    """Notes what is published."""

    is_ready: bool = True
    error: Exception | None = None
    published: list[tuple[str, bytes]] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, *, expiry_s: int = 0) -> None:
        if self.error is not None:
            raise self.error
        self.published.append((topic, part_seal(Role.QUEUE).open(topic, payload)))

    def take(self) -> dict[str, bytes]:
        taken, self.published = dict(self.published), []
        return taken


@pytest.fixture
def broker() -> Broker:
    return Broker()


def make_notices(store: Store, broker: Broker, sink: Sink | None = None) -> WorkNotices:
    return WorkNotices(store, dict.fromkeys(Side, broker), part_seal(Role.QUEUE), threading.Event(), sink)  # type: ignore[arg-type]  # a part


def put(store: Store, lane: Side, kind: JobKind, *keys: str, due_ms: int | None = None) -> None:
    store.run(lambda tx: tx.jobs.put_many([JobRequest(lane, kind, key, due_ms=due_ms) for key in keys]))


def test_each_job_wakes_the_workers_of_its_side_once(store: Store, broker: Broker) -> None:
    notices = make_notices(store, broker)
    put(store, HUBSPOT, JobKind.READ, "1", "2")
    put(store, HUBSPOT, JobKind.WRITE, "customer:1")
    put(store, STRIPE, JobKind.WRITE, "contact:1")
    put(store, STRIPE, JobKind.READ, "cus_1")
    assert notices.run_round() == IDLE_MS
    published = broker.take()
    assert set(published) == {
        topics.work(HUBSPOT, WorkAction.READ),
        topics.work(HUBSPOT, WorkAction.CREATE),
        topics.work(STRIPE, WorkAction.CREATE),
        topics.work(STRIPE, WorkAction.READ),
    }
    assert len(Work.decode(published[topics.work(HUBSPOT, WorkAction.READ)]).jobs) == 2
    notices.run_round()
    assert broker.take() == {}


def test_several_creations_are_one_batch_on_hubspots_side_only(store: Store, broker: Broker) -> None:
    put(store, HUBSPOT, JobKind.WRITE, "customer:1", "guest:2")
    put(store, STRIPE, JobKind.WRITE, "contact:1", "contact:2")
    make_notices(store, broker).run_round()
    assert set(broker.take()) == {
        topics.work(HUBSPOT, WorkAction.CREATE_MANY),
        topics.work(STRIPE, WorkAction.CREATE),
    }


@pytest.mark.parametrize(
    ("sink", "action"), [(None, WorkAction.EVENT), (Sink.NOTE, WorkAction.NOTE), (Sink.PROPERTIES, WorkAction.EVENT)]
)
def test_a_purchase_is_an_event_or_a_note(store: Store, broker: Broker, sink: Sink | None, action: WorkAction) -> None:
    put(store, HUBSPOT, JobKind.PURCHASE, "pi_1")
    make_notices(store, broker, sink).run_round()
    assert set(broker.take()) == {topics.work(HUBSPOT, action)}


def test_a_job_that_waits_wakes_when_it_is_due(store: Store, broker: Broker, clock: object) -> None:
    notices = make_notices(store, broker)
    put(store, STRIPE, JobKind.READ, "cus_1", due_ms=store.now_ms() + 300)
    assert notices.run_round() == 300
    assert broker.take() == {}
    clock.advance(300)  # type: ignore[attr-defined]  # the clock of the store fixtures
    assert notices.run_round() == IDLE_MS
    assert set(broker.take()) == {topics.work(STRIPE, WorkAction.READ)}


def test_changed_limits_and_pauses_are_told_to_all(store: Store, broker: Broker) -> None:
    notices = make_notices(store, broker)
    notices.run_round()
    store.run(lambda tx: tx.rates.set_limit("stripe", 12))
    store.run(lambda tx: tx.pauses.set("hubspot", "away", True, 5))
    notices.run_round()
    told = {topic: list(Change.decode(content).names) for topic, content in broker.take().items()}
    assert told == {topics.control(Control.LIMITS): ["stripe"], topics.control(Control.PAUSE): ["hubspot"]}
    store.run(lambda tx: tx.pauses.clear("hubspot"))
    store.run(lambda tx: tx.rates.drop("stripe"))
    notices.run_round()
    assert set(broker.take()) == {topics.control(Control.RESUME), topics.control(Control.LIMITS)}


def test_what_cannot_be_sent_costs_nothing(store: Store, broker: Broker) -> None:
    notices = make_notices(store, broker)
    broker.is_ready = False
    put(store, STRIPE, JobKind.READ, "cus_1")
    notices.run_round()
    broker.is_ready, broker.error = True, BusUnavailable("full")
    put(store, STRIPE, JobKind.READ, "cus_2")
    notices.run_round()
    assert broker.take() == {}


def test_an_error_does_not_end_it(store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, errors = make_notices(store, broker), [RuntimeError("a bug"), DatabaseUnavailable("away")]
    monkeypatch.setattr("wanesync.bus.work_notices.IDLE_MS", 1)

    def run_round() -> int:
        if errors:
            raise errors.pop()
        notices.stopping.set()
        return 0

    monkeypatch.setattr(WorkNotices, "run_round", lambda _self: run_round())
    notices.run()
    assert errors == []


@pytest.mark.slow
def test_a_commit_of_another_connection_ends_its_wait(store: Store, other_store: Store, broker: Broker) -> None:
    notices = make_notices(store, broker)
    thread = threading.Thread(target=notices.run)
    thread.start()
    try:
        put(other_store, STRIPE, JobKind.READ, "cus_1")
        for _ in range(400):
            if broker.published:
                break
            notices.stopping.wait(0.05)
    finally:
        notices.stopping.set()
        store.wake_workers()
        thread.join(10)
    assert set(broker.take()) == {topics.work(STRIPE, WorkAction.READ)}
