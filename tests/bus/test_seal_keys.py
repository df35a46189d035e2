"""The keys of the bus: what a part is given, and that it is no more than it needs."""

from __future__ import annotations

import pytest

from wanesync.bus.seal_keys import (
    DIRECTIONS_OF,
    Direction,
    derive_part_key,
    direction_of,
    make_bus_key,
    parse_entries,
    parse_entry,
)
from wanesync.core.errors import ConfigError
from wanesync.core.roles import BUS_ROLES, Role


@pytest.mark.parametrize("role", BUS_ROLES)
def test_a_part_holds_the_keys_of_its_directions_only(role: Role) -> None:
    whole = make_bus_key("ab12")
    part = parse_entry(derive_part_key(whole, role))
    assert part.id == "ab12"
    assert part.keys == {direction: parse_entry(whole).keys[direction] for direction in DIRECTIONS_OF[role]}


def test_every_direction_and_every_bus_key_has_other_keys() -> None:
    keys = [*parse_entry(make_bus_key("aaaa")).keys.values(), *parse_entry(make_bus_key("bbbb")).keys.values()]
    assert len(set(keys)) == 2 * len(Direction)
    assert {len(key) for key in keys} == {32}


def test_the_derivation_stays_the_same() -> None:
    """A part's key is stored in a secrets manager: another release must derive the same."""
    key = parse_entry("test:" + "A" * 43 + "=").keys[Direction.HUBSPOT_IN]
    assert key.hex() == "a0e283f0428704df240634486923399322d23090a736c04792f04b6debc69573"


def test_the_key_of_a_part_gives_no_other_part_its_key() -> None:
    part = derive_part_key(make_bus_key(), Role.HUBSPOT_WORKER)
    with pytest.raises(ConfigError, match="is the key of a part already"):
        derive_part_key(part, Role.STRIPE_WORKER)


@pytest.mark.parametrize(
    "entry", ["", "ab12", "ab12:!!!!", "ab12:AAAA", "ab12:queue:AAAA", "ab12:nobody:AAAA", "toolong:" + "A" * 43 + "="]
)
def test_what_is_no_key_is_refused_without_showing_it(entry: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_entry(entry)
    assert "must be ID:BASE64" in str(refused.value)
    assert not entry or entry not in str(refused.value)


def test_one_id_for_two_keys_is_refused() -> None:
    with pytest.raises(ConfigError, match="used twice"):
        parse_entries([make_bus_key("aaaa"), make_bus_key("aaaa")])


def test_a_topic_of_others_has_no_direction() -> None:
    for topic in ("wane/in/salesforce", "a/b/c"):
        with pytest.raises(ValueError, match="is not a valid Direction"):
            direction_of(topic)
