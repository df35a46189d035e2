"""Values a merge holds back: parked ones, that a side refused, and our own late writes."""

from __future__ import annotations

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
    one_field,
    written,
)
from wanesync.core.merge import Pair, merge
from wanesync.core.model import BasePair, Parked, Side

CITY = st.sampled_from(["", "Bonn", "Ulm", "Köln"])


# -- parked values


def test_a_parked_address_is_not_tried_again_while_it_is_taken() -> None:
    pair = Pair(
        contact(email="old@x.org"),
        customer(email="new@x.org"),
        {"email": ("old@x.org", "old@x.org")},
        parked={"email": Parked(HUBSPOT, "new@x.org")},
    )
    merged = merge(pair, FIELDS, "keep")
    assert not merged.writes[HUBSPOT]
    assert not merged.unparked
    assert "email" not in merged.base


def test_a_parked_field_does_not_hold_up_the_others() -> None:
    pair = Pair(
        contact(email="old@x.org"),
        customer(email="new@x.org", phone="110"),
        {"email": ("old@x.org", "old@x.org"), "phone": ("", "")},
        parked={"email": Parked(HUBSPOT, "new@x.org")},
    )
    assert written(merge(pair, FIELDS, "keep"), HUBSPOT) == {"phone": "110"}


def test_a_parked_address_is_tried_again_once_no_other_record_has_it() -> None:
    pair = Pair(
        contact(email="old@x.org"),
        customer(email="new@x.org"),
        {"email": ("old@x.org", "old@x.org")},
        parked={"email": Parked(HUBSPOT, "new@x.org")},
        free=True,
    )
    merged = merge(pair, FIELDS, "keep")
    assert written(merged, HUBSPOT) == {"email": "new@x.org"}
    assert merged.unparked == ["email"]


@pytest.mark.parametrize(("name", "side"), [("phone", STRIPE), ("email", STRIPE), ("phone", HUBSPOT)])
def test_a_value_refused_for_its_own_sake_is_not_sent_again_because_no_address_is_taken(name: str, side: Side) -> None:
    source, target = ("strange", "old") if side is STRIPE else ("old", "strange")
    pair = Pair(
        contact(**{name: source}),
        customer(**{name: target}),
        {name: ("old", "old")},
        parked={name: Parked(side, "strange")},
        free=True,
    )
    merged = merge(pair, FIELDS, "keep")
    assert not merged.writes[side]
    assert not merged.unparked


def test_another_value_is_tried_at_once() -> None:
    pair = Pair(
        contact(email="old@x.org"),
        customer(email="third@x.org"),
        {"email": ("old@x.org", "old@x.org")},
        parked={"email": Parked(HUBSPOT, "new@x.org")},
    )
    merged = merge(pair, FIELDS, "keep")
    assert written(merged, HUBSPOT) == {"email": "third@x.org"}
    assert merged.unparked == ["email"]


def test_a_park_ends_when_its_value_is_given_up() -> None:
    pair = Pair(
        contact(email="old@x.org"),
        customer(email="old@x.org"),
        {"email": ("old@x.org", "old@x.org")},
        parked={"email": Parked(HUBSPOT, "new@x.org")},
    )
    assert merge(pair, FIELDS, "keep").unparked == ["email"]


def test_a_conflict_is_not_reported_before_the_write_that_makes_it() -> None:
    pair = Pair(
        contact(email="a@x.org"),
        customer(email="b@x.org"),
        {"email": ("old@x.org", "old@x.org")},
        parked={"email": Parked(STRIPE, "a@x.org")},
    )
    assert not merge(pair, FIELDS, "keep").conflicts[STRIPE]


# -- late writes


def late_pair(here: str, there: str, base: BasePair, *late: Side) -> Pair:
    return Pair(contact(city=here), customer(city=there), {"city": base}, [(side, "city") for side in late])


def test_our_own_late_write_is_put_back_to_what_was_agreed() -> None:
    merged = merge(late_pair("Bonn", "Köln", ("Bonn", "Ulm"), STRIPE), one_field(), "keep")
    assert written(merged, STRIPE) == {"city": "Ulm"}
    assert not merged.writes[HUBSPOT]


def test_a_persons_edit_wins_over_our_own_late_write() -> None:
    merged = merge(late_pair("Essen", "Köln", ("Bonn", "Ulm"), STRIPE), one_field(), "keep")
    assert written(merged, STRIPE) == {"city": "Essen"}
    assert not merged.conflicts[STRIPE]


@given(here=CITY, there=CITY, base=st.tuples(CITY, CITY), late=st.sets(st.sampled_from(Side), min_size=1))
@STEADY
def test_after_late_writes_are_put_back_the_base_is_what_both_sides_hold(
    here: str, there: str, base: BasePair, late: set[Side]
) -> None:
    pair = late_pair(here, there, base, *late)
    after = carry_out(pair, merge(pair, one_field(), "keep"))
    assert after.base["city"] == (after.value(HUBSPOT, "city"), after.value(STRIPE, "city"))


def test_a_late_write_that_changed_nothing_is_not_put_back() -> None:
    merged = merge(late_pair("Bonn", "Köln", ("Bonn", "Ulm"), HUBSPOT, STRIPE), one_field(), "keep")
    assert written(merged, STRIPE) == {"city": "Ulm"}
    assert not merged.writes[HUBSPOT]
