"""Values that a write of ours buried: found in events, put back on their side, and from there on the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    STEADY,
    STRIPE,
    carry_out,
    contact,
    customer,
    full_name,
    one_field,
    stored,
    written,
)
from wanesync.core.change_guard import HeldValue
from wanesync.core.evidence.lost_updates import Judgement, judge_events
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.merge import MergeResult, Pair, merge
from wanesync.core.model import (
    OBSERVED_KIND,
    BasePair,
    Change,
    Conflict,
    Event,
    PendingWrite,
    PutBack,
    Record,
    Side,
    WriteKind,
    WriteResult,
)

NOW_MS = 1_700_000_000_000
CITIES = st.sampled_from(["", "Bonn", "BONN", "Ulm", "Köln"])
CITY = one_field()


def pair_of(here: str, there: str, base: BasePair, back: PutBack) -> Pair:
    return Pair(contact(city=here), customer(city=there), {"city": base}, put_back={"city": back})


def meet(here: str, there: str, base: BasePair, back: PutBack, fields: FieldMap = CITY) -> MergeResult:
    return merge(pair_of(here, there, base, back), fields, "keep")


@pytest.mark.parametrize("side", list(Side))
def test_a_buried_value_is_written_to_its_side_and_then_to_the_other(side: Side) -> None:
    back = PutBack(side, "Ulm", ("Bonn", "Bonn"), contested=True)
    pair = pair_of("Bonn", "Bonn", ("Bonn", "Bonn"), back)
    first = merge(pair, CITY, "keep")
    assert first.writes[side] == {"city": Change("Bonn", "Ulm", "Bonn", put_back=True)}
    assert not first.writes[side.other]
    assert [(c.side, c.value, c.kind) for c in first.conflicts[side]] == [(side.other, "Bonn", "policy")]
    second = merge(carry_out(pair, first), CITY, "keep")
    assert written(second, side.other) == {"city": "Ulm"}
    assert not second.writes[side]
    pair = carry_out(carry_out(pair, first), second)
    third = merge(pair, CITY, "keep")
    assert (pair.base, third.settled_put_backs) == ({"city": ("Ulm", "Ulm")}, ["city"])
    assert not third.immediate_conflicts


@pytest.mark.parametrize("answered", [True, False])
def test_a_value_that_stands_again_and_meets_an_edit_of_the_other_side_is_kept(answered: bool) -> None:
    back = PutBack(STRIPE, "Ulm", ("Bonn", "Bonn"), contested=True)
    late = set() if answered else {(STRIPE, "city")}
    pair = replace(pair_of("Köln", "Ulm", ("Bonn", "Bonn"), back), late=late)
    merged = merge(pair, CITY, "keep")
    assert written(merged, STRIPE) == {"city": "Köln"}
    assert [(c.side, c.value, c.kind) for c in merged.conflicts[STRIPE]] == [(STRIPE, "Ulm", "policy")]


def test_a_late_write_of_a_value_put_back_is_reverted_once_the_base_has_moved_on() -> None:
    back = PutBack(STRIPE, "Ulm", ("Bonn", "Bonn"), contested=True)
    pair = replace(pair_of("Köln", "Ulm", ("Köln", "Köln"), back), late={(STRIPE, "city")})
    assert written(merge(pair, CITY, "keep"), STRIPE) == {"city": "Köln"}


def test_a_part_that_nobody_contested_leaves_no_conflict() -> None:
    back = PutBack(STRIPE, "", ("Bonn", "Bonn"), contested=False)
    merged = meet("Bonn", "Bonn", ("Bonn", "Bonn"), back)
    assert merged.writes[STRIPE]["city"].after == ""
    assert not merged.conflicts[STRIPE]


@pytest.mark.parametrize(("here", "there"), [("Köln", "Bonn"), ("Bonn", "Köln")])
def test_an_edit_made_since_stays_and_the_buried_value_is_kept(here: str, there: str) -> None:
    merged = meet(here, there, ("Bonn", "Bonn"), PutBack(HUBSPOT, "Ulm", ("Bonn", "Bonn"), contested=True))
    assert merged.settled_put_backs == ["city"]
    assert merged.immediate_conflicts == [Conflict(HUBSPOT, "1", "city", "Ulm", "overwritten")]
    assert "Köln" in {*written(merged, HUBSPOT).values(), *written(merged, STRIPE).values()}


@pytest.mark.parametrize("value", ["Ulm", ""])
def test_a_decided_value_flows_and_stays_noted_until_it_has(value: str) -> None:
    back = PutBack(HUBSPOT, value, ("Bonn", "Bonn"), contested=False, decided=True)
    pair = pair_of(value, "Bonn", ("Bonn", "Bonn"), back)
    first = merge(pair, one_field(owner=STRIPE), "keep")
    assert (written(first, STRIPE), first.settled_put_backs) == ({"city": value}, [])
    second = merge(carry_out(pair, first), one_field(owner=STRIPE), "keep")
    assert (second.writes, second.settled_put_backs) == ({HUBSPOT: {}, STRIPE: {}}, ["city"])
    assert not [*first.immediate_conflicts, *second.immediate_conflicts]


@pytest.mark.parametrize("value", ["Ulm", ""])
@pytest.mark.parametrize("edited", ["Köln", "Bonn"])
def test_an_edit_made_after_a_decision_is_the_newer_value(value: str, edited: str) -> None:
    back = PutBack(HUBSPOT, value, ("Bonn", "Bonn"), contested=False, decided=True)
    merged = meet(edited, "Bonn", ("Bonn", "Bonn"), back)
    assert merged.settled_put_backs == ["city"]
    assert not merged.writes[HUBSPOT]
    assert written(merged, STRIPE) == ({"city": "Köln"} if edited == "Köln" else {})
    assert not merged.immediate_conflicts


def test_a_base_that_moved_on_ends_it() -> None:
    merged = meet("Köln", "Köln", ("Köln", "Köln"), PutBack(HUBSPOT, "Ulm", ("Bonn", "Bonn"), contested=True))
    assert merged.settled_put_backs == ["city"]
    assert [c.value for c in merged.immediate_conflicts] == ["Ulm"]


def test_a_hold_on_the_field_makes_it_wait() -> None:
    back = PutBack(HUBSPOT, "Ulm", ("Bonn", "Bonn"), contested=True)
    pair = replace(pair_of("Bonn", "Bonn", ("Bonn", "Bonn"), back), stops={"city": "hold"})
    merged = merge(pair, CITY, "keep")
    assert not merged.writes[HUBSPOT]
    assert not merged.settled_put_backs
    assert merged.new_holds == dict[str, HeldValue]()


@given(
    values=st.tuples(CITIES, CITIES),
    base=st.tuples(CITIES, CITIES),
    back=st.builds(PutBack, st.sampled_from(list(Side)), CITIES, st.tuples(CITIES, CITIES), st.booleans()),
    fields=st.builds(
        one_field,
        owner=st.sampled_from(Side),
        direction=st.sampled_from(Direction),
        transform=st.sampled_from(["text", "upper", "lower"]),
    ),
)
@STEADY
def test_it_never_oscillates(values: BasePair, base: BasePair, back: PutBack, fields: FieldMap) -> None:
    pair, side, value = pair_of(*values, base, back), back.side, back.value
    written_to: list[Side] = []
    kept: set[str] = set()
    for _ in range(6):
        merged = merge(pair, fields, "keep")
        written_to += [at for at in Side if merged.writes[at]]
        kept |= {c.value for c in [*merged.immediate_conflicts, *merged.conflicts[HUBSPOT], *merged.conflicts[STRIPE]]}
        pair = carry_out(pair, merged)
    assert not merge(pair, fields, "keep").writes[HUBSPOT]
    assert not merge(pair, fields, "keep").writes[STRIPE]
    assert len(written_to) <= 2
    assert len(set(written_to)) == len(written_to), "a side is written at most once"
    spec = fields.specs[0]
    standing = {spec.key(pair.value(at, "city")) for at in Side}
    stood = spec.key(value) == spec.key(values[0] if side is HUBSPOT else values[1])
    assert stood or spec.key(value) in standing or value in kept


# -- found in events


def own(side: Side, name: str = "city", before: str = "Bonn", after: str = "Köln", **facts: object) -> PendingWrite:
    """An answered write of ours."""
    source, target = ("cus_1", "1") if side is HUBSPOT else ("1", "cus_1")
    change = Change(before, after, after)
    write = PendingWrite("own", side, WriteKind.UPDATE, "contact:1", source, target, "key", "{}", {name: change})
    times = {"sent_ms": NOW_MS - 100, "planned_ms": NOW_MS - 200, "landed_ms": NOW_MS, "result": WriteResult.OK}
    return replace(write, **{**times, **facts})  # type: ignore[arg-type] # a test names the facts it changes


def edit(value: str, name: str = "city", at_ms: int = NOW_MS - 50, **facts: object) -> Event:
    """A user's edit of the contact."""
    event = Event(f"{name}{value}", HUBSPOT, "updated", "1", at_ms, {name: value}, source="user:CRM_UI", read=True)
    return replace(event, **facts)  # type: ignore[arg-type] # a test names the facts it changes


