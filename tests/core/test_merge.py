"""The three-way merge of one pair, field by field, against what each side held when they last agreed."""

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
    contact,
    customer,
    full_name,
    meet,
    one_field,
    written,
)
from wanesync.core.change_guard import HeldValue, HoldState
from wanesync.core.fields import Clears, Direction, FieldMap, FieldSpec
from wanesync.core.merge import DifferPolicy, MergeResult, Pair, merge
from wanesync.core.model import BasePair, Change, Parked, ParkReason, Record, Side

CITY = st.sampled_from(["", "Bonn", "BONN", "Ulm", "Ulm  an der Donau", "Ulm an der Donau"])
HALVES = st.one_of(st.none(), st.tuples(CITY, CITY))
DIFFER: st.SearchStrategy[DifferPolicy] = st.sampled_from(["keep", "owner", "hubspot", "stripe"])
MAP = st.builds(
    one_field,
    owner=st.sampled_from(Side),
    direction=st.sampled_from(Direction),
    fill_empty=st.booleans(),
    transform=st.sampled_from(["text", "upper", "lower", "country", "phone"]),
)


# -- nothing to do


@given(here=CITY, there=CITY, fields=MAP, differ=DIFFER)
@STEADY
def test_sides_that_hold_what_they_agreed_on_are_left_alone(
    here: str, there: str, fields: FieldMap, differ: DifferPolicy
) -> None:
    merged = meet(here, there, (here, there), fields, differ)
    assert not merged.base
    assert not merged.writes[HUBSPOT]
    assert not merged.writes[STRIPE]


@pytest.mark.parametrize(("free_keys", "customer_ms", "written"), [(1, 11, True), (0, 11, False), (1, 9, False)])
def test_a_field_without_room_is_written_once_a_newer_copy_shows_room(
    free_keys: int, customer_ms: int, written: bool
) -> None:
    fields = FieldMap((FieldSpec("vip", ("vip",), ("metadata.vip",)),))
    parked = {"vip": Parked(STRIPE, "1", ParkReason.NO_ROOM, 10)}
    holder = replace(customer(), free_keys=free_keys)
    pair = Pair(contact(vip="1"), holder, {"vip": ("", "")}, parked=parked, customer_ms=customer_ms)
    merged = merge(pair, fields, "keep")
    assert ("vip" in merged.writes[STRIPE]) is written
    assert merged.unparked == (["vip"] if written else [])


def test_the_same_edit_on_both_sides_is_only_remembered() -> None:
    merged = meet("Bonn", "Bonn", ("Ulm", "Ulm"))
    assert merged.base == {"city": ("Bonn", "Bonn")}
    assert not merged.writes[HUBSPOT]
    assert not merged.writes[STRIPE]
    assert not merged.immediate_conflicts


def test_values_that_say_the_same_agree_in_their_own_spelling() -> None:
    fields = FieldMap((FieldSpec("city", ("city",), ("address.city",), transform="country"),))
    assert meet("Germany", "DE", None, fields).base == {"city": ("Germany", "DE")}


# -- one side changed


def test_a_hubspot_edit_flows_to_stripe() -> None:
    merged = meet("Bonn", "Ulm", ("Ulm", "Ulm"))
    assert written(merged, STRIPE) == {"city": "Bonn"}
    assert not merged.writes[HUBSPOT]


def test_a_stripe_edit_flows_to_hubspot() -> None:
    merged = meet("Ulm", "Bonn", ("Ulm", "Ulm"))
    assert written(merged, HUBSPOT) == {"city": "Bonn"}
    assert not merged.writes[STRIPE]


@pytest.mark.parametrize(("here", "there", "target"), [("", "Ulm", STRIPE), ("Ulm", "", HUBSPOT)])
def test_clearing_a_field_is_an_edit(here: str, there: str, target: Side) -> None:
    for fields in (one_field(clears=Clears.BOTH), one_field(owner=target.other)):
        assert written(meet(here, there, ("Ulm", "Ulm"), fields), target) == {"city": ""}


@pytest.mark.parametrize(("here", "there", "side"), [("", "Ulm", HUBSPOT), ("Ulm", "", STRIPE)])
def test_a_blank_that_may_not_clear_leaves_the_other_value_and_is_listed(here: str, there: str, side: Side) -> None:
    for fields in (one_field(clears=Clears.NEVER, owner=side), one_field(owner=side.other)):
        merged = meet(here, there, ("Ulm", "Ulm"), fields)
        assert merged.base == {"city": (here, there)}
        assert not merged.writes[HUBSPOT]
        assert not merged.writes[STRIPE]
        assert [(c.side, c.value, c.kind) for c in merged.immediate_conflicts] == [(side.other, "Ulm", "differ")]


