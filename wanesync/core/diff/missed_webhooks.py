"""The loss meter: what webhooks did not bring, told by what a side holds now and our copy did not know.

Names are those of the side: HubSpot properties, Stripe paths, and the types webhooks are subscribed to by. A change we
wrote ourselves is no loss, since our copy knows it, and neither is one so young that its webhook may be on its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.model import Event, Record, Side, StoredRecord

DELIVERY_GRACE_MS = 120_000
"""Younger changes are not counted: their webhooks may be on their way."""
NOT_SUBSCRIBED = "not subscribed"
SUBSCRIPTION_TYPES: Mapping[Side, Mapping[str, str]] = {
    Side.HUBSPOT: {
        "created": "contact.creation",
        "deleted": "contact.deletion",
        "privacy_deleted": "contact.privacyDeletion",
        "merged": "contact.merge",
    },
    Side.STRIPE: {"created": "customer.created", "updated": "customer.updated", "deleted": "customer.deleted"},
}
"""Kind of event -> the type webhooks are subscribed to by. HubSpot's changes are subscribed to by property."""
NamedValues = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordObservation:
    """What a side says of one record now, beside what we knew.

    ``old``: our copy, None if there is none. ``new``: as it was read, None if it is gone. ``heard``: events of it
    that are stored. ``unheard``: events of it that its side lists and that are not stored (Stripe only).
    """

    side: Side
    old: StoredRecord | None
    new: Record | None
    heard: Sequence[Event] = ()
    unheard: Sequence[Event] = ()


