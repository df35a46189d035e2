"""A queue process: acknowledged after the commit, so that nothing is lost and nothing counts twice."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.bus_parts import (
    WAIT_S,
    accept_contact,
    await_ready,
    await_true,
    connected,
    count_events,
    listening,
    make_door,
    make_intake,
    make_queue,
    part_seal,
    running_queue,
)
from tests.support.mosquitto import Mosquitto
from tests.support.web_door import change
from wanesync.bus import side_queue, topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.messages import Incoming, Kind
from wanesync.bus.queue_process import LONE_SESSION_S, QUEUE, SHARED_SESSION_S, QueueProcess
from wanesync.bus.side_queue import MAX_AGE_MS
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged
from wanesync.core.model import Side
from wanesync.core.roles import Role
from wanesync.store.database import Store, open_store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.sync.intake import Intake, ParsedPost

pytestmark = pytest.mark.slow
TOPIC = topics.incoming(Side.HUBSPOT)


def sealed(contact_id: int, arrived_ms: int = 0) -> bytes:
    body = json.dumps([change(contact_id) | {"eventId": contact_id}]).encode()
    return part_seal(Role.HUBSPOT_HANDLER).seal(TOPIC, Incoming(Kind.POST, arrived_ms, body).encode())


def test_what_arrives_while_it_is_away_is_stored_when_it_is_back(mosquitto: Mosquitto, bus_store: Store) -> None:
    with running_queue(make_queue(mosquitto.url, bus_store)):
        pass
    door = make_door(mosquitto.url, timeout_s=1)
    with connected(door), pytest.raises(BusUnavailable):
        accept_contact(door, 7)
    with running_queue(make_queue(mosquitto.url, bus_store)):
        await_true(lambda: count_events(bus_store) == 1, "the event is not stored")


def test_a_message_that_comes_twice_counts_once(mosquitto: Mosquitto, bus_store: Store) -> None:
    with running_queue(make_queue(mosquitto.url, bus_store)), listening(mosquitto.url) as sender:
        message = sealed(7)
        for _ in range(5):
            sender.client.publish(TOPIC, message)
        sender.client.publish(TOPIC, sealed(8))
        await_true(lambda: count_events(bus_store) >= 2, "the events are not stored")
    assert count_events(bus_store) == 2


def test_what_is_not_sealed_is_dropped_and_the_next_is_stored(mosquitto: Mosquitto, bus_store: Store) -> None:
    with running_queue(make_queue(mosquitto.url, bus_store)) as process, listening(mosquitto.url) as sender:
        for payload in (
            b"",
            b"forged",
            sealed(7)[:-1],
            part_seal(Role.HUBSPOT_HANDLER).seal(TOPIC, b"{}"),
        ):
            sender.client.publish(TOPIC, payload)
        sender.client.publish("wane/in/salesforce", sealed(7))
        sender.client.publish(TOPIC, sealed(8))
        await_true(lambda: count_events(bus_store) == 1, "the event is not stored")
    assert session_s(process) == LONE_SESSION_S


def session_s(process: QueueProcess) -> int:
    """How long the broker keeps the sessions of a queue process; 0 while its sides differ."""
    found = {side.client.options.session_s for side in process.sides.values()}
    return found.pop() if len(found) == 1 else 0


class Broken(Intake):
    """An intake in front of a database that comes back, or of an error of our own."""

    errors: list[Exception]

    def store_verified(self, side: Side, body: bytes, received_ms: int) -> int:
        if self.errors:
            raise self.errors.pop()
        return Intake.store_verified(self, side, body, received_ms)

    def store_prepared(self, posts: Sequence[ParsedPost]) -> None:
        for post in posts:
            if self.errors:
                post.error = self.errors.pop()
                post.settle([post])
            else:
                Intake.store_prepared(self, [post])


@pytest.fixture(params=[0, side_queue.MAX_QUICK_BYTES], ids=["in a thread", "quickly"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a queue process stores a webhook."""
    monkeypatch.setattr(side_queue, "MAX_QUICK_BYTES", request.param)


def broken(process: QueueProcess, *errors: Exception) -> None:
    intake = Broken(process.store, make_intake(process.store).hooks)
    intake.errors = list(errors)
    for side in process.sides.values():
        side.intake = intake


@pytest.mark.usefixtures("way")
def test_while_the_database_is_away_the_vendor_is_told_and_the_webhook_is_stored_later(
    mosquitto: Mosquitto, bus_store: Store
) -> None:
    process = make_queue(mosquitto.url, bus_store)
    broken(process, DatabaseUnavailable("away"))
    with running_queue(process), connected(make_door(mosquitto.url)) as door:
        with pytest.raises(BusUnavailable, match="could not store it now"):
            accept_contact(door, 7)
        await_true(lambda: count_events(bus_store) == 1, "the event is not stored")


@pytest.mark.usefixtures("way")
def test_an_error_of_our_own_is_answered_and_not_tried_for_ever(mosquitto: Mosquitto, bus_store: Store) -> None:
    process = make_queue(mosquitto.url, bus_store)
    broken(process, RuntimeError("a bug"))
    with running_queue(process), connected(make_door(mosquitto.url)) as door:
        with pytest.raises(BusUnavailable, match="could not store it now"):
            accept_contact(door, 7)
        assert accept_contact(door, 8) == 1


