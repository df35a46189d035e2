"""Differences: a plan described for a person who compares the two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from wanesync.core.diff.settling import is_both_right
from wanesync.core.diff.value_kinds import ValueKind, classify_values
from wanesync.core.fields import FieldSpec
from wanesync.core.model import (
    PARK_TEXTS,
    Link,
    LinkState,
    Note,
    NoteCode,
    Record,
    Side,
    StoredRecord,
    WriteKind,
    split_key,
)
from wanesync.core.plan import NO_EMAIL, WAIT_TEXTS, Action, Plan, PlanContext, Rules
from wanesync.core.planner import plan
from wanesync.core.values.business_names import names_held_as_company


class DifferenceClass(StrEnum):
    """The kinds of differences; the values are part of the JSON output."""

    IN_SYNC = "in_sync"
    CREATE_CUSTOMER = "create_customer"
    CREATE_CONTACT = "create_contact"
    UPDATE_CUSTOMER = "update_customer"
    UPDATE_CONTACT = "update_contact"
    CONFLICT = "conflict"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"
    ORPHANED = "orphaned"
    MISSING = "missing"
    EXCLUDED = "excluded"


SIDE_NAMES = {Side.HUBSPOT: "HubSpot", Side.STRIPE: "Stripe"}
KEPT = "kept as it is on both sides"
BUSINESS_NAME = "the customer's name is a business's: it is the contact's company"
HELD = "held back: look at wanesync hold list"
MISFITS = {
    "unsplit": "the name cannot be split into first and last name without a guess",
    "several_numbers": "there are several phone numbers in one field",
    "too_long": "it is too long for the other side",
    "unknown_country": "the country is not known",
}
"""Kind of the conflict that lists a value -> why it is not written (docs/correctness.md#values-that-do-not-fit)."""
ACTIONABLE = frozenset(
    {
        DifferenceClass.CREATE_CUSTOMER,
        DifferenceClass.CREATE_CONTACT,
        DifferenceClass.UPDATE_CUSTOMER,
        DifferenceClass.UPDATE_CONTACT,
    }
)
CREATIONS = frozenset({DifferenceClass.CREATE_CUSTOMER, DifferenceClass.CREATE_CONTACT})
MISSING_THERE = "missing there"
"""Why a field of a record that would be created is written."""
MEANING = {
    DifferenceClass.IN_SYNC: "the same on both sides",
    DifferenceClass.CREATE_CUSTOMER: "missing in Stripe: created there",
    DifferenceClass.CREATE_CONTACT: "missing in HubSpot: created there",
    DifferenceClass.UPDATE_CUSTOMER: "Stripe is brought up to date",
    DifferenceClass.UPDATE_CONTACT: "HubSpot is brought up to date",
    DifferenceClass.CONFLICT: "both sides keep their own value",
    DifferenceClass.AMBIGUOUS: "several records match: needs a decision",
    DifferenceClass.DUPLICATE: "a second customer of one contact",
    DifferenceClass.ORPHANED: "deleted on the other side",
    DifferenceClass.MISSING: "not found on its side, and no deletion is known",
    DifferenceClass.EXCLUDED: "left alone: no e-mail, or not wanted",
}


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field of a difference: the values of both sides, the side that would be written ("": none), and why.

    ``after``: the value that would be written. ``how``: the kind of difference between the values.
    """

    hubspot: str
    stripe: str
    writes: str
    why: str
    after: str = field(default="", compare=False)
    how: ValueKind = field(default=ValueKind.OTHER, compare=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """A record or pair with its class; ``fields``: the fields that differ, ``note``: text for people."""

    kind: DifferenceClass
    hubspot_id: str
    stripe_id: str
    fields: Mapping[str, FieldDifference] = field(default_factory=dict)
    note: str = ""
    key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class KeyComparison:
    """The comparison of one key; ``lanes``: sides that get a write job, none if there is nothing to do."""

    key: str
    differences: Sequence[Difference]
    plan: Plan
    lanes: Sequence[Side]


def compare_key(context: PlanContext, rules: Rules) -> KeyComparison:
    """Compare one key as if both sides had just been listed."""
    context = replace(context, reading=frozenset(), listed=True)
    outcome = plan(context, rules, "dry")
    found = [replace(found, key=context.key) for found in classify(context, outcome, rules)]
    own = Side.HUBSPOT if context.key.startswith("contact:") else Side.STRIPE
    needed = outcome.actions or outcome.wait or (outcome.changes and not _only_wakes(outcome))
    return KeyComparison(context.key, found, outcome, (sorted(outcome.actions) or [own]) if needed else ())


def _only_wakes(outcome: Plan) -> bool:
    """Return whether a customer's plan only queues its contact, whose key is compared anyway."""
    return not replace(outcome, wake=set()).changes


def classify(context: PlanContext, outcome: Plan, rules: Rules) -> list[Difference]:
    """Return the differences of one key; a single ``in_sync`` entry when there are none."""
    kind, record_id = split_key(context.key)
    side = Side.HUBSPOT if kind == "contact" else Side.STRIPE
    stored = context.find(side, record_id)
    if stored is None or not stored.alive:
        return []
    links = _links_after(context, outcome, side, record_id)
    if links and side is Side.STRIPE:
        return []  # Reported under its contact's key.
    if links:
        return _pair(context, outcome, links, rules)
    created = [_creation(action, stored) for action in outcome.actions.values() if action.kind is WriteKind.CREATE]
    if created:
        return created
    if side is Side.STRIPE and outcome.wake:
        return []
    note = outcome.notes.get((side, record_id), stored.note)
    return [_unplanned(stored, note, WAIT_TEXTS.get(outcome.wait, ""))]


def _links_after(context: PlanContext, outcome: Plan, side: Side, record_id: str) -> list[Link]:
    links = {link.id: link for link in context.links} | outcome.links
    return [link for link in links.values() if link.state is LinkState.ACTIVE and link.id_on(side) == record_id]


def _pair(context: PlanContext, outcome: Plan, links: list[Link], rules: Rules) -> list[Difference]:
    found = [
        Difference(DifferenceClass.DUPLICATE, link.hubspot_id, link.stripe_id, note="a second customer")
        for link in links
        if not link.primary
    ]
    primary = next((link for link in links if link.primary), None)
    contact = context.find(Side.HUBSPOT, links[0].hubspot_id)
    customer = context.find(Side.STRIPE, primary.stripe_id) if primary else None
    if primary is None or contact is None or customer is None:
        return found
    for action in outcome.actions.values():
        fields = {
            name: _differ(rules, name, _values(contact, customer, name), action, _why(primary, name, outcome))
            for name in action.changes
            if name in rules.fields.by_name
        }
        kind = DifferenceClass.UPDATE_CUSTOMER if action.side is Side.STRIPE else DifferenceClass.UPDATE_CONTACT
        found.append(Difference(kind, contact.id, customer.id, fields))
    held = _held_after(context, outcome, primary)
    written = {name for action in outcome.actions.values() for name in action.changes}
    as_company = names_held_as_company(rules.fields, contact.record.values, customer.record.values)
    # What a copy does not hold, or HubSpot cannot hold, is no difference (docs/correctness.md#unknown-fields).
    written |= contact.record.unknown | customer.record.unknown | context.unusable
    kept = {
        spec.name: _keep(
            spec,
            _values(contact, customer, spec.name),
            _why_kept(primary, spec, _values(contact, customer, spec.name), held),
        )
        for spec in rules.fields.specs
        if spec.name not in written
        and not spec.agree(*_values(contact, customer, spec.name))
        and spec.name not in as_company
        and not _is_filled_in(primary, contact.record, customer.record, spec.name, rules)
        and not is_both_right(primary.base, spec.name, _values(contact, customer, spec.name))
    }
    if kept:
        note = "held" if held & kept.keys() else ""
        found.append(Difference(DifferenceClass.CONFLICT, contact.id, customer.id, kept, note))
    return found or [Difference(DifferenceClass.IN_SYNC, contact.id, customer.id)]


def _is_filled_in(link: Link, contact: Record, customer: Record, name: str, rules: Rules) -> bool:
    """Return whether a customer's name is Stripe's own, and no edit (docs/correctness.md#names-stripe-fills-in)."""
    agreed, _ = link.base.get(name, ("", ""))
    if contact.values.get(name) or agreed:
        return False
    value = customer.values.get(name, "")
    return rules.fields.is_filled_in(customer, name) or rules.fields.was_filled_in(link.base, name, value)


def _why_kept(link: Link, spec: FieldSpec, values: tuple[str, str], held: set[str]) -> str:
    """Return why both sides keep their value, and why one of them is not written if it fits only cut or guessed."""
    park = link.parked.get(spec.name)
    if spec.name in held:
        return HELD
    if park is None:
        misfit = _find_misfit(spec, values)
        return f"{KEPT}: {MISFITS[misfit]}" if misfit else KEPT
    return f"refused by {SIDE_NAMES[park.side]}: {PARK_TEXTS[park.reason]}"


def _find_misfit(spec: FieldSpec, values: tuple[str, str]) -> str:
    hubspot, stripe = values
    for to, value, current in ((Side.STRIPE, hubspot, stripe), (Side.HUBSPOT, stripe, hubspot)):
        if value and spec.direction.reaches(to) and spec.convert(to, value, current) is None:
            return spec.why_not(value)
    return ""


def _held_after(context: PlanContext, outcome: Plan, link: Link) -> set[str]:
    """Return the fields of a link that are held back once the plan is carried out."""
    dropped = {name for link_id, name in outcome.dropped_holds if link_id == link.id}
    return context.held.get(link.id, {}).keys() - dropped | {
        name for link_id, name, _ in outcome.new_holds if link_id == link.id
    }


def _differ(rules: Rules, name: str, values: tuple[str, str], action: Action, why: str) -> FieldDifference:
    how = classify_values(rules.fields.by_name[name], *values)
    return FieldDifference(*values, str(action.side), why, action.changes[name].after, how)


def _keep(spec: FieldSpec, values: tuple[str, str], why: str) -> FieldDifference:
    return FieldDifference(*values, "", why, how=classify_values(spec, *values))


def _creation(action: Action, source: StoredRecord) -> Difference:
    target, fields = action.side, {}
    for name, value in source.record.values.items():
        if value and name in action.changes:
            values = (value, "") if target is Side.STRIPE else ("", value)
            after = action.changes[name].after
            fields[name] = FieldDifference(*values, str(target), MISSING_THERE, after, ValueKind.BLANK)
    for name, change in action.changes.items():
        if change.after and not change.source:
            fields[name] = FieldDifference("", "", str(target), BUSINESS_NAME, change.after, ValueKind.BLANK)
    if target is Side.STRIPE:
        return Difference(DifferenceClass.CREATE_CUSTOMER, source.id, "", fields)
    return Difference(DifferenceClass.CREATE_CONTACT, "", source.id, fields)


def _unplanned(stored: StoredRecord, note: Note | None, wait: str) -> Difference:
    ids: dict[Side, str] = {Side.HUBSPOT: "", Side.STRIPE: "", stored.side: stored.id}
    kind = DifferenceClass.EXCLUDED
    if note is not None and not wait:
        kind = _CLASS_OF_NOTE.get(note.code, kind)
    return Difference(kind, ids[Side.HUBSPOT], ids[Side.STRIPE], note=wait or (note or NO_EMAIL).text)


_CLASS_OF_NOTE = {
    NoteCode.AMBIGUOUS: DifferenceClass.AMBIGUOUS,
    NoteCode.ORPHANED: DifferenceClass.ORPHANED,
    NoteCode.ERASED: DifferenceClass.ORPHANED,
    NoteCode.MISSING: DifferenceClass.MISSING,
}


def _values(contact: StoredRecord, customer: StoredRecord, name: str) -> tuple[str, str]:
    return contact.record.values.get(name, ""), customer.record.values.get(name, "")


def _writing(outcome: Plan, name: str) -> list[Action]:
    return [action for action in outcome.actions.values() if name in action.changes]


def _why(link: Link, name: str, outcome: Plan) -> str:
    if any(action.changes[name].after and not action.changes[name].source for action in _writing(outcome, name)):
        return BUSINESS_NAME
    lost = [conflict for action in outcome.actions.values() for conflict in action.conflicts if conflict.field == name]
    if name not in link.base:
        return f"different on first contact, {lost[0].side.other} wins" if lost else "blank there"
    if lost:
        return "both sides changed it, the owner wins"
    return "changed since both agreed"
