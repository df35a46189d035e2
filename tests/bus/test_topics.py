"""The table of topics: who may publish and read what."""

from __future__ import annotations

import pytest

from wanesync.bus import topics
from wanesync.bus.seal_keys import DIRECTIONS_OF, Direction, direction_of
from wanesync.bus.topics import ACTIONS, RIGHTS, Control, Report, Right, Verb, may
from wanesync.core.model import Side
from wanesync.core.roles import BUS_ROLES, HANDLERS, WORKERS, Role

EVERY_TOPIC = [
    *map(topics.incoming, Side),
    *(topics.answer(role, topics.client_id(role, "one")) for role in HANDLERS.values()),
    *(topics.work(side, action) for side in Side for action in ACTIONS[side]),
    *(topics.done(side, report) for side in Side for report in Report),
    *map(topics.control, Control),
]


def who(verb: Verb, topic: str) -> set[Role]:
    return {role for role in Role if may(role, verb, topic)}


@pytest.mark.parametrize("topic", EVERY_TOPIC)
def test_every_topic_has_writers_and_readers_and_no_part_reads_what_it_writes(topic: str) -> None:
    writers, readers = who(Verb.PUBLISH, topic), who(Verb.SUBSCRIBE, topic)
    assert len(writers) == 1
    assert readers
    assert not writers & readers


def test_what_a_handler_may_do_is_its_own_side() -> None:
    for side, role in HANDLERS.items():
        assert [t for t in EVERY_TOPIC if may(role, Verb.PUBLISH, t)] == [topics.incoming(side)]
        read = {t for t in EVERY_TOPIC if may(role, Verb.SUBSCRIBE, t)}
        assert read == {topics.answer(role, f"{role}-one"), *map(topics.control, Control)}


def test_what_a_worker_may_do_is_its_own_side() -> None:
    for side, role in WORKERS.items():
        assert {t for t in EVERY_TOPIC if may(role, Verb.PUBLISH, t)} == {topics.done(side, r) for r in Report}
        read = {t for t in EVERY_TOPIC if may(role, Verb.SUBSCRIBE, t)}
        assert read == {*(topics.work(side, a) for a in ACTIONS[side]), *map(topics.control, Control)}


def test_the_admin_publishes_nothing() -> None:
    assert not [topic for topic in EVERY_TOPIC if may(Role.ADMIN, Verb.PUBLISH, topic)]


def test_no_right_has_a_wildcard_for_several_levels() -> None:
    assert not [right for right in RIGHTS if "#" in right.topic]
    wild = {right.topic for right in RIGHTS if "+" in right.topic}
    assert wild == {topics.answer(role, "+") for role in HANDLERS.values()}


def test_roles_without_a_credential_of_the_broker_have_no_right() -> None:
    assert {right.role for right in RIGHTS} == set(BUS_ROLES)


def test_a_share_is_matched_by_what_is_shared() -> None:
    assert topics.INCOMING == ("$share/queue/wane/in/hubspot", "$share/queue/wane/in/stripe")
    assert topics.matches(topics.INCOMING[1], "wane/in/stripe")
    assert not topics.matches("wane/in/+", "wane/in/stripe/more")


def test_no_right_stands_twice() -> None:
    assert len(RIGHTS) == len(set(RIGHTS))
    assert Right(Role.QUEUE, Verb.SUBSCRIBE, topics.INCOMING[0]) in RIGHTS


@pytest.mark.parametrize("topic", EVERY_TOPIC)
def test_who_may_use_a_topic_holds_its_key_and_no_other_part_does(topic: str) -> None:
    direction = direction_of(topic)
    holders = {role for role, directions in DIRECTIONS_OF.items() if direction in directions}
    assert holders == who(Verb.PUBLISH, topic) | who(Verb.SUBSCRIBE, topic) | {Role.QUEUE}


def test_every_direction_has_a_topic() -> None:
    assert set(map(direction_of, EVERY_TOPIC)) == set(Direction)


def test_a_long_name_makes_a_bounded_client_id() -> None:
    assert topics.client_id(Role.QUEUE, "host") == "queue-host"
    assert len(topics.client_id(Role.QUEUE, "h" * 500)) == topics.MAX_CLIENT_ID_CHARS
