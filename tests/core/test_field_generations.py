"""Which fields a copy holds that was made under an earlier field map, and what a change of map does to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, STRIPE, contact, customer, link
from wanesync.core import fields as module
from wanesync.core.errors import FieldMapChanged
from wanesync.core.field_generations import (
    EVERY_FIELD,
    MAX_FORMER_MAPS,
    FieldGenerations,
    MapState,
    begin_generation,
    describe_change,
)
from wanesync.core.fields import DEFAULT_FIELDS, Direction, FieldMap, FieldSpec
from wanesync.core.merge import Pair, merge
from wanesync.core.model import (
    Change,
    Event,
    Parked,
    PendingWrite,
    Side,
    WriteKind,
    agreed_blank_key,
    filled_in_key,
)

EMAIL, CITY = DEFAULT_FIELDS[0], FieldSpec("city", ("city",), ("address.city",))
TITLE = FieldSpec("title", ("jobtitle",), ("metadata.title",))
FIRST = begin_generation(None, FieldMap((EMAIL, CITY)))


def since(state: MapState) -> dict[str, int]:
    return dict(state.generations.since)


def test_every_field_of_a_first_map_was_always_there() -> None:
    assert since(FIRST) == {"email": 1, "city": 1}
    assert MapState.unpack(FIRST.pack()) == FIRST


def test_only_the_field_that_is_added_begins_anew() -> None:
    second = begin_generation(FIRST, FieldMap((EMAIL, CITY, TITLE)))
    assert since(second) == {"email": 1, "city": 1, "title": 2}
    assert describe_change(FIRST, second) == "added: title"


@pytest.mark.parametrize(
    "changed",
    [
        replace(CITY, hubspot=("town",)),
        replace(CITY, stripe=("metadata.city",)),
        replace(CITY, transform="upper"),
    ],
)
def test_a_field_that_is_defined_otherwise_begins_anew(changed: FieldSpec) -> None:
    second = begin_generation(FIRST, FieldMap((EMAIL, changed)))
    assert since(second) == {"email": 1, "city": 2}
    assert describe_change(FIRST, second) == "changed: city"


def test_another_canonical_form_of_a_release_begins_a_field_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORM_VERSIONS", {**module.FORM_VERSIONS, "email": 99})
    newer = FieldMap((EMAIL, CITY))
    assert newer.version != FIRST.version
    assert since(begin_generation(FIRST, newer)) == {"email": 2, "city": 1}


@pytest.mark.parametrize(
    "changed",
    [
        replace(CITY, owner=Side.STRIPE),
        replace(CITY, direction=Direction.TO_STRIPE),
        replace(CITY, fill_empty=False),
    ],
)
def test_another_owner_or_direction_is_another_map_and_resets_no_field(changed: FieldSpec) -> None:
    fields = FieldMap((EMAIL, changed))
    assert fields.version != FIRST.version
    second = begin_generation(FIRST, fields)
    assert (second.generation, since(second)) == (2, {"email": 1, "city": 1})
    assert describe_change(FIRST, second) == "rules of its fields changed"


def test_a_field_that_is_taken_out_and_put_back_begins_anew() -> None:
    without = begin_generation(FIRST, FieldMap((EMAIL,)))
    back = begin_generation(without, FieldMap((EMAIL, CITY)))
    assert since(back) == {"email": 1, "city": 3}
    assert back.former == (without.version,)
    assert describe_change(FIRST, without) == "removed: city"


def test_earlier_maps_are_remembered_up_to_a_bound() -> None:
    state = FIRST
    for number in range(MAX_FORMER_MAPS + 5):
        state = begin_generation(state, FieldMap((EMAIL, replace(CITY, hubspot=(f"city{number}",)))))
    assert len(state.former) == MAX_FORMER_MAPS


# -- copies of an earlier generation

SEEN = FieldGenerations(3, {"email": 1, "name": 1, "city": 3})


def test_a_record_does_not_hold_a_field_that_was_defined_later() -> None:
    record = replace(contact(email="a@example.com", city="Ulm", vip="1"), unknown=frozenset({"name", "vip"}))
    seen = SEEN.view_record(record, 2)
    assert seen.values == {"email": "a@example.com"}
    assert seen.unknown == {"city", "name"}
    assert SEEN.view_record(record, 3) is record
    assert EVERY_FIELD.view_record(record, 3) is record


def test_a_link_loses_the_base_and_the_parked_value_of_such_a_field() -> None:
    base = {"email": ("a", "a"), "city": ("Ulm", "Ulm"), "vip": ("1", "1")}
    old = link(base=base, parked={"city": Parked(HUBSPOT, "Bonn"), "email": Parked(HUBSPOT, "b")})
    seen = SEEN.view_link(old, 1)
    assert dict(seen.base) == {"email": ("a", "a")}
    assert dict(seen.parked) == {"email": Parked(HUBSPOT, "b")}
    assert SEEN.view_link(old, 3) is old


def test_a_link_remembers_an_agreed_blank_where_only_the_form_of_the_values_changed() -> None:
    upper = begin_generation(FIRST, FieldMap((EMAIL, replace(CITY, transform="upper")))).generations
    elsewhere = begin_generation(FIRST, FieldMap((EMAIL, replace(CITY, stripe=("metadata.city",))))).generations
    old = link(base={"email": ("a", "a"), "city": ("Ulm", ""), filled_in_key("city"): ("Ulm", "")})
    marks = {agreed_blank_key("city"): ("Ulm", ""), filled_in_key("city"): ("Ulm", "")}
    assert dict(upper.view_link(old, 1).base) == {"email": ("a", "a"), **marks}
    assert dict(elsewhere.view_link(old, 1).base) == {"email": ("a", "a")}
    assert dict(upper.view_link(replace(old, base={"city": ("Ulm", "Bonn")}), 1).base) == {}


@pytest.mark.parametrize("agreed", [("Ulm", ""), ("", "Ulm")])
def test_an_agreed_blank_stays_agreed_when_the_form_of_a_field_is_another(agreed: tuple[str, str]) -> None:
    shown = {Side.HUBSPOT: {"city": agreed[0].upper()}, Side.STRIPE: {"city": agreed[1].upper()}}
    fields = FieldMap((replace(CITY, transform="upper"),))
    base = {agreed_blank_key("city"): agreed}
    merged = merge(Pair(contact(**shown[HUBSPOT]), customer(**shown[STRIPE]), base), fields, "keep")
    assert not merged.writes[HUBSPOT]
    assert not merged.writes[STRIPE]
    assert merged.base["city"] == (agreed[0].upper(), agreed[1].upper())
    assert [conflict.value for conflict in merged.immediate_conflicts] == ["ULM"]


def test_an_edit_made_since_ends_the_agreement_on_a_blank() -> None:
    base = {agreed_blank_key("city"): ("Ulm", "")}
    merged = merge(Pair(contact(city="Bonn"), customer(), base), FieldMap((CITY,)), "keep")
    assert merged.writes[STRIPE]["city"].after == "Bonn"


def test_an_event_and_its_object_lose_the_value() -> None:
    values = {"email": "a", "city": "Ulm", "name/firstname": "Ana"}
    event = Event("e", STRIPE, "updated", "cus_1", 1, values, {"city": "Bonn"}, record=contact(city="Ulm"))
    seen = SEEN.view_event(event, 2)
    assert seen.values == {"email": "a", "name/firstname": "Ana"}
    assert seen.previous == {}
    assert seen.record is None
    older = replace(event, record=contact(email="a"))
    assert FieldGenerations(3, {"email": 1}).view_event(older, 2).record == contact(email="a")
    assert SEEN.view_event(event, 3) is event
    assert SEEN.view_event(replace(event, record=None), 2).record is None


def test_a_pending_write_keeps_its_exact_body_and_loses_the_change() -> None:
    changes = {"email": Change("", "a", "a"), "city": Change("", "Ulm", "Ulm")}
    write = PendingWrite("w", STRIPE, WriteKind.UPDATE, "contact:1", "1", "cus_1", "k", "{}", changes)
    known = replace(write, authorship={"city": (1, True), "email": (1, False)})
    seen = SEEN.view_write(known, 2)
    assert seen.changes.keys() == {"email"}
    assert seen.authorship.keys() == {"email"}
    assert seen.redefined == {"city"}
    assert seen.body == write.body
    assert SEEN.view_write(write, 3) is write


def test_a_copy_of_a_later_generation_stops_the_process() -> None:
    with pytest.raises(FieldMapChanged, match="this process stops") as caught:
        SEEN.view_record(contact(city="Ulm"), 4)
    assert caught.value.lasts, "no program waits for it"
