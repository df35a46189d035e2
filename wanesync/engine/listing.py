"""Listing both sides completely into a snapshot: what first contact, ``diff`` and ``reconcile`` stand on.

Pages are fetched by lanes, customers in spans of ``created`` side by side, contacts one after another unless asked
otherwise, and kept by the caller's thread, each with the place where the listing goes on: a run that is killed at any
moment is continued by the next one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from wanesync.core.errors import CallError, Failure, GuardError, SideDown, WanesyncError
from wanesync.core.limits import SEARCH_OPERATION, Want
from wanesync.core.model import Record, Side
from wanesync.core.ports import Page
from wanesync.core.spans import Span, Spans
from wanesync.engine.context import Engine
from wanesync.engine.keeping import Keeper
from wanesync.engine.pace import Pacer
from wanesync.store.snapshot import Snapshot

log = structlog.get_logger()
_T = TypeVar("_T")
Progress = Callable[[Side, int], None]
TRANSIENT = frozenset(
    {Failure.NO_ANSWER, Failure.UNREACHED, Failure.UNAVAILABLE, Failure.RATE_LIMITED, Failure.BUSY, Failure.SERVER}
)
READ_ATTEMPTS = 5
OPERATIONS = {Side.HUBSPOT: "contacts.list", Side.STRIPE: "customers.list"}
LANES = {Side.HUBSPOT: 1, Side.STRIPE: 8}
PARALLEL = 8
"""Lanes of contacts where they are listed side by side: 15 requests a second, each as slow as half a second."""
WAITING = 16
"""Pages fetched and not kept yet."""
PAGE = 100
STRIPE_BEGAN_S = 1_262_304_000
"""No customer is older than 2010."""
LAST_ID = 1 << 62
SPARE_SHARE, SPARE = 1000, 10
"""So many contacts, one in a thousand and ten, may be gone since a search counted them."""
WAKE_S = 0.2


def read_patiently(call: Callable[[], _T]) -> _T:
    """One read, tried again on trouble that passes; raises ``SideDown`` when it does not."""

    def passing(error: BaseException) -> bool:
        return isinstance(error, CallError) and error.failure in TRANSIENT

    retrying = Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_attempt(READ_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=8),
        reraise=True,
    )
    try:
        return retrying(call)
    except CallError as error:
        raise SideDown(f"the listing is incomplete and was not used: {error}") from error


@dataclass(slots=True)
class Requests:
    """How many requests a run made, and may make."""

    most: int | None = None
    made: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> None:
        """One more; raises ``GuardError`` before it is made where that is too many."""
        with self._guard:
            if self.most is not None and self.made >= self.most:
                raise GuardError(
                    f"--max-requests {self.most} is used up and the listing is not complete; nothing was written. "
                    "The next run goes on from here"
                )
            self.made += 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page and how far its span came with it; or, without a page, spans that were divided."""

    side: Side
    spans: tuple[Span, ...]
    page: Page | None = None
    asked_ms: int = 0


