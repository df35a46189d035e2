"""Differences: what a plan means to a person who looks at two systems side by side (DESIGN section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wanesync.core.action import EXCLUDED, Plan, Rules
from wanesync.core.match import Scene
from wanesync.core.model import Link, Seen, Side, WriteKind, split_key


class Class(StrEnum):
    """What kind of difference a person has to do with."""

    IN_SYNC = "in_sync"
    CREATE_CUSTOMER = "create_customer"
    CREATE_CONTACT = "create_contact"
    UPDATE_CUSTOMER = "update_customer"
    UPDATE_CONTACT = "update_contact"
    CONFLICT = "conflict"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"
    ORPHANED = "orphaned"
    EXCLUDED = "excluded"


KEPT = "kept as it is on both sides"
HELD = "held back: look at wanesync hold list"
ACTIONABLE = frozenset({Class.CREATE_CUSTOMER, Class.CREATE_CONTACT, Class.UPDATE_CUSTOMER, Class.UPDATE_CONTACT})


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field of one difference: what both sides hold, which side would be written ("" = none), and why."""

    hubspot: str
    stripe: str
    writes: str
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One record or pair that is not the same on both sides, or not to be."""

    kind: Class
    hubspot_id: str
    stripe_id: str
    fields: Mapping[str, FieldDifference] = field(default_factory=dict)
    note: str = ""


def classify(scene: Scene, plan: Plan, rules: Rules) -> list[Difference]:
    """The differences of one key; one entry of class ``in_sync`` when there is none."""
    kind, record_id = split_key(scene.key)
    side = Side.HUBSPOT if kind == "contact" else Side.STRIPE
    seen = scene.get(side, record_id)
    if seen is None or not seen.alive:
        return []
    links = _links_after(scene, plan, side, record_id)
    if links and side is Side.STRIPE:
        return []  # Reported under its contact's key.
    if links:
        return _pair(scene, plan, links, rules)
    created = [
        _creation(action.side, seen, rules) for action in plan.actions.values() if action.kind is WriteKind.CREATE
    ]
    if created:
        return created
    if side is Side.STRIPE and plan.wake:
        return []
    return [_left_alone(seen, plan.wait or plan.notes.get((side, record_id), seen.note))]


def _links_after(scene: Scene, plan: Plan, side: Side, record_id: str) -> list[Link]:
    links = {link.id: link for link in scene.links} | plan.links
    return [k for k in links.values() if k.state == "active" and k.id_on(side) == record_id]


def _pair(scene: Scene, plan: Plan, links: list[Link], rules: Rules) -> list[Difference]:
    found = [
        Difference(Class.DUPLICATE, k.hubspot_id, k.stripe_id, note="a second customer") for k in links if not k.primary
    ]
    primary = next((k for k in links if k.primary), None)
    contact = scene.get(Side.HUBSPOT, links[0].hubspot_id)
    customer = scene.get(Side.STRIPE, primary.stripe_id) if primary else None
    if primary is None or contact is None or customer is None:
        return found
    for action in plan.actions.values():
        fields = {
            name: FieldDifference(*_values(contact, customer, name), str(action.side), _why(primary, name, plan))
            for name in action.changes
        }
        kind = Class.UPDATE_CUSTOMER if action.side is Side.STRIPE else Class.UPDATE_CONTACT
        found.append(Difference(kind, contact.id, customer.id, fields))
    held = _held_after(scene, plan, primary)
    written = {name for action in plan.actions.values() for name in action.changes}
    kept = {
        spec.name: FieldDifference(*_values(contact, customer, spec.name), "", HELD if spec.name in held else KEPT)
        for spec in rules.fields.specs
        if spec.name not in written and not spec.agree(*_values(contact, customer, spec.name))
    }
    if kept:
        note = "held" if held & kept.keys() else ""
        found.append(Difference(Class.CONFLICT, contact.id, customer.id, kept, note))
    return found or [Difference(Class.IN_SYNC, contact.id, customer.id)]


def _held_after(scene: Scene, plan: Plan, link: Link) -> set[str]:
    """The fields of a link that are held back once the plan is carried out."""
    dropped = {name for link_id, name in plan.unheld if link_id == link.id}
    return scene.held.get(link.id, {}).keys() - dropped | {name for k, name, _ in plan.held if k == link.id}


def _creation(target: Side, source: Seen, rules: Rules) -> Difference:
    kind = Class.CREATE_CUSTOMER if target is Side.STRIPE else Class.CREATE_CONTACT
    values = {name: value for name, value in source.record.values.items() if value and name in rules.fields.by_name}
    if target is Side.STRIPE:
        fields = {n: FieldDifference(v, "", str(target), "missing there") for n, v in values.items()}
        return Difference(kind, source.id, "", fields)
    fields = {n: FieldDifference("", v, str(target), "missing there") for n, v in values.items()}
    return Difference(kind, "", source.id, fields)


def _left_alone(seen: Seen, note: str) -> Difference:
    ids: dict[Side, str] = {Side.HUBSPOT: "", Side.STRIPE: "", seen.side: seen.id}
    kind = Class.EXCLUDED
    if note.startswith("ambiguous"):
        kind = Class.AMBIGUOUS
    elif note.startswith("orphaned"):
        kind = Class.ORPHANED
    return Difference(kind, ids[Side.HUBSPOT], ids[Side.STRIPE], note=note or EXCLUDED)


def _values(contact: Seen, customer: Seen, name: str) -> tuple[str, str]:
    return contact.record.values.get(name, ""), customer.record.values.get(name, "")


def _why(link: Link, name: str, plan: Plan) -> str:
    lost = [c for action in plan.actions.values() for c in action.conflicts if c.field == name]
    if name not in link.base:
        return f"unlike on first contact, {lost[0].side.other} wins" if lost else "blank there"
    if lost:
        return "both sides changed it, the owner wins"
    return "changed since both agreed"