def test_a_blank_that_may_not_clear_is_filled_by_the_next_edit_of_the_other_side() -> None:
    fields = one_field(owner=HUBSPOT)
    assert written(meet("Bonn", "", ("Ulm", ""), fields), STRIPE) == {"city": "Bonn"}
    both = meet("Bonn", "", ("Ulm", "Ulm"), fields)
    assert written(both, STRIPE) == {"city": "Bonn"}
    assert not both.conflicts[STRIPE]


def test_the_one_source_of_a_field_may_clear_it_whoever_owns_it() -> None:
    fields = one_field(owner=HUBSPOT, direction=Direction.TO_HUBSPOT)
    assert written(meet("Ulm", "", ("Ulm", "Ulm"), fields), HUBSPOT) == {"city": ""}


def test_a_value_set_back_by_a_person_flows_like_any_other() -> None:
    assert written(meet("Ulm", "Bonn", ("Bonn", "Bonn")), STRIPE) == {"city": "Ulm"}


def test_a_missing_field_and_a_blank_one_are_one_value() -> None:
    merged = merge(Pair(contact(city=""), customer(), {}), one_field(), "keep")
    assert merged.base == {"city": ("", "")}
    assert not merged.writes[HUBSPOT]
    assert not merged.writes[STRIPE]


def test_a_field_the_other_side_never_had_is_not_blanked() -> None:
    merged = meet("Bonn", "", ("Bonn", ""))
    assert not merged.writes[HUBSPOT]


def test_a_side_that_agreed_to_differ_flows_once_it_is_edited() -> None:
    merged = meet("Bonn", "Köln", ("Bonn", "Ulm"))
    assert written(merged, HUBSPOT) == {"city": "Köln"}
    assert not merged.conflicts[HUBSPOT]


# -- both sides changed


@pytest.mark.parametrize(("owner", "kept", "lost"), [(HUBSPOT, "Bonn", "Köln"), (STRIPE, "Köln", "Bonn")])
def test_the_owner_wins_and_the_other_value_is_kept_as_a_conflict(owner: Side, kept: str, lost: str) -> None:
    merged = meet("Bonn", "Köln", ("Ulm", "Ulm"), one_field(owner=owner))
    assert written(merged, owner.other) == {"city": kept}
    (conflict,) = merged.conflicts[owner.other]
    assert (conflict.side, conflict.value, conflict.kind) == (owner.other, lost, "policy")


def test_a_side_that_may_not_be_written_wins_even_against_the_owner() -> None:
    fields = one_field(owner=STRIPE, direction=Direction.TO_STRIPE)
    merged = meet("Bonn", "Köln", ("Ulm", "Ulm"), fields)
    assert written(merged, STRIPE) == {"city": "Bonn"}
    assert [c.value for c in merged.conflicts[STRIPE]] == ["Köln"]


# -- first contact


def test_a_blank_is_filled_on_first_contact() -> None:
    assert written(meet("Bonn", "", None), STRIPE) == {"city": "Bonn"}
    assert written(meet("", "Bonn", None), HUBSPOT) == {"city": "Bonn"}


def test_a_blank_stays_where_filling_is_switched_off() -> None:
    merged = meet("Bonn", "", None, one_field(fill_empty=False))
    assert not merged.writes[STRIPE]
    assert merged.base == {"city": ("Bonn", "")}


def test_different_values_stay_on_first_contact_and_both_are_reported() -> None:
    merged = meet("Bonn", "Ulm", None)
    assert not merged.writes[HUBSPOT]
    assert not merged.writes[STRIPE]
    assert merged.base == {"city": ("Bonn", "Ulm")}
    assert {(c.side, c.value, c.kind) for c in merged.immediate_conflicts} == {
        (HUBSPOT, "Bonn", "differ"),
        (STRIPE, "Ulm", "differ"),
    }