@dataclass(slots=True)
class Listing:
    """Lists both sides into a snapshot. ``lanes``: how many pages of each side are under way at once.

    ``threads`` False: one page after another in the caller's thread, for whoever owns the time.
    """

    engine: Engine
    pacers: Mapping[Side, Pacer]
    snapshot: Snapshot
    requests: Requests = field(default_factory=Requests)
    lanes: Mapping[Side, int] = field(default_factory=lambda: dict(LANES))
    threads: bool = True
    _spans: dict[Side, Spans] = field(default_factory=dict)
    _pages: queue.Queue[Fetched | BaseException | None] = field(default_factory=lambda: queue.Queue(WAITING))
    _ended: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self, progress: Progress) -> None:
        """Both sides; complete, or ``SideDown``, ``GuardError`` or ``StoreDown``."""
        for side in Side:
            self._spans[side] = Spans.of(side is Side.HUBSPOT, self.snapshot.spans(side) or [self._whole(side)])
            self.snapshot.put_spans(side, self._spans[side].spans.values())
        self._list(progress)
        if self.lanes[Side.HUBSPOT] > 1 and not self._is_proven():
            log.warning("the listing by ranges of ids cannot be shown to be complete: contacts are listed in turn")
            self.lanes = {**self.lanes, Side.HUBSPOT: 1}
            self.snapshot.forget_listing(Side.HUBSPOT)
            self._spans[Side.HUBSPOT] = Spans.of(True, [self._whole(Side.HUBSPOT)])
            self._list(progress)

    def _list(self, progress: Progress) -> None:
        keeper = Keeper(self.engine, self.snapshot)
        for fetched in self._fetch_side_by_side() if self.threads else self._fetch_in_turn():
            self._keep(keeper, fetched)
            if fetched.page is not None:
                progress(fetched.side, len(fetched.page.records))
        if not all(spans.done for spans in self._spans.values()):
            raise WanesyncError("a listing ended before its time: run it again")

    def _is_proven(self) -> bool:
        """What each range saw beyond its end, the next one saw, too; and a search knows of hardly any more."""
        total = int(self.snapshot.about().get("hubspot_total", "0"))
        listed = self.snapshot.count(Side.HUBSPOT)
        return not self.snapshot.unseen_overlaps() and listed >= total - total // SPARE_SHARE - SPARE

    # -- where everything is

    def _whole(self, side: Side) -> Span:
        """Customers younger than the run come by event; a contact's id says nothing of its age."""
        began_ms = int(self.snapshot.about()["began_ms"])
        if side is Side.STRIPE:
            return Span(0, STRIPE_BEGAN_S, began_ms // 1000)
        return Span(0, 0, self._highest_id() if self.lanes[side] > 1 else LAST_ID)

    def _highest_id(self) -> int:
        total = self._ask(Side.HUBSPOT, SEARCH_OPERATION, self.engine.hubspot.survey_contacts)
        self.snapshot.put_about({"hubspot_total": str(total.count)})
        return total.highest_id

    # -- fetching

    def _fetch_in_turn(self) -> Iterator[Fetched]:
        while not all(spans.done for spans in self._spans.values()):
            for side in Side:
                took = self._spans[side].take(1)
                if took is not None:
                    yield self._fetch(side, took[0])
                    self._spans[side].release(took[0].number)

    def _fetch_side_by_side(self) -> Iterator[Fetched]:
        """Pages as they come from the lanes. Raises what ended one of them."""
        threads = [
            threading.Thread(target=self._run_lane, args=(side,), daemon=True)
            for side in Side
            for _ in range(self.lanes[side])
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                got = self._pages.get()
                if isinstance(got, BaseException):
                    raise got
                if got is None:
                    running -= 1
                else:
                    yield got
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

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

    def _fetch_span(self, side: Side, span: Span) -> None:
        while not (span.done or self._ended.is_set()):
            fetched = self._fetch(side, span)
            self._hand_over(fetched)
            span = fetched.spans[0]

    def _hand_over(self, item: Fetched | BaseException | None) -> None:
        while not self._ended.is_set():
            try:
                self._pages.put(item, timeout=WAKE_S)
            except queue.Full:
                continue
            return

    def _fetch(self, side: Side, span: Span) -> Fetched:
        asked_ms = self.engine.store.now_ms()
        with self._guard:
            span = self._spans[side].spans[span.number]
        if side is Side.HUBSPOT:
            page = self._ask(side, OPERATIONS[side], lambda: self.engine.hubspot.list_contacts(span.next))
        else:
            page = self._ask(
                side, OPERATIONS[side], lambda: self.engine.stripe.list_customers(span.next, span.low, span.high)
            )
        reached = _place(side, page.records[-1]) if page.records else -1
        with self._guard:
            return Fetched(side, (self._spans[side].advance(span.number, reached, page.next),), page, asked_ms)

    def _ask(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        def once() -> _T:
            self.pacers[side].wait(Want(operation, bulk=True))
            self.requests.count()
            try:
                return call()
            except CallError as error:
                self.pacers[side].heed(error, operation)
                raise

        return read_patiently(once)

    # -- keeping

    def _keep(self, keeper: Keeper, fetched: Fetched) -> None:
        if fetched.page is None:
            self.snapshot.put_spans(fetched.side, fetched.spans)
        elif fetched.side is Side.HUBSPOT:
            span, records = fetched.spans[0], fetched.page.records
            if span.done and fetched.page.next:
                # It went past its end: what is beyond belongs to the next span, and proves that one.
                self.snapshot.put_overlaps([r.id for r in records if int(r.id) > span.high])
                records = [r for r in records if int(r.id) <= span.high]
            keeper.keep_contacts(records, fetched.spans)
        else:
            keeper.keep_customers(fetched.page.records, fetched.page.timing, fetched.asked_ms, fetched.spans)


def _place(side: Side, record: Record) -> int:
    """Where in its side's order a record stands: its id, or the second it was created in."""
    return int(record.id) if side is Side.HUBSPOT else record.created_ms // 1000
