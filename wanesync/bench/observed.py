"""What became of a burst, read from the journals of the two stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wanesync.bench.arrivals import Arrivals
from wanesync.core.model import Side
from wanesync.sandbox.journal import Entry


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that arrived: ``arrived_s`` since the start, ``took_s`` until its commit on the other side."""

    arrived_s: float
    took_s: float


@dataclass(slots=True)
class Observer:
    """Reads on from where it stood. Times are epoch ms; a contact is done when its customer has its last value."""

    arrivals: Arrivals
    start_ms: int
    created_ms: dict[str, int] = field(default_factory=dict)
    done_ms: dict[str, int] = field(default_factory=dict)
    _contact_of: dict[str, str] = field(default_factory=dict)
    _missing: dict[str, dict[str, str]] = field(default_factory=dict)
    _read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def look(self) -> None:
        """Take in what was committed since the last look."""
        for side, take in ((Side.HUBSPOT, self._take_hubspot), (Side.STRIPE, self._take_stripe)):
            for entry in self._new(side):
                take(entry)

    def spans(self, keys: Mapping[str, object] | list[str]) -> list[Span]:
        """Those of ``keys`` (contact ids, charge ids, e-mails) that are done."""
        return [
            Span((self.created_ms[key] - self.start_ms) / 1000, (self.done_ms[key] - self.created_ms[key]) / 1000)
            for key in keys
            if key in self.done_ms and key in self.created_ms
        ]

    def left(self) -> int:
        """How many that arrived so far are not done."""
        load = self.arrivals
        keys = [*load.contacts, *load.charges, *load.addresses]
        return sum(key not in self.done_ms for key in keys)

    def last_s(self) -> float:
        """When the last one was done, in seconds since the start."""
        return (max(self.done_ms.values(), default=self.start_ms) - self.start_ms) / 1000

    def _new(self, side: Side) -> Iterator[Entry]:
        sandbox = self.arrivals.sandbox
        with sandbox.lock:
            entries = sandbox.machines[side].journal.after(self._read[side])
        for entry in entries:
            self._read[side] = entry.seq
            if entry.at_ms >= self.start_ms:
                yield entry

    def _take_hubspot(self, entry: Entry) -> None:
        by_user = entry.source == "user"
        if entry.kind == "contact.created" and by_user:
            self.created_ms[entry.record_id] = entry.at_ms
        elif entry.kind == "contact.created":
            self.done_ms.setdefault(entry.changes.get("email", ""), entry.at_ms)
        elif entry.kind == "event.sent":
            self.done_ms.setdefault(entry.changes.get("charge_id", ""), entry.at_ms)

    def _take_stripe(self, entry: Entry) -> None:
        if entry.kind == "charge.succeeded":
            self.created_ms[entry.record_id] = entry.at_ms
        elif entry.kind == "customer.created" and entry.source == "user":
            self.created_ms[entry.changes.get("email", "").lower()] = entry.at_ms
        elif entry.kind in ("customer.created", "customer.updated"):
            self._take_values(entry)

    def _take_values(self, entry: Entry) -> None:
        contact_id = entry.changes.get("metadata.hubspot_contact_id") or self._contact_of.get(entry.record_id)
        if contact_id is None or contact_id not in self.arrivals.contacts:
            return
        self._contact_of[entry.record_id] = contact_id
        missing = self._missing.setdefault(contact_id, dict(self.arrivals.contacts[contact_id]))
        for name in [name for name, value in missing.items() if entry.changes.get(name) == value]:
            del missing[name]
        if not missing:
            self.done_ms.setdefault(contact_id, entry.at_ms)