@pytest.mark.parametrize(("differ", "winner"), [("owner", STRIPE), ("hubspot", HUBSPOT), ("stripe", STRIPE)])
def test_an_operator_may_let_one_side_win_on_first_contact(differ: DifferPolicy, winner: Side) -> None:
    merged = meet("Bonn", "Ulm", None, one_field(owner=STRIPE), differ)
    assert written(merged, winner.other) == {"city": "Bonn" if winner is HUBSPOT else "Ulm"}
    assert [(c.side, c.kind) for c in merged.conflicts[winner.other]] == [(winner.other, "differ")]


def test_different_values_stay_where_the_winner_may_not_be_written() -> None:
    merged = meet("Bonn", "Ulm", None, one_field(direction=Direction.TO_STRIPE), "stripe")
    assert not merged.writes[HUBSPOT]
    assert len(merged.immediate_conflicts) == 2


# -- direction


@given(here=CITY, there=CITY, base=HALVES, fields=MAP, differ=DIFFER)
@STEADY
def test_a_side_a_field_does_not_flow_to_is_never_written(
    here: str, there: str, base: BasePair | None, fields: FieldMap, differ: DifferPolicy
) -> None:
    merged = meet(here, there, base, fields, differ)
    for side in Side:
        assert fields.specs[0].direction.reaches(side) or not merged.writes[side]


def test_an_edit_that_may_not_flow_is_remembered_so_that_it_does_not_flow_later() -> None:
    merged = meet("Ulm", "Bonn", ("Ulm", "Ulm"), one_field(direction=Direction.TO_STRIPE))
    assert merged.base == {"city": ("Ulm", "Bonn")}


# -- names


def test_a_full_name_that_cannot_be_told_apart_is_reported_and_remembered() -> None:
    base = {"name": (full_name("Ada", "Byron"), "Ada Byron")}
    pair = Pair(contact(name=full_name("Ada", "Byron")), customer(name="Grace Hopper"), base)
    merged = merge(pair, FIELDS, "keep")
    assert not merged.writes[HUBSPOT]
    assert [(c.side, c.value, c.kind) for c in merged.immediate_conflicts] == [(STRIPE, "Grace Hopper", "unsplit")]
    assert merged.base["name"] == (full_name("Ada", "Byron"), "Grace Hopper")


def test_what_stands_where_the_owner_s_name_could_not_be_told_is_kept_if_it_was_edited_too() -> None:
    fields = FieldMap(tuple(replace(spec, owner=STRIPE) for spec in FIELDS.specs))
    pair = Pair(contact(name=full_name("Ada", "Byron")), customer(name="Grace Hopper"), {"name": ("", "")})
    merged = merge(pair, fields, "keep")
    assert [(c.side, c.value, c.kind) for c in merged.immediate_conflicts] == [
        (STRIPE, "Grace Hopper", "unsplit"),
        (HUBSPOT, full_name("Ada", "Byron"), "differ"),
    ]
    # The next edit there has only one side to ask, and writes over what stands.
    emptied = replace(pair, customer=customer(name=""), base=merged.base)
    assert written(merge(emptied, fields, "keep"), HUBSPOT) == {"name": ""}


def test_a_full_name_that_cannot_be_told_over_our_own_late_fill_is_kept() -> None:
    pair = Pair(contact(name=full_name("Ada", "Byron")), customer(name="Grace Hopper"), {}, late={(HUBSPOT, "name")})
    merged = merge(pair, FIELDS, "keep")
    assert not merged.writes[HUBSPOT]
    assert [(c.side, c.value, c.kind) for c in merged.immediate_conflicts] == [(STRIPE, "Grace Hopper", "unsplit")]


def test_a_changed_part_of_a_name_flows_to_hubspot() -> None:
    base = {"name": (full_name("Ada", "Byron"), "Ada Byron")}
    pair = Pair(contact(name=full_name("Ada", "Byron")), customer(name="Ada Lovelace"), base)
    assert written(merge(pair, FIELDS, "keep"), HUBSPOT) == {"name": full_name("Ada", "Lovelace")}


def test_a_phone_cut_by_stripe_does_not_come_back_cut() -> None:
    base = {"phone": ("+49 (30) 12 34 56 78 ext. 987654", "+493012345678ext9876")}
    pair = Pair(contact(phone=base["phone"][0]), customer(phone=base["phone"][1]), base)
    assert not merge(pair, FIELDS, "keep").writes[HUBSPOT]


# -- fields that are written to one side only


