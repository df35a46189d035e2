"""The parts of a bus in one process: handlers and queue processes around a real broker and a real database."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.web_door import FIELDS, PUBLIC_URL, SECRET, WHSEC, change, sign_hubspot, sign_stripe
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.signatures import HubSpotSignature, StripeSignature
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.adapters.webhooks import VerifiedWebhooks, VerifyingWebhooks
from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, Message
from wanesync.bus.door import BusDoor
from wanesync.bus.envelope import Seal
from wanesync.bus.queue_process import LONE_SESSION_S, QueueProcess
from wanesync.bus.seal_keys import derive_part_key, make_bus_key
from wanesync.core.model import Side
from wanesync.core.roles import HANDLERS, Role
from wanesync.store.database import Store, open_store
from wanesync.sync.intake import Intake

BUS_KEY = os.environ.get("WANESYNC_TEST_BUS_KEY") or make_bus_key("test")
"""Of this process, and of those it starts with the same variable."""
WAIT_S = 20


def part_seal(role: Role) -> Seal:
    """The keys of one part."""
    return Seal([BUS_KEY if role is Role.QUEUE else derive_part_key(BUS_KEY, role)])


def make_intake(store: Store) -> Intake:
    """The intake of a queue process."""
    hubspot, stripe = HubSpotWebhooks(FIELDS, "3", key=b"k"), StripeEvents(FIELDS, StripeAccount(False, "3"), key=b"k")
    return Intake(store, {Side.HUBSPOT: VerifiedWebhooks(hubspot), Side.STRIPE: VerifiedWebhooks(stripe)})


def make_door(url: str, side: Side = Side.HUBSPOT, instance: str = "one", timeout_s: float = 5) -> BusDoor:
    """The door of a handler, not connected yet."""
    signature = HubSpotSignature([SECRET]) if side is Side.HUBSPOT else StripeSignature([WHSEC])
    options = BusOptions(url, topics.client_id(HANDLERS[side], instance))
    return BusDoor(side, VerifyingWebhooks(signature), part_seal(HANDLERS[side]), options, timeout_s)


def make_queue(url: str, store: Store, name: str = "one") -> QueueProcess:
    """A queue process, not started yet."""
    options = BusOptions(url, topics.client_id(Role.QUEUE, name), session_s=LONE_SESSION_S)
    return QueueProcess(store, make_intake(store), part_seal(Role.QUEUE), options)


def accept(door: BusDoor, elements: list[dict[str, object]]) -> int:
    """Post HubSpot's elements to a door as the web application does; how many events were new."""
    body = json.dumps(elements).encode()
    headers = {name.lower(): value for name, value in sign_hubspot(body).items()}
    return door.accept(Side.HUBSPOT, body, headers, f"{PUBLIC_URL}/webhooks/hubspot")


def accept_contact(door: BusDoor, contact_id: int) -> int:
    """Post the creation of one contact, an event of its own."""
    return accept(door, [change(contact_id) | {"eventId": contact_id}])


def accept_stripe(door: BusDoor, event: dict[str, object]) -> int:
    """Post an event of Stripe's to a door."""
    body = json.dumps(event).encode()
    headers = {name.lower(): value for name, value in sign_stripe(body).items()}
    return door.accept(Side.STRIPE, body, headers, f"{PUBLIC_URL}/webhooks/stripe")


@contextmanager
def connected(door: BusDoor) -> Iterator[BusDoor]:
    """A door that is connected while the block lasts."""
    door.client.start()
    try:
        assert door.client.wait_ready(WAIT_S), door.client.trouble
        yield door
    finally:
        door.client.stop()


def await_ready(process: QueueProcess) -> None:
    """Wait until both sides of a queue process are connected."""
    for side in process.sides.values():
        assert side.client.wait_ready(WAIT_S), side.client.trouble


@contextmanager
def running_queue(process: QueueProcess) -> Iterator[QueueProcess]:
    """A queue process that runs in a thread while the block lasts."""
    thread = threading.Thread(target=process.run, name="queue")
    thread.start()
    try:
        await_ready(process)
        yield process
    finally:
        process.stopping.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


@contextmanager
def file_store(folder: Path) -> Iterator[Store]:
    """A new database on a file."""
    store = open_store(f"sqlite:{folder / 'bus.db'}", migrate=True)
    try:
        yield store
    finally:
        store.close()


class Listener:
    """A client that collects what is published."""

    def __init__(self, url: str, *wanted: str, name: str = "listener") -> None:
        self.messages: list[Message] = []
        self._changed = threading.Condition()
        self.client = BusClient(BusOptions(url, name), wanted, self._take)

    def _take(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def await_topics(self, wanted: set[str], timeout_s: float = WAIT_S) -> None:
        """Wait until something was published to each of some topics."""
        with self._changed:
            found = self._changed.wait_for(lambda: wanted <= {m.topic for m in self.messages}, timeout_s)
        assert found, wanted - {message.topic for message in self.messages}

    def await_count(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Wait until so many messages have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, timeout_s), len(self.messages)

    def await_correlation(self, topic: str, correlation: bytes, timeout_s: float = WAIT_S) -> list[bytes]:
        """Wait until a message on a topic has this correlation data; returns those of all messages on the topic."""

        def find() -> list[bytes]:
            return [message.correlation for message in self.messages if message.topic == topic]

        with self._changed:
            assert self._changed.wait_for(lambda: correlation in find(), timeout_s), topic
            return find()


@contextmanager
def listening(url: str, *wanted: str, name: str = "listener") -> Iterator[Listener]:
    """A listener that is connected while the block lasts."""
    listener = Listener(url, *wanted, name=name)
    listener.client.start()
    try:
        assert listener.client.wait_ready(WAIT_S), listener.client.trouble
        yield listener
    finally:
        listener.client.stop()


def await_true(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def count_events(store: Store) -> int:
    """How many events are stored."""
    with closing(sqlite3.connect(store.url_label.removeprefix("sqlite:"))) as database:
        return int(database.execute("SELECT COUNT(*) FROM events").fetchone()[0])
