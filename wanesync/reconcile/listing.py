"""Lists both sides completely into a snapshot: the basis of the first listing, ``diff`` and ``reconcile``.

Threads fetch the pages: customers in spans of ``created`` in parallel, contacts one page after another unless parallel
ranges of ids are asked for. The caller's thread stores each page together with the place where the listing continues,
so the next run continues one that was killed at any moment.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import structlog

from wanesync.core.cursors import CursorTrail
from wanesync.core.diff.ranges import ListingRange, ListingRanges
from wanesync.core.errors import CallError, Failure, VendorUnavailable, WanesyncError
from wanesync.core.model import Record, Side
from wanesync.core.ports import Page
from wanesync.core.rate_limits import SEARCH_OPERATION
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests, read_paced
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.sync.runtime import Runtime

log = structlog.get_logger()
_T = TypeVar("_T")
Progress = Callable[[Side, int], None]
OPERATIONS = {Side.HUBSPOT: "contacts.list", Side.STRIPE: "customers.list"}
LANES = {Side.HUBSPOT: 1, Side.STRIPE: 4}
"""Pages of each side fetched in parallel; our choice. HubSpot documents no ranges, so its pages follow one another."""
PARALLEL_HUBSPOT_LANES = 5
"""Pages of contacts fetched in parallel by ranges of ids: 15 requests/s of about 1/3 s each keep 5 lanes busy."""
SWITCH_INTERVAL_S = 0.001
"""The interpreter's switch interval during a listing: with its default of 5 ms requests leave late, and in bursts."""
MAX_QUEUED_PAGES = 16
"""Pages that are fetched and not stored yet; bounds the memory, our choice."""
STRIPE_FOUNDED_S = 1_262_304_000
"""1 January 2010, Unix seconds: no customer was created before."""
MAX_CONTACT_ID = 1 << 62
"""Above any id of a contact."""
SEQUENTIAL = "contacts_sequential"
"""Metadata of a run whose listing by ranges of ids could not be proven complete."""
DELETED_CONTACT_SHARE, DELETED_CONTACTS = 1000, 10
"""Contacts that may have been deleted since a search counted them: one in a thousand, and ten; our choice."""
QUEUE_TIMEOUT_S = 0.2
"""How long a thread waits before it looks again whether the listing has ended."""


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page and how far its span came with it; without a page: the two spans into which one was divided."""

    side: Side
    spans: tuple[ListingRange, ...]
    page: Page | None = None
    called_ms: int = 0


@dataclass(slots=True)
class Listing:
    """Lists both sides into a snapshot. ``lanes``: how many pages of each side are fetched in parallel.

    ``threads`` False: one page after another in the caller's thread, for a simulator that owns the time.
    """

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    snapshot: Snapshot
    requests: Requests = field(default_factory=Requests)
    lanes: Mapping[Side, int] = field(default_factory=lambda: dict(LANES))
    threads: bool = True
    _spans: dict[Side, ListingRanges] = field(default_factory=dict)
    _pages: queue.Queue[FetchedPage | BaseException | None] = field(
        default_factory=lambda: queue.Queue(MAX_QUEUED_PAGES)
    )
    _ended: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _unordered: bool = False
    _trails: dict[tuple[Side, int], CursorTrail] = field(default_factory=dict)
    _anew: set[tuple[int, int]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, progress: Progress) -> None:
        """List both sides completely. Raises ``VendorUnavailable``, ``GuardError`` or ``DatabaseUnavailable``."""
        self._trails.clear()
        self._anew.clear()
        if SEQUENTIAL in self.snapshot.metadata():
            self.lanes = {**self.lanes, Side.HUBSPOT: 1}
        for side in Side:
            self._spans[side] = ListingRanges.of(
                side is Side.HUBSPOT, self.snapshot.spans(side) or [self._make_whole_span(side)]
            )
            self.snapshot.put_spans(side, self._spans[side].ranges.values())
        try:
            self._list(progress)
            proven = self.lanes[Side.HUBSPOT] == 1 or self._is_proven_complete()
        except _CursorRefused:
            proven = False
        if not proven:
            log.warning("the listing by ranges of ids cannot be proven complete: contacts are listed sequentially")
            self._begin_sequential()
            self._list(progress)

    def _begin_sequential(self) -> None:
        self._trails.clear()
        self.lanes = {**self.lanes, Side.HUBSPOT: 1}
        self.snapshot.clear_listing(Side.HUBSPOT)
        self.snapshot.put_metadata({SEQUENTIAL: "yes"})
        self._spans = {
            Side.HUBSPOT: ListingRanges.of(True, [self._make_whole_span(Side.HUBSPOT)]),
            Side.STRIPE: ListingRanges.of(False, self.snapshot.spans(Side.STRIPE)),
        }
        self.snapshot.put_spans(Side.HUBSPOT, self._spans[Side.HUBSPOT].ranges.values())

    def _list(self, progress: Progress) -> None:
        page_store = PageStore(self.runtime, self.snapshot)
        for fetched in self._fetch_in_parallel() if self.threads else self._fetch_sequentially():
            self._store(page_store, fetched)
            if fetched.page is not None:
                progress(fetched.side, len(fetched.page.records))
        if not all(spans.done for spans in self._spans.values()):
            raise WanesyncError("a listing ended before its time: run it again")

    def _is_proven_complete(self) -> bool:
        """Whether a listing by ranges of ids missed nothing.

        Cursors were ids, and ids rose all the way; contacts read beyond the end of a range are in the next one; and a
        search counts hardly more contacts than were listed.
        """
        if self._unordered:
            return False
        total = int(self.snapshot.metadata().get("hubspot_total", "0"))
        listed = self.snapshot.count_shown(Side.HUBSPOT)
        least = total - total // DELETED_CONTACT_SHARE - DELETED_CONTACTS
        return not self.snapshot.count_unlisted_overlaps() and listed >= least

    # -- spans

    def _make_whole_span(self, side: Side) -> ListingRange:
        """All records of a side. Customers created after the run began come by event; a contact's id is no date."""
        began_ms = int(self.snapshot.metadata()["began_ms"])
        if side is Side.STRIPE:
            return ListingRange(0, STRIPE_FOUNDED_S, began_ms // 1000)
        return ListingRange(0, 0, self._highest_id() if self.lanes[side] > 1 else MAX_CONTACT_ID)

    def _highest_id(self) -> int:
        total = self._call(Side.HUBSPOT, SEARCH_OPERATION, self.runtime.hubspot.survey_contacts)
        self.snapshot.put_metadata({"hubspot_total": str(total.count)})
        return total.highest_id

    # -- fetching

    def _fetch_sequentially(self) -> Iterator[FetchedPage]:
        while not all(spans.done for spans in self._spans.values()):
            for side in Side:
                taken = self._spans[side].take(1)
                if taken is not None:
                    called_ms, page = self._read(side, taken[0])
                    yield self._advance(side, taken[0], called_ms, page)
                    self._spans[side].release(taken[0].number)

    def _fetch_in_parallel(self) -> Iterator[FetchedPage]:
        """Pages as the lanes fetch them. Raises the first lane's error after all lanes have ended."""
        self._ended, self._stopped, self._pages = threading.Event(), threading.Event(), queue.Queue(MAX_QUEUED_PAGES)
        threads = [
            threading.Thread(target=self._run_lane, args=(side,), daemon=True)
            for side in Side
            for _ in range(self.lanes[side])
        ]
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(min(switch_interval_s, SWITCH_INTERVAL_S))
        for thread in threads:
            thread.start()
        running, first_error = len(threads), None
        try:
            while running:
                got = self._pages.get()
                if isinstance(got, FetchedPage):
                    yield got
                    continue
                running -= 1
                if got is not None:
                    first_error = first_error or got
                    self._ended.set()
            if first_error is not None:
                raise first_error
        finally:
            self._ended.set()
            self._stopped.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(switch_interval_s)

    def _run_lane(self, side: Side) -> None:
        try:
            while not self._ended.is_set():
                with self._lock:
                    taken = self._spans[side].take(self.lanes[side])
                    done = self._spans[side].done
                    if taken is not None and taken[1] is not None:
                        self._hand_over(FetchedPage(side, (taken[0], taken[1])))
                if taken is not None:
                    self._fetch_span(side, taken[0])
                elif done:
                    break
                else:
                    self._ended.wait(QUEUE_TIMEOUT_S)
            self._hand_over(None)
        # Every error ends the run in the thread that waits for this one.
        except BaseException as error:  # noqa: BLE001 - see the line above
            self._hand_over(error)

    def _fetch_span(self, side: Side, span: ListingRange) -> None:
        while not (span.done or self._ended.is_set()):
            called_ms, page = self._read(side, span)
            with self._lock:
                # Under one lock: else the division of the rest of a span could be stored before the page it follows.
                fetched = self._advance(side, span, called_ms, page)
                self._hand_over(fetched)
            span = fetched.spans[0]

    def _hand_over(self, item: FetchedPage | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._pages.put(item, timeout=QUEUE_TIMEOUT_S)
            except queue.Full:
                continue
            return

    def _read(self, side: Side, span: ListingRange) -> tuple[int, Page]:
        """The next page of a span, after the time its call began (ms, database time)."""
        called_ms = self.runtime.store.now_ms()
        with self._lock:
            span = self._spans[side].ranges[span.number]
            trail = self._trails.setdefault((side, span.number), CursorTrail(side))

        def fetch() -> Page:
            if side is Side.STRIPE:
                page = self.runtime.stripe.list_customers(span.next, span.low, span.high)
            else:
                page = self.runtime.hubspot.list_contacts(span.next)
            ids = [*(record.id for record in page.records), *(one.id for one in page.set_aside)]
            trail.follow(span.next, page.next, ids if all(ids) else None)
            return page

        try:
            page = self._call(side, OPERATIONS[side], fetch)
        except VendorUnavailable as error:
            if side is Side.STRIPE and span.next and _is_refused(error) and self._begin_anew(span):
                return self._read(side, span)
            if side is Side.HUBSPOT and self.lanes[side] > 1 and _is_refused(error):
                raise _CursorRefused from error
            raise
        if side is Side.HUBSPOT:
            self._unordered |= not _is_rising(span.next, page)
        return called_ms, page

    def _begin_anew(self, span: ListingRange) -> bool:
        """Go on without a cursor that Stripe refuses: its customer may be gone; False: that led nowhere before."""
        with self._lock:
            part = self._spans[Side.STRIPE].begin_anew(span.number)
            led_nowhere = (part.number, part.high) in self._anew
            self._anew.add((part.number, part.high))
            self._trails.pop((Side.STRIPE, part.number), None)
        return not led_nowhere

    def _advance(self, side: Side, span: ListingRange, called_ms: int, page: Page) -> FetchedPage:
        reached = _position(side, page.records[-1]) if page.records else self._spans[side].ranges[span.number].reached
        return FetchedPage(side, (self._spans[side].advance(span.number, reached, page.next),), page, called_ms)

    def _call(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        return read_paced(self.pacers[side], self.requests, operation, call)

    # -- storing

    def _store(self, page_store: PageStore, fetched: FetchedPage) -> None:
        if fetched.page is None:
            self.snapshot.put_spans(fetched.side, fetched.spans)
            return
        page_store.put_aside(fetched.side, fetched.page.set_aside)
        if fetched.side is Side.HUBSPOT:
            span, records = fetched.spans[0], fetched.page.records
            if span.done and fetched.page.next:
                # The page reaches beyond the span's end: those contacts are the next span's, and must appear in it.
                self.snapshot.put_overlaps([r.id for r in records if _position(Side.HUBSPOT, r) > span.high])
                records = [r for r in records if _position(Side.HUBSPOT, r) <= span.high]
            page_store.put_contacts(records, fetched.spans)
        else:
            page_store.put_customers(fetched.page.records, fetched.page.timing, fetched.called_ms, fetched.spans)


class _CursorRefused(WanesyncError):
    """HubSpot refused a cursor that no page of its own had returned."""


def _is_refused(error: VendorUnavailable) -> bool:
    """Whether the side answered and refused the request, or did not find what it names."""
    refusals = (Failure.REFUSED, Failure.NOT_FOUND)
    return isinstance(error.__cause__, CallError) and error.__cause__.failure in refusals


def _is_rising(after: str, page: Page) -> bool:
    """Whether a page begins at or above its cursor, its ids rise, and its next cursor is not below its last id."""
    if not all(text.isdecimal() for text in (after or "0", page.next or "0", *(r.id for r in page.records))):
        return False
    ids = [int(record.id) for record in page.records]
    rising = all(low < high for low, high in pairwise(ids))
    return rising and (not ids or (int(after or 0) <= ids[0] and (not page.next or ids[-1] <= int(page.next))))


def _position(side: Side, record: Record) -> int:
    """A record's position in its side's order: a contact's id (-1: not a number), a customer's second of creation."""
    if side is Side.STRIPE:
        return record.created_ms // 1000
    return int(record.id) if record.id.isdecimal() else -1