def echo(previous: dict[str, str], values: dict[str, str]) -> Event:
    """Stripe's event of our write."""
    return Event("echo", STRIPE, "updated", "cus_1", NOW_MS, values, previous, "key", read=True)


def judge(events: list[Event], write: PendingWrite, record: Record, owner: Side = HUBSPOT) -> Judgement:
    specs = tuple(replace(spec, owner=owner) for spec in FIELDS.specs)
    return judge_events(stored(record), events, [write], FieldMap(specs), NOW_MS)


def test_the_owner_s_edit_in_hubspot_that_our_write_buried_is_put_back() -> None:
    found = judge([edit("Ulm")], own(HUBSPOT), contact(city="Köln"))
    assert (found.buried, found.conflicts) == ({"city": ("Ulm", True)}, [])


def test_a_clock_that_is_an_hour_behind_puts_the_owner_s_edit_back_all_the_same() -> None:
    """Our times are of that clock, the event's is HubSpot's."""
    behind_ms = NOW_MS - 3_600_000
    specs = tuple(replace(spec, owner=HUBSPOT) for spec in FIELDS.specs)
    write = own(HUBSPOT, sent_ms=behind_ms - 1_000)
    found = judge_events(stored(contact(city="Köln")), [edit("Ulm")], [write], FieldMap(specs), behind_ms)
    assert (found.buried, found.conflicts) == ({"city": ("Ulm", True)}, [])


