"""The change guard: which overwrites it counts and allows, and what happens to held values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    RULES,
    STEADY,
    STRIPE,
    contact,
    context,
    customer,
    full_name,
    link,
    one_field,
    run,
    stored,
)
from wanesync.core.change_guard import (
    BulkSources,
    ChangeGuardRule,
    HeldValue,
    HoldState,
    SourceCount,
    choose_allowed,
    count_direction_changes,
    field_source,
    loop_source,
    name_sources,
    show_source,
)
from wanesync.core.diff.difference import DifferenceClass, classify
from wanesync.core.fields import Direction
from wanesync.core.merge import MergeResult, Pair, merge
from wanesync.core.model import BasePair, Change, Event, LinkState, PendingWrite, Side, WriteKind
from wanesync.core.planner import plan

BASE: Mapping[str, BasePair] = {"city": ("Bonn", "Bonn")}
OPEN, RELEASED, DISCARDED = HoldState
CITY = st.sampled_from(["", "Bonn", "Ulm", "Köln", "Rom"])


def held(value: str = "Ulm", before: str = "Bonn", state: HoldState = OPEN, side: Side = HUBSPOT) -> HeldValue:
    return HeldValue(side, value, before, "h1", state)


def merged(
    hubspot: str, stripe: str, kept: HeldValue | None = None, stops: Mapping[str, str] | None = None
) -> MergeResult:
    """A pair whose city was Bonn on both sides."""
    pair = Pair(
        contact(city=hubspot),
        customer(city=stripe),
        BASE,
        held={"city": kept} if kept else {},
        stops=stops or {},
    )
    return merge(pair, one_field(), "keep")


def change(source: str, at_ms: int, **values: str) -> Event:
    told = {name.replace("__", "/"): value for name, value in values.items()}
    return Event(f"{source}{at_ms}", HUBSPOT, "updated", "1", at_ms, told, source=source)


# -- which overwrites are allowed


@STEADY
@given(st.lists(st.integers(0, 40), max_size=60), st.sets(st.integers(0, 40)), st.integers(0, 50), st.integers(1, 30))
def test_never_more_people_than_allowed_and_none_stopped_while_there_is_room(
    wanted: list[int], known: set[int], more: int, people: int
) -> None:
    links, before = [str(n) for n in wanted], {str(n) for n in known}
    counted = SourceCount(before, len(before) + more)
    allowed = choose_allowed(ChangeGuardRule(people), counted, links)
    fresh = set(links) - before
    assert allowed <= set(links)
    assert set(links) & before <= allowed
    assert len(allowed - before) == min(len(fresh), max(0, people - counted.people))


def test_those_that_came_first_pass() -> None:
    assert choose_allowed(ChangeGuardRule(max_people=2), SourceCount({"c"}, 1), ["c", "b", "a", "d", "b"]) == {"c", "b"}


# -- who it was


def test_the_newest_event_that_carries_the_value_tells_who_set_it() -> None:
    copy = stored(contact(city="Ulm", phone="110"))
    events = [
        change("user:CRM_UI/userId:1", 9, city="Rom"),
        change("app:IMPORT/7", 8, city="Ulm"),
        change("user:CRM_UI/userId:2", 7, city="Ulm"),
    ]
    assert name_sources(copy, {"city", "phone"}, events) == {"city": "hubspot:IMPORT/7", "phone": "hubspot:phone"}


def test_one_part_of_a_name_tells_who_set_the_name() -> None:
    copy = stored(contact(name=full_name("Ada", "Byron")))
    assert name_sources(copy, {"name"}, [change("user:IMPORT/7", 1, name__lastname="Byron")]) == {
        "name": "hubspot:IMPORT/7"
    }


@pytest.mark.parametrize("source", ["own", "", "user", "user:/userId:1"])
def test_who_is_not_told_is_the_side_and_the_field(source: str) -> None:
    assert name_sources(stored(contact(city="Ulm")), {"city"}, [change(source, 1, city="Ulm")]) == {
        "city": "hubspot:city"
    }


def test_no_more_events_are_opened_than_are_needed() -> None:
    def events() -> Iterator[Event]:
        yield change("user:IMPORT/7", 2, city="Ulm")
        raise AssertionError("the second event was opened")

    assert name_sources(stored(contact(city="Ulm")), {"city"}, events()) == {"city": "hubspot:IMPORT/7"}


def test_an_address_in_a_source_is_not_shown() -> None:
    assert show_source("hubspot:CRM_UI/jane@example.com") == "hubspot:CRM_UI/j***"
    assert show_source("hubspot:IMPORT/7") == "hubspot:IMPORT/7"
    assert show_source("jane@example.com") == "j***"
    assert show_source("jane@example.com/7") == "j***/7"


# -- what is held


@STEADY
@given(CITY, CITY)
def test_what_is_stopped_is_held_and_nothing_of_it_is_written(hubspot: str, stripe: str) -> None:
    free, stopped = merged(hubspot, stripe), merged(hubspot, stripe, stops={"city": "h9"})
    assert not any(stopped.writes.values())
    assert not any(stopped.conflicts.values())
    assert stopped.base == free.base
    wanted = {side: changes["city"] for side, changes in free.writes.items() if changes}
    assert [(h.side.other, h.value, h.before, h.hold_id) for h in stopped.new_holds.values()] == [
        (side, c.source, c.before, "h9") for side, c in wanted.items()
    ]


@STEADY
@given(CITY, CITY, CITY, CITY)
def test_a_held_field_moves_only_when_its_values_do(value: str, before: str, hubspot: str, stripe: str) -> None:
    out = merged(hubspot, stripe, held(value, before))
    still = (hubspot, stripe) == (value, before) and hubspot != stripe and (hubspot, stripe) != BASE["city"]
    assert (out.still_held == {"city"}) is still
    assert (out.dropped_holds == []) is still
    if still:
        assert not any(out.writes.values())
        assert out.base == {}


def test_a_newer_value_of_the_same_side_is_planned_as_any_other() -> None:
    out = merged("Rom", "Bonn", held())
    assert out.writes[STRIPE] == {"city": Change("Bonn", "Rom", "Rom")}
    assert out.dropped_holds == ["city"]


def test_an_edit_of_the_other_side_wins_over_what_is_held_and_that_is_kept() -> None:
    out = merged("Ulm", "Rom", held())
    assert out.writes == {HUBSPOT: {"city": Change("Ulm", "Rom", "Rom")}, STRIPE: {}}
    assert [(c.side, c.value, c.kind) for c in out.conflicts[HUBSPOT]] == [(HUBSPOT, "Ulm", "held")]
    assert out.dropped_holds == ["city"]


def test_where_a_field_flows_one_way_the_other_side_cannot_overtake_what_is_held() -> None:
    pair = Pair(contact(city="Ulm"), customer(city="Rom"), BASE, held={"city": held()})
    out = merge(pair, one_field(direction=Direction.TO_STRIPE), "keep")
    assert not any(out.writes.values())
    assert out.still_held == {"city"}


def test_a_released_value_is_written_and_its_mark_stays_until_then() -> None:
    out = merged("Ulm", "Bonn", held(state=RELEASED))
    assert out.writes[STRIPE] == {"city": Change("Bonn", "Ulm", "Ulm")}
    assert out.dropped_holds == []
    assert merged("Ulm", "Ulm", held(state=RELEASED)).dropped_holds == ["city"]
    assert merged("Rom", "Bonn", held(state=RELEASED)).dropped_holds == ["city"]


def test_a_discarded_value_leaves_both_sides_as_they_are_and_is_kept() -> None:
    out = merged("Ulm", "Bonn", held(state=DISCARDED))
    assert not any(out.writes.values())
    assert out.base == {"city": ("Ulm", "Bonn")}
    assert [(c.side, c.value, c.kind) for c in out.immediate_conflicts] == [(HUBSPOT, "Ulm", "held")]
    assert out.dropped_holds == ["city"]


def test_other_fields_of_the_same_person_flow() -> None:
    pair = Pair(
        contact(city="Ulm", phone="110"),
        customer(city="Bonn", phone="112"),
        {"city": ("Bonn", "Bonn"), "phone": ("112", "112")},
        held={"city": held()},
    )
    assert set(merge(pair, FIELDS, "keep").writes[STRIPE]) == {"phone"}


def test_a_link_that_nothing_flows_over_holds_nothing() -> None:
    records = (contact(email="a@x.org", city="Ulm"), customer(email="a@x.org", city="Bonn"))
    gone = link(state=LinkState.RELEASED)
    outcome = run(context("contact:1", *records, links=[gone], held={gone.id: {"city": held()}}))
    assert outcome.dropped_holds == [(gone.id, "city")]


def test_a_paused_field_is_held_and_diff_says_so() -> None:
    records = (contact(email="a@x.org", city="Ulm"), customer(email="a@x.org", city="Bonn"))
    both = {"city": ("Bonn", "Bonn"), "email": ("a@x.org", "a@x.org")}
    pair = link(base=both)
    at = context("contact:1", *records, links=[pair], paused={"city": "h1"})
    outcome = plan(at, RULES, "new")
    assert outcome.new_holds == [(pair.id, "city", held())]
    assert not outcome.is_empty
    (difference,) = classify(at, outcome, RULES)
    assert (difference.kind, difference.note) == (DifferenceClass.CONFLICT, "held")
    later = context("contact:1", *records, links=[pair], paused={"city": "h1"}, held={pair.id: {"city": held()}})
    again = plan(later, RULES, "new")
    assert (again.actions, again.new_holds, again.dropped_holds) == ({}, [], [])


# -- to and fro


def pending(side: Side, sent_ms: int, before: str = "a", after: str = "b") -> PendingWrite:
    changes = {"city": Change(before, after, after)}
    return PendingWrite(str(sent_ms), side, WriteKind.UPDATE, "contact:1", "", "1", "k", "{}", changes, sent_ms=sent_ms)


def test_a_storm_of_edits_on_one_side_is_no_loop() -> None:
    assert count_direction_changes("city", [pending(STRIPE, n) for n in range(100)]) == 0


def test_every_change_of_direction_is_a_turn() -> None:
    writes = [pending(side, n) for n, side in enumerate([STRIPE, HUBSPOT] * 4)]
    assert count_direction_changes("city", reversed(writes)) == 7
    assert count_direction_changes("phone", writes) == 0
    assert count_direction_changes("city", [pending(STRIPE, 1), pending(HUBSPOT, 2, before="")]) == 0


# -- crowds


def test_a_source_that_changes_many_records_at_once_is_a_crowd_until_it_is_quiet() -> None:
    bulk_sources = BulkSources(max_records=5, window_ms=1_000)
    assert not bulk_sources.note("a", 5, 0)
    assert bulk_sources.note("a", 1, 500)
    assert not bulk_sources.note("b", 1, 600)
    assert not bulk_sources.note("a", 1, 1_600)


def test_sources_that_are_quiet_are_forgotten() -> None:
    bulk_sources = BulkSources(max_records=3, window_ms=1_000)
    for number in range(100):
        bulk_sources.note(f"user {number}", 1, number * 500)
    assert len(bulk_sources._counts) <= 4


def test_a_loop_and_a_stopped_field_are_sources_of_their_own() -> None:
    assert (loop_source("city"), field_source("city")) == ("loop:city", "field:city")
