"""Intake: a webhook becomes stored events and dirty marks in one transaction, or nothing at all.

A 2xx means durably stored (CORRECTNESS section 9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.job import JobKind, JobRequest, Priority
from wanesync.core.model import EventRow, Side
from wanesync.core.ports import HookPort, Parsed
from wanesync.core.purchases import Purchase
from wanesync.store.store import Store, Tx


@dataclass(slots=True)
class Intake:
    """The doors' way into the store. Holds webhook secrets (inside ``hooks``), never an API key."""

    store: Store
    hooks: Mapping[Side, HookPort]

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify, parse and store one POST; returns how many events were new.

        Raises ``BadSignature`` and ``BadPayload`` for what the sender did wrong, ``StoreDown`` for us.
        """
        hook = self.hooks[side]
        now_ms = self.store.now_ms()
        hook.verify(body, headers, url, now_ms)
        parsed = hook.parse(body, now_ms)
        return self.store.run(lambda tx: self.keep(tx, side, parsed))

    def keep(self, tx: Tx, side: Side, parsed: Parsed) -> int:
        """Store what was understood and set aside the rest, inside a transaction."""
        new = store_events(tx, parsed.events)
        store_purchases(self.store, tx, parsed.purchases)
        for element, reason in parsed.set_aside:
            tx.rejected.put(side, reason, element)
        return new


def store_events(tx: Tx, events: Sequence[EventRow], priority: Priority = Priority.LIVE) -> int:
    """Store events not known yet and queue a read of each record they name."""
    if not events:
        return 0
    new = tx.events.put_many(events)
    dirty = {
        (event.side, record_id)
        for event in events
        if event.key in new
        for record_id in (event.record_id, *event.merged_ids)
    }
    tx.jobs.put_many([JobRequest(side, JobKind.READ, record_id, priority) for side, record_id in sorted(dirty)])
    return len(new)


def store_purchases(store: Store, tx: Tx, purchases: Sequence[Purchase]) -> int:
    """A ledger row and a job per payment, ahead of everything; a payment known already changes nothing."""
    new = 0
    for purchase in purchases:
        hmac = store.hmac(purchase.email) if purchase.email else ""
        if tx.purchases.put(replace(purchase, hmac=hmac)):
            new += 1
            request = JobRequest(Side.HUBSPOT, JobKind.PURCHASE, purchase.payment_id, Priority.PURCHASE)
            tx.jobs.put(request)
    return new
