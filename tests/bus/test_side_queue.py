"""One side of the queue: what it does with a message, and that the other side goes on."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.bus_parts import (
    WAIT_S,
    accept_contact,
    await_true,
    connected,
    count_events,
    listening,
    make_door,
    make_queue,
    part_seal,
    running_queue,
)
from tests.support.mosquitto import Mosquitto
from tests.support.web_door import change
from wanesync.bus import side_queue, topics
from wanesync.bus.client import Message
from wanesync.bus.envelope import bind_exchange
from wanesync.bus.messages import MAX_COUNT, MAX_TOTAL_MS, Answer, Incoming, InvalidMessage, Kind, Status
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS
from wanesync.core.roles import Role
from wanesync.store.database import Store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.sync.intake import Intake, ParsedPost
from wanesync.web.door_test import DoorMessage

pytestmark = pytest.mark.slow
HANDLER = Role.HUBSPOT_HANDLER


def test_a_copy_of_a_question_that_waits_is_not_stored_beside_it(bus_store: Store) -> None:
    """Of two that are stored at once the second may be answered first: it would say that nothing was new."""
    side = make_queue("mqtt://127.0.0.1:9", bus_store).sides[Side.HUBSPOT]
    first = Message("wane/in/hubspot", b"", correlation=b"1", number=1)
    assert side._takes(first)
    assert not side._takes(replace(first, number=2))
    # The broker repeats the first by a new connection: the acknowledgement of the old one is not sent.
    assert side._takes(replace(first, connection=1, repeated=True))
    assert side._takes(replace(first, number=3, correlation=b"2"))
    side._give_room(first)
    assert side._takes(replace(first, number=4))
    reports = [Message("wane/in/hubspot", b"", number=number) for number in (5, 6)]
    assert [side._takes(report) for report in reports] == [True, True]


def test_a_flood_of_one_side_does_not_stop_the_other(mosquitto: Mosquitto, bus_store: Store) -> None:
    flood, topic = 5_000, topics.incoming(Side.STRIPE)
    with (
        running_queue(make_queue(mosquitto.url, bus_store)) as process,
        listening(mosquitto.url, name="flooder") as flooder,
        connected(make_door(mosquitto.url)) as door,
    ):

        def send() -> None:
            for _ in range(flood):
                flooder.client.publish(topic, b"x" * 600)

        sending = threading.Thread(target=send)
        sending.start()
        assert [accept_contact(door, number) for number in range(20)] == [1] * 20
        sending.join(WAIT_S)
        assert {side.client.is_ready for side in process.sides.values()} == {True}
    assert count_events(bus_store) == 20


def test_lost_doubled_and_reordered_messages_store_the_same(mosquitto: Mosquitto, bus_store: Store) -> None:
    """What is lost was not answered either, so that its sender repeats it."""
    topic, rng = topics.incoming(Side.HUBSPOT), random.Random(15)
    bodies = [json.dumps([change(number) | {"eventId": number}]).encode() for number in range(60)]
    seal = part_seal(Role.HUBSPOT_HANDLER)
    messages = [seal.seal(topic, Incoming(Kind.POST, 1, body).encode()) for body in bodies]
    lost, arriving = messages[:10], [*messages[10:], *rng.sample(messages[10:], 30)]
    rng.shuffle(arriving)
    with running_queue(make_queue(mosquitto.url, bus_store)), listening(mosquitto.url) as sender:
        for message in (*arriving, *lost):
            sender.client.publish(topic, message)
        await_true(lambda: count_events(bus_store) == 60, "the events are not stored")
    with bus_store.reading() as tx:
        depth = tx.jobs.depth()
    assert [(row["lane"], row["kind"], row["ready"]) for row in depth] == [("hubspot", "read", 60)]


def test_an_answer_that_cannot_be_sent_is_left_out(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler asks again, and is answered then."""
    process = make_queue(mosquitto.url, bus_store)
    client, refused = process.sides[Side.HUBSPOT].client, list[str]()
    mention = client.mention

    def refuse_once(topic: str, payload: bytes, **values: object) -> None:
        if not refused:
            refused.append(topic)
            raise ValueError("too large")
        mention(topic, payload, **values)  # type: ignore[arg-type]  # as they were given

    monkeypatch.setattr(client, "mention", refuse_once)
    with running_queue(process), connected(make_door(mosquitto.url)) as door:
        assert accept_contact(door, 7) == 0
    assert refused == ["wane/answer/hubspot-handler/hubspot-handler-one"]
    assert count_events(bus_store) == 1


def test_an_answer_says_no_more_than_what_became_of_it() -> None:
    assert Answer(Status.STORED, 3).encode() == b'{"status":"stored","new":3}'


