"""What holds for every merge: nothing is lost, nothing is made up, and one round is enough."""

from __future__ import annotations

from dataclasses import replace

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
    one_field,
)
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.merge import DifferPolicy, Pair, merge
from wanesync.core.model import BasePair, Side

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
PERSON = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada@x.org", "ada@y.org"]),
        "phone": st.sampled_from(["+4930123456", "030 123456", "+49 (30) 12 34 56 78 ext. 9"]),
        "company": st.sampled_from(["Acme", "ACME", "x" * 149 + " and sons"]),
        "country": st.sampled_from(["Germany", "Freedonia"]),
        "name": st.sampled_from([full_name("Ada", "Byron"), full_name("Ada", "")]),
    },
)
PAYER = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada@x.org", "ada@y.org"]),
        "phone": st.sampled_from(["+4930123456", "030-123456"]),
        "company": st.sampled_from(["Acme", "x" * 149]),
        "country": st.sampled_from(["DE", "FR"]),
        "name": st.sampled_from(["Ada Byron", "Ada Lovelace", "Grace Hopper", "Acme GmbH", "Ada"]),
    },
)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    base = {}
    earlier, paid = draw(PERSON), draw(PAYER)
    for name in draw(st.sets(st.sampled_from(["email", "phone", "company", "country", "name"]))):
        base[name] = (earlier.get(name, ""), paid.get(name, ""))
    return Pair(contact(**draw(PERSON)), customer(**draw(PAYER)), base)


@given(pair=pairs())
@STEADY
def test_a_field_no_side_changed_is_never_written(pair: Pair) -> None:
    merged = merge(pair, FIELDS, "keep")
    for name, base_pair in pair.base.items():
        if base_pair == (pair.value(HUBSPOT, name), pair.value(STRIPE, name)):
            assert name not in {**merged.writes[HUBSPOT], **merged.writes[STRIPE]}


@given(pair=pairs(), differ=DIFFER)
@STEADY
def test_an_edited_value_that_is_overwritten_is_a_conflict(pair: Pair, differ: DifferPolicy) -> None:
    merged = merge(pair, FIELDS, differ)
    for side in Side:
        for name, change in merged.writes[side].items():
            base_pair = pair.base.get(name)
            then = "" if base_pair is None else base_pair[0] if side is HUBSPOT else base_pair[1]
            if change.before not in ("", then):
                assert change.before in [c.value for c in merged.conflicts[side] if c.field == name]


@given(then=CITY, edit=CITY, later=CITY, fields=MAP)
@STEADY
def test_an_edit_that_a_one_way_field_overwrites_later_is_a_conflict(
    then: str, edit: str, later: str, fields: FieldMap
) -> None:
    (spec,) = fields.specs
    target = STRIPE if spec.direction is not Direction.TO_HUBSPOT else HUBSPOT
    values = {target: edit, target.other: then}
    edited = Pair(contact(city=values[HUBSPOT]), customer(city=values[STRIPE]), {"city": (then, then)})
    rested = carry_out(edited, merge(edited, fields, "keep"))
    source = "customer" if target is HUBSPOT else "contact"
    again = replace(rested, **{source: replace(getattr(rested, source), values={"city": later})})
    merged = merge(again, fields, "keep")
    if "city" in merged.writes[target] and edit and spec.direction is not Direction.BOTH and not spec.agree(then, edit):
        assert edit in [conflict.value for conflict in merged.conflicts[target] if conflict.kind == "policy"]


# -- what holds for every pair


@given(here=CITY, there=CITY, base=HALVES, fields=MAP, differ=DIFFER)
@STEADY
def test_one_field_is_at_rest_after_one_round(
    here: str, there: str, base: BasePair | None, fields: FieldMap, differ: DifferPolicy
) -> None:
    pair = Pair(contact(city=here), customer(city=there), {} if base is None else {"city": base})
    after = carry_out(pair, merge(pair, fields, differ))
    again = merge(after, fields, differ)
    assert not again.writes[HUBSPOT]
    assert not again.writes[STRIPE]
    assert not again.immediate_conflicts
    assert not again.base


@given(pair=pairs(), differ=DIFFER)
@STEADY
def test_a_person_is_at_rest_after_one_round(pair: Pair, differ: DifferPolicy) -> None:
    again = merge(carry_out(pair, merge(pair, FIELDS, differ)), FIELDS, differ)
    assert not again.writes[HUBSPOT]
    assert not again.writes[STRIPE]
    assert not again.base


@given(pair=pairs(), differ=DIFFER)
@STEADY
def test_every_written_value_says_what_the_other_side_holds(pair: Pair, differ: DifferPolicy) -> None:
    merged = merge(pair, FIELDS, differ)
    for side in Side:
        for name, change in merged.writes[side].items():
            assert change.source == pair.value(side.other, name)
            base_pair = (change.after, change.source) if side is HUBSPOT else (change.source, change.after)
            if name == "company" and change.after and not change.source:
                base_pair = (change.after, pair.value(STRIPE, "name"))  # the name of a business
            assert FIELDS.by_name[name].agree(*base_pair)


@given(pair=pairs(), differ=DIFFER)
@BRIEF
def test_no_field_is_written_on_both_sides(pair: Pair, differ: DifferPolicy) -> None:
    merged = merge(pair, FIELDS, differ)
    assert not set(merged.writes[HUBSPOT]) & set(merged.writes[STRIPE])


@given(pair=pairs(), differ=DIFFER)
@BRIEF
def test_a_merge_does_not_change_what_it_is_given(pair: Pair, differ: DifferPolicy) -> None:
    copy = replace(pair, base=dict(pair.base))
    merge(pair, FIELDS, differ)
    assert pair == copy
