"""Sealed messages: what is altered, moved or sealed by another part is refused."""

from __future__ import annotations

import itertools
import random

import pytest

from wanesync.bus import topics
from wanesync.bus.envelope import OVERHEAD_BYTES, NotSealed, Seal, bind_exchange
from wanesync.bus.seal_keys import derive_part_key, make_bus_key
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.roles import Role

TOPIC = topics.incoming(Side.HUBSPOT)
KEY = make_bus_key("ab12")
CONTENT = b'{"email":"ada@example.com"}'


def part(role: Role, key: str = KEY) -> Seal:
    return Seal([derive_part_key(key, role)])


def test_what_a_handler_seals_the_queue_opens() -> None:
    sealed = part(Role.HUBSPOT_HANDLER).seal(TOPIC, CONTENT)
    assert Seal([KEY]).open(TOPIC, sealed) == CONTENT
    assert len(sealed) == len(CONTENT) + OVERHEAD_BYTES
    assert b"ada" not in sealed
    assert sealed[1:5] == b"ab12"


def test_a_message_is_bound_to_its_topic() -> None:
    queue = Seal([KEY])
    sealed = queue.seal(topics.work(Side.HUBSPOT, "read"), CONTENT)
    with pytest.raises(NotSealed, match="altered, or moved"):
        queue.open(topics.work(Side.HUBSPOT, "update"), sealed)


def test_a_question_is_bound_to_its_number_and_response_topic_and_an_answer_to_its_number() -> None:
    seal = Seal([KEY])
    exchanges = [
        bind_exchange(b"1", "a"),
        bind_exchange(b"2", "a"),
        bind_exchange(b"1", "b"),
        bind_exchange(b"1a"),
        b"",
    ]
    for given, other in itertools.permutations(exchanges, 2):
        sealed = seal.seal(TOPIC, CONTENT, given)
        assert seal.open(TOPIC, sealed, given) == CONTENT
        with pytest.raises(NotSealed, match="or question"):
            seal.open(TOPIC, sealed, other)


def test_every_flipped_bit_is_detected() -> None:
    seal, rng = Seal([KEY]), random.Random(7)
    sealed = seal.seal(TOPIC, CONTENT)
    for _ in range(1000):
        place = rng.randrange(len(sealed) * 8)
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(NotSealed) as refused:
            seal.open(TOPIC, bytes(altered))
        assert "ada" not in str(refused.value)


@pytest.mark.parametrize("sealed", [b"", b"\x01ab12", b"{}", b"\x02ab12" + bytes(40)])
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(NotSealed):
        Seal([KEY]).open(TOPIC, sealed)


def test_a_part_neither_seals_nor_opens_for_another() -> None:
    handler, worker = part(Role.HUBSPOT_HANDLER), part(Role.STRIPE_WORKER)
    with pytest.raises(ConfigError, match="is the key of another part"):
        worker.seal(TOPIC, CONTENT)
    with pytest.raises(NotSealed):
        worker.open(TOPIC, handler.seal(TOPIC, CONTENT))
    with pytest.raises(NotSealed):
        Seal([KEY]).open("a/b/c", handler.seal(TOPIC, CONTENT))


def test_while_a_key_is_replaced_both_open_and_the_new_one_seals() -> None:
    new = make_bus_key("cd34")
    both = Seal([new, KEY])
    assert both.open(TOPIC, Seal([KEY]).seal(TOPIC, CONTENT)) == CONTENT
    assert Seal([new]).open(TOPIC, both.seal(TOPIC, CONTENT)) == CONTENT


def test_without_a_key_there_is_no_bus() -> None:
    with pytest.raises(ConfigError, match=r"bus\.seal_key: is needed"):
        Seal([])
