"""The three-way merge of one link, field by field, against what each side held when they last agreed.

See docs/correctness.md#three-way-merge, #first-contact and #parked-fields. No clock is used: which side wins never
depends on time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from wanesync.core.change_guard import HeldValue, HoldState
from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.ids import OUR_IDS
from wanesync.core.model import (
    MAX_FREE_KEYS,
    BasePair,
    Change,
    Conflict,
    Parked,
    ParkReason,
    PutBack,
    Record,
    Side,
    agreed_blank_key,
    filled_in_key,
    has_room,
    not_taken_key,
)
from wanesync.core.values.business_names import company_field, names_held_as_company, takes_business_name

DifferPolicy = Literal["keep", "owner", "hubspot", "stripe"]
"""What happens to two different values on first contact: both are kept, or the named side wins."""


@dataclass(slots=True)
class MergeResult:
    """What a merge decided for the fields of one pair.

    ``writes``: side to write to -> field -> change. ``base``: field -> the pair of values both sides now agree on.
    ``conflicts``: side to write to -> the values that its write overwrites, to be stored with that write.
    ``immediate_conflicts``: values that did not win although nothing is written, to be stored at once. ``unparked``:
    fields whose parked write is obsolete. ``new_holds``: field -> a write that is held back instead of made.
    ``still_held``: fields whose hold stays as it is. ``dropped_holds``: fields whose hold is obsolete.
    ``settled_put_backs``: fields whose buried value stands again, or is not put back any more. ``agreed``: fields in
    which both sides hold the same again.
    """

    writes: dict[Side, dict[str, Change]] = field(default_factory=lambda: {Side.HUBSPOT: {}, Side.STRIPE: {}})
    base: dict[str, BasePair] = field(default_factory=dict)
    conflicts: dict[Side, list[Conflict]] = field(default_factory=lambda: {Side.HUBSPOT: [], Side.STRIPE: []})
    immediate_conflicts: list[Conflict] = field(default_factory=list)
    unparked: list[str] = field(default_factory=list)
    new_holds: dict[str, HeldValue] = field(default_factory=dict)
    still_held: set[str] = field(default_factory=set)
    settled_put_backs: list[str] = field(default_factory=list)
    agreed: list[str] = field(default_factory=list)
    dropped_holds: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pair:
    """A contact and a customer with their base: the input of a merge.

    ``late``: (side, field) whose current value is a late write of ours, which is reverted to the base
    (docs/correctness.md#late-writes). ``parked``: field -> its write that was refused for good. ``free``:
    a parked e-mail address may be tried again, because no other contact carries it. ``held``: field -> the value that
    a hold keeps back. ``stops``: field -> id of the hold that keeps its changes back. ``outdated``: a newer copy of one
    of the two is on its way (docs/correctness.md#agreement). ``unusable``: fields whose HubSpot property is missing or
    cannot be used (docs/correctness.md#start-checks). ``put_back``: field -> the value that a write of ours buried.
    ``redefined``: field -> when the definition of its HubSpot property changed (database time). ``customer_ms``: when
    the copy of the customer was made.
    """

    contact: Record
    customer: Record
    base: Mapping[str, BasePair]
    late: Collection[tuple[Side, str]] = ()
    parked: Mapping[str, Parked] = field(default_factory=dict)
    free: bool = False
    held: Mapping[str, HeldValue] = field(default_factory=dict)
    stops: Mapping[str, str] = field(default_factory=dict)
    outdated: bool = False
    unusable: frozenset[str] = frozenset()
    put_back: Mapping[str, PutBack] = field(default_factory=dict)
    redefined: Mapping[str, int] = field(default_factory=dict)
    customer_ms: int = 0

    def value(self, side: Side, name: str) -> str:
        """Return the current value of a field on a side, "" when it is blank."""
        record = self.contact if side is Side.HUBSPOT else self.customer
        return record.values.get(name, "")

    def record_id(self, side: Side) -> str:
        """Return the id of the pair's record on a side."""
        return self.contact.id if side is Side.HUBSPOT else self.customer.id

    @property
    def unknown(self) -> frozenset[str]:
        """Return the fields that one of the two copies does not hold (docs/correctness.md#unknown-fields).

        A field whose property cannot be used counts as one of them.
        """
        return self.contact.unknown | self.customer.unknown | self.unusable


def merge(pair: Pair, fields: FieldMap, differ: DifferPolicy) -> MergeResult:
    """Merge every field of one pair; ``differ`` decides about different values on first contact."""
    merged = MergeResult()
    unknown = pair.unknown
    for spec in fields.specs:
        hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
        is_quiet = pair.base.get(spec.name) == (hubspot, stripe) and spec.name not in pair.put_back
        if spec.name in unknown:
            continue
        if is_quiet:
            if stripe and not hubspot:
                _remember_filled_in(pair, spec, fields, merged)
        else:
            _merge_field(pair, spec, fields, differ, merged)
    _apply_parked(pair, fields, merged)
    if pair.held or pair.stops:
        _apply_stops(pair, merged)
    return merged


def _merge_field(pair: Pair, spec: FieldSpec, fields: FieldMap, differ: DifferPolicy, merged: MergeResult) -> None:
    """Merge a field that differs from its base, or that has a value to be put back."""
    hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    base_pair, back = pair.base.get(spec.name), pair.put_back.get(spec.name)
    if back is not None and _put_back(pair, spec, back, base_pair, merged):
        return
    if base_pair == (hubspot, stripe):
        return
    if spec.agree(hubspot, stripe):
        if base_pair is None or not pair.outdated:
            merged.base[spec.name] = (hubspot, stripe)
            merged.agreed.append(spec.name)
    elif _is_settled(pair, fields, spec, merged):
        return
    elif not hubspot and _is_filled_in(pair, spec, base_pair, fields):
        merged.base |= {spec.name: (hubspot, stripe), filled_in_key(spec.name): (hubspot, stripe)}
    elif base_pair is None and _is_agreed_blank(pair, spec, merged):
        return
    elif base_pair is None:
        _first_contact(pair, spec, differ, merged)
    else:
        _three_way(pair, spec, base_pair, merged)


def _put_back(pair: Pair, spec: FieldSpec, back: PutBack, base_pair: BasePair | None, merged: MergeResult) -> bool:
    """Put a buried value back on its side, and let it flow from there; return False to merge the field as usual.

    First its side is written, while the base stays: then that side alone differs from it. An edit of either side since
    our write is the newer one, and the buried value is kept as a conflict. See docs/correctness.md#put-back.
    """
    name, side, other = spec.name, back.side, back.side.other
    here, there = pair.value(side, name), pair.value(other, name)
    if base_pair == back.over and there == _base_value(back.over, other):
        if back.decided and here and here == back.value:
            return False  # it flows like an edit; noted, so that its write does not close what the decision kept
        if spec.key(here) == spec.key(back.value) and not spec.agree(here, there):
            allowed = here or back.decided or spec.may_clear(side)
            if allowed and _write(pair, spec, other, merged):
                if back.contested:
                    merged.conflicts[other].append(_lost_value(pair, spec, other, "policy"))
                return True
        elif not back.decided and here == _base_value(back.over, side) and here != back.value:
            merged.writes[side][name] = Change(here, back.value, there, put_back=True)
            if back.contested:
                merged.conflicts[side].append(_lost_value(pair, spec, other, "policy"))
            return True
    merged.settled_put_backs.append(name)
    if not back.decided and spec.key(here) != spec.key(back.value):
        merged.immediate_conflicts.append(Conflict(side, pair.record_id(side), name, back.value, "overwritten"))
    return False


def _stands_again(pair: Pair, spec: FieldSpec, back: PutBack | None, side: Side) -> bool:
    """Return whether a side holds the value put back there: an edit of a user, though a write of ours set it."""
    if back is None or back.side is not side or pair.base.get(spec.name) != back.over:
        return False
    return spec.key(pair.value(side, spec.name)) == spec.key(back.value)


def put_back_unmapped(pair: Pair, fields: FieldMap, merged: MergeResult) -> None:
    """Put back what a write sent along and buried though no field holds it: a part of an address, further locales.

    Their names are paths of Stripe (``Record.carry``); they have no base and stand on the customer only.
    """
    for name in sorted(pair.put_back.keys() - fields.by_name.keys()):
        back, now = pair.put_back[name], pair.customer.carry.get(name, "")
        if now == back.over[1] != back.value:
            merged.writes[Side.STRIPE][name] = Change(now, back.value, "", put_back=True)
        else:
            merged.settled_put_backs.append(name)


def _is_agreed_blank(pair: Pair, spec: FieldSpec, merged: MergeResult) -> bool:
    """Keep a blank that both sides had agreed on before the form of the field's values changed; else return False.

    First contact would fill it (docs/correctness.md#changes-of-the-field-map). An edit made since ends the agreement.
    """
    agreed = pair.base.get(agreed_blank_key(spec.name))
    now = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    if agreed is None or any((side, spec.name) in pair.late for side in Side):
        return False
    if [not value for value in agreed] != [not value for value in now]:
        return False
    if any(spec.key(value) != spec.key(held) for value, held in zip(agreed, now, strict=True)):
        return False
    merged.base[spec.name] = now
    mark = pair.base.get(filled_in_key(spec.name))
    blank = Side.STRIPE if now[0] else Side.HUBSPOT
    if mark == agreed:
        merged.base[filled_in_key(spec.name)] = now
    elif spec.fill_empty and _can_hold(pair, spec, blank):
        merged.immediate_conflicts.append(_lost_value(pair, spec, blank.other, "differ"))
    else:
        _note_unsplit(pair, spec, blank, merged)
    return True


def _can_hold(pair: Pair, spec: FieldSpec, to: Side) -> bool:
    """Return whether a blank of side ``to`` could take the value of the other side."""
    return spec.direction.reaches(to) and spec.convert(to, pair.value(to.other, spec.name), "") is not None


def _is_filled_in(pair: Pair, spec: FieldSpec, base_pair: BasePair | None, fields: FieldMap) -> bool:
    """Return whether Stripe took the customer's name from another field, while the contact has none.

    That is no edit: the base follows (docs/correctness.md#names-stripe-fills-in).
    """
    return (base_pair is None or not base_pair[0]) and fields.is_filled_in(pair.customer, spec.name)


def _remember_filled_in(pair: Pair, spec: FieldSpec, fields: FieldMap, merged: MergeResult) -> None:
    """Note in the base that Stripe filled in a name, because what it was taken from may change and the name stays."""
    mark, held = filled_in_key(spec.name), pair.base[spec.name]
    is_filled_in = fields.is_filled_in(pair.customer, spec.name) or fields.was_filled_in(pair.base, spec.name, held[1])
    if pair.base.get(mark) != held and is_filled_in:
        merged.base[mark] = held


def _is_settled(pair: Pair, fields: FieldMap, spec: FieldSpec, merged: MergeResult) -> bool:
    """Merge a field that a hold or the name of a business settles; return False to merge it like any other."""
    if spec.name in pair.held and _apply_hold(pair, spec, pair.held[spec.name], merged):
        return True
    if spec.transform == "name":
        return _is_company(pair, fields, spec, merged)
    return _is_late_company(pair, fields, spec, merged)


def _is_late_company(pair: Pair, fields: FieldMap, spec: FieldSpec, merged: MergeResult) -> bool:
    """Keep a late company of ours that still is the name of the customer: reverted, the name would stand nowhere."""
    if (Side.HUBSPOT, spec.name) not in pair.late:
        return False
    if spec.name not in names_held_as_company(fields, pair.contact.values, pair.customer.values):
        return False
    merged.base[spec.name] = (pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name))
    return True


def _apply_hold(pair: Pair, spec: FieldSpec, held: HeldValue, merged: MergeResult) -> bool:
    """Merge a field with a held value; return False to merge it like any other.

    That is the case when its source value has changed since, or its hold was released.
    """
    name, source, target = spec.name, held.side, held.side.other
    has_changed = pair.value(source, name) != held.value or not {(source, name), (target, name)}.isdisjoint(pair.late)
    if has_changed or held.state is HoldState.RELEASED:
        return False
    lost = _lost_value(pair, spec, source, "held")
    if pair.value(target, name) != held.before and spec.direction.reaches(source):
        # The other side was edited since: that edit flows, as if both sides had agreed on the held value.
        base_pair = (held.value, held.before) if source is Side.HUBSPOT else (held.before, held.value)
        _three_way(pair, spec, base_pair, merged)
        (merged.conflicts[source] if name in merged.writes[source] else merged.immediate_conflicts).append(lost)
    elif held.state is HoldState.OPEN:
        merged.still_held.add(name)
    else:
        merged.base[name] = (pair.value(Side.HUBSPOT, name), pair.value(Side.STRIPE, name))
        merged.immediate_conflicts.append(lost)
    return True


def _apply_stops(pair: Pair, merged: MergeResult) -> None:
    """Turn stopped writes into holds, and drop the holds that no longer match the values."""
    for side in Side:
        for name in pair.stops.keys() & merged.writes[side].keys():
            change = merged.writes[side].pop(name)
            if change.put_back:
                continue  # it waits on the link until the hold ends
            merged.conflicts[side] = [conflict for conflict in merged.conflicts[side] if conflict.field != name]
            merged.new_holds[name] = HeldValue(side.other, change.source, change.before, pair.stops[name])
    for name, held in pair.held.items():
        written = merged.writes[held.side.other].get(name)
        if written is not None and held.frees(held.side, written.source):
            # The row stays until the value is written: it marks the value as released, so that it is not counted again.
            merged.still_held.add(name)
    merged.still_held |= pair.held.keys() & pair.unknown
    merged.dropped_holds = sorted(pair.held.keys() - merged.still_held - merged.new_holds.keys())


def _is_company(pair: Pair, fields: FieldMap, spec: FieldSpec, merged: MergeResult) -> bool:
    """Merge the full name of a business: it is the contact's company, not its name (docs/correctness.md#names).

    Return False to merge it as a person's name: the contact has one, or its company is another.
    """
    name, company = spec.name, company_field(fields, spec.name)
    if company is None or not spec.direction.reaches(Side.HUBSPOT):
        return False
    hubspot, stripe = pair.value(Side.HUBSPOT, name), pair.value(Side.STRIPE, name)
    base_pair = pair.base.get(name, ("", ""))
    changed_here = hubspot != base_pair[0] or stripe == base_pair[1]
    if changed_here or (hubspot and spec.convert(Side.HUBSPOT, stripe, hubspot) is not None):
        return False
    held = pair.value(Side.HUBSPOT, company.name)
    is_held = company.key(held) == company.key(stripe)
    late = any(late_name == name or (late_name == company.name and not is_held) for _, late_name in pair.late)
    refused = pair.base.get(not_taken_key(company.name))
    if (
        refused
        and company.name not in pair.unknown
        and refused == (held, company.convert(Side.HUBSPOT, stripe, held) or stripe)
    ):
        # Neither is sent again until one of them changes; the conflict came with the answer.
        merged.base |= {name: (hubspot, stripe), not_taken_key(company.name): ("", "")}
        return True
    fits = takes_business_name(company, stripe, pair.contact.values, pair.customer.values, base_pair[1])
    if late or not fits:
        return False
    if company.name not in pair.unknown and is_held:
        merged.base[name] = (hubspot, stripe)
    elif not _waits_with_company(pair, name, company.name, merged):
        if company.name in pair.parked:
            return False
        # The base of the name waits for this write: should it fail, the name is merged again.
        after = company.convert(Side.HUBSPOT, stripe, held) or stripe
        merged.writes[Side.HUBSPOT][company.name] = Change(held, after, "")
        if name in pair.held and pair.held[name].frees(Side.STRIPE, stripe):
            merged.still_held.add(name)  # the change guard does not count the company again
    return True


def _waits_with_company(pair: Pair, name: str, company: str, merged: MergeResult) -> bool:
    """Return whether the name of a business waits, because nothing may be written to its company now.

    It never goes to the contact's name meanwhile. A hold of either field holds the name.
    """
    held = pair.held.get(company)
    hold_id = pair.stops.get(company) or pair.stops.get(name)
    if not hold_id and held is not None and held.state is HoldState.OPEN:
        hold_id = held.hold_id
    if hold_id:
        value, before = pair.value(Side.STRIPE, name), pair.value(Side.HUBSPOT, name)
        merged.new_holds[name] = HeldValue(Side.STRIPE, value, before, hold_id)
    return bool(hold_id) or company in pair.unknown


def _first_contact(pair: Pair, spec: FieldSpec, differ: DifferPolicy, merged: MergeResult) -> None:
    """Merge a field that was never agreed on: fill a blank, keep two different values unless a policy decides.

    See docs/correctness.md#first-contact.
    """
    hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    late = [side for side in Side if (side, spec.name) in pair.late]
    if len(late) == 1:
        # The late value is our own fill, whose answer was lost: the other side was edited since.
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
        merged.conflicts[winner.other].append(_lost_value(pair, spec, winner.other, "differ"))
        return
    merged.base[spec.name] = (hubspot, stripe)
    merged.immediate_conflicts += [_lost_value(pair, spec, side, "differ") for side in Side]


def _three_way(pair: Pair, spec: FieldSpec, base_pair: BasePair, merged: MergeResult) -> None:
    """Merge a field with a base: the side that changed flows; where both changed, the owner wins.

    See docs/correctness.md#three-way-merge.
    """
    hubspot, stripe = pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name)
    late = [
        side
        for side in Side
        if (side, spec.name) in pair.late and not _stands_again(pair, spec, pair.put_back.get(spec.name), side)
    ]
    changed = [
        side for side in Side if pair.value(side, spec.name) != _base_value(base_pair, side) and side not in late
    ]
    if not changed:
        for side in late:
            value, base_value = pair.value(side, spec.name), _base_value(base_pair, side)
            if value != base_value:
                # The source is the other side's base, not its current value: that may be a late write too.
                merged.writes[side][spec.name] = Change(value, base_value, _base_value(base_pair, side.other))
        return
    refused = [side for side in changed if not pair.value(side, spec.name) and not spec.may_clear(side)]
    changed = [side for side in changed if side not in refused]
    if not changed:
        merged.base[spec.name] = (hubspot, stripe)
        merged.immediate_conflicts += [_lost_value(pair, spec, side.other, "differ") for side in refused]
        return
    winner = changed[0] if len(changed) == 1 else spec.owner
    if len(changed) == len(Side) and not spec.direction.reaches(winner.other):
        winner = winner.other
    if not spec.direction.reaches(winner.other):
        # An edit of the side that a one-way field is written to: the next edit of the other side replaces it.
        merged.base[spec.name] = (hubspot, stripe)
        standing = winner if pair.value(winner, spec.name) else winner.other
        merged.immediate_conflicts.append(_lost_value(pair, spec, standing, "differ"))
        return
    if _write(pair, spec, winner.other, merged):
        if len(changed) == len(Side) or _never_flowed(pair, spec, base_pair, winner.other):
            merged.conflicts[winner.other].append(_lost_value(pair, spec, winner.other, "policy"))
        return
    merged.base[spec.name] = (hubspot, stripe)
    _note_unsplit(pair, spec, winner.other, merged, edited=winner.other in changed)


def _never_flowed(pair: Pair, spec: FieldSpec, base_pair: BasePair, side: Side) -> bool:
    """Return whether a side holds a value that could not flow: the edit that replaces it was made without seeing it.

    It did not fit the other side, or the field is not written there. Its own conflict closes with that edit
    (docs/correctness.md#values-that-do-not-fit, #one-way-fields).
    """
    value, other = pair.value(side, spec.name), side.other
    if not value or (side, spec.name) in pair.late or spec.agree(*base_pair):
        return False
    return not spec.direction.reaches(other) or spec.convert(other, value, _base_value(base_pair, other)) is None


def _note_unsplit(pair: Pair, spec: FieldSpec, to: Side, merged: MergeResult, *, edited: bool = False) -> None:
    """Keep a value as a conflict if it cannot be converted for side ``to`` without a guess.

    It may be overwritten later. ``edited``: the side ``to`` was edited too; its value has not been synced and is kept
    as well, because the next edit of the other side overwrites it.
    """
    if (
        spec.direction.reaches(to)
        and spec.convert(to, pair.value(to.other, spec.name), pair.value(to, spec.name)) is None
    ):
        merged.immediate_conflicts.append(
            _lost_value(pair, spec, to.other, spec.why_not(pair.value(to.other, spec.name)))
        )
        if edited:
            merged.immediate_conflicts.append(_lost_value(pair, spec, to, "differ"))


def _write(pair: Pair, spec: FieldSpec, to: Side, merged: MergeResult) -> bool:
    """Plan a write of the opposite value to side ``to``; return False when there is nothing to write."""
    source, current = pair.value(to.other, spec.name), pair.value(to, spec.name)
    after = spec.convert(to, source, current) if spec.direction.reaches(to) else None
    if after is None or after == current:
        return False
    merged.writes[to][spec.name] = Change(current, after, source)
    return True


def _agrees(pair: Pair, spec: FieldSpec) -> bool:
    return spec.agree(pair.value(Side.HUBSPOT, spec.name), pair.value(Side.STRIPE, spec.name))


def _base_value(base_pair: BasePair, side: Side) -> str:
    return base_pair[0] if side is Side.HUBSPOT else base_pair[1]


def _lost_value(pair: Pair, spec: FieldSpec, side: Side, kind: str) -> Conflict:
    return Conflict(side, pair.record_id(side), spec.name, pair.value(side, spec.name), kind)


def _apply_parked(pair: Pair, fields: FieldMap, merged: MergeResult) -> None:
    """Drop the writes that are parked, until their value changes or the obstacle is gone.

    See docs/correctness.md#parked-fields.
    """
    unknown = pair.unknown
    for name, park in pair.parked.items():
        if name in unknown or name not in fields.by_name:
            # Our ids are no field: they are sent with a write, or not.
            if name in OUR_IDS and has_room(park, pair.customer, pair.customer_ms, MAX_FREE_KEYS):
                merged.unparked.append(name)
            continue
        side = park.side
        change = merged.writes[side].get(name)
        # Only HubSpot refuses a value because another record has it, and only for e-mail addresses.
        spec = fields.by_name[name]
        address = side is Side.HUBSPOT and spec.hubspot == ("email",)
        taken = park.reason is ParkReason.TAKEN and address
        redefined = side is Side.HUBSPOT and park.at_ms < pair.redefined.get(name, 0)
        may_retry = (pair.free and taken) or redefined or has_room(park, pair.customer, pair.customer_ms, 1)
        # Of a drop-down the option is parked that means the value.
        if change and spec.key(change.after) == spec.key(park.value) and not may_retry:
            del merged.writes[side][name]
            merged.conflicts[side] = [conflict for conflict in merged.conflicts[side] if conflict.field != name]
        else:
            merged.unparked.append(name)
            if change is None and name not in merged.agreed and _agrees(pair, spec):
                merged.agreed.append(name)  # the value that was refused was taken back
