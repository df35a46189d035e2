"""The MQTT client of a part, against a broker that a test scripts and against a real Mosquitto."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.mosquitto import Mosquitto, running
from tests.support.scripted_broker import (
    CONNECT,
    DISCONNECT,
    PUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    ScriptedBroker,
    publish,
    suback,
)
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message, make_tls_context, split_login
from wanesync.core.errors import ConfigError

WAIT_S = 20


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtts://broker.example", ("broker.example", 8883)),
        ("mqtts://[::1]:8884", ("::1", 8884)),
        ("mqtt://127.0.0.1", ("127.0.0.1", 1883)),
    ],
)
def test_the_port_follows_from_the_scheme(url: str, address: tuple[str, int]) -> None:
    assert BusOptions(url, "one").address == address


def test_a_login_kept_as_one_secret_names_its_own_user() -> None:
    assert split_login("", "hubspot-handler.2:a:b") == ("hubspot-handler.2", "a:b")
    for username, password in (("queue", "secret"), ("queue", "a:b"), ("", ""), ("queue", "Queue.1:x")):
        assert split_login(username, password) == (username, password)


def test_no_password_is_shown() -> None:
    assert "geheim" not in repr(BusOptions("mqtts://h", "one", "user", "geheim"))


def test_a_file_that_is_no_certificate_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=r"bus\.ca, bus\.certificate, bus\.key: cannot be used"):
            make_tls_context(BusOptions("mqtts://h", "one", ca=str(ca)))


class Reader:
    """A client with what it received."""

    def __init__(self, url: str, *topics: str, session_s: int = 0, manual_ack: bool = True) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.client = BusClient(
            BusOptions(url, "queue-one", session_s=session_s), topics, self.messages.put, manual_ack=manual_ack
        )

    def next(self) -> Message:
        return self.messages.get(timeout=WAIT_S)


@contextmanager
def started(client: BusClient) -> Iterator[BusClient]:
    client.start()
    try:
        yield client
    finally:
        client.stop()


# -- a broker of the test's own


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with closing(ScriptedBroker()) as made:
        yield made


def test_nothing_is_acknowledged_before_the_subscriptions_stand(broker: ScriptedBroker) -> None:
    """What a resumed session repeats before was lost in another client, which acknowledged it unread."""
    broker.session_present = True
    broker.on_connack = [publish("wane/in/hubspot", b"early", 7)]
    reader = Reader(broker.url, "wane/in/hubspot", session_s=60)
    with started(reader.client):
        early = reader.next()
        reader.client.acknowledge(early)
        number = broker.await_packet(SUBSCRIBE).number
        assert not reader.client.is_ready
        assert broker.packets.empty()
        broker.send(suback(number, 1))
        assert broker.await_packet(PUBACK).number == 7
        assert reader.client.is_ready


def test_an_acknowledgement_of_an_earlier_connection_is_left(broker: ScriptedBroker) -> None:
    """A broker that lost its session gives the numbers of old messages to new ones."""
    reader = Reader(broker.url, "wane/in/hubspot", session_s=60)
    with started(reader.client):
        broker.send(suback(broker.await_packet(SUBSCRIBE).number, 1))
        broker.send(publish("wane/in/hubspot", b"old", 1))
        old = reader.next()
        broker.drop()
        broker.send(suback(broker.await_packet(SUBSCRIBE).number, 1))
        broker.send(publish("wane/in/hubspot", b"new", 1))
        new = reader.next()
        reader.client.acknowledge(old)
        assert new.payload == b"new"
        assert broker.packets.empty()
        reader.client.acknowledge(new)
        assert broker.await_packet(PUBACK).number == 1


def test_a_refused_subscription_is_named_and_nothing_counts_as_ready(broker: ScriptedBroker) -> None:
    reader = Reader(broker.url, "wane/in/hubspot", "wane/in/stripe")
    with started(reader.client):
        broker.send(suback(broker.await_packet(SUBSCRIBE).number, 1, 0x87))
        assert not reader.client.wait_ready(0.5)
        assert reader.client.trouble == "the broker refuses to let us read wane/in/stripe"


def test_what_cannot_be_sent_any_more_is_refused(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.bus.client.MAX_QUEUED", 3)
    client = BusClient(BusOptions("mqtt://127.0.0.1:9", "one"))
    for _ in range(3):
        client.publish("wane/in/hubspot", b"")
    with pytest.raises(BusUnavailable, match="too many messages wait"):
        client.publish("wane/in/hubspot", b"")


def test_each_connection_takes_the_password_of_the_moment(broker: ScriptedBroker) -> None:
    passwords = iter(["first-password", "second-password"])
    options = BusOptions(broker.url, "one", "user", "unused", find_password=lambda: next(passwords))
    with started(BusClient(options)):
        assert broker.await_packet(CONNECT).body.endswith(b"first-password")
        broker.drop()
        assert broker.await_packet(CONNECT).body.endswith(b"second-password")
    assert "first" not in repr(options)


def test_the_broker_confirms_that_it_has_read_all_before_a_client_disconnects(broker: ScriptedBroker) -> None:
    """What Mosquitto has not read of a closed connection it drops when the next process of the name connects."""
    reader = Reader(broker.url, "wane/in/hubspot", session_s=60)
    with started(reader.client):
        broker.send(suback(broker.await_packet(SUBSCRIBE).number, 1))
        broker.send(publish("wane/in/hubspot", b"one", 7))
        reader.client.acknowledge(reader.next())
    found = [broker.packets.get(timeout=WAIT_S).kind for _ in range(3)]
    assert found == [PUBACK, UNSUBSCRIBE, DISCONNECT]


def test_a_broker_that_confirms_nothing_is_left_all_the_same(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanesync.bus.network_loop.GOODBYE_S", 0.1)
    broker.confirms = False
    reader = Reader(broker.url, "wane/in/hubspot")
    with started(reader.client):
        broker.send(suback(broker.await_packet(SUBSCRIBE).number, 1))
        assert reader.client.wait_ready(WAIT_S)
    broker.await_packet(UNSUBSCRIBE)
    assert not reader.client.is_ready


# -- Mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with running(tmp_path / "broker") as broker:
        yield broker


@pytest.mark.slow
def test_an_answer_finds_its_question(mosquitto: Mosquitto) -> None:
    answers: queue.Queue[Message] = queue.Queue()
    asking = BusClient(BusOptions(mosquitto.url, "handler-1"), ["wane/answer/h/handler-1"], answers.put)
    reader = Reader(mosquitto.url, "$share/queue/wane/in/+", session_s=60)
    with started(asking), started(reader.client):
        assert asking.wait_ready(WAIT_S)
        assert reader.client.wait_ready(WAIT_S)
        asking.publish("wane/in/stripe", b"?", response_topic="wane/answer/h/handler-1", correlation=b"77", expiry_s=9)
        question = reader.next()
        assert (question.topic, question.payload) == ("wane/in/stripe", b"?")
        reader.client.publish(question.response_topic, b"!", correlation=question.correlation)
        reader.client.acknowledge(question)
        answer = answers.get(timeout=WAIT_S)
        assert (answer.payload, answer.correlation) == (b"!", b"77")


@pytest.mark.slow
def test_a_resumed_session_loses_nothing(mosquitto: Mosquitto) -> None:
    """What was not acknowledged, and what came meanwhile, arrives at the next process of the same name."""
    sender = BusClient(BusOptions(mosquitto.url, "handler-1"))
    wanted = {str(number).encode() for number in range(300)}
    with started(sender):
        first = Reader(mosquitto.url, "wane/in/+", session_s=60)
        with started(first.client):
            assert first.client.wait_ready(WAIT_S)
            for payload in sorted(wanted)[:100]:
                sender.publish("wane/in/hubspot", payload)
            taken = [first.next() for _ in range(100)]
            for message in taken[:40]:
                first.client.acknowledge(message)
        for payload in sorted(wanted)[100:]:
            sender.publish("wane/in/hubspot", payload)
        second = Reader(mosquitto.url, "wane/in/+", session_s=60)
        with started(second.client):
            left = wanted - {message.payload for message in taken[:40]}
            got = set[bytes]()
            while left - got:
                message = second.next()
                got.add(message.payload)
                second.client.acknowledge(message)
            # Until the subscriptions stand the acknowledgements are held.
            assert second.client.wait_ready(WAIT_S)
    third = Reader(mosquitto.url, "wane/in/+", session_s=60)
    with started(third.client):
        assert third.client.wait_ready(WAIT_S)
        # All that the second one has acknowledged had reached the broker when it ended.
        assert third.messages.qsize() == 0


@pytest.mark.slow
def test_what_was_sent_while_the_broker_was_away_arrives(mosquitto: Mosquitto) -> None:
    sender = BusClient(BusOptions(mosquitto.url, "handler-1"))
    reader = Reader(mosquitto.url, "wane/in/+", session_s=60, manual_ack=False)
    with started(sender), started(reader.client):
        assert sender.wait_ready(WAIT_S)
        assert reader.client.wait_ready(WAIT_S)
        mosquitto.stop()
        sender.publish("wane/in/hubspot", b"while away")
        mosquitto.start()
        assert reader.next().payload == b"while away"


@pytest.mark.slow
def test_the_time_a_session_is_kept_can_change_and_nothing_is_lost(mosquitto: Mosquitto) -> None:
    sender = BusClient(BusOptions(mosquitto.url, "handler-1"))
    stood = threading.Semaphore(0)
    reader = Reader(mosquitto.url, "wane/in/+", session_s=600)
    reader.client._connected = stood.release
    with started(sender), started(reader.client):
        assert stood.acquire(timeout=WAIT_S)
        sender.publish("wane/in/hubspot", b"before")
        before = reader.next()
        reader.client.keep_session(1)
        assert stood.acquire(timeout=WAIT_S)
        assert reader.client.options.session_s == 1
        again = reader.next()
        assert (again.payload, again.repeated) == (before.payload, True)


@pytest.mark.slow
def test_two_processes_of_one_name_are_told(mosquitto: Mosquitto) -> None:
    one, two = (Reader(mosquitto.url, "wane/in/+", session_s=60) for _ in range(2))
    with started(one.client), started(two.client):
        assert _await_trouble(one.client, "lost again and again") == (
            "the connection is lost again and again: the broker restarts, or another process connects as queue-one: "
            "give each its own name ([bus] name)"
        )


def _await_trouble(client: BusClient, part: str) -> str:
    """The trouble of a client that holds ``part``, or the last one when the wait ends."""
    with client._ready:
        client._ready.wait_for(lambda: part in client.trouble, WAIT_S)
        return client.trouble
