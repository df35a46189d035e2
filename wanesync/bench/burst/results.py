"""The results of a burst, from the records and journals of both stand-ins: latencies, missing and surplus records."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.bench.burst.load import Arrivals
from wanesync.bench.environment import Running
from wanesync.config.model import load
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side, normalise_email
from wanesync.sandbox.journal import Entry
from wanesync.store.database import Store
from wanesync.wiring import open_database

SOON_MS = 60_000
"""A job due later than this waits for something that has not happened."""
IDLE_S = 1.0
"""Seconds without any work that count as idle."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """One record that arrived: ``arrived_s`` since the start, ``took_s`` until its commit on the other side."""

    arrived_s: float
    took_s: float


@dataclass(slots=True)
class JournalObserver:
    """Reads the journals incrementally. Times in epoch ms; a contact is done when its customer has its last value."""

    arrivals: Arrivals
    start_ms: int
    created_ms: dict[str, int] = field(default_factory=dict)
    done_ms: dict[str, int] = field(default_factory=dict)
    _contact_of: dict[str, str] = field(default_factory=dict)
    _missing: dict[str, dict[str, str]] = field(default_factory=dict)
    _read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def read(self) -> None:
        """Read the changes committed since the last call."""
        for side, read in ((Side.HUBSPOT, self._read_hubspot), (Side.STRIPE, self._read_stripe)):
            for entry in self._new(side):
                read(entry)

    def spans(self, keys: Mapping[str, object] | list[str]) -> list[Span]:
        """The spans of those ``keys`` (contact ids, charge ids, e-mail addresses) that are done."""
        return [
            Span((self.created_ms[key] - self.start_ms) / 1000, (self.done_ms[key] - self.created_ms[key]) / 1000)
            for key in keys
            if key in self.done_ms and key in self.created_ms
        ]

    def left(self) -> int:
        """How many of the arrived records are not done."""
        load = self.arrivals
        keys = [*load.contacts, *load.charges, *load.addresses]
        return sum(key not in self.done_ms for key in keys)

    def last_s(self) -> float:
        """The time of the last completion in seconds since the start."""
        return (max(self.done_ms.values(), default=self.start_ms) - self.start_ms) / 1000

    def _new(self, side: Side) -> Iterator[Entry]:
        sandbox = self.arrivals.sandbox
        with sandbox.lock:
            entries = sandbox.machines[side].journal.after(self._read[side])
        for entry in entries:
            self._read[side] = entry.seq
            if entry.at_ms >= self.start_ms:
                yield entry

    def _read_hubspot(self, entry: Entry) -> None:
        by_user = entry.source == "user"
        if entry.kind == "contact.created" and by_user:
            self.created_ms[entry.record_id] = entry.at_ms
        elif entry.kind == "contact.created":
            self.done_ms.setdefault(entry.changes.get("email", ""), entry.at_ms)
        elif entry.kind == "event.sent":
            self.done_ms.setdefault(entry.changes.get("charge_id", ""), entry.at_ms)

    def _read_stripe(self, entry: Entry) -> None:
        if entry.kind == "charge.succeeded":
            self.created_ms[entry.record_id] = entry.at_ms
        elif entry.kind == "customer.created" and entry.source == "user":
            self.created_ms[entry.changes.get("email", "").lower()] = entry.at_ms
        elif entry.kind in ("customer.created", "customer.updated"):
            self._read_values(entry)

    def _read_values(self, entry: Entry) -> None:
        contact_id = entry.changes.get("metadata.hubspot_contact_id") or self._contact_of.get(entry.record_id)
        if contact_id is None or contact_id not in self.arrivals.contacts:
            return
        self._contact_of[entry.record_id] = contact_id
        missing = self._missing.setdefault(contact_id, dict(self.arrivals.contacts[contact_id]))
        for name in [name for name, value in missing.items() if entry.changes.get(name) == value]:
            del missing[name]
        if not missing:
            self.done_ms.setdefault(contact_id, entry.at_ms)


def wait_until_idle(running: Running, limit_s: float) -> bool:
    """Wait until no webhook is in flight and no job is due or running for 1 s; False after ``limit_s``."""
    store = open_database(load(None, running.environment.env))
    pause, end_s = threading.Event(), time.monotonic() + limit_s
    idle_since_s = time.monotonic()
    try:
        while time.monotonic() < end_s:
            running.check()
            if _is_busy(running, store):
                idle_since_s = time.monotonic()
            elif time.monotonic() - idle_since_s >= IDLE_S:
                return True
            pause.wait(POLL_S)
        return False
    finally:
        store.close()


def count_wrong(arrivals: Arrivals) -> dict[str, int]:
    """The errors of a burst.

    ``lost``: people without their last values on the other side, and purchases without an event. ``doubled``: e-mail
    addresses on two records of a side, and purchases with two events. ``extra_creations``: records created by wanesync
    beyond one per person.
    """
    machines = arrivals.sandbox.machines
    with arrivals.sandbox.lock:
        contacts, customers = machines[Side.HUBSPOT].records(), machines[Side.STRIPE].records()
        journal = {side: machines[side].journal.after(0) for side in Side}
    sent = [entry for entry in journal[Side.HUBSPOT] if entry.kind == "event.sent"]
    events = Counter(entry.changes.get("charge_id", "") for entry in sent)
    addresses = [_count_addresses(rows) for rows in (contacts, customers)]
    lost = _count_incomplete(arrivals, contacts, customers)
    lost += sum(address not in addresses[0] for address in arrivals.addresses)
    lost += sum(not events[charge] for charge in arrivals.charges)
    doubled = sum(count - 1 for counts in (*addresses, events) for count in counts.values() if count > 1)
    expected = {Side.HUBSPOT: len(arrivals.addresses), Side.STRIPE: len(arrivals.contacts)}
    extra = sum(max(0, _count_created(journal[side]) - expected[side]) for side in Side)
    return {"lost": lost, "doubled": doubled, "extra_creations": extra}


def _is_busy(running: Running, store: Store) -> bool:
    if any(counts["webhooks_waiting"] for counts in running.sandbox.stats().values()):
        return True
    try:
        with store.reading() as tx:
            due = [tx.jobs.next_due_ms(side) for side in Side]
            soon = any(at_ms is not None and at_ms < tx.now_ms + SOON_MS for at_ms in due)
            return soon or any(row["running"] for row in tx.jobs.depth())
    except DatabaseUnavailable:
        return True


def _count_addresses(rows: Sequence[Mapping[str, str]]) -> Counter[str]:
    return Counter(normalise_email(row["email"]) for row in rows if row.get("email"))


def _count_incomplete(
    arrivals: Arrivals, contacts: Sequence[Mapping[str, str]], customers: Sequence[Mapping[str, str]]
) -> int:
    """The number of contacts whose customer is missing or lacks one of the last values."""
    by_address = {normalise_email(row.get("email", "")): row for row in customers}
    customer_of = {row["id"]: by_address.get(normalise_email(row.get("email", "")), {}) for row in contacts}
    return sum(
        any(customer_of.get(contact_id, {}).get(name) != value for name, value in values.items())
        for contact_id, values in arrivals.contacts.items()
    )


def _count_created(journal: Sequence[Entry]) -> int:
    return sum(entry.kind in ("contact.created", "customer.created") and entry.source != "user" for entry in journal)