@pytest.mark.parametrize(
    ("write", "city", "owner"),
    [
        (own(HUBSPOT), "Köln", STRIPE),
        (own(HUBSPOT), "Rom", HUBSPOT),
        (own(HUBSPOT, landed_ms=0), "Köln", HUBSPOT),
        (own(HUBSPOT, planned_ms=0), "Köln", HUBSPOT),
    ],
    ids=["not the owner", "changed since", "not known when it landed", "not known from what it was planned"],
)
def test_any_other_edit_is_only_kept(write: PendingWrite, city: str, owner: Side) -> None:
    found = judge([edit("Ulm")], write, contact(city=city), owner)
    assert (found.buried, [c.value for c in found.conflicts]) == ({}, ["Ulm"])


@pytest.mark.parametrize("at_ms", [NOW_MS - 200, NOW_MS + 1])
def test_an_edit_that_was_known_or_came_later_is_not_buried(at_ms: int) -> None:
    found = judge([edit("Ulm", at_ms=at_ms)], own(HUBSPOT), contact(city="Köln"))
    assert (found.buried, found.conflicts) == ({}, [])


def test_of_several_edits_the_newest_is_put_back() -> None:
    found = judge([edit("Ulm", at_ms=NOW_MS - 60), edit("Rom")], own(HUBSPOT), contact(city="Köln"))
    assert found.buried == {"city": ("Rom", True)}


@pytest.mark.parametrize("at_ms", [NOW_MS - 50, NOW_MS - 20])
def test_what_a_read_found_of_an_edit_before_our_write_landed_does_not_replace_it(at_ms: int) -> None:
    seen = edit("Ulm", at_ms=at_ms, key="observed", kind=OBSERVED_KIND, source=OBSERVED_KIND, received_ms=NOW_MS)
    found = judge([edit("Ulm"), seen], own(HUBSPOT), contact(city="Köln"))
    assert (found.buried, found.conflicts) == ({"city": ("Ulm", True)}, [])


def test_an_edit_that_a_read_found_replaced_is_not_put_back() -> None:
    seen = edit("Rom", at_ms=NOW_MS - 20, key="observed", kind=OBSERVED_KIND, source=OBSERVED_KIND)
    found = judge([edit("Ulm"), seen], own(HUBSPOT), contact(city="Köln"))
    assert found.buried == {}


def test_both_parts_of_a_name_are_put_back_together() -> None:
    write = own(HUBSPOT, "name", full_name("Ada", "Byron"), full_name("Eve", "King"))
    record = contact(name=full_name("Eve", "King"))
    found = judge([edit("Zoe", "name/firstname"), edit("Lee", "name/lastname")], write, record)
    assert found.buried == {"name": (full_name("Zoe", "Lee"), True)}


def test_half_of_a_name_is_not_put_back_without_the_event_of_the_other_half() -> None:
    """Events of the two properties come alone and late: half of one name with half of another is nobody's name."""
    for before in ("", full_name("Ada", "Byron")):
        write = own(HUBSPOT, "name", before, full_name("Eve", "King"))
        record = contact(name=full_name("Eve", "King"))
        first, last = edit("Zoe", "name/firstname"), edit("Lee", "name/lastname")
        found = judge([last], write, record)
        assert (found.buried, [(c.field, c.value) for c in found.conflicts]) == ({}, [("name/lastname", "Lee")])
        both = judge([replace(last, judged=True), first], write, record)
        assert both.buried == {"name": (full_name("Zoe", "Lee"), True)}
        stale = edit("Old", "name/lastname", NOW_MS - 300)
        assert judge([replace(stale, judged=True), first], write, record).buried == {}


