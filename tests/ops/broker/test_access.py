"""Each role tries every topic on a real broker: what is delivered is what the printed matrix allows, and nothing else.

Judged by delivery, not by the broker's answers: a subscription that is forbidden may be granted all the same.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hardened_broker import HardenedBroker
from tests.support.raw_mqtt import CONNECTED, RawClient
from wanesync.bus.client import BusOptions
from wanesync.bus.topics import (
    ACTIONS,
    COMMAND_ANSWERS,
    COMMANDS,
    INCOMING,
    Control,
    Report,
    Verb,
    answer,
    control,
    done,
    incoming,
    may,
    work,
)
from wanesync.core.model import Side
from wanesync.core.roles import BUS_ROLES, HANDLERS, Role
from wanesync.ops.broker.access import OPERATOR, Client, describe_rights, make_document, rules_of
from wanesync.ops.broker.mosquitto import Release

DOCS = Path(__file__).parents[3] / "docs" / "broker.md"

ANSWERS = [answer(role, f"{role}-{who}") for role in HANDLERS.values() for who in ("try", "another")]
OURS = [
    *(incoming(side) for side in Side),
    *(work(side, action) for side in Side for action in ACTIONS[side]),
    *(done(side, report) for side in Side for report in Report),
    *map(control, Control),
    *ANSWERS,
]
FOREIGN = [
    "wane",
    "wane/in",
    "wane/in/hubspot/deeper",
    "wane/work/stripe/event",
    "wane/other/x",
    "other",
    "other/topic",
]
DOLLAR = [COMMANDS, COMMAND_ANSWERS, "$SYS/broker/uptime", "$SYS/broker/connection/x/state", "$other/x"]
WILDCARDS = [
    "#", "+", "+/#", "wane/#", "wane/+/hubspot", "wane/+/+", "wane/+/+/+", "wane/in/+", "wane/in/#", "wane/answer/#",
    "wane/answer/+/+", "wane/work/#", "wane/work/+/read", "wane/done/#", "wane/done/+/done", "wane/control/+",
    "wane/control/#", "$SYS/#", "$SYS/broker/+", "$CONTROL/#", *INCOMING, "$share/queue/wane/in/hubspot",
    "$share/other/#", "$share/other/wane/in/+", "$share/queue/wane/#", "$share/queue/$SYS/#",
    "$share/other/wane/answer/#",
    "$share/other/wane/done/#", "$share/other/wane/work/+/+", "$share/other/wane/control/+",
]  # fmt: skip


def raw(broker: HardenedBroker, role: str, instance: str = "try") -> RawClient:
    return RawClient(broker.options(role, instance))


@pytest.mark.slow
@pytest.mark.parametrize("role", [*BUS_ROLES, OPERATOR])
def test_a_role_publishes_only_what_the_matrix_allows(broker: HardenedBroker, witness: BusOptions, role: str) -> None:
    with RawClient(witness) as sees, raw(broker, role) as client:
        sees.subscribe(["#", "$SYS/#"])
        for topic in (*OURS, *FOREIGN, *DOLLAR):
            client.publish(topic, role.encode())
        sees.publish("end", b"end")
        got = {topic for topic, payload in sees.drain(b"end") if payload == role.encode()}
        assert not client.ended.is_set()
    assert got == {topic for topic in OURS if role != OPERATOR and may(Role(role), Verb.PUBLISH, topic)}


@pytest.mark.slow
@pytest.mark.parametrize("role", [*BUS_ROLES, OPERATOR])
def test_a_role_reads_only_what_the_matrix_allows(broker: HardenedBroker, witness: BusOptions, role: str) -> None:
    with RawClient(witness) as publishes, raw(broker, role) as client:
        client.subscribe([*OURS, *FOREIGN, *DOLLAR, *WILDCARDS])
        for topic in (*OURS, *FOREIGN, "$SYS/broker/connection/x/state"):
            publishes.publish(topic, b"seen")
        last = control(Control.LIMITS) if role != Role.QUEUE else done(Side.STRIPE, Report.DEAD)
        if role == OPERATOR:
            client.publish(COMMANDS, b"")
        else:
            publishes.publish(last, b"end")
        got = {topic for topic, _ in (client.drain(b"end") if role != OPERATOR else [client.received.get(timeout=20)])}
    allowed = {topic for topic in OURS if role != OPERATOR and may(Role(role), Verb.SUBSCRIBE, topic)}
    if broker.setup.release is Release.V2_1:
        allowed -= {topic for topic in ANSWERS if not topic.endswith("-try")}
    assert got == allowed | ({COMMAND_ANSWERS} if role == OPERATOR else set())


@pytest.mark.slow
def test_a_will_is_published_only_where_its_role_may_publish(broker: HardenedBroker, witness: BusOptions) -> None:
    tried = [incoming(Side.STRIPE), work(Side.HUBSPOT, "read"), done(Side.STRIPE, "dead"), control("pause"), ANSWERS[0]]
    with RawClient(witness) as sees:
        sees.subscribe(["#", "$SYS/#"])
        for role, topic in itertools.product(BUS_ROLES, (*tried, COMMANDS, "other")):
            client = RawClient(broker.options(role, "mortal"), will=(topic, role.encode()))
            # 2.1 lets no client in that brings a will for a command topic.
            assert client.connect() == CONNECTED or topic == COMMANDS
            client.die()
        with raw(broker, Role.QUEUE, "after") as later:
            later.publish(control("resume"), b"end")
        # The witness reads the broker's figures as well.
        got = {(payload.decode(), topic) for topic, payload in sees.drain(b"end") if payload.decode() in BUS_ROLES}
    assert got == {(str(role), topic) for role in BUS_ROLES for topic in tried if may(role, Verb.PUBLISH, topic)}


@pytest.mark.slow
def test_nothing_is_retained_and_who_tries_is_disconnected(broker: HardenedBroker, witness: BusOptions) -> None:
    with raw(broker, Role.HUBSPOT_HANDLER) as client:
        assert client.publish(incoming(Side.HUBSPOT), b"kept", retain=True) is None
        assert client.reason == "Retain not supported"
    with RawClient(witness) as sees:
        sees.subscribe(["#"])
        sees.publish("end", b"end")
        assert sees.drain(b"end") == []


@pytest.mark.slow
def test_a_role_that_takes_over_anothers_client_id_gets_none_of_its_messages(broker: HardenedBroker) -> None:
    """It ends the other's session all the same: so the client ids of queue processes cannot be guessed."""
    with RawClient(broker.options(Role.QUEUE, "host"), session_s=60) as queue:
        queue.subscribe(INCOMING)
    with raw(broker, Role.STRIPE_HANDLER) as sender:
        for _ in range(5):
            sender.publish(incoming(Side.STRIPE), b"waits for the queue")
    thief = replace(broker.options(Role.HUBSPOT_HANDLER), client_id="queue-host")
    with RawClient(thief, session_s=60) as client:
        client.subscribe([control("limits")])
        with raw(broker, Role.QUEUE, "other") as other:
            other.publish(control("limits"), b"end")
        assert client.drain(b"end") == []


