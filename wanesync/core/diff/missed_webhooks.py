"""Missed webhooks: changes that a side holds now, our copy does not, and no webhook reported.

Names are those of the side: HubSpot properties, Stripe paths, and webhook subscription types. A change we wrote
ourselves is not missed, because our copy has it; neither is a change so recent that its webhook may still arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.model import Event, Record, Side, StoredRecord

DELIVERY_GRACE_MS = 120_000
"""2 minutes: more recent changes are not counted, because their webhooks may still arrive."""
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
"""Kind of event -> webhook subscription type; HubSpot's property changes are subscribed to per property."""
NamedValues = frozenset[tuple[str, str]]
"""(name, value) pairs that events reported."""


@dataclass(frozen=True, slots=True)
class RecordObservation:
    """One record as it was read now, beside our copy.

    ``old``: our copy, None if there is none. ``new``: the record as read, None if it does not exist.
    ``stored_events``: its events that are stored. ``unstored_events``: its events that the vendor lists and that are
    not stored (Stripe only).
    """

    side: Side
    old: StoredRecord | None
    new: Record | None
    stored_events: Sequence[Event] = ()
    unstored_events: Sequence[Event] = ()


def find_missed(record: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    """Return the names of changes up to ``until_ms`` that were missed; none if our copy has them all."""
    if record.old is not None and not record.old.alive:
        return frozenset()
    find = _missed_of_contact if record.side is Side.HUBSPOT else _missed_of_customer
    return find(record, fields, until_ms)


def find_names(events: Collection[Event], fields: FieldMap) -> frozenset[str]:
    """Return the names of what these events report as changed, including their subscription types."""
    types = {SUBSCRIPTION_TYPES[event.side].get(event.kind, "") for event in events} - {""}
    return frozenset(types | {name for event in events for name, _ in _reported(event, fields)})


def _missed_of_contact(record: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    old, new = record.old, record.new
    if new is None or new.modified_ms > until_ms:
        return frozenset()
    types = SUBSCRIPTION_TYPES[Side.HUBSPOT]
    if old is None:
        came = "merged" if new.merged_ids else "created"
        return (
            frozenset()
            if _has(record.stored_events, "created") or _has(record.stored_events, came)
            else frozenset({types[came]})
        )
    later = [e for e in record.stored_events if e.occurred_ms > old.record.modified_ms or not e.read]
    if any(event.kind == "updated" and not event.values for event in later):
        return frozenset()  # HubSpot withheld the property and the value: it may have been any change
    reported = _reported_by(later, fields)
    missed = {name for name, value in _changed(old.record, new, fields) if (name, value) not in reported}
    if set(new.merged_ids) - set(old.record.merged_ids) and not _has(later, "merged"):
        missed.add(types["merged"])
    return frozenset(missed)


def _missed_of_customer(record: RecordObservation, fields: FieldMap, until_ms: int) -> frozenset[str]:
    old, new, types = record.old, record.new, SUBSCRIPTION_TYPES[Side.STRIPE]
    due = [event for event in record.unstored_events if event.occurred_ms <= until_ms]
    if new is None:
        lost = old is not None and _has(due, "deleted")
        return frozenset({types["deleted"]}) if lost else frozenset()
    if old is None:
        known = _has(record.stored_events, "created") or new.created_ms > until_ms
        return frozenset() if known else frozenset({types["created"]})
    young = [event for event in record.unstored_events if event.occurred_ms > until_ms]
    reported, lost_names = (
        _reported_by([*record.stored_events, *young], fields),
        {name for name, _ in _reported_by(due, fields)},
    )
    missed = {
        name
        for name, value in _changed(old.record, new, fields)
        if name in lost_names and (name, value) not in reported
    }
    if missed:
        missed |= {types[event.kind] for event in due if missed & {name for name, _ in _reported(event, fields)}}
    return frozenset(missed)


def _has(events: Collection[Event], kind: str) -> bool:
    return any(event.kind == kind for event in events)


def _changed(old: Record, new: Record, fields: FieldMap) -> Iterator[tuple[str, str]]:
    """Yield (name, new value) of what differs and is synced from this side."""
    for spec in fields.specs:
        if spec.name in old.unknown | new.unknown:
            continue
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


def _reported_by(events: Collection[Event], fields: FieldMap) -> NamedValues:
    return frozenset(pair for event in events for pair in _reported(event, fields))


def _reported(event: Event, fields: FieldMap) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of what an event reports; ``name/firstname`` is one property of a field of two."""
    for named, value in event.values.items():
        field_name, _, part = named.partition("/")
        spec = fields.by_name.get(field_name)
        if spec is None:
            continue  # mapped when the event arrived, but no longer
        own = spec.stripe[0] if event.side is Side.STRIPE else part or spec.hubspot[0]
        yield own, value


@dataclass(slots=True)
class ArrivalCounter:
    """On how many records a change of one name was missed, and on how many a webhook reported it (``reported``)."""

    missed: int = 0
    reported: int = 0

    @property
    def changed(self) -> int:
        """Return all changes."""
        return self.missed + self.reported


LossRow = tuple[str, str, int, int, str]


@dataclass(slots=True)
class MissedCounts:
    """Arrivals per side and name. ``records``: on how many records of a side something was missed."""

    counters: dict[tuple[Side, str], ArrivalCounter] = field(default_factory=dict)
    records: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def add_missed(self, side: Side, names: Collection[str]) -> None:
        """Count the names missed on one record; no names do not count."""
        self.records[side] += bool(names)
        for name in names:
            self.counters.setdefault((side, name), ArrivalCounter()).missed += 1

    def add_reported(self, side: Side, names: Collection[str]) -> None:
        """Count the names that webhooks reported for one record."""
        for name in names:
            self.counters.setdefault((side, name), ArrivalCounter()).reported += 1

    def missed(self, side: Side) -> frozenset[str]:
        """Return the names of a side of which something was missed."""
        return frozenset(name for (of, name), counter in self.counters.items() if of is side and counter.missed)

    def is_unsubscribed(self, side: Side, name: str) -> bool:
        """Return whether changes were missed and none was ever reported; Stripe has no subscriptions per field."""
        counter = self.counters.get((side, name), ArrivalCounter())
        return bool(
            counter.missed
            and not counter.reported
            and (side is Side.HUBSPOT or name in SUBSCRIPTION_TYPES[side].values())
        )

    def rows(self) -> list[LossRow]:
        """Return (side, name, changed, missed, "not subscribed" or "") of names with missed changes, the most first."""
        found = [
            (str(side), name, counter.changed, counter.missed, NOT_SUBSCRIBED * self.is_unsubscribed(side, name))
            for (side, name), counter in self.counters.items()
            if counter.missed
        ]
        return sorted(found, key=lambda row: (row[0], -row[3], row[1]))

    def as_dict(self) -> dict[str, object]:
        """Return ``{side: {"records": n, "missed": {name: {"changed", "missed", "not_subscribed"}}}}`` for JSON."""
        names: dict[Side, dict[str, object]] = {side: {} for side in Side}
        for side, name, changed, missed, verdict in self.rows():
            names[Side(side)][name] = {"changed": changed, "missed": missed, "not_subscribed": bool(verdict)}
        return {str(side): {"records": self.records[side], "missed": names[side]} for side in Side}
