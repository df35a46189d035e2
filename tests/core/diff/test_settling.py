"""What a person chose for a field comes true by the planner alone, and nothing else is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import (
    BRIEF,
    FIELDS,
    HUBSPOT,
    STEADY,
    STRIPE,
    carry_out,
    contact,
    customer,
    full_name,
    link,
    one_field,
)
from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.diff.settling import ChosenValue, Settlement, choose_value, is_both_right, settle
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.merge import Pair, merge
from wanesync.core.model import BasePair, Link, Parked, PutBack, Side

TEXT = st.sampled_from(["", "Ulm", "ulm", "Bonn", "Köln", "X" * 6000])
NAMES = sorted(FIELDS.by_name)


def decision(verdict: Verdict, name: str = "city", value: str = "", side: Side | None = None) -> Decision:
    return Decision(0, "1", "cus_1", name, verdict, value=value, value_side=side)


def decide(
    one: Decision, here: str, there: str, base: BasePair | None, fields: FieldMap, *written: str
) -> tuple[Settlement, Pair]:
    """A link after a decision about its city, and the pair as the planner meets it; ``written``: planned writes."""
    records = {HUBSPOT: contact(city=here), STRIPE: customer(city=there)}
    before = link(base={} if base is None else {"city": base})
    settled = settle(before, records, [one], fields, written)
    after = settled.link
    return settled, Pair(records[HUBSPOT], records[STRIPE], after.base, put_back=after.put_back, parked=after.parked)


def carry_out_all(pair: Pair, fields: FieldMap) -> tuple[Pair, int]:
    """The pair once nothing is left to write, and how many rounds wrote."""
    for rounds in range(6):
        merged = merge(pair, fields, "keep")
        if not any(merged.writes.values()):
            return carry_out(pair, merged), rounds
        pair = carry_out(pair, merged)
    raise AssertionError("it never settles")


def held(pair: Pair, name: str = "city") -> tuple[str, str]:
    return pair.value(HUBSPOT, name), pair.value(STRIPE, name)


@given(here=TEXT, there=TEXT, base=st.none() | st.tuples(TEXT, TEXT), winner=st.sampled_from(Side))
@STEADY
def test_the_value_of_the_side_that_is_right_comes_to_stand_on_both(
    here: str, there: str, base: BasePair | None, winner: Side
) -> None:
    fields = one_field()
    settled, pair = decide(decision(Verdict(str(winner))), here, there, base, fields)
    spec = fields.by_name["city"]
    if spec.agree(here, there):
        assert not settled.changed  # what stands is right: whatever the base says is as before
        return
    after, _ = carry_out_all(pair, fields)
    right = here if winner is HUBSPOT else there
    assert {spec.key(value) for value in held(after)} == {spec.key(right)}
    assert settled.cleared == (not right)


@given(
    here=TEXT, there=TEXT, base=st.none() | st.tuples(TEXT, TEXT), value=TEXT, side=st.none() | st.sampled_from(Side)
)
@STEADY
def test_the_value_that_was_chosen_comes_to_stand_on_both(
    here: str, there: str, base: BasePair | None, value: str, side: Side | None
) -> None:
    fields = one_field()
    spec = fields.by_name["city"]
    one = decision(Verdict.VALUE, value=value, side=side)
    chosen = choose_value(spec, one, {HUBSPOT: here, STRIPE: there})
    settled, pair = decide(one, here, there, base, fields)
    if isinstance(chosen, str):
        assert not settled.changed
        return
    after, rounds = carry_out_all(pair, fields)
    if spec.agree(here, there) and spec.key(here) == spec.key(value):
        return
    assert {spec.key(now) for now in held(after)} == {spec.key(chosen.value)}
    assert rounds <= 2


@given(here=TEXT, there=TEXT, base=st.none() | st.tuples(TEXT, TEXT))
@STEADY
def test_where_both_are_right_nothing_is_written_until_one_is_edited(
    here: str, there: str, base: BasePair | None
) -> None:
    fields = one_field()
    _, pair = decide(decision(Verdict.BOTH), here, there, base, fields)
    if fields.by_name["city"].agree(here, there):
        return
    after, rounds = carry_out_all(pair, fields)
    assert (held(after), rounds) == ((here, there), 0)
    assert is_both_right(after.base, "city", (here, there))
    edited, _ = carry_out_all(replace(after, contact=contact(city="Graz")), fields)
    assert held(edited) == ("Graz", "Graz")
    assert not is_both_right(edited.base, "city", held(edited))


def test_both_right_does_not_stop_an_edit_that_is_about_to_flow() -> None:
    settled, _ = decide(decision(Verdict.BOTH), "Ulm", "Bonn", ("Bonn", "Bonn"), one_field(), "city")
    assert not settled.changed


def test_an_edit_that_comes_before_the_chosen_value_is_the_newer_one() -> None:
    fields = one_field()
    _, pair = decide(decision(Verdict.VALUE, value="Graz"), "Ulm", "Bonn", ("Ulm", "Bonn"), fields)
    merged = merge(replace(pair, customer=customer(city="Wien")), fields, "keep")
    assert [(c.kind, c.value) for c in merged.immediate_conflicts] == [("overwritten", "Graz")]
    assert merged.writes[HUBSPOT]["city"].after == "Wien"


def test_a_decision_ends_what_was_parked_and_put_back() -> None:
    records = {HUBSPOT: contact(city="Ulm"), STRIPE: customer(city="Bonn")}
    parked = {"city": Parked(STRIPE, "Ulm"), "phone": Parked(STRIPE, "1")}
    back = {"city": PutBack(STRIPE, "Wien", ("Ulm", "Bonn"), contested=True)}
    before = link(base={"city": ("Ulm", "Bonn")}, parked=parked, put_back=back)
    for verdict in (Verdict.HUBSPOT, Verdict.BOTH):
        after: Link = settle(before, records, [decision(verdict)], FIELDS, ()).link
        assert [*after.parked] == ["phone"]
        assert after.put_back.get("city", back["city"]).decided == (verdict is Verdict.HUBSPOT) or not after.put_back


def test_the_losing_values_are_named() -> None:
    settled, _ = decide(decision(Verdict.VALUE, value="Graz"), "Ulm", "Bonn", ("Ulm", "Bonn"), one_field())
    assert settled.losers == [("city", HUBSPOT, "Ulm"), ("city", STRIPE, "Bonn")]
    settled, _ = decide(decision(Verdict.STRIPE), "Ulm", "Bonn", ("Ulm", "Bonn"), one_field())
    assert settled.losers == [("city", HUBSPOT, "Ulm")]


# -- where a value is put first


def test_a_typed_value_is_put_on_the_side_that_owns_the_field() -> None:
    values = {HUBSPOT: "Ulm", STRIPE: "Bonn"}
    for owner in Side:
        spec = one_field(owner=owner).by_name["city"]
        assert choose_value(spec, decision(Verdict.VALUE, value=" Graz "), values) == ChosenValue(owner, "Graz")


def test_a_typed_name_is_one_text_or_two_parts() -> None:
    spec = FIELDS.by_name["name"]
    values = {HUBSPOT: full_name("Ann", "Ode"), STRIPE: "Ann Poe"}
    typed = decision(Verdict.VALUE, "name", "Eva Maria | Roe")
    assert choose_value(spec, typed, values) == ChosenValue(HUBSPOT, full_name("Eva Maria", "Roe"))
    assert choose_value(spec, decision(Verdict.VALUE, "name", "Ann  Roe"), values) == ChosenValue(STRIPE, "Ann Roe")
    guess = choose_value(spec, decision(Verdict.VALUE, "name", "Eva Maria Roe"), values)
    assert isinstance(guess, str)
    assert "put a | between" in guess


def test_a_value_that_a_side_holds_is_that_side_s() -> None:
    spec = FIELDS.by_name["country"]
    values = {HUBSPOT: "Germany", STRIPE: "FR"}
    assert choose_value(spec, decision(Verdict.VALUE, "country", "DE"), values) == ChosenValue(HUBSPOT, "Germany")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("country", "Atlantis", "cannot be written to Stripe"),
        ("phone", "+49 170 1234567 / +49 170 7654321", "cannot be converted"),
        ("city", " ", "nothing is left"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, value: str, why: str) -> None:
    chosen = choose_value(FIELDS.by_name[name], decision(Verdict.VALUE, name, value), {HUBSPOT: "a", STRIPE: "b"})
    assert isinstance(chosen, str)
    assert why in chosen


def test_a_field_of_one_direction_is_edited_where_it_comes_from() -> None:
    spec = one_field(direction=Direction.TO_STRIPE).by_name["city"]
    chosen = choose_value(spec, decision(Verdict.VALUE, value="Graz"), {HUBSPOT: "a", STRIPE: "b"})
    assert chosen == "value does not fit: city is written to stripe only; edit it in hubspot"


@given(name=st.sampled_from(NAMES), value=st.text(max_size=30), here=st.text(max_size=8), there=st.text(max_size=8))
@BRIEF
def test_no_value_breaks_it(name: str, value: str, here: str, there: str) -> None:
    spec = FIELDS.by_name[name]
    values = {HUBSPOT: spec.form.read_hubspot((here,) * len(spec.hubspot)), STRIPE: spec.form.read_stripe(there)}
    chosen = choose_value(spec, decision(Verdict.VALUE, name, value), values)
    if isinstance(chosen, ChosenValue):
        assert chosen.value
