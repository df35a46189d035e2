"""Catch-up: what webhooks did not deliver, from Stripe's list of events and HubSpot's search by modification date."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from wanesync.core.cursors import CursorTrail
from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.ports import EventPage
from wanesync.core.rate_limits import SEARCH_OPERATION, SlotRequest
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.missed_count import GRACE_MS, store_missed
from wanesync.store.database import Store, Tx
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.store.tables.settings import CURSORS
from wanesync.sync.intake import store_events, store_in_halves, store_purchases, store_set_aside
from wanesync.sync.loader import LISTED
from wanesync.sync.restored import confirm
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
    """What a catch-up brought. ``too_old``: Stripe's events do not reach back to the cursor; reconcile instead.

    ``missed``: Stripe's events that no webhook had brought, although they are minutes old. HubSpot's search finds every
    modified contact, whether anything that is mapped was changed or not, so there it is 0.
    """

    side: Side
    changed: int
    purchases: int
    requests: int
    too_old: bool = False
    missed: int = 0

    def __add__(self, other: CatchUpResult) -> CatchUpResult:
        """What both brought."""
        return CatchUpResult(
            self.side,
            self.changed + other.changed,
            self.purchases + other.purchases,
            self.requests + other.requests,
            self.too_old or other.too_old,
            self.missed + other.missed,
        )


@dataclass(frozen=True, slots=True)
class _Progress:
    """A run on its way: from when to when, and the last event or contact of the last page that was stored."""

    since_ms: int
    until_ms: int
    after: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    """One page: ``store`` stores it and returns what it brought; ``after`` "": it is the last."""

    store: Callable[[Tx], CatchUpResult]
    after: str


def _progress_name(side: Side) -> str:
    return f"catch_up_progress_{side}"


@dataclass(slots=True)
class CatchUp:
    """Catch-up of the sides this process has keys for."""

    runtime: Runtime
    pacers: dict[Side, Pacer]

    def mark_start(self) -> None:
        """Set the cursors before the first listing; cursors that are set stay, but those that a wrong clock set."""
        self.runtime.store.run(_begin_cursors)

    def run(self, side: Side) -> CatchUpResult:
        """Catch up one side from its cursor, with an overlap; first what an earlier run left. Raises ``CallError``."""
        done = CatchUpResult(side, 0, 0, 0)
        unfinished = self._find_unfinished(side)
        if unfinished is not None:
            try:
                done = self._run_from(side, unfinished)
            except CallError as error:
                if error.failure not in (Failure.REFUSED, Failure.NOT_FOUND):
                    raise
                # The page where it left off is not listed any more: from the cursor, as if it had not begun.
                self.runtime.store.run(lambda tx: tx.settings.put(_progress_name(side), ""))
        return done + self._run_from(side, self._begin(side))

    def _begin(self, side: Side) -> _Progress:
        with self.runtime.store.reading() as tx:
            return _Progress(_read_cursor_ms(tx, side) - OVERLAP_MS, tx.now_ms)

    def _find_unfinished(self, side: Side) -> _Progress | None:
        with self.runtime.store.reading() as tx:
            stored = tx.settings.get(_progress_name(side))
            found = _Progress(**json.loads(stored)) if stored else None
            return found if found is not None and found.until_ms <= tx.now_ms else None

    def _run_from(self, side: Side, progress: _Progress) -> CatchUpResult:
        """Store page by page: memory holds one, and after a crash the next run goes on behind the last one stored."""
        too_old = side is Side.STRIPE and progress.until_ms - progress.since_ms > STRIPE_HISTORY_MS
        done = CatchUpResult(side, 0, 0, 0, too_old)
        load = self._list_events if side is Side.STRIPE else self._search_contacts
        trail = CursorTrail(side)
        while True:
            page = load(progress)
            if not trail.follow(progress.after, page.after):
                break
            progress = replace(progress, after=page.after)
            done += self._store(page, _progress_name(side), json.dumps(asdict(progress)))
        done += self._store(page, _progress_name(side), "")
        before_ms, until_ms = progress.since_ms + OVERLAP_MS, progress.until_ms
        self.runtime.commit("catch_up.cursor", lambda tx: _end(tx, done, before_ms, until_ms))
        return done

    def _store(self, page: _Page, name: str, progress: str) -> CatchUpResult:
        def work(tx: Tx) -> CatchUpResult:
            brought = page.store(tx)
            tx.settings.put(name, progress)
            return brought

        return self.runtime.commit("catch_up.page", work)

    def _list_events(self, progress: _Progress) -> _Page:
        """One page of Stripe's events, the newest first; the cursor follows when all are stored."""
        page = self._call(
            Side.STRIPE,
            EVENTS_OPERATION,
            lambda: self.runtime.stripe.list_events(progress.since_ms // 1000, progress.after),
        )

        def store(tx: Tx) -> CatchUpResult:
            if page.set_aside:
                store_set_aside(tx, Side.STRIPE, page.set_aside, page.named)
            missed = _count_missed(tx, page)
            changed, purchases = _store_events(self.runtime.store, tx, page)
            if reread := min(page.reread, changed):
                tx.webhook_counts.add({(Side.STRIPE, Outcome.REREAD): reread})
            return CatchUpResult(Side.STRIPE, changed, purchases, 1, missed=missed)

        return _Page(store, page.next)

    def _search_contacts(self, progress: _Progress) -> _Page:
        """One page of modified contacts, in the order of their ids: a search lags and shows no deletions."""
        hits = self._call(
            Side.HUBSPOT,
            SEARCH_OPERATION,
            lambda: self.runtime.hubspot.search_modified(progress.since_ms, progress.after),
        )
        after = hits[-1][0] if len(hits) >= SEARCH_PAGE_SIZE else ""
        return _Page(lambda tx: CatchUpResult(Side.HUBSPOT, self._queue_reads(tx, hits), 0, 1), after)

    def _call(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        """One paced request; a refusal lowers the limit it names."""
        self.pacers[side].wait_for_slot(SlotRequest(operation))
        try:
            return call()
        except CallError as error:
            self.pacers[side].apply_refusal(error, operation)
            raise

    def _queue_reads(self, tx: Tx, hits: Sequence[tuple[str, int]]) -> int:
        """Queue a read of each contact that was modified after its stored record; how many."""
        stored = tx.records.get_many([(Side.HUBSPOT, i) for i, _ in hits], {})
        reads = []
        for contact_id, modified_ms in hits:
            old = stored.get((Side.HUBSPOT, contact_id))
            if old is None or not modified_ms or old.record.modified_ms < modified_ms:
                reads.append(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority.LIVE))
        tx.jobs.put_many(reads)
        return len(reads)


def _end(tx: Tx, done: CatchUpResult, before_ms: int, until_ms: int) -> None:
    if done.side is Side.STRIPE:
        store_missed(tx, done.side, done.missed)
        confirm(tx, until_ms, too_old=done.too_old)
    _put_cursor(tx, done.side, before_ms, until_ms)


def _count_missed(tx: Tx, page: EventPage) -> int:
    """Count the events of a page that are minutes old and that no webhook has brought."""
    due = [event.key for event in page.events if event.occurred_ms < tx.now_ms - GRACE_MS]
    return len(due) - len(tx.events.marks(due)) if due else 0


def _store_events(store: Store, tx: Tx, page: EventPage) -> tuple[int, int]:
    """Store the events of a page; what the database does not take is set aside (docs/correctness.md#bad-rows)."""
    try:
        with tx.savepoint():
            return len(store_events(tx, page.events)), store_purchases(store, tx, page.purchases)
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 - one bad event must not stop the others
        return store_in_halves(store, tx, page.events, page.purchases), 0


def _read_cursor_ms(tx: Tx, side: Side) -> int:
    """From when a side is caught up: the newest cursor that no wrong clock set (docs/correctness.md#clocks)."""
    latest_ms = tx.now_ms + CLOCK_TOLERANCE_MS
    names = (CURSORS[side], _previous_cursor(side), LISTED)
    found = [int(value) for value in map(tx.settings.get, names) if value]
    if not found:
        return tx.now_ms
    return next((at_ms for at_ms in found if at_ms <= latest_ms), tx.now_ms - STRIPE_HISTORY_MS)


def _begin_cursors(tx: Tx) -> None:
    for name in CURSORS.values():
        tx.settings.add(name, str(tx.now_ms))
    pull_back_cursors(tx)


def pull_back_cursors(tx: Tx) -> None:
    """Replace cursors that a wrong clock set, before the time that they name has come (docs/correctness.md#clocks).

    As long as nothing was listed and caught up, the replacement is now: nothing from before a first listing counts.
    """
    for side, name in CURSORS.items():
        held, listed = tx.settings.get(name), tx.settings.get(LISTED)
        if held and int(held) > tx.now_ms + CLOCK_TOLERANCE_MS:
            is_first = listed is None and tx.settings.get(_previous_cursor(side)) is None
            tx.settings.put(name, str(tx.now_ms if is_first else _read_cursor_ms(tx, side)))


def _put_cursor(tx: Tx, side: Side, before_ms: int, now_ms: int) -> None:
    tx.settings.put(_previous_cursor(side), str(before_ms))
    tx.settings.put(CURSORS[side], str(now_ms))


def _previous_cursor(side: Side) -> str:
    return f"{CURSORS[side]}_before"