def test_parts_of_two_edits_are_not_put_back_as_one_name() -> None:
    """The event of the later edit's first name may still come: it is put back then."""
    write = own(HUBSPOT, "name", full_name("Ada", "Byron"), full_name("Eve", "King"))
    record = contact(name=full_name("Eve", "King"))
    earlier = [edit("Zoe", "name/firstname", NOW_MS - 60), edit("Orr", "name/lastname", NOW_MS - 60)]
    last, first = edit("Lee", "name/lastname"), edit("Mia", "name/firstname")
    assert judge([*earlier, last], write, record).buried == {}
    known = [replace(event, judged=True) for event in (*earlier, last)]
    assert judge([*known, first], write, record).buried == {"name": (full_name("Mia", "Lee"), True)}


def test_a_part_that_our_write_left_as_it_was_goes_with_the_edited_one() -> None:
    write = own(HUBSPOT, "name", full_name("Ada", "Byron"), full_name("Ada", "King"))
    found = judge([edit("Lee", "name/lastname")], write, contact(name=full_name("Ada", "King")))
    assert found.buried == {"name": (full_name("Ada", "Lee"), True)}
    late = edit("Lee", "name/lastname", received_ms=write.sent_ms + 60_001)
    assert judge([late], write, contact(name=full_name("Ada", "King"))).buried == {}, "an event of Ada may come, too"


def test_the_owner_s_edit_in_stripe_is_named_by_the_event_of_our_write() -> None:
    event = echo({"city": "Ulm"}, {"city": "Köln"})
    found = judge([event], own(STRIPE), customer(city="Köln"), STRIPE)
    assert (found.buried, found.conflicts) == ({"city": ("Ulm", True)}, [])
    kept = judge([event], own(STRIPE), customer(city="Köln"), HUBSPOT)
    assert (kept.buried, [c.value for c in kept.conflicts]) == ({}, ["Ulm"])
    later = judge([event], own(STRIPE), customer(city="Rom"), STRIPE)
    assert (later.buried, [c.value for c in later.conflicts]) == ({}, ["Ulm"])


@pytest.mark.parametrize("owner", list(Side))
def test_a_part_of_an_address_is_put_back_whoever_owns_it(owner: Side) -> None:
    event = echo({"city": "Bonn", "street": "New Street"}, {"city": "Köln", "street": "Old Street"})
    found = judge([event], own(STRIPE), customer(city="Köln", street="Old Street"), owner)
    assert (found.buried, found.conflicts) == ({"street": ("New Street", False)}, [])


def test_a_field_that_our_write_changed_before_the_map_defined_it_anew_was_not_sent_along() -> None:
    event = echo({"city": ""}, {"city": "Köln"})
    write = replace(own(STRIPE, before="", after="Köln"), changes={}, redefined=frozenset({"city"}))
    found = judge([event], write, customer(city="Köln"))
    assert (found.buried, found.conflicts) == ({}, [])


@pytest.mark.parametrize(("redefined", "buried"), [({"city"}, {}), ((), {"address.city": ("", False)})])
def test_nor_was_what_the_map_keeps_elsewhere_since(redefined: set[str], buried: dict[str, tuple[str, bool]]) -> None:
    """The event of our write comes late, when the city has another path: its old one is a part without a field."""
    event = echo({"address.city": ""}, {"address.city": "Köln"})
    write = replace(own(STRIPE, before="", after="Köln"), changes={}, redefined=frozenset(redefined))
    found = judge([event], write, replace(customer(city="Bonn"), carry={"address.city": "Köln"}))
    assert (found.buried, found.conflicts) == (buried, [])


def test_a_part_that_was_cleared_is_cleared_again() -> None:
    event = echo({"street": ""}, {"street": "Old Street"})
    assert judge([event], own(STRIPE), customer(street="Old Street")).buried == {"street": ("", False)}


def test_what_stripe_changes_by_itself_beside_our_write_is_no_buried_part() -> None:
    event = echo({"phone": "110"}, {"phone": "112"})
    found = judge([event], own(STRIPE), customer(phone="112"))
    assert (found.buried, found.conflicts) == ({}, [])


def test_an_edit_that_putting_back_buried_wins_in_turn_without_another_conflict() -> None:
    write = own(HUBSPOT)
    restoring = replace(write, changes={"city": Change("Bonn", "Köln", "Bonn", put_back=True)})
    assert judge([edit("Ulm")], restoring, contact(city="Köln"), STRIPE).buried == {"city": ("Ulm", False)}