@pytest.mark.parametrize(
    ("direction", "base", "here", "there", "listed"),
    [
        (Direction.TO_STRIPE, ("Bonn", "Bonn"), "Bonn", "Ulm", (STRIPE, "Ulm")),
        (Direction.TO_STRIPE, ("Bonn", "Bonn"), "Bonn", "", (HUBSPOT, "Bonn")),
        (Direction.TO_HUBSPOT, ("Bonn", "Bonn"), "Ulm", "Bonn", (HUBSPOT, "Ulm")),
    ],
)
def test_an_edit_of_the_side_that_a_one_way_field_is_written_to_stands_and_is_listed(
    direction: Direction, base: BasePair, here: str, there: str, listed: tuple[Side, str]
) -> None:
    merged = meet(here, there, base, one_field(direction=direction))
    assert merged.writes == {HUBSPOT: {}, STRIPE: {}}
    assert merged.base == {"city": (here, there)}
    assert [(c.side, c.value, c.kind) for c in merged.immediate_conflicts] == [(*listed, "differ")]
    settled = meet(here, there, merged.base["city"], one_field(direction=direction))
    assert not settled.immediate_conflicts


def test_the_next_edit_of_its_source_replaces_what_was_edited_where_a_one_way_field_is_written_to() -> None:
    merged = meet("Köln", "Ulm", ("Bonn", "Ulm"), one_field(direction=Direction.TO_STRIPE))
    assert written(merged, STRIPE) == {"city": "Köln"}
    assert [(c.value, c.kind) for c in merged.conflicts[STRIPE]] == [("Ulm", "policy")]
    same = meet("Ulm", "Ulm", ("Bonn", "Ulm"), one_field(direction=Direction.TO_STRIPE))
    assert (same.agreed, same.writes[STRIPE]) == (["city"], {})


# -- names of businesses


def test_the_name_of_a_business_becomes_the_company_of_a_contact_without_a_name() -> None:
    merged = merge(Pair(contact(), customer(name="Acme GmbH"), {}), FIELDS, "keep")
    assert merged.writes[HUBSPOT] == {"company": Change("", "Acme GmbH", "")}
    assert not merged.immediate_conflicts
    assert "name" not in merged.base  # it waits: a write that fails would lose the name
    written_now = Pair(contact(company="Acme GmbH"), customer(name="Acme GmbH"), {})
    assert merge(written_now, FIELDS, "keep").base["name"] == ("", "Acme GmbH")


def test_a_business_that_is_renamed_renames_the_company_it_became() -> None:
    pair = Pair(
        contact(company="Acme GmbH"),
        customer(name="Acme SE"),
        {"name": ("", "Acme GmbH"), "company": ("Acme GmbH", "")},
    )
    merged = merge(pair, FIELDS, "keep")
    assert merged.writes == {HUBSPOT: {"company": Change("Acme GmbH", "Acme SE", "")}, STRIPE: {}}
    assert not merged.immediate_conflicts


def test_a_person_who_became_a_business_stays_a_person_with_a_company() -> None:
    base = {"name": (full_name("Ada", "Byron"), "Ada Byron")}
    merged = merge(Pair(contact(name=base["name"][0]), customer(name="Byron 2000 GmbH"), base), FIELDS, "keep")
    assert merged.writes[HUBSPOT] == {"company": Change("", "Byron 2000 GmbH", "")}
    assert not merged.immediate_conflicts


@pytest.mark.parametrize("owner_held", [contact(company="Other Ltd"), contact(name=full_name("Ada", "Byron"))])
def test_a_company_and_a_name_that_stand_are_not_overwritten_by_a_business_name(owner_held: Record) -> None:
    merged = merge(Pair(owner_held, customer(name="Acme GmbH"), {}), FIELDS, "keep")
    assert "company" not in merged.writes[HUBSPOT]


def test_a_business_that_is_cleared_by_its_contact_does_not_come_back() -> None:
    base = {"name": ("", "Acme GmbH"), "company": ("Acme GmbH", "")}
    merged = merge(Pair(contact(), customer(name="Acme GmbH"), base), FIELDS, "keep")
    assert not merged.writes[HUBSPOT]


HELD_COMPANY = {"company": HeldValue(STRIPE, "", "Acme GmbH", "h1")}
ACME = {"name": ("", "Acme GmbH"), "company": ("Acme GmbH", "")}


