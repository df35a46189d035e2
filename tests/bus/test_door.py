"""A handler: it answers only what the queue has committed, and holds no database."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.bus_parts import (
    accept,
    accept_contact,
    accept_stripe,
    connected,
    count_events,
    listening,
    make_door,
    make_queue,
    part_seal,
    running_queue,
)
from tests.support.mosquitto import Mosquitto
from tests.support.web_door import PUBLIC_URL, change, sign_hubspot
from wanesync.bus.client import BusUnavailable
from wanesync.bus.door import BusDoor
from wanesync.bus.envelope import bind_exchange
from wanesync.bus.messages import Answer, Incoming, Kind, Status
from wanesync.bus.questions import Question
from wanesync.core.errors import ConfigError, InvalidPayload, InvalidSignature
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure, time_amount
from wanesync.core.posts import Post
from wanesync.core.roles import Role
from wanesync.store.database import Store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.door_test import TEST_HEADER, Verdict, describe_message, read_seen, store_sent
from wanesync.web.metrics import WebhookCounters

pytestmark = pytest.mark.slow


def test_an_answer_says_what_is_committed(mosquitto: Mosquitto, bus_store: Store) -> None:
    with running_queue(make_queue(mosquitto.url, bus_store)), connected(make_door(mosquitto.url)) as door:
        assert accept(door, [change(7), change(8)]) == 2
        assert count_events(bus_store) == 2
        assert accept(door, [change(7), change(8)]) == 0


def test_many_at_once_are_stored_and_each_is_answered(mosquitto: Mosquitto, bus_store: Store) -> None:
    with (
        running_queue(make_queue(mosquitto.url, bus_store)),
        connected(make_door(mosquitto.url)) as door,
        ThreadPoolExecutor(40) as pool,
    ):
        stored = list(pool.map(lambda number: accept_contact(door, number), range(200)))
    assert stored == [1] * 200


def test_what_the_vendor_did_not_sign_reaches_no_broker(mosquitto: Mosquitto) -> None:
    door = make_door(mosquitto.url)
    with listening(mosquitto.url, "wane/in/+") as listener, connected(door):
        with pytest.raises(InvalidSignature):
            door.accept(Side.HUBSPOT, b"[]", {}, PUBLIC_URL)
        with pytest.raises(ConfigError, match="takes no webhooks of stripe"):
            accept_stripe(door, {})
    assert listener.messages == []


def test_a_body_that_cannot_be_read_is_the_senders_mistake(mosquitto: Mosquitto, bus_store: Store) -> None:
    with running_queue(make_queue(mosquitto.url, bus_store)), connected(make_door(mosquitto.url)) as door:
        body = b"no json"
        headers = {name.lower(): value for name, value in sign_hubspot(body).items()}
        with pytest.raises(InvalidPayload, match="not JSON"):
            door.accept(Side.HUBSPOT, body, headers, f"{PUBLIC_URL}/webhooks/hubspot")


def test_without_a_queue_process_there_is_no_answer_in_time(mosquitto: Mosquitto) -> None:
    with (
        connected(make_door(mosquitto.url, timeout_s=1.2)) as door,
        pytest.raises(BusUnavailable, match="did not answer in time"),
    ):
        accept_contact(door, 1)


def test_without_a_broker_nothing_is_kept_for_later(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    door = make_door(mosquitto.url, timeout_s=1)
    door.client.start()
    try:
        with pytest.raises(BusUnavailable, match="cannot be reached"):
            accept_contact(door, 1)
    finally:
        door.client.stop()


def test_a_message_without_an_answer_is_sent_again_with_the_same_number(mosquitto: Mosquitto) -> None:
    """The queue process that got the first one may have died with it."""
    with listening(mosquitto.url, "wane/in/+") as listener, connected(make_door(mosquitto.url)) as door:
        asking = threading.Thread(target=lambda: accept_contact(door, 1))
        asking.start()
        listener.await_count(2)
        first, second = listener.messages[:2]
        assert (first.correlation, first.payload) == (second.correlation, second.payload)
        topic, queue = second.response_topic, part_seal(Role.QUEUE)
        stored, mine = Answer(Status.STORED, 1).encode(), bind_exchange(second.correlation)
        for payload in (b"forged", queue.seal(topic, b"{}", mine), queue.seal(topic, stored, mine)):
            listener.client.publish(topic, payload, correlation=second.correlation)
        asking.join(5)
        assert not asking.is_alive()


def test_a_message_that_no_queue_process_has_subscribed_for_is_sent_again_at_once(
    mosquitto: Mosquitto, bus_store: Store
) -> None:
    """As after a broker that lost its state: the handler is back before the queue is."""
    answered: list[int] = []
    with connected(make_door(mosquitto.url)) as door:
        asking = threading.Thread(target=lambda: answered.append(accept_contact(door, 7)))
        asking.start()
        with running_queue(make_queue(mosquitto.url, bus_store)):
            asking.join(5)
    assert answered == [1]


def test_the_broker_cannot_give_an_older_answer_to_another_question(mosquitto: Mosquitto, bus_store: Store) -> None:
    """A broker sees correlation data and topics: it must not make a handler say that a webhook is stored."""
    answers, questions = "wane/answer/hubspot-handler/hubspot-handler-one", "wane/in/hubspot"
    door, failures = make_door(mosquitto.url, timeout_s=2.2), list[BaseException]()

    def ask() -> None:
        try:
            accept_contact(door, 2)
        except BusUnavailable as error:
            failures.append(error)

    with listening(mosquitto.url, answers, questions) as listener, connected(door):
        with running_queue(make_queue(mosquitto.url, bus_store)):
            assert accept_contact(door, 1) == 1
            listener.await_count(2)
        question, old = sorted(listener.messages, key=lambda message: message.topic == answers)
        asking = threading.Thread(target=ask)
        asking.start()
        listener.await_count(3)
        # Neither an older answer nor an older question in the place of the new one makes it a success.
        number = listener.messages[2].correlation
        listener.client.publish(answers, old.payload, correlation=number)
        listener.client.publish(questions, question.payload, response_topic=answers, correlation=number)
        asking.join(5)
        assert [str(error) for error in failures] == ["the queue did not answer in time"]
        listener.client.publish(questions, question.payload, response_topic=f"{answers}2", correlation=b"x")
        with running_queue(make_queue(mosquitto.url, bus_store)):
            assert accept_contact(door, 3) == 1
    assert count_events(bus_store) == 3


def test_no_message_can_be_read_and_none_shows_a_value(mosquitto: Mosquitto, bus_store: Store) -> None:
    with (
        listening(mosquitto.url, "wane/#") as listener,
        running_queue(make_queue(mosquitto.url, bus_store)),
        connected(make_door(mosquitto.url)) as door,
    ):
        accept(door, [change(7) | {"propertyValue": "ada@example.com", "propertyName": "email"}])
        listener.await_topics({"wane/in/hubspot", "wane/answer/hubspot-handler/hubspot-handler-one"})
    assert not [message for message in listener.messages if b"ada" in message.payload or b"portal" in message.payload]


def test_a_test_event_of_doctor_is_reported_as_it_arrived(mosquitto: Mosquitto, bus_store: Store) -> None:
    nonce, body = "0" * 31 + "1", json.dumps([]).encode()
    headers = {name.lower(): value for name, value in sign_hubspot(body).items()} | {TEST_HEADER: nonce}
    url = f"{PUBLIC_URL}/webhooks/hubspot"
    with running_queue(make_queue(mosquitto.url, bus_store)), connected(make_door(mosquitto.url)) as door:
        assert door.receive_test(Side.HUBSPOT, body, headers, url) is None
        sent = describe_message(nonce, url, body, headers, bus_store.now_ms())
        bus_store.run(lambda tx: store_sent(tx, Side.HUBSPOT, sent))
        assert door.receive_test(Side.HUBSPOT, body, headers, url) is Verdict.OK
        with bus_store.reading() as tx:
            seen = read_seen(tx, Side.HUBSPOT)
        assert seen is not None
        assert (seen.digest, seen.verdict, seen.size) == (sent.digest, "ok", 2)
        early = {name.lower(): value for name, value in sign_hubspot(body, offset_ms=-301_000).items()}
        assert door.receive_test(Side.HUBSPOT, body, headers | early, url) is Verdict.CLOCK
        assert door.receive_test(Side.HUBSPOT, body, headers | {"x-hubspot-signature-v3": "x"}, url) is (
            Verdict.SIGNATURE
        )
        assert door.receive_test(Side.HUBSPOT, body, {}, url) is None


def test_a_handler_reports_that_it_runs_and_what_it_refused(mosquitto: Mosquitto, bus_store: Store) -> None:
    counters = WebhookCounters()
    counters.count(Side.HUBSPOT, 401, Outcome.SIGNATURE, 0, took_ms=40)
    door = make_door(mosquitto.url)
    door.report(counters, "handler-1")  # not connected: kept
    with running_queue(make_queue(mosquitto.url, bus_store)), connected(door):
        stopping = threading.Event()
        stopping.set()
        door.report_until(stopping, counters, "handler-1")
        assert accept_contact(door, 1) == 1
    with bus_store.reading() as tx:
        counted = {count.outcome: count.kept for count in tx.webhook_counts.sum(60_000)}
        assert counted[Outcome.SIGNATURE] == 1
        assert [row.lanes for row in tx.processes.alive() if row.name == "hubspot-handler:handler-1"] == ["web"]
    pending = bus_store.figures.pending()
    assert pending[Figure.WEBHOOKS, "side=hubspot,outcome=signature"].count == 1
    assert pending[Figure.WEBHOOK_ANSWER, "side=hubspot"] == time_amount(40)
    door.report(WebhookCounters())
    assert Incoming(Kind.BEAT, 1).decode(Incoming(Kind.BEAT, 1).encode()) == Incoming(Kind.BEAT, 1)


def test_what_is_prepared_is_stored_without_a_thread_for_each(mosquitto: Mosquitto, bus_store: Store) -> None:
    url, settled, done = f"{PUBLIC_URL}/webhooks/hubspot", list[Post](), threading.Event()

    def settle(posts: Sequence[Post]) -> None:
        settled.extend(posts)
        if len(settled) == 20:
            done.set()

    def prepare(door: BusDoor, number: int) -> Question | None:
        body = json.dumps([change(number) | {"eventId": number}]).encode()
        headers = {name.lower(): value for name, value in sign_hubspot(body).items()}
        return door.prepare(Side.HUBSPOT, body, headers, url, settle)

    door = make_door(mosquitto.url)
    assert prepare(door, 1) is None, "it has to wait for the broker"
    with running_queue(make_queue(mosquitto.url, bus_store)), connected(door):
        assert door.prepare(Side.HUBSPOT, b"[]", {}, url, settle) is None, "it is not signed"
        door.store_prepared([post for number in range(20) if (post := prepare(door, number))])
        assert done.wait(10)
    assert [(post.new, post.error) for post in settled] == [(1, None)] * 20
    assert count_events(bus_store) == 20