@pytest.mark.slow
@pytest.mark.parametrize(("username", "password"), [("queue.1", "wrong"), ("queue.1", ""), ("", ""), ("root", "x")])
def test_without_the_password_of_its_role_no_client_connects(
    broker: HardenedBroker, username: str, password: str
) -> None:
    client = RawClient(replace(broker.options(Role.QUEUE, "nobody"), username=username, password=password))
    assert client.connect() == "Not authorized"
    client.close()


def test_the_rules_of_2_1_narrow_answers_to_the_client_itself() -> None:
    for release, topic in (
        (Release.V2_0, "wane/answer/stripe-handler/+"),
        (Release.V2_1, "wane/answer/stripe-handler/%c"),
    ):
        rules = [rule for rule in rules_of("stripe-handler", release) if "answer" in str(rule["topic"])]
        assert {(rule["acltype"], rule["topic"]) for rule in rules} == {
            ("subscribePattern", topic),
            ("publishClientReceive", topic),
        }


def test_the_document_has_hashes_and_no_password_and_allows_nothing_by_default() -> None:
    text = make_document([Client("queue.1", "queue", "a password"), Client("admin.1", "admin")], Release.V2_0)
    document = json.loads(text)
    assert "a password" not in text
    assert document["defaultACLAccess"] == {
        "publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True
    }  # fmt: skip
    first, second = document["clients"]
    salt, expected = base64.b64decode(first["salt"]), base64.b64decode(first["password"])
    assert (len(salt), len(expected)) == (12, 64)
    assert hashlib.pbkdf2_hmac("sha512", b"a password", salt, first["iterations"], 64) == expected
    assert "password" not in second


def test_the_matrix_is_printed_in_the_docs() -> None:
    assert describe_rights() in DOCS.read_text()