@pytest.mark.usefixtures("way")
def test_a_changed_field_map_ends_the_process(mosquitto: Mosquitto, bus_store: Store) -> None:
    process, raised = make_queue(mosquitto.url, bus_store), list[Exception]()
    broken(process, FieldMapChanged())

    def run() -> None:
        try:
            process.run()
        except FieldMapChanged as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await_ready(process)
    with listening(mosquitto.url) as sender:
        sender.client.publish(TOPIC, sealed(7))
        thread.join(WAIT_S)
    assert len(raised) == 1
    with running_queue(make_queue(mosquitto.url, bus_store)):
        await_true(lambda: count_events(bus_store) == 1, "what was not acknowledged does not come again")


def test_two_share_the_load_and_one_may_end(mosquitto: Mosquitto, bus_store: Store, tmp_path: Path) -> None:
    other_store = open_store(bus_store.url_label)
    one, two = make_queue(mosquitto.url, bus_store, "one"), make_queue(mosquitto.url, other_store, "two")
    with connected(make_door(mosquitto.url)) as door, running_queue(one):
        with running_queue(two):
            await_true(lambda: session_s(one) == SHARED_SESSION_S, "one does not share")
            await_true(lambda: session_s(two) == SHARED_SESSION_S, "two does not share")
            await_ready(one)
            await_ready(two)
            assert [accept_contact(door, number) for number in range(20)] == [1] * 20
        with bus_store.reading() as tx:
            assert [row.lanes for row in tx.processes.alive()] == [QUEUE]
        # Without a word of the one that ended: what the broker still gives it is sent again.
        assert [accept_contact(door, number) for number in range(20, 26)] == [1] * 6
        await_true(lambda: session_s(one) == LONE_SESSION_S, "one does not notice that it is alone")
    other_store.close()
    assert count_events(bus_store) == 26


def test_one_that_joins_another_has_a_short_session_at_once(mosquitto: Mosquitto, bus_store: Store) -> None:
    """Killed in its first moments it would leave a session of an hour, which is given half of all messages."""
    other_store = open_store(bus_store.url_label)
    one, two = make_queue(mosquitto.url, bus_store, "one"), make_queue(mosquitto.url, other_store, "two")
    with running_queue(one):
        with bus_store.reading() as tx:
            assert [row.lanes for row in tx.processes.alive()] == [QUEUE]
        with running_queue(two):
            assert session_s(two) == SHARED_SESSION_S
            # Its first connection: no later one has shortened its session.
            assert {side.client._connection for side in two.sides.values()} == {1}
    other_store.close()


def test_a_queue_process_serves_beside_one_that_was_killed_and_whose_session_is_kept(
    mosquitto: Mosquitto, bus_store: Store
) -> None:
    """Mosquitto deals in turn, also to the dead one, and other messages may come between all attempts of a webhook."""
    member = BusClient(BusOptions(mosquitto.url, "queue-killed-hubspot", session_s=60), [topics.shared(TOPIC)])
    member.start()
    assert member.wait_ready(WAIT_S)
    member.stop()
    answered: list[int] = []
    with (
        running_queue(make_queue(mosquitto.url, bus_store)),
        connected(make_door(mosquitto.url, timeout_s=5)) as door,
        listening(mosquitto.url, TOPIC) as listener,
    ):
        asking = threading.Thread(target=lambda: answered.append(accept_contact(door, 7)))
        asking.start()
        for heard in (1, 3):
            listener.await_count(heard)
            listener.client.publish(TOPIC, b"another message")
        asking.join(WAIT_S)
    assert answered == [1]
    kept = queue.SimpleQueue[Message]()
    member = BusClient(member.options, [topics.shared(TOPIC)], kept.put)
    member.start()
    assert kept.get(timeout=WAIT_S).payload != b"another message", "the first attempt went to the dead one"
    member.stop()


def test_dropped_elements_are_counted_and_a_wrong_time_of_arrival_does_no_harm(
    mosquitto: Mosquitto, bus_store: Store
) -> None:
    process = make_queue(mosquitto.url, bus_store)
    with running_queue(process), listening(mosquitto.url) as sender:
        for number, arrived_ms in enumerate((0, 2**50, bus_store.now_ms() - 2 * MAX_AGE_MS)):
            sender.client.publish(TOPIC, sealed(number, arrived_ms))
        await_true(lambda: count_events(bus_store) == 3, "the events are not stored")
        process.intake.count(Side.HUBSPOT, Outcome.FOREIGN, 4)
    with bus_store.reading() as tx:
        assert {count.outcome: count.kept for count in tx.webhook_counts.sum(60_000)} == {Outcome.FOREIGN: 4}


def test_its_session_is_that_of_its_name() -> None:
    assert BusOptions("mqtt://127.0.0.1", topics.client_id(Role.QUEUE, "a")).client_id == "queue-a"
