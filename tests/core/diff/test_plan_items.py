"""Plan files: they contain no value, they describe exactly what would be done, and they name their accounts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import STEADY
from wanesync.core.diff.difference import Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.plan_items import (
    PlanHeader,
    check_header,
    find_deviation,
    propose,
    read_header,
    read_item,
    values_of,
)
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side

HEAD = PlanHeader("42", "acct_1", "test", "f1", 1_800_000_000_000, {"update_customer": 1})


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def update(
    phone: str = "110", after: str = "112", kind: DifferenceClass = DifferenceClass.UPDATE_CUSTOMER
) -> Difference:
    side = Side.STRIPE if kind is DifferenceClass.UPDATE_CUSTOMER else Side.HUBSPOT
    values = (after, phone) if side is Side.STRIPE else (phone, after)
    return Difference(kind, "1", "cus_1", {"phone": FieldDifference(*values, side, "", after)}, "", "contact:1")


def deviation(planned: list[Difference], now: list[Difference]) -> tuple[str, ...] | None:
    found = find_deviation([propose(d, hashed) for d in planned], now, hashed)
    return None if found is None else found.fields


differences = st.builds(
    update,
    st.text(max_size=3),
    st.text(max_size=3),
    st.sampled_from([DifferenceClass.UPDATE_CUSTOMER, DifferenceClass.UPDATE_CONTACT]),
)


@given(differences, differences)
@STEADY
def test_a_plan_fits_exactly_what_it_was_made_of(one: Difference, two: Difference) -> None:
    assert deviation([one], [one]) is None
    same = one.kind is two.kind and all(
        (a.writes, a.after, a.stripe if a.writes == "stripe" else a.hubspot)
        == (b.writes, b.after, b.stripe if b.writes == "stripe" else b.hubspot)
        for a, b in zip(one.fields.values(), two.fields.values(), strict=True)
    )
    assert (deviation([one], [two]) is None) == same


@given(differences)
@STEADY
def test_an_item_survives_the_file(difference: Difference) -> None:
    item = replace(propose(difference, hashed), sealed="c2VhbGVk")
    assert read_item(json.dumps(item.as_json())) == item
    assert read_item(json.dumps(item.as_json())).sealed == "c2VhbGVk"


def test_an_item_holds_no_value() -> None:
    text = json.dumps(propose(update("0815", "4711"), hashed).as_json())
    assert "0815" not in text
    assert "4711" not in text
    assert values_of(update("0815", "4711")) == {"phone": ["4711", "0815", "4711"]}


def test_the_same_value_of_two_people_has_two_hashes() -> None:
    one, two = propose(update(), hashed), propose(replace(update(), key="contact:2"), hashed)
    assert one.steps["phone"].after != two.steps["phone"].after
    assert one.steps["phone"].before != one.steps["phone"].after
    assert (
        propose(update("1", "1"), hashed).steps["phone"].before
        == propose(update("1", "1"), hashed).steps["phone"].after
    )


def test_more_or_less_than_planned_is_a_deviation() -> None:
    one, two = update(), update(kind=DifferenceClass.UPDATE_CONTACT)
    assert deviation([one, two], [two, one]) is None
    assert deviation([one], [one, two]) == ("phone",)
    assert deviation([one, two], [one]) == ("phone",)
    assert deviation([one], []) == ("phone",)
    assert deviation([one], [update("111")]) == ("phone",)


def test_what_a_person_has_to_settle_is_no_deviation() -> None:
    kept = Difference(
        DifferenceClass.CONFLICT, "1", "cus_1", {"city": FieldDifference("a", "b", "", "")}, "", "contact:1"
    )
    assert deviation([update()], [update(), kept]) is None


def test_a_head_survives_the_file() -> None:
    assert read_header(json.dumps(HEAD.as_json())) == HEAD


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1}', "5", '{"version": 1, "pins": []}'])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no plan"):
        read_header(text)


def test_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="another version"):
        read_header(json.dumps(HEAD.as_json() | {"version": 2}))


def test_a_plan_of_elsewhere_says_what_does_not_fit() -> None:
    assert check_header(HEAD, replace(HEAD, made_ms=5, counts={})) == []
    other = PlanHeader("43", "acct_2", "live", "f2", 0)
    assert len(check_header(HEAD, other)) == 4
    assert "(unknown)" in check_header(replace(HEAD, portal=""), HEAD)[0]
