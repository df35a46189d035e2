"""The three-way merge of one link, field by field, against what each side held when they last agreed.

CORRECTNESS sections 3, 5 and 6. Nothing here knows a clock: no time decides who wins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from wanesync.core.change_guard import HeldValue, HoldState
from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.model import BasePair, Change, Conflict, Record, Side

DifferPolicy = Literal["keep", "owner", "hubspot", "stripe"]


@dataclass(slots=True)
class MergeResult:
    """What a merge wants: writes per side, fields agreed on, values that did not win, parks and holds to lift.

    ``held``: writes the brake keeps back instead. ``kept``: fields of which what is held stays so.
    """

    writes: dict[Side, dict[str, Change]] = field(default_factory=lambda: {Side.HUBSPOT: {}, Side.STRIPE: {}})
    base: dict[str, BasePair] = field(default_factory=dict)
    conflicts: dict[Side, list[Conflict]] = field(default_factory=lambda: {Side.HUBSPOT: [], Side.STRIPE: []})
    settled: list[Conflict] = field(default_factory=list)
    unparked: list[str] = field(default_factory=list)
    held: dict[str, HeldValue] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    unheld: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pair:
    """A contact and a customer with their base, as the merge sees them.

    ``late``: (side, field) whose present value is our own late write: it is put back to the base.
    ``parked``: field -> (side, value) refused for good. ``free``: addresses parked no more.
    ``held``: field -> what is held back of it. ``stops``: field -> the hold that keeps its changes back.
    """

    contact: Record
    customer: Record
    base: Mapping[str, BasePair]
    late: Collection[tuple[Side, str]] = ()
    parked: Mapping[str, tuple[Side, str]] = field(default_factory=dict)
    free: bool = False
    held: Mapping[str, HeldValue] = field(default_factory=dict)
    stops: Mapping[str, str] = field(default_factory=dict)

    def value(self, side: Side, name: str) -> str:
        """What a side holds now."""
        record = self.contact if side is Side.HUBSPOT else self.customer
        return record.values.get(name, "")

    def record_id(self, side: Side) -> str:
        """The id on a side."""
        return self.contact.id if side is Side.HUBSPOT else self.customer.id


def merge(pair: Pair, fields: FieldMap, differ: DifferPolicy) -> MergeResult:
    """Plan every field of one pair."""
    merged = MergeResult()
    for spec in fields.specs:
        hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
        base_pair = pair.base.get(spec.name)
        if base_pair == (hubspot, stripe):
            continue
        if spec.agree(hubspot, stripe):
            merged.base[spec.name] = (hubspot, stripe)
        elif spec.name in pair.held and _apply_hold(pair, spec, pair.held[spec.name], merged):
            continue
        elif base_pair is None:
            _first_contact(pair, spec, differ, merged)
        else:
            _three_way(pair, spec, base_pair, merged)
    _apply_parked(pair, fields, merged)
    if pair.held or pair.stops:
        _apply_stops(pair, merged)
    return merged


def _apply_hold(pair: Pair, spec: FieldSpec, held: HeldValue, merged: MergeResult) -> bool:
    """What becomes of a held field; False: as of any other, since its value is another one now, or is released."""
    name, source, target = spec.name, held.side, held.side.other
    changed = pair.value(source, name) != held.value or not {(source, name), (target, name)}.isdisjoint(pair.late)
    if changed or held.state is HoldState.RELEASED:
        return False
    lost = _lost(pair, spec, source, "held")
    if pair.value(target, name) != held.before and spec.direction.reaches(source):
        # Somebody edited the other side since: that edit flows, as if the held value had been agreed on.
        base_pair = (held.value, held.before) if source is Side.HUBSPOT else (held.before, held.value)
        _three_way(pair, spec, base_pair, merged)
        (merged.conflicts[source] if name in merged.writes[source] else merged.settled).append(lost)
    elif held.state is HoldState.OPEN:
        merged.kept.add(name)
    else:
        merged.base[name] = (pair.value(Side.HUBSPOT, name), pair.value(Side.STRIPE, name))
        merged.settled.append(lost)
    return True


def _apply_stops(pair: Pair, merged: MergeResult) -> None:
    """Writes that are stopped are held instead; what is held and no longer fits the values is not."""
    for side in Side:
        for name in pair.stops.keys() & merged.writes[side].keys():
            change = merged.writes[side].pop(name)
            merged.conflicts[side] = [c for c in merged.conflicts[side] if c.field != name]
            merged.held[name] = HeldValue(side.other, change.source, change.before, pair.stops[name])
    for name, held in pair.held.items():
        written = merged.writes[held.side.other].get(name)
        if written is not None and held.frees(held.side, written.source):
            # The row is the mark that this value is not counted again, until it is written.
            merged.kept.add(name)
    merged.unheld = sorted(pair.held.keys() - merged.kept - merged.held.keys())


def _first_contact(pair: Pair, spec: FieldSpec, differ: DifferPolicy, merged: MergeResult) -> None:
    """First contact: a blank is filled, two different values stay as they are unless told otherwise."""
    hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    late = [side for side in Side if (side, spec.name) in pair.late]
    if len(late) == 1:
        # Our own fill, which nobody answered: the other side was edited since.
        if not _write(pair, spec, late[0], merged):
            merged.base[spec.name] = (hubspot, stripe)
            _note_unsplit(pair, spec, late[0], merged)
        return
    if not hubspot or not stripe:
        blank = Side.STRIPE if hubspot else Side.HUBSPOT
        if not spec.fill_empty or not _write(pair, spec, blank, merged):
            merged.base[spec.name] = (hubspot, stripe)
            _note_unsplit(pair, spec, blank, merged)
        return
    winner = {"keep": None, "owner": spec.owner, "hubspot": Side.HUBSPOT, "stripe": Side.STRIPE}[differ]
    if winner and _write(pair, spec, winner.other, merged):
        merged.conflicts[winner.other].append(_lost(pair, spec, winner.other, "differ"))
        return
    merged.base[spec.name] = (hubspot, stripe)
    merged.settled += [_lost(pair, spec, side, "differ") for side in Side]


def _three_way(pair: Pair, spec: FieldSpec, base_pair: BasePair, merged: MergeResult) -> None:
    """After first contact: the side that moved from its half flows; both moved: the owner wins."""
    hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    late = [side for side in Side if (side, spec.name) in pair.late]
    moved = [side for side in Side if pair.value(side, spec.name) != _half(base_pair, side) and side not in late]
    if not moved:
        for side in late:
            now, then = pair.value(side, spec.name), _half(base_pair, side)
            if now != then:
                # The other side's half: it may hold a late write too, which is put back as well.
                merged.writes[side][spec.name] = Change(now, then, _half(base_pair, side.other))
        return
    winner = moved[0] if len(moved) == 1 else spec.owner
    if len(moved) == len(Side) and not spec.direction.reaches(winner.other):
        winner = winner.other
    if not spec.direction.reaches(winner.other):
        merged.base[spec.name] = (hubspot, stripe)
        return
    if _write(pair, spec, winner.other, merged):
        if len(moved) == len(Side):
            merged.conflicts[winner.other].append(_lost(pair, spec, winner.other, "policy"))
        return
    merged.base[spec.name] = (hubspot, stripe)
    _note_unsplit(pair, spec, winner.other, merged, edited=winner.other in moved)


def _note_unsplit(pair: Pair, spec: FieldSpec, to: Side, merged: MergeResult, *, edited: bool = False) -> None:
    """A value that cannot be told on the other side without a guess is kept: it may be written over there later.

    ``edited``: the other side was edited, too. What stands there has reached nobody and is kept as well: the next
    edit here writes over it.
    """
    if (
        spec.direction.reaches(to)
        and spec.convert(to, pair.value(to.other, spec.name), pair.value(to, spec.name)) is None
    ):
        merged.settled.append(_lost(pair, spec, to.other, "unsplit"))
        if edited:
            merged.settled.append(_lost(pair, spec, to, "differ"))


def _write(pair: Pair, spec: FieldSpec, to: Side, merged: MergeResult) -> bool:
    """Plan a write of the opposite value to ``to``; False when there is nothing that could be written."""
    source, current = pair.value(to.other, spec.name), pair.value(to, spec.name)
    after = spec.convert(to, source, current) if spec.direction.reaches(to) else None
    if after is None or after == current:
        return False
    merged.writes[to][spec.name] = Change(current, after, source)
    return True


def _half(base_pair: BasePair, side: Side) -> str:
    return base_pair[0] if side is Side.HUBSPOT else base_pair[1]


def _lost(pair: Pair, spec: FieldSpec, side: Side, kind: str) -> Conflict:
    return Conflict(side, pair.record_id(side), spec.name, pair.value(side, spec.name), kind)


def _apply_parked(pair: Pair, fields: FieldMap, merged: MergeResult) -> None:
    """A parked write is not tried again until it would differ or its obstacle is gone."""
    for name, (side, value) in pair.parked.items():
        change = merged.writes[side].get(name)
        # Only HubSpot refuses a value because somebody else has it, and only an address.
        address = side is Side.HUBSPOT and name in fields.by_name and fields.by_name[name].hubspot == ("email",)
        if change and change.after == value and not (pair.free and address):
            del merged.writes[side][name]
            merged.conflicts[side] = [c for c in merged.conflicts[side] if c.field != name]
        else:
            merged.unparked.append(name)
