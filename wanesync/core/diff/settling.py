"""What a person may choose for a field in which the two sides differ, or of which a value that lost is kept.

docs/correctness.md#settled-by-a-person
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.diff.decisions import Decision, Verdict, rebase, winners_of
from wanesync.core.fields import Direction, FieldMap, FieldSpec
from wanesync.core.model import BasePair, Link, PutBack, Record, Side, both_right_key
from wanesync.core.normalize import NAME_PARTS

PARTS_MARK = "|"
"""What a person types between first and last name, where they cannot be told apart otherwise."""


@dataclass(frozen=True, slots=True)
class ChosenValue:
    """The value that is right: in the form of ``side``, on which it is put first; from there it flows."""

    side: Side
    value: str


def choose_value(spec: FieldSpec, decision: Decision, values: Mapping[Side, str]) -> ChosenValue | str:
    """Return where a chosen value is put first, or why it cannot be chosen. ``values``: what each side holds now.

    Without a side of its own (a typed value) it is put on the side that owns the field; of a name, on Stripe as one
    text, or on HubSpot where ``|`` stands between first and last name.
    """
    if spec.direction is not Direction.BOTH:
        source = Side.HUBSPOT if spec.direction is Direction.TO_STRIPE else Side.STRIPE
        return f"value does not fit: {spec.name} is written to {source.other} only; edit it in {source}"
    chosen = _read_typed(spec, decision.value) if decision.value_side is None else None
    chosen = chosen or ChosenValue(decision.value_side or spec.owner, decision.value)
    if not chosen.value:
        return "value does not fit: nothing is left of it; to clear a field, let the side win on which it is blank"
    for side in (chosen.side, chosen.side.other):
        if spec.key(values[side]) == spec.key(chosen.value):
            return ChosenValue(side, values[side])
    if chosen.side is Side.STRIPE and spec.convert(Side.STRIPE, chosen.value, values[Side.STRIPE]) != chosen.value:
        return f"value does not fit: {spec.name} cannot be written to Stripe like that ({spec.why_not(chosen.value)})"
    if spec.convert(chosen.side.other, chosen.value, values[chosen.side.other]) is None:
        hint = f"; put a {PARTS_MARK} between first and last name" if len(spec.hubspot) > 1 else ""
        return f"value does not fit: it cannot be converted for {chosen.side.other} without a guess{hint}"
    return chosen


def _read_typed(spec: FieldSpec, text: str) -> ChosenValue:
    if len(spec.hubspot) > 1:
        first, mark, last = text.partition(PARTS_MARK)
        if mark:
            return ChosenValue(Side.HUBSPOT, spec.form.read_hubspot((first, last)))
        if NAME_PARTS in text:
            return ChosenValue(Side.HUBSPOT, spec.form.read_hubspot(text.split(NAME_PARTS, 1)))
        return ChosenValue(Side.STRIPE, spec.form.read_stripe(text))
    if spec.owner is Side.HUBSPOT:
        return ChosenValue(Side.HUBSPOT, spec.form.read_hubspot((text,)))
    converted = spec.convert(Side.STRIPE, spec.form.read_stripe(text), "")
    return ChosenValue(Side.STRIPE, spec.form.read_stripe(text) if converted is None else converted)


@dataclass(slots=True)
class Settlement:
    """A link after decisions about its values. ``changed``: the fields in which its base or its notes are others.

    ``losers``: (field, side, value) of values that are to be overwritten. ``cleared``: how many values are cleared.
    """

    link: Link
    changed: list[str] = field(default_factory=list)
    losers: list[tuple[str, Side, str]] = field(default_factory=list)
    cleared: int = 0


def settle(
    link: Link,
    records: Mapping[Side, Record],
    decisions: Sequence[Decision],
    fields: FieldMap,
    written: Collection[str],
) -> Settlement:
    """Return the link under which the planner carries out what was decided about its values.

    ``written``: fields that a planned write changes. That both values are right does not stop an edit that flows.
    """
    values = {side: record.values for side, record in records.items()}

    def held(name: str) -> BasePair:
        return values[Side.HUBSPOT].get(name, ""), values[Side.STRIPE].get(name, "")

    base, put_back, settled = dict(link.base), dict(link.put_back), Settlement(link)
    differing = [name for name, spec in fields.by_name.items() if not spec.agree(*held(name))]
    chosen = _find_values(decisions, values, fields)
    winners = find_winners(decisions, records, link.base, fields)
    winners |= {
        name: one.side
        for name, one in chosen.items()
        if name in differing and values[one.side].get(name, "") == one.value
    }
    for name, side in winners.items():
        here, there = values[side].get(name, ""), values[side.other].get(name, "")
        base[name] = rebase(side, *held(name))
        # Noted, so that a blank clears whatever the field map says, and the write does not close what is kept here.
        put_back[name] = PutBack(side, here, base[name], contested=False, decided=True)
        settled.changed.append(name)
        settled.losers.append((name, side.other, there))
        settled.cleared += not here
    for name, one in chosen.items():
        if values[one.side].get(name, "") != one.value:
            # As if both sides had agreed on what they hold: the value is put on one of them, and flows from there.
            base[name] = held(name)
            put_back[name] = PutBack(one.side, one.value, base[name], contested=False)
            settled.changed.append(name)
            settled.losers += [(name, side, values[side].get(name, "")) for side in Side]
    for name in _find_both_right(decisions, differing):
        if name not in written:
            base |= {name: held(name), both_right_key(name): held(name)}
            put_back.pop(name, None)
            settled.changed.append(name)
    parked = {name: park for name, park in link.parked.items() if name not in settled.changed}
    settled.link = replace(link, base=base, parked=parked, put_back=put_back)
    return settled


def list_winners(
    decisions: Sequence[Decision], records: Mapping[Side, Record], base: Mapping[str, BasePair], fields: FieldMap
) -> dict[str, Side]:
    """Return field -> winning side. A name that Stripe filled in is no value, unless a decision is about that field.

    See docs/correctness.md#names-stripe-fills-in.
    """
    named = {decision.field for decision in decisions}
    return {
        name: winner
        for name, winner in winners_of(decisions, fields.by_name).items()
        if name in named
        or records[Side.HUBSPOT].values.get(name)
        or not (
            fields.is_filled_in(records[Side.STRIPE], name)
            or fields.was_filled_in(base, name, records[Side.STRIPE].values.get(name, ""))
        )
    }


def find_winners(
    decisions: Sequence[Decision], records: Mapping[Side, Record], base: Mapping[str, BasePair], fields: FieldMap
) -> dict[str, Side]:
    """Return field -> winning side, where the two differ and the other side can hold the value."""
    found = {}
    for name, winner in list_winners(decisions, records, base, fields).items():
        spec = fields.by_name[name]
        here, there = records[winner].values.get(name, ""), records[winner.other].values.get(name, "")
        agree = spec.agree(*(records[side].values.get(name, "") for side in Side))
        if not agree and spec.convert(winner.other, here, there) is not None:
            found[name] = winner
    return found


def _find_values(
    decisions: Sequence[Decision], values: Mapping[Side, Mapping[str, str]], fields: FieldMap
) -> dict[str, ChosenValue]:
    """Return field -> the value that was chosen for it."""
    found = {}
    for decision in decisions:
        if decision.verdict is Verdict.VALUE and decision.field in fields.by_name:
            spec = fields.by_name[decision.field]
            chosen = choose_value(spec, decision, {side: values[side].get(spec.name, "") for side in Side})
            if isinstance(chosen, ChosenValue):
                found[spec.name] = chosen
    return found


def _find_both_right(decisions: Sequence[Decision], differing: Sequence[str]) -> list[str]:
    """Return the fields of which both values are right; a decision without a field is about all that differ."""
    found: dict[str, None] = {}
    for decision in decisions:
        if decision.verdict is Verdict.BOTH:
            found |= dict.fromkeys([decision.field] if decision.field else differing)
    return [name for name in found if name in differing]


def is_both_right(base: Mapping[str, BasePair], name: str, values: BasePair) -> bool:
    """Return whether an operator said that just these two values of a field are both right."""
    return bool(any(values)) and base.get(both_right_key(name)) == values == base.get(name)
