"""A parallel listing stores pages in order; what cannot be proven complete is listed again, page after page."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pytest

from tests.support.core_builders import FIELDS, RULES
from tests.support.reconcile_harness import OpenPacer
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError, Failure, GuardError, VendorUnavailable
from wanesync.core.model import Record, Side
from wanesync.core.ports import Page, Survey, Timing
from wanesync.reconcile import listing
from wanesync.reconcile.listing import Listing
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store import make_key, open_store
from wanesync.store.database import Store
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
LANES = 4


@dataclass
class Contacts:
    """HubSpot as far as a listing asks it. ``lost``: ids no page shows; ``spoil``: what becomes of a cursor."""

    ids: list[int]
    size: int = 10
    lost: frozenset[int] = frozenset()
    opaque: bool = False
    offsets: bool = False
    refuses: bool = False
    skips: bool = False
    asked: list[str] = field(default_factory=list)
    divided: threading.Event = field(default_factory=threading.Event)
    given: set[str] = field(default_factory=lambda: {""})
    guard: threading.Lock = field(default_factory=threading.Lock)

    def survey_contacts(self) -> Survey:
        """As a search counts them."""
        return Survey(len(self.ids), max(self.ids, default=0))

    def list_contacts(self, after: str, limit: int = 100) -> Page:
        """One page."""
        if len(self.asked) > 5 and after in self.given and (self.refuses or self.skips):
            # Wait until another lane has taken a range.
            self.divided.wait(10)
        with self.guard:
            self.asked.append(after)
            foreign = after not in self.given
            if foreign:
                self.divided.set()
            if foreign and self.refuses:
                raise CallError(HUBSPOT, Failure.REFUSED, "after is no cursor")
            found = self._above(after)
            if foreign and self.skips:
                found = found[1:]
            page, rest = found[: self.size], found[self.size :]
            following = self._cursor(page[-1]) if page and rest else ""
            self.given.add(following)
            return Page([_contact(i) for i in page if i not in self.lost], following, Timing(0, 0))

    def _above(self, after: str) -> list[int]:
        if self.offsets:
            return self.ids[int(after or 0) :]
        if self.opaque and after and not after.startswith("c"):
            return self.ids
        return [i for i in self.ids if i > int(after.removeprefix("c") or -1)]

    def _cursor(self, last: int) -> str:
        if self.offsets:
            return str(self.ids.index(last) + 1)
        return f"c{last}" if self.opaque else str(last)


@dataclass
class Customers:
    """Stripe as far as a listing asks it: several a second, the newest first."""

    count: int
    size: int = 10
    refuse_after: int = -1
    asked: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """One page."""
        with self.guard:
            self.asked += 1
            if self.asked == self.refuse_after:
                raise CallError(STRIPE, Failure.FORBIDDEN, "the key may not read customers")
        found = [n for n in reversed(range(self.count)) if created_from <= 1_600_000_000 + n // 3 <= created_to]
        ids = [f"cus_{n}" for n in found]
        rest = found[ids.index(after) + 1 :] if after else found
        page = rest[: self.size]
        following = f"cus_{page[-1]}" if len(rest) > self.size else ""
        return Page([_customer(n) for n in page], following, Timing(0, 0))


@dataclass
class Forgetful(Customers):
    """Stripe that refuses the cursors of deleted customers. ``always``: every cursor."""

    gone: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    always: bool = False

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """One page."""
        if after in self.gone or (after and self.always):
            self.refused.append(after)
            assert len(self.refused) < 100, "the listing does not end"
            raise CallError(STRIPE, Failure.REFUSED, f"No such customer: '{after}'", 400)
        page = Customers.list_customers(self, after, created_from, created_to)
        return replace(page, records=[record for record in page.records if record.id not in self.gone])


def _contact(number: int) -> Record:
    return Record(
        HUBSPOT, str(number), {"email": f"p{number}@example.com"}, frozenset({f"p{number}@example.com"}), modified_ms=1
    )


def _customer(number: int) -> Record:
    at_ms = (1_600_000_000 + number // 3) * 1000
    return Record(STRIPE, f"cus_{number}", {"email": f"p{number}@example.com"}, created_ms=at_ms)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    with closing(open_store(sqlite_url, [make_key("k001")], migrate=True)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def begin(store: Store, contacts: Contacts, customers: Customers, **options: object) -> Listing:
    runtime = Runtime(
        store,
        RULES,
        FieldTranslator(FIELDS),
        SyncOptions(),
        random.Random(0),
        ProcessState("lister"),
        contacts,  # type: ignore[arg-type] # only what a listing asks
        customers,  # type: ignore[arg-type] # only what a listing asks
    )
    snapshot = options.pop("snapshot", None) or Snapshot.resume(MEMORY, store.encryption, {}, 0)
    assert isinstance(snapshot, Snapshot)
    snapshot.put_metadata({"began_ms": "1700000000000"})
    lanes = {HUBSPOT: LANES, STRIPE: LANES} | options.pop("lanes", {})  # type: ignore[operator] # a mapping
    gates = {side: OpenPacer() for side in Side}
    return Listing(runtime, gates, snapshot, lanes=lanes, **options)  # type: ignore[arg-type] # a pacer that lets all pass


def listed(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.count(HUBSPOT), snapshot.count(STRIPE)


def ignore(_side: Side, _count: int) -> None:
    """No progress is shown."""


@contextmanager
def warned(times: int) -> Iterator[None]:
    with patch.object(listing.log, "warning") as warning:
        yield
    said = [call.args[0] for call in warning.call_args_list]
    assert sum("listed sequentially" in text for text in said) == times, said


IDS = list(range(1000, 3000, 7))


class Cycle(Customers):
    """Pages whose cursors lead back: b, c, d, b, …"""

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """One page."""
        self.asked += 1
        assert self.asked < 100, "the listing does not end"
        following = {"": "b", "b": "c", "c": "d", "d": "b"}[after]
        return Page([_customer(self.asked)], following, Timing(0, 0))


def test_a_listing_whose_pages_lead_back_ends(store: Store) -> None:
    run = begin(store, Contacts([]), Cycle(0), lanes={HUBSPOT: 1, STRIPE: 1})
    with patch("tenacity.nap.time"), pytest.raises(VendorUnavailable, match="leads back"):
        run.run(ignore)


class Endless(Contacts):
    """Pages with ever-new cursors: the first one again and again, or empty ones."""

    def __init__(self, ids: list[int], *, repeats: bool) -> None:
        super().__init__(ids)
        self.first = [_contact(1), _contact(2)] if repeats else []

    def list_contacts(self, after: str, limit: int = 100) -> Page:
        """One page."""
        self.asked.append(after)
        assert len(self.asked) < 500, "the listing does not end"
        return Page(self.first, str(10_000 + len(self.asked)), Timing(0, 0))


@pytest.mark.parametrize("repeats", [True, False])
def test_a_listing_with_ever_new_cursors_ends(store: Store, *, repeats: bool) -> None:
    run = begin(store, Endless([], repeats=repeats), Customers(0), lanes={HUBSPOT: 1, STRIPE: 1})
    with patch("tenacity.nap.time"), pytest.raises(VendorUnavailable, match=r"comes again|without an element"):
        run.run(ignore)


def test_listed_by_ranges_all_are_there_at_little_cost(store: Store) -> None:
    contacts, customers = Contacts(IDS), Customers(250)
    run = begin(store, contacts, customers)
    with warned(0):
        run.run(ignore)
    assert listed(run.snapshot) == (len(IDS), 250)
    pages = -(-len(IDS) // 10)
    # A range that is divided costs a page more; so does each that finds nothing above the last id.
    assert len(contacts.asked) <= pages + len(run.snapshot.spans(HUBSPOT))
    assert len(run.snapshot.spans(HUBSPOT)) <= LANES * 8, "some ranges, not one for every page"


@pytest.mark.parametrize(
    "spoilt",
    [
        Contacts(IDS, opaque=True),
        Contacts(IDS, offsets=True),
        Contacts(IDS, refuses=True),
        Contacts(IDS, skips=True),
    ],
    ids=["opaque", "offsets", "refused", "skips"],
)
def test_what_cannot_be_shown_to_be_complete_is_listed_in_turn(store: Store, spoilt: Contacts) -> None:
    run = begin(store, spoilt, Customers(100))
    with warned(1):
        run.run(ignore)
    assert listed(run.snapshot) == (len(IDS), 100)
    assert [span.number for span in run.snapshot.spans(HUBSPOT)] == [0]


def test_more_that_are_missing_than_a_search_may_be_late_are_not_believed(store: Store) -> None:
    run = begin(store, Contacts(IDS, lost=frozenset(IDS[100:115])), Customers(10))
    with warned(1):
        run.run(ignore)
    assert run.lanes[HUBSPOT] == 1, "listed again, sequentially"


def test_a_run_killed_after_it_went_back_to_turns_goes_on_in_turn(store: Store) -> None:
    first = begin(store, Contacts(IDS, opaque=True), Customers(10))
    first.run(ignore)
    contacts = Contacts(IDS, opaque=True)
    again = begin(store, contacts, Customers(10), snapshot=first.snapshot)
    with warned(0):
        again.run(ignore)
    assert (contacts.asked, again.lanes[HUBSPOT]) == ([], 1)


class Watched(Snapshot):
    """A snapshot that is asked after every write what would become of a run that was killed there."""

    everything: set[int]

    def put_spans(self, side: Side, spans: Sequence[object]) -> None:  # type: ignore[override] # only handed on
        """A checkpoint: contacts that are not listed yet must be in the ranges that are left."""
        super().put_spans(side, spans)  # type: ignore[arg-type] # as above
        if side is HUBSPOT:
            here = {int(row[0]) for row in self._db.execute("SELECT id FROM listed WHERE side = 0")}
            left = [s for s in self.spans(side) if not s.done]
            missing = self.everything - here
            reached = {i for i in missing for s in left if int(s.next or -1) < i}
            assert missing == reached, "killed here, a contact would never be listed"


def test_killed_at_any_moment_no_contact_is_left_out(store: Store) -> None:
    ids = list(range(1, 1500))
    for size in (3, 5, 8):
        snapshot = Watched.resume(MEMORY, store.encryption, {}, 0)
        assert isinstance(snapshot, Watched)
        snapshot.everything = set(ids)
        run = begin(store, Contacts(ids, size), Customers(30), snapshot=snapshot, lanes={HUBSPOT: 8})
        run.run(ignore)
        assert snapshot.count(HUBSPOT) == len(ids)


@pytest.mark.parametrize("most", [1, 3, 10, 25])
def test_used_up_requests_are_not_lost(store: Store, most: int) -> None:
    snapshot = Snapshot.resume(MEMORY, store.encryption, {}, 0)
    for number in range(200):
        contacts, customers = Contacts(IDS), Customers(120)
        run = begin(store, contacts, customers, snapshot=snapshot, requests=Requests(most))
        before = sum(listed(snapshot))
        try:
            run.run(ignore)
        except GuardError:
            assert len(contacts.asked) + customers.asked <= most
            assert number == 0 or sum(listed(snapshot)) >= before
            continue
        break
    assert listed(snapshot) == (len(IDS), 120)
    assert number <= -(-(len(IDS) // 10 + 12 + LANES * 8) // most) + 1, "the next run continues"


def test_a_refusal_ends_the_run_and_what_came_is_kept(store: Store) -> None:
    run = begin(store, Contacts(IDS), Customers(2000, refuse_after=60))
    with pytest.raises(VendorUnavailable, match="incomplete"):
        run.run(ignore)
    assert run.snapshot.count(STRIPE) >= 100


@pytest.mark.parametrize("lanes", [1, LANES])
@pytest.mark.parametrize("size", [10, 25])
def test_a_listing_goes_on_whose_stored_cursor_is_a_customer_that_was_deleted_since(
    store: Store, lanes: int, size: int
) -> None:
    first = begin(store, Contacts([]), Customers(120), lanes={HUBSPOT: 1, STRIPE: lanes}, requests=Requests(6))
    with pytest.raises(GuardError):
        first.run(ignore)
    cursors = {span.next for span in first.snapshot.spans(STRIPE) if span.next and not span.done}
    assert cursors
    customers = Forgetful(120, size, gone=cursors)
    again = begin(store, Contacts([]), customers, lanes={HUBSPOT: 1, STRIPE: lanes}, snapshot=first.snapshot)
    again.run(ignore)
    assert set(customers.refused) == cursors
    assert again.snapshot.count(STRIPE) == 120
    assert customers.asked <= 12 + len(cursors) + LANES * 8, "it goes on where it was"


def test_a_listing_ends_that_goes_on_from_no_cursor(store: Store) -> None:
    run = begin(store, Contacts([]), Forgetful(60, size=2, always=True), lanes={HUBSPOT: 1, STRIPE: 1})
    with pytest.raises(VendorUnavailable, match="No such customer"):
        run.run(ignore)
