"""The field map: which sides a field reaches, what Stripe takes of a value, and when records are equal."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import FIELDS, HUBSPOT, STRIPE, contact, full_name, one_field, stored
from wanesync.core.fields import Direction, FieldMap, exact, has_value
from wanesync.core.model import Record, Side


def test_a_direction_reaches_its_side_only() -> None:
    assert [Direction.BOTH.reaches(side) for side in (HUBSPOT, STRIPE)] == [True, True]
    assert [Direction.TO_STRIPE.reaches(side) for side in (HUBSPOT, STRIPE)] == [False, True]
    assert [Direction.TO_HUBSPOT.reaches(side) for side in (HUBSPOT, STRIPE)] == [True, False]


def test_a_record_has_a_value_as_a_whole_or_as_one_property_of_a_name() -> None:
    copy = stored(contact(name=full_name("Ada", "Lovelace"), city="London"))
    assert has_value(copy, "city", "London")
    assert has_value(copy, "name/lastname", "Lovelace")
    assert not has_value(copy, "name", "Ada")
    assert not has_value(copy, "phone", "1")


def test_a_value_is_cut_to_what_stripe_takes_and_loses_the_blank_the_cut_ends_in() -> None:
    spec = FIELDS.by_name["company"]
    text = "a" * (spec.limit - 1) + " b"
    assert spec.convert(STRIPE, text, "") == "a" * (spec.limit - 1)
    assert spec.agree(text, "a" * (spec.limit - 1))
    assert (spec.key(""), spec.convert(STRIPE, "", "x")) == ("", "")


def test_values_are_exactly_equal_whatever_their_order_and_whatever_is_blank() -> None:
    assert exact([("city", "Rom"), ("phone", "")]) == exact([("city", "Rom")])
    assert exact([("a", "1"), ("b", "2")]) == exact([("b", "2"), ("a", "1")])
    assert exact([("a", "1:b")]) != exact([("a", "1"), ("b", "")])


def test_records_of_both_sides_that_agree_have_one_comparison_text() -> None:
    assert FIELDS.comparison(contact(country="Austria")) == FIELDS.comparison(contact(country="AT"))
    assert FIELDS.comparison(contact(city="Rom")) != FIELDS.comparison(contact(city="Ulm"))


def test_every_mapped_property_is_read() -> None:
    assert FieldMap(FIELDS.specs[:2]).properties() == ["email", "firstname", "lastname"]


def test_a_change_of_the_map_changes_its_version() -> None:
    fields = one_field()
    assert fields.version == one_field().version
    assert fields.version != FieldMap((replace(fields.specs[0], direction=Direction.TO_STRIPE),)).version


def test_a_name_that_stripe_filled_in_is_recognised_without_a_field_for_the_business() -> None:
    fields = FieldMap(tuple(spec for spec in FIELDS.specs if spec.name in ("email", "name")))
    business = Record(Side.STRIPE, "cus_1", {"name": "Nordwind"}, carry={"business_name": "Nordwind"})
    assert fields.is_filled_in(business, "name")
    assert not fields.is_filled_in(replace(business, carry={"business_name": "Other"}), "name")
    assert not fields.is_filled_in(replace(business, carry={}), "name")
