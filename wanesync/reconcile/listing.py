"""Listing both sides completely into a snapshot: what first contact, ``diff`` and ``reconcile`` stand on.

Pages are fetched by lanes, customers in spans of ``created`` side by side, contacts one after another unless asked
otherwise, and kept by the caller's thread, each with the place where the listing goes on: a run that is killed at any
moment is continued by the next one.
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

from wanesync.core.diff.ranges import ListingRange, ListingRanges
from wanesync.core.errors import CallError, Failure, VendorUnavailable, WanesyncError
from wanesync.core.model import Record, Side
from wanesync.core.ports import Page
from wanesync.core.rate_limits import SEARCH_OPERATION
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests, ask
from wanesync.reconcile.snapshot.results import Snapshot
from wanesync.sync.runtime import Runtime

log = structlog.get_logger()
_T = TypeVar("_T")
Progress = Callable[[Side, int], None]
OPERATIONS = {Side.HUBSPOT: "contacts.list", Side.STRIPE: "customers.list"}
LANES = {Side.HUBSPOT: 1, Side.STRIPE: 4}
PARALLEL = 5
"""Lanes of contacts where they are listed side by side: 15 requests a second, each as slow as a third of one."""
TURN_S = 0.001
"""How long a thread of Python may go on while others wait: a request that leaves late meets the next one."""
WAITING = 16
"""Pages fetched and not kept yet."""
PAGE = 100
STRIPE_BEGAN_S = 1_262_304_000
"""No customer is older than 2010."""
LAST_ID = 1 << 62
IN_TURN = "contacts_in_turn"
"""Noted of a run whose listing by ranges could not be shown to be complete."""
SPARE_SHARE, SPARE = 1000, 10
"""So many contacts, one in a thousand and ten, may be gone since a search counted them."""
WAKE_S = 0.2


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page and how far its span came with it; or, without a page, spans that were divided."""

    side: Side
    spans: tuple[ListingRange, ...]
    page: Page | None = None
    asked_ms: int = 0


