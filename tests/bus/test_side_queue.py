"""One side of the queue: what it does with a message, and that the other side goes on."""

from __future__ import annotations

import threading

import pytest

from tests.support.bus_parts import (
    WAIT_S,
    accept_contact,
    connected,
    count_events,
    listening,
    make_door,
    make_queue,
    running_queue,
)
from tests.support.mosquitto import Mosquitto
from wanesync.bus import topics
from wanesync.bus.client import BusUnavailable
from wanesync.bus.messages import Answer, Status
from wanesync.core.model import Side
from wanesync.store.database import Store

pytestmark = pytest.mark.slow


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


def test_an_answer_that_cannot_be_sent_is_left_out(
    mosquitto: Mosquitto, bus_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler asks again, and is answered then."""
    process = make_queue(mosquitto.url, bus_store)
    client, refused = process.sides[Side.HUBSPOT].client, list[str]()
    publish = client.publish

    def refuse_once(topic: str, payload: bytes, **values: object) -> None:
        if not refused:
            refused.append(topic)
            raise BusUnavailable("full")
        publish(topic, payload, **values)  # type: ignore[arg-type]  # as they were given

    monkeypatch.setattr(client, "publish", refuse_once)
    with running_queue(process), connected(make_door(mosquitto.url)) as door:
        assert accept_contact(door, 7) == 0
    assert refused == ["wane/answer/hubspot-handler/hubspot-handler-one"]
    assert count_events(bus_store) == 1


def test_an_answer_says_no_more_than_what_became_of_it() -> None:
    assert Answer(Status.STORED, 3).encode() == b'{"status":"stored","new":3}'