def find_missed(told: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    """Names of what changed up to ``until_ms`` without our knowing; nothing if our copy holds it all."""
    if told.old is not None and not told.old.alive:
        return frozenset()
    find = _missed_of_contact if told.side is Side.HUBSPOT else _missed_of_customer
    return find(told, fields, until_ms)


def find_names(events: Collection[Event], fields: FieldMap) -> frozenset[str]:
    """Names of what these events say has changed, their types among them."""
    types = {SUBSCRIPTION_TYPES[event.side].get(event.kind, "") for event in events} - {""}
    return frozenset(types | {name for event in events for name, _ in _said(event, fields)})


def _missed_of_contact(told: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    old, new = told.old, told.new
    if new is None or new.modified_ms > until_ms:
        return frozenset()
    types = SUBSCRIPTION_TYPES[Side.HUBSPOT]
    if old is None:
        came = "merged" if new.merged_ids else "created"
        return frozenset() if _has(told.heard, "created") or _has(told.heard, came) else frozenset({types[came]})
    later = [e for e in told.heard if e.occurred_ms > old.record.modified_ms or not e.read]
    if any(event.kind == "updated" and not event.values for event in later):
        return frozenset()  # HubSpot withheld what changed, and to which value: it may have been anything
    said = _said_by(later, fields)
    missed = {name for name, value in _changed(old.record, new, fields) if (name, value) not in said}
    if set(new.merged_ids) - set(old.record.merged_ids) and not _has(later, "merged"):
        missed.add(types["merged"])
    return frozenset(missed)


def _missed_of_customer(told: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    old, new, types = told.old, told.new, SUBSCRIPTION_TYPES[Side.STRIPE]
    due = [event for event in told.unheard if event.occurred_ms <= until_ms]
    if new is None:
        lost = old is not None and _has(due, "deleted")
        return frozenset({types["deleted"]}) if lost else frozenset()
    if old is None:
        known = _has(told.heard, "created") or new.created_ms > until_ms
        return frozenset() if known else frozenset({types["created"]})
    young = [event for event in told.unheard if event.occurred_ms > until_ms]
    said, lost_names = _said_by([*told.heard, *young], fields), {name for name, _ in _said_by(due, fields)}
    missed = {
        name for name, value in _changed(old.record, new, fields) if name in lost_names and (name, value) not in said
    }
    if missed:
        missed |= {types[event.kind] for event in due if missed & {name for name, _ in _said(event, fields)}}
    return frozenset(missed)


def _has(events: Collection[Event], kind: str) -> bool:
    return any(event.kind == kind for event in events)


def _changed(old: Record, new: Record, fields: FieldMap) -> Iterator[tuple[str, str]]:
    """(name, new value) of what differs and flows from this side at all."""
    for spec in fields.specs:
        before, after = (record.values.get(spec.name, "") for record in (old, new))
        if before != after and spec.direction.reaches(new.side.other):
            parts = (_parts(spec, new.side, value) for value in (before, after))
            for (name, was), (_, now) in zip(*parts, strict=True):
                if was != now:
                    yield name, now


def _parts(spec: FieldSpec, side: Side, value: str) -> list[tuple[str, str]]:
    if side is Side.STRIPE:
        return [(spec.stripe[0], value)]
    return list(zip(spec.hubspot, spec.form.hubspot_parts(value), strict=True))


def _said_by(events: Collection[Event], fields: FieldMap) -> NamedValues:
    return frozenset(pair for event in events for pair in _said(event, fields))


def _said(event: Event, fields: FieldMap) -> Iterator[tuple[str, str]]:
    """(name, value) of what an event tells; one property of a field of two comes as ``name/firstname``."""
    for named, value in event.values.items():
        field_name, _, part = named.partition("/")
        spec = fields.by_name.get(field_name)
        if spec is None:
            continue  # mapped when the event came, and not any more
        own = spec.stripe[0] if event.side is Side.STRIPE else part or spec.hubspot[0]
        yield own, value


@dataclass(slots=True)
class ArrivalCounter:
    """Of how many records a name changed unknown to us (``missed``), and of how many a webhook told it (``heard``)."""

    missed: int = 0
    heard: int = 0

    @property
    def changed(self) -> int:
        """Changes in all."""
        return self.missed + self.heard


LossRow = tuple[str, str, int, int, str]


@dataclass(slots=True)
class MissedCounts:
    """Counts per side and name. ``records``: on how many records of a side something was missed."""

    tallies: dict[tuple[Side, str], ArrivalCounter] = field(default_factory=dict)
    records: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def add_missed(self, side: Side, names: Collection[str]) -> None:
        """What was missed of one record; nothing counts for nothing."""
        self.records[side] += bool(names)
        for name in names:
            self.tallies.setdefault((side, name), ArrivalCounter()).missed += 1

    def add_heard(self, side: Side, names: Collection[str]) -> None:
        """What webhooks told of one record."""
        for name in names:
            self.tallies.setdefault((side, name), ArrivalCounter()).heard += 1

    def missed(self, side: Side) -> frozenset[str]:
        """Names of a side of which something was missed."""
        return frozenset(name for (of, name), tally in self.tallies.items() if of is side and tally.missed)

    def is_unsubscribed(self, side: Side, name: str) -> bool:
        """Whether changes were missed, and none ever came. Of Stripe's fields none is subscribed to by itself."""
        tally = self.tallies.get((side, name), ArrivalCounter())
        return bool(
            tally.missed and not tally.heard and (side is Side.HUBSPOT or name in SUBSCRIPTION_TYPES[side].values())
        )

    def rows(self) -> list[LossRow]:
        """(side, name, changed, missed, "not subscribed" or "") of each name with losses, the most first."""
        found = [
            (str(side), name, tally.changed, tally.missed, NOT_SUBSCRIBED * self.is_unsubscribed(side, name))
            for (side, name), tally in self.tallies.items()
            if tally.missed
        ]
        return sorted(found, key=lambda row: (row[0], -row[3], row[1]))

    def as_dict(self) -> dict[str, object]:
        """``{side: {"records": n, "missed": {name: {"changed", "missed", "not_subscribed"}}}}``."""
        told: dict[Side, dict[str, object]] = {side: {} for side in Side}
        for side, name, changed, missed, verdict in self.rows():
            told[Side(side)][name] = {"changed": changed, "missed": missed, "not_subscribed": bool(verdict)}
        return {str(side): {"records": self.records[side], "missed": told[side]} for side in Side}