@dataclass(slots=True)
class Listing:
    """Lists both sides into a snapshot. ``lanes``: how many pages of each side are under way at once.

    ``threads`` False: one page after another in the caller's thread, for whoever owns the time.
    """

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    snapshot: Snapshot
    requests: Requests = field(default_factory=Requests)
    lanes: Mapping[Side, int] = field(default_factory=lambda: dict(LANES))
    threads: bool = True
    _spans: dict[Side, ListingRanges] = field(default_factory=dict)
    _pages: queue.Queue[Fetched | BaseException | None] = field(default_factory=lambda: queue.Queue(WAITING))
    _ended: threading.Event = field(default_factory=threading.Event)
    _left: threading.Event = field(default_factory=threading.Event)
    _doubtful: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self, progress: Progress) -> None:
        """Both sides; complete, or ``VendorUnavailable``, ``GuardError`` or ``DatabaseUnavailable``."""
        if IN_TURN in self.snapshot.about():
            self.lanes = {**self.lanes, Side.HUBSPOT: 1}
        for side in Side:
            self._spans[side] = ListingRanges.of(side is Side.HUBSPOT, self.snapshot.spans(side) or [self._whole(side)])
            self.snapshot.put_spans(side, self._spans[side].spans.values())
        try:
            self._list(progress)
            proven = self.lanes[Side.HUBSPOT] == 1 or self._is_proven()
        except _NoRange:
            proven = False
        if not proven:
            log.warning("the listing by ranges of ids cannot be shown to be complete: contacts are listed in turn")
            self._begin_in_turn()
            self._list(progress)

    def _begin_in_turn(self) -> None:
        self.lanes = {**self.lanes, Side.HUBSPOT: 1}
        self.snapshot.forget_listing(Side.HUBSPOT)
        self.snapshot.put_about({IN_TURN: "yes"})
        self._spans = {
            Side.HUBSPOT: ListingRanges.of(True, [self._whole(Side.HUBSPOT)]),
            Side.STRIPE: ListingRanges.of(False, self.snapshot.spans(Side.STRIPE)),
        }
        self.snapshot.put_spans(Side.HUBSPOT, self._spans[Side.HUBSPOT].spans.values())

    def _list(self, progress: Progress) -> None:
        keeper = PageStore(self.runtime, self.snapshot)
        for fetched in self._fetch_side_by_side() if self.threads else self._fetch_in_turn():
            self._keep(keeper, fetched)
            if fetched.page is not None:
                progress(fetched.side, len(fetched.page.records))
        if not all(spans.done for spans in self._spans.values()):
            raise WanesyncError("a listing ended before its time: run it again")

    def _is_proven(self) -> bool:
        """What each range saw beyond its end, the next one saw, too; and a search knows of hardly any more.

        Cursors were ids, and ids rose, all the way.
        """
        if self._doubtful:
            return False
        total = int(self.snapshot.about().get("hubspot_total", "0"))
        listed = self.snapshot.count(Side.HUBSPOT)
        return not self.snapshot.unseen_overlaps() and listed >= total - total // SPARE_SHARE - SPARE

    # -- where everything is

    def _whole(self, side: Side) -> ListingRange:
        """Customers younger than the run come by event; a contact's id says nothing of its age."""
        began_ms = int(self.snapshot.about()["began_ms"])
        if side is Side.STRIPE:
            return ListingRange(0, STRIPE_BEGAN_S, began_ms // 1000)
        return ListingRange(0, 0, self._highest_id() if self.lanes[side] > 1 else LAST_ID)

    def _highest_id(self) -> int:
        total = self._ask(Side.HUBSPOT, SEARCH_OPERATION, self.runtime.hubspot.survey_contacts)
        self.snapshot.put_about({"hubspot_total": str(total.count)})
        return total.highest_id

    # -- fetching

    def _fetch_in_turn(self) -> Iterator[Fetched]:
        while not all(spans.done for spans in self._spans.values()):
            for side in Side:
                took = self._spans[side].take(1)
                if took is not None:
                    asked_ms, page = self._read(side, took[0])
                    yield self._advance(side, took[0], asked_ms, page)
                    self._spans[side].release(took[0].number)

    def _fetch_side_by_side(self) -> Iterator[Fetched]:
        """Pages as they come from the lanes. Raises what ended one of them, after what was under way has come."""
        self._ended, self._left, self._pages = threading.Event(), threading.Event(), queue.Queue(WAITING)
        threads = [
            threading.Thread(target=self._run_lane, args=(side,), daemon=True)
            for side in Side
            for _ in range(self.lanes[side])
        ]
        turn_s = sys.getswitchinterval()
        sys.setswitchinterval(min(turn_s, TURN_S))
        for thread in threads:
            thread.start()
        running, trouble = len(threads), None
        try:
            while running:
                got = self._pages.get()
                if isinstance(got, Fetched):
                    yield got
                    continue
                running -= 1
                if got is not None:
                    trouble = trouble or got
                    self._ended.set()
            if trouble is not None:
                raise trouble
        finally:
            self._ended.set()
            self._left.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(turn_s)

    def _run_lane(self, side: Side) -> None:
        try:
            while not self._ended.is_set():
                with self._guard:
                    took = self._spans[side].take(self.lanes[side])
                    done = self._spans[side].done
                    if took is not None and took[1] is not None:
                        self._hand_over(Fetched(side, (took[0], took[1])))
                if took is not None:
                    self._fetch_span(side, took[0])
                elif done:
                    break
                else:
                    self._ended.wait(WAKE_S)
            self._hand_over(None)
        # Whatever it was, it ends the run in the thread that waits for this one.
        except BaseException as error:  # noqa: BLE001 - as said above
            self._hand_over(error)

    def _fetch_span(self, side: Side, span: ListingRange) -> None:
        while not (span.done or self._ended.is_set()):
            asked_ms, page = self._read(side, span)
            with self._guard:
                # In one breath: else a division of what is left could be kept before the page it follows on.
                fetched = self._advance(side, span, asked_ms, page)
                self._hand_over(fetched)
            span = fetched.spans[0]

    def _hand_over(self, item: Fetched | BaseException | None) -> None:
        while not self._left.is_set():
            try:
                self._pages.put(item, timeout=WAKE_S)
            except queue.Full:
                continue
            return

    def _read(self, side: Side, span: ListingRange) -> tuple[int, Page]:
        """When the next page of a span was asked for, and the page."""
        asked_ms = self.runtime.store.now_ms()
        with self._guard:
            span = self._spans[side].spans[span.number]
        if side is Side.STRIPE:
            return asked_ms, self._ask(
                side, OPERATIONS[side], lambda: self.runtime.stripe.list_customers(span.next, span.low, span.high)
            )
        try:
            page = self._ask(side, OPERATIONS[side], lambda: self.runtime.hubspot.list_contacts(span.next))
        except VendorUnavailable as error:
            if self.lanes[side] > 1 and _is_refusal(error):
                raise _NoRange from error
            raise
        self._doubtful |= not _rises(span.next, page)
        return asked_ms, page

    def _advance(self, side: Side, span: ListingRange, asked_ms: int, page: Page) -> Fetched:
        reached = _place(side, page.records[-1]) if page.records else -1
        return Fetched(side, (self._spans[side].advance(span.number, reached, page.next),), page, asked_ms)

    def _ask(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        return ask(self.pacers[side], self.requests, operation, call)

    # -- keeping

    def _keep(self, keeper: PageStore, fetched: Fetched) -> None:
        if fetched.page is None:
            self.snapshot.put_spans(fetched.side, fetched.spans)
        elif fetched.side is Side.HUBSPOT:
            span, records = fetched.spans[0], fetched.page.records
            if span.done and fetched.page.next:
                # It went past its end: what is beyond belongs to the next span, and proves that one.
                self.snapshot.put_overlaps([r.id for r in records if _place(Side.HUBSPOT, r) > span.high])
                records = [r for r in records if _place(Side.HUBSPOT, r) <= span.high]
            keeper.keep_contacts(records, fetched.spans)
        else:
            keeper.keep_customers(fetched.page.records, fetched.page.timing, fetched.asked_ms, fetched.spans)


class _NoRange(WanesyncError):
    """A cursor that was no page's was refused."""


def _is_refusal(error: VendorUnavailable) -> bool:
    """Whether the side answered, and did not take the request."""
    return isinstance(error.__cause__, CallError) and error.__cause__.failure is Failure.REFUSED


def _rises(after: str, page: Page) -> bool:
    """Whether a page begins at or above its cursor, rises, and goes on at or after its last id."""
    if not all(text.isdecimal() for text in (after or "0", page.next or "0", *(r.id for r in page.records))):
        return False
    ids = [int(record.id) for record in page.records]
    rising = all(low < high for low, high in pairwise(ids))
    return rising and (not ids or (int(after or 0) <= ids[0] and (not page.next or ids[-1] <= int(page.next))))


def _place(side: Side, record: Record) -> int:
    """Where in its side's order a record stands: its id, -1 if that is no number, or the second it was created in."""
    if side is Side.STRIPE:
        return record.created_ms // 1000
    return int(record.id) if record.id.isdecimal() else -1
