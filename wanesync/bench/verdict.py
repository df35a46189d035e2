"""What a burst came to when nothing moves any more, from the records and journals of the two stand-ins."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from wanesync.bench.arrivals import Arrivals
from wanesync.bench.stage import Running
from wanesync.config.model import load
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side, normalise_email
from wanesync.sandbox.journal import Entry
from wanesync.store.database import Store
from wanesync.wiring import open_state

SOON_MS = 60_000
"""A job due later than this waits for something that has not happened."""
QUIET_S = 1.0
LOOK_S = 0.1


def come_to_rest(running: Running, limit_s: float) -> bool:
    """Wait until no webhook is under way and no job is due or running for a moment; False: not within ``limit_s``."""
    store = open_state(load(None, running.stage.env))
    pause, end_s = threading.Event(), time.monotonic() + limit_s
    quiet_since_s = time.monotonic()
    try:
        while time.monotonic() < end_s:
            running.check()
            if _moves(running, store):
                quiet_since_s = time.monotonic()
            elif time.monotonic() - quiet_since_s >= QUIET_S:
                return True
            pause.wait(LOOK_S)
        return False
    finally:
        store.close()


def judge(arrivals: Arrivals) -> dict[str, int]:
    """``lost``: people without their last values on the other side, purchases without an event. ``doubled``: addresses
    on two records of a side, purchases with two events. ``extra_creations``: what we made beyond one for each person.
    """
    machines = arrivals.sandbox.machines
    with arrivals.sandbox.lock:
        contacts, customers = machines[Side.HUBSPOT].records(), machines[Side.STRIPE].records()
        journal = {side: machines[side].journal.after(0) for side in Side}
    events = Counter(e.changes.get("charge_id", "") for e in journal[Side.HUBSPOT] if e.kind == "event.sent")
    addresses = [_count_addresses(rows) for rows in (contacts, customers)]
    lost = _count_incomplete(arrivals, contacts, customers)
    lost += sum(address not in addresses[0] for address in arrivals.addresses)
    lost += sum(not events[charge] for charge in arrivals.charges)
    doubled = sum(n - 1 for counts in (*addresses, events) for n in counts.values() if n > 1)
    wanted = {Side.HUBSPOT: len(arrivals.addresses), Side.STRIPE: len(arrivals.contacts)}
    extra = sum(max(0, _count_made(journal[side]) - wanted[side]) for side in Side)
    return {"lost": lost, "doubled": doubled, "extra_creations": extra}


def _moves(running: Running, store: Store) -> bool:
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
    """Contacts that arrived and whose customer is missing or does not hold every last value."""
    by_address = {normalise_email(row.get("email", "")): row for row in customers}
    customer_of = {row["id"]: by_address.get(normalise_email(row.get("email", "")), {}) for row in contacts}
    return sum(
        any(customer_of.get(contact_id, {}).get(name) != value for name, value in values.items())
        for contact_id, values in arrivals.contacts.items()
    )


def _count_made(journal: Sequence[Entry]) -> int:
    return sum(entry.kind in ("contact.created", "customer.created") and entry.source != "user" for entry in journal)