@pytest.mark.parametrize(
    ("facts", "hold_id"),
    [
        ({"stops": {"company": "h1"}}, "h1"),
        ({"stops": {"company": "h1"}, "parked": {"company": Parked(HUBSPOT, "x", ParkReason.INVALID)}}, "h1"),
        ({"stops": {"name": "h2"}}, "h2"),
        ({"held": HELD_COMPANY}, "h1"),
        ({"unusable": frozenset({"company"})}, ""),
    ],
    ids=["stopped", "stopped and parked", "the name is stopped", "held", "paused"],
)
@pytest.mark.parametrize("base", [ACME, {}], ids=["renamed", "first contact"])
def test_the_name_of_a_business_waits_while_its_company_cannot_be_written(
    base: dict[str, BasePair], facts: dict[str, object], hold_id: str
) -> None:
    here = contact(company="Acme GmbH" if base else "")
    pair = replace(Pair(here, customer(name="Acme SE"), base), **facts)  # type: ignore[arg-type] # one fact a case
    merged = merge(pair, FIELDS, "keep")
    assert merged.writes == {HUBSPOT: {}, STRIPE: {}}
    assert "name" not in merged.base
    assert merged.new_holds.get("name") == (HeldValue(STRIPE, "Acme SE", "", hold_id) if hold_id else None)
    assert "company" not in merged.new_holds


def test_the_name_of_a_business_waits_for_a_company_that_a_copy_lacks() -> None:
    here = replace(contact(), unknown=frozenset({"company"}))
    merged = merge(Pair(here, customer(name="Acme SE"), {"name": ("", "Acme GmbH")}), FIELDS, "keep")
    assert merged.writes == {HUBSPOT: {}, STRIPE: {}}
    assert "name" not in merged.base


def test_the_name_of_a_business_goes_to_the_name_where_the_company_is_parked() -> None:
    parked = {"company": Parked(HUBSPOT, "Acme SE", ParkReason.INVALID)}
    merged = merge(Pair(contact(), customer(name="Acme SE"), {}, parked=parked), FIELDS, "keep")
    assert written(merged, HUBSPOT) == {"name": full_name("", "Acme SE")}


def test_a_released_business_name_is_marked_until_its_company_is_written() -> None:
    released = {"name": HeldValue(STRIPE, "Acme SE", "", "h1", HoldState.RELEASED)}
    merged = merge(Pair(contact(company="Acme GmbH"), customer(name="Acme SE"), ACME, held=released), FIELDS, "keep")
    assert written(merged, HUBSPOT) == {"company": "Acme SE"}
    assert not merged.dropped_holds


def test_a_name_that_repeats_the_company_is_no_name() -> None:
    merged = merge(
        Pair(contact(company="Nordwind Logistik"), customer(name="Nordwind Logistik", company="Nordwind Logistik"), {}),
        FIELDS,
        "keep",
    )
    assert not merged.writes[HUBSPOT]
    assert not merged.immediate_conflicts


# -- a field one of the copies does not hold


@pytest.mark.parametrize("base", [None, ("Ulm", "Ulm"), ("Bonn", ""), ("", "Bonn")])
@pytest.mark.parametrize("lacking", Side)
def test_a_field_that_a_copy_does_not_hold_is_neither_written_nor_cleared(base: BasePair | None, lacking: Side) -> None:
    lacks = frozenset({"city"})
    ann = replace(
        contact(city="" if lacking is HUBSPOT else "Bonn"), unknown=lacks if lacking is HUBSPOT else frozenset()
    )
    cus = replace(
        customer(city="" if lacking is STRIPE else "Bonn"), unknown=lacks if lacking is STRIPE else frozenset()
    )
    known = {} if base is None else {"city": base}
    held = {"city": HeldValue(HUBSPOT, "Bonn", "Ulm", "h1")}
    pair = Pair(ann, cus, known, parked={"city": Parked(STRIPE, "Bonn")}, held=held)
    merged = merge(pair, one_field(), "owner")
    assert merged == MergeResult(still_held={"city"})


def test_a_field_that_a_copy_does_not_hold_does_not_stop_the_others() -> None:
    pair = Pair(
        replace(contact(city="Bonn"), unknown=frozenset({"email"})),
        customer(city="Ulm", email="ann@example.com"),
        {"city": ("Ulm", "Ulm"), "email": ("ann@example.com", "ann@example.com")},
    )
    merged = merge(pair, FIELDS, "keep")
    assert written(merged, STRIPE) == {"city": "Bonn"}
    assert not merged.writes[HUBSPOT]
