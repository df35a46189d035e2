"""Catch-up: what webhooks did not deliver, from Stripe's list of events and HubSpot's search by modification date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wanesync.core.errors import CallError
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Event, Side
from wanesync.core.purchases import Purchase
from wanesync.core.rate_limits import SEARCH_OPERATION, SlotRequest
from wanesync.ratelimit.pacer import Pacer
from wanesync.store.database import Tx
from wanesync.store.tables.settings import CURSORS
from wanesync.sync.intake import store_events, store_purchases, store_set_aside
from wanesync.sync.runtime import Runtime

_T = TypeVar("_T")
OVERLAP_MS = 300_000
"""How far before its cursor a catch-up begins: 5 min, our choice, for HubSpot's search index, which lags by seconds."""
STRIPE_HISTORY_MS = 30 * 86_400_000
"""How long Stripe lists events (docs.stripe.com/api/events/list)."""
SEARCH_PAGE_SIZE = 200
"""Results of one HubSpot search, its maximum (HubSpot, search guide)."""
EVENTS_OPERATION = "events.list"


@dataclass(frozen=True, slots=True)
class CatchUpResult:
    """What a catch-up brought. ``too_old``: Stripe's events do not reach back to the cursor; reconcile instead."""

    side: Side
    changed: int
    purchases: int
    requests: int
    too_old: bool = False


@dataclass(slots=True)
class CatchUp:
    """Catch-up of the sides this process has keys for."""

    runtime: Runtime
    pacers: dict[Side, Pacer]

    def mark_start(self) -> None:
        """Set the cursors before the first listing; cursors that are set stay."""

        def set_missing(tx: Tx) -> None:
            for name in CURSORS.values():
                tx.settings.add(name, str(tx.now_ms))

        self.runtime.store.run(set_missing)

    def run(self, side: Side) -> CatchUpResult:
        """Catch up one side from its cursor, with an overlap. Raises ``CallError``."""
        with self.runtime.store.reading() as tx:
            now_ms = tx.now_ms
            cursor = tx.settings.get(CURSORS[side])
        since_ms = int(cursor) - OVERLAP_MS if cursor else now_ms - OVERLAP_MS
        result = self._list_events(since_ms, now_ms) if side is Side.STRIPE else self._search_contacts(since_ms)
        self.runtime.commit("catch_up.cursor", lambda tx: tx.settings.put(CURSORS[side], str(now_ms)))
        return result

    def _list_events(self, since_ms: int, now_ms: int) -> CatchUpResult:
        """List Stripe's events; the oldest page is stored first, so that the cursor is right after a crash."""
        changed = purchases = requests = 0
        pages: list[tuple[list[Event], list[Purchase]]] = []
        after = ""
        while True:
            page = self._call(
                Side.STRIPE,
                EVENTS_OPERATION,
                lambda after=after: self.runtime.stripe.list_events(since_ms // 1000, after),  # type: ignore[misc] # binds the loop's value
            )
            requests += 1
            pages.append((list(page.events), list(page.purchases)))
            if page.set_aside:
                self.runtime.commit(
                    "catch_up.page",
                    lambda tx, p=page: store_set_aside(tx, Side.STRIPE, p.set_aside, p.named),  # type: ignore[misc] # binds the loop's value
                )
            after = page.next
            if not after:
                break
        for events, bought in reversed(pages):
            new, paid = self.runtime.commit(
                "catch_up.page",
                lambda tx, e=events, p=bought: (store_events(tx, e), store_purchases(self.runtime.store, tx, p)),  # type: ignore[misc] # binds the loop's values
            )
            changed += new
            purchases += paid
        return CatchUpResult(Side.STRIPE, changed, purchases, requests, now_ms - since_ms > STRIPE_HISTORY_MS)

    def _search_contacts(self, since_ms: int) -> CatchUpResult:
        """Search for modified contacts and read them: a search lags and shows no deletions."""
        changed = requests = 0
        above = ""
        while True:
            hits = self._call(
                Side.HUBSPOT,
                SEARCH_OPERATION,
                lambda above=above: self.runtime.hubspot.search_modified(since_ms, above),  # type: ignore[misc] # binds the loop's value
            )
            requests += 1
            if not hits:
                break
            changed += self.runtime.commit("catch_up.page", lambda tx, h=hits: self._queue_reads(tx, h))  # type: ignore[misc] # binds the loop's value
            above = hits[-1][0]
            if len(hits) < SEARCH_PAGE_SIZE:
                break
        return CatchUpResult(Side.HUBSPOT, changed, 0, requests)

    def _call(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        """One paced request; a refusal lowers the limit it names."""
        self.pacers[side].wait_for_slot(SlotRequest(operation))
        try:
            return call()
        except CallError as error:
            self.pacers[side].apply_refusal(error, operation)
            raise

    def _queue_reads(self, tx: Tx, hits: list[tuple[str, int]]) -> int:
        """Queue a read of each contact that was modified after its stored record; how many."""
        stored = tx.records.get_many([(Side.HUBSPOT, i) for i, _ in hits])
        reads = []
        for contact_id, modified_ms in hits:
            old = stored.get((Side.HUBSPOT, contact_id))
            if old is None or old.record.modified_ms < modified_ms:
                reads.append(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority.LIVE))
        tx.jobs.put_many(reads)
        return len(reads)