def test_a_message_that_cannot_be_stored_is_given_up_and_answered_on_no_other_topic(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come again and again, and hold up the side once the broker waits for as many acknowledgements."""
    process, topic = make_queue(mosquitto.url, bus_store), topics.incoming(Side.HUBSPOT)
    acknowledged, seal = threading.Semaphore(0), part_seal(Role.HUBSPOT_HANDLER)
    client = process.sides[Side.HUBSPOT].client
    acknowledge = client.acknowledge

    def count(message: Message) -> None:
        acknowledge(message)
        acknowledged.release()

    monkeypatch.setattr(client, "acknowledge", count)
    content = Incoming(Kind.BEAT, 1, process="x").encode()
    test = {"kind": "test", "arrived_ms": 1, "counts": [], "process": "", "started_ms": 0, "test": {"nonce": [1]}}
    fields: dict[str, list[str]] = {name: [] for name in DoorMessage.__slots__}
    odd = [
        json.dumps(test | {"test": fields}).encode(),
        json.dumps(test | {"kind": "beat", "counts": [["hubspot", "signature", -(10**9)]]}).encode(),
        json.dumps(test | {"kind": "beat", "process": "x", "started_ms": 2**63}).encode(),
    ]
    reply = "wane/control/pause"
    with listening(mosquitto.url, reply) as listener, running_queue(process):
        for one in [*odd, content]:
            exchange = bind_exchange(b"7", reply)
            sealed = seal.seal(topic, one, exchange)
            listener.client.publish(topic, sealed, response_topic=reply, correlation=b"7")
        for _ in range(len(odd) + 1):
            assert acknowledged.acquire(timeout=WAIT_S)
        with connected(make_door(mosquitto.url)) as door:
            assert accept_contact(door, 7) == 1
        assert listener.messages == []


def test_what_waits_takes_bounded_memory_and_the_broker_keeps_the_rest(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_queue, "MAX_WAITING_BYTES", 300_000)
    process, topic, seal = make_queue(mosquitto.url, bus_store), topics.incoming(Side.HUBSPOT), part_seal(HANDLER)
    gate, store_verified = threading.Event(), Intake.store_verified

    def wait_and_store(intake: Intake, *given: object) -> int:
        gate.wait(WAIT_S)
        return store_verified(intake, *given)  # type: ignore[arg-type] # as they were given

    monkeypatch.setattr(Intake, "store_verified", wait_and_store)
    side = process.sides[Side.HUBSPOT]
    with running_queue(process), listening(mosquitto.url) as sender:
        for number in range(60):
            body = json.dumps([change(number) | {"eventId": number, "propertyValue": "x" * 20_000}]).encode()
            sender.client.publish(topic, seal.seal(topic, Incoming(Kind.POST, 1, body).encode()))
        await_true(lambda: side._waiting_bytes > 300_000, "it is not full")
        await_true(lambda: not sender.client._client._out_messages, "the broker has not taken all of them")
        assert side._waiting_bytes < 600_000
        gate.set()
        await_true(lambda: count_events(bus_store) == 60, "the events are not stored")
        await_true(lambda: side._waiting_bytes == 0, "something is counted twice")


def test_a_handler_reports_for_itself_and_its_side_alone(bus_store: Store) -> None:
    """One that is in foreign hands must neither prolong the lease of a dead worker nor count for the other side."""
    bus_store.run(lambda tx: tx.processes.beat("worker-1", "stripe", 1))
    before = bus_store.read(lambda tx: tx.processes.alive())
    counts = {(Side.STRIPE, Outcome.SIGNATURE): 7, (Side.HUBSPOT, Outcome.SIGNATURE): 2}
    side = make_queue("mqtt://127.0.0.1:1", bus_store).sides[Side.HUBSPOT]
    assert side._take(Incoming(Kind.BEAT, 1, counts=counts, process="worker-1")).status is Status.STORED
    with bus_store.reading() as tx:
        assert {row.name: row.lanes for row in tx.processes.alive()} == {
            "worker-1": "stripe",
            "hubspot-handler:worker-1": "web",
        }
        assert before[0] in tx.processes.alive()
        assert {(count.side, count.kept) for count in tx.webhook_counts.sum(60_000)} == {(Side.HUBSPOT, 2)}
        assert len(tx.processes.key_reports()) == 1, "a handler has no encryption keys"


@pytest.mark.parametrize(
    "head",
    [
        {"counts": [["hubspot", "signature", MAX_COUNT]]},
        {"times": [MAX_TOTAL_MS, *[1] * BUCKETS]},
        {"times": [1, *[MAX_COUNT] * BUCKETS]},
    ],
)
def test_a_report_fills_no_sum_that_is_kept_for_good(head: dict[str, object]) -> None:
    usual = {"kind": "beat", "arrived_ms": 1, "counts": [], "process": "", "started_ms": 0, "test": None, "times": []}
    Incoming.decode(json.dumps(usual).encode())
    with pytest.raises(InvalidMessage):
        Incoming.decode(json.dumps(usual | head).encode())


def test_no_more_webhooks_than_there_is_room_for_are_stored_without_a_thread(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, gate, prepared = make_queue(mosquitto.url, bus_store), threading.Event(), list[ParsedPost]()
    store_prepared = Intake.store_prepared

    def keep(_intake: Intake, posts: Sequence[ParsedPost]) -> None:
        prepared.extend(posts)

    def wait_and_store(intake: Intake, side: Side, body: bytes, received_ms: int) -> int:
        gate.wait(WAIT_S)
        post = intake.prepare_verified(side, body, received_ms, lambda _posts: None)
        assert post is not None
        return len(post.parsed.events)

    monkeypatch.setattr(Intake, "store_prepared", keep)
    monkeypatch.setattr(Intake, "store_verified", wait_and_store)
    topic, seal = topics.incoming(Side.HUBSPOT), part_seal(HANDLER)
    with running_queue(process), listening(mosquitto.url) as sender:
        for number in range(side_queue.MAX_STORING + 5):
            body = json.dumps([change(number) | {"eventId": number}]).encode()
            sender.client.publish(topic, seal.seal(topic, Incoming(Kind.POST, 1, body).encode()))
        await_true(lambda: len(prepared) == side_queue.MAX_STORING, "not all have come")
        store_prepared(process.intake, prepared)
        await_true(lambda: count_events(bus_store) == side_queue.MAX_STORING, "the events are not stored")
        gate.set()
        await_true(lambda: process.sides[Side.HUBSPOT]._waiting_bytes == 0, "a thread has the others")
