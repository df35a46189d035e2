"""Catch-up: what webhooks did not bring, from Stripe's list of events and HubSpot's search by modification date."""

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
from wanesync.sync.intake import store_events, store_purchases
from wanesync.sync.runtime import Runtime

_T = TypeVar("_T")
OVERLAP_MS = 300_000
STRIPE_HISTORY_MS = 30 * 86_400_000
SEARCH_PAGE = 200
EVENTS_OPERATION = "events.list"
CURSORS = {Side.HUBSPOT: "hubspot_cursor_ms", Side.STRIPE: "stripe_cursor_ms"}


@dataclass(frozen=True, slots=True)
class CatchUpResult:
    """What a catch-up brought. ``too_old``: Stripe's events no longer reach back to the cursor; reconcile instead."""

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
        """Cursors are taken before the first listing; later ones are kept."""

        def keep(tx: Tx) -> None:
            for name in CURSORS.values():
                if tx.settings.get(name) is None:
                    tx.settings.put(name, str(tx.now_ms))

        self.runtime.store.run(keep)

    def run(self, side: Side) -> CatchUpResult:
        """Catch up one side from its cursor, with an overlap; raises ``CallError``."""
        with self.runtime.store.reading() as tx:
            now_ms = tx.now_ms
            cursor = tx.settings.get(CURSORS[side])
        since_ms = int(cursor) - OVERLAP_MS if cursor else now_ms - OVERLAP_MS
        caught = self._stripe(since_ms, now_ms) if side is Side.STRIPE else self._hubspot(since_ms)
        self.runtime.commit("catch_up.cursor", lambda tx: tx.settings.put(CURSORS[side], str(now_ms)))
        return caught

    def _stripe(self, since_ms: int, now_ms: int) -> CatchUpResult:
        """Newest first; kept oldest page first, so that a death in between leaves the cursor where it was."""
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

    def _hubspot(self, since_ms: int) -> CatchUpResult:
        """Search lags and has no deletions: it only says which contacts to read."""
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
            changed += self.runtime.commit("catch_up.page", lambda tx, h=hits: self._mark(tx, h))  # type: ignore[misc] # binds the loop's value
            above = hits[-1][0]
            if len(hits) < SEARCH_PAGE:
                break
        return CatchUpResult(Side.HUBSPOT, changed, 0, requests)

    def _call(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        """One request in its own time; a refusal lowers the limit it names."""
        self.pacers[side].wait(SlotRequest(operation))
        try:
            return call()
        except CallError as error:
            self.pacers[side].heed(error, operation)
            raise

    def _mark(self, tx: Tx, hits: list[tuple[str, int]]) -> int:
        known = tx.records.get_many([(Side.HUBSPOT, i) for i, _ in hits])
        missed = []
        for contact_id, modified_ms in hits:
            seen = known.get((Side.HUBSPOT, contact_id))
            if seen is None or seen.record.modified_ms < modified_ms:
                missed.append(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority.LIVE))
        tx.jobs.put_many(missed)
        return len(missed)
