"""docs/asyncapi.yaml: valid by the official schema, and what is really published, no more and no less.

``asyncapi-3.0.0.json.gz`` is ``schemas/3.0.0-without-$id.json`` of the npm package @asyncapi/specs 6.11.1 (Apache-2.0).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.bus_parts import (
    BUS_KEY,
    accept_contact,
    accept_stripe,
    connected,
    listening,
    make_door,
    make_queue,
    part_seal,
    running_queue,
)
from tests.support.make_asyncapi import MESSAGES, PLACE, build, find_channels, render
from tests.support.mosquitto import Mosquitto
from wanesync.bus import topics
from wanesync.bus.client import BusOptions, Message
from wanesync.bus.envelope import Seal, bind_exchange
from wanesync.bus.topics import Verb, may
from wanesync.bus.work_listener import WorkListener
from wanesync.core.jobs import DeadClass, JobKind, JobReport, JobRequest
from wanesync.core.model import Link, Side
from wanesync.core.roles import WORKERS, Role
from wanesync.purchases.sender import SINK
from wanesync.store.database import Store

SCHEMA = Path(__file__).with_name("asyncapi-3.0.0.json.gz")
HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
STRIPE_EVENT = {
    "id": "evt_1", "object": "event", "type": "customer.deleted", "created": 1, "livemode": False,
    "data": {"object": {"id": "cus_1", "object": "customer"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PLACE.read_text(encoding="utf-8"))
    return loaded


def test_it_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(json.loads(gzip.decompress(SCHEMA.read_bytes())))
    assert [error.message[:200] for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors({**document, "channels": {"a": {"adress": "b"}}})) != []


def test_it_is_made_from_the_table() -> None:
    assert PLACE.read_text(encoding="utf-8") == render(), "run python -m tests.support.make_asyncapi"


def test_every_operation_is_a_right_and_every_right_an_operation(document: dict[str, Any]) -> None:
    assert document == build()
    for name, operation in document["operations"].items():
        channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
        role = Role(operation["summary"].split()[0])
        verb = Verb.PUBLISH if operation["action"] == "send" else Verb.SUBSCRIBE
        assert may(role, verb, channel["address"].replace("{clientId}", "one")), name
    assert len(document["operations"]) == len(topics.RIGHTS)


def put(store: Store, lane: Side, kind: JobKind, *keys: str) -> None:
    store.run(lambda tx: tx.jobs.put_many([JobRequest(lane, kind, key) for key in keys]))


def end_four_ways(store: Store, lane: Side) -> None:
    """Claim jobs of a lane and end each in another way."""
    put(store, lane, JobKind.READ, "1", "2", "3", "4")

    def end(tx: Any) -> None:
        tx.processes.beat("worker", str(lane), 1)
        jobs = tx.jobs.claim(lane, [JobKind.READ], 4, "worker")
        tx.jobs.finish(jobs[0])
        tx.jobs.reschedule(jobs[1], tx.now_ms + 60_000, "500", count=True, waits_for="backoff")
        tx.jobs.reschedule(jobs[2], tx.now_ms + 60_000, "locked", count=False, waits_for="lock")
        tx.jobs.mark_dead(jobs[3], DeadClass.REFUSED, "refused")

    store.run(end)


def cause_work(store: Store, await_topics: Any) -> None:
    """Queue jobs of every kind, one after the other where what they wake depends on how many there are."""
    put(store, STRIPE, JobKind.READ, "cus_1")
    put(store, STRIPE, JobKind.WRITE, "contact:9")
    put(store, HUBSPOT, JobKind.WRITE, "customer:1")
    await_topics({topics.work(HUBSPOT, "create"), topics.work(STRIPE, "create"), topics.work(STRIPE, "read")})
    put(store, HUBSPOT, JobKind.WRITE, "customer:2", "customer:3")
    store.run(lambda tx: tx.links.put(Link("link", "5", "cus_5", True, {}, 1)))
    put(store, HUBSPOT, JobKind.WRITE, "contact:5")
    put(store, STRIPE, JobKind.WRITE, "contact:5")
    put(store, HUBSPOT, JobKind.PURCHASE, "pi_1")
    await_topics({topics.work(HUBSPOT, "create-many"), topics.work(HUBSPOT, "event")})
    store.run(lambda tx: tx.settings.put(SINK, "note"))
    put(store, HUBSPOT, JobKind.PURCHASE, "pi_2")
    await_topics({topics.work(HUBSPOT, "note")})


def check(messages: list[Message]) -> None:
    """Every message is described, and nothing that is described stayed away."""
    seal, described = Seal([BUS_KEY]), find_channels()
    channels = {address.replace("{clientId}", "+"): message for address, message, _ in described.values()}
    seen = set()
    for message in messages:
        (address,) = [one for one in channels if topics.matches(one, message.topic)]
        seen.add(address)
        exchange = b""
        if message.topic.startswith(("wane/in/", "wane/answer/")):
            exchange = bind_exchange(message.correlation, message.response_topic)
        head = seal.open(message.topic, message.payload, exchange).partition(b"\n")[0]
        jsonschema.validate(json.loads(head), MESSAGES[channels[address]]["payload"])
    assert set(channels) - seen == set()


@pytest.mark.slow
def test_everything_that_is_published_is_described_and_everything_described_is_published(
    mosquitto: Mosquitto, bus_store: Store
) -> None:
    listeners = [
        WorkListener(
            bus_store, side, part_seal(role), BusOptions(mosquitto.url, topics.client_id(role, "one")), lambda: None
        )
        for side, role in WORKERS.items()
    ]
    with (
        listening(mosquitto.url, "#", name="all") as everything,
        running_queue(make_queue(mosquitto.url, bus_store)),
        connected(make_door(mosquitto.url)) as hubspot,
        connected(make_door(mosquitto.url, STRIPE)) as stripe,
    ):

        def report(reports: Sequence[JobReport]) -> None:
            for one in listeners:
                one.report(reports)

        bus_store.report = report
        for listener in listeners:
            listener.client.start()
            assert listener.client.wait_ready(20)
        accept_contact(hubspot, 7)
        accept_stripe(stripe, STRIPE_EVENT)
        hubspot.beat("handler", {})
        cause_work(bus_store, everything.await_topics)
        for side in Side:
            end_four_ways(bus_store, side)
        bus_store.run(lambda tx: tx.rates.set_limit("stripe", 12))
        bus_store.run(lambda tx: tx.pauses.set("hubspot", "away", True, 5))
        everything.await_topics({topics.control("limits"), topics.control("pause")})
        bus_store.run(lambda tx: tx.pauses.clear("hubspot"))
        wanted = {address for address, _, _ in find_channels().values() if "{" not in address}
        everything.await_topics(wanted)
        for listener in listeners:
            listener.client.stop()
    check(everything.messages)
