"""Both sides in memory, and a runtime over them: the harness of the tests of ``wanesync.reconcile``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.support.core_builders import FIELDS, RULES, contact, customer
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError
from wanesync.core.model import Event, Record, Side
from wanesync.core.ports import CustomerAnswer, EventPage, Page, SetAside, Survey, Timing
from wanesync.core.rate_limits import SlotRequest
from wanesync.reconcile.compare import Report
from wanesync.reconcile.run import Reconcile
from wanesync.reconcile.snapshot.file import MEMORY
from wanesync.store.database import Store, Tx
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
CREATED_MS = 1_500_000_000_000
"""When all records were created: in 2017, after Stripe began and long before any listing."""


class OpenPacer:
    """A pacer that gives a slot at once."""

    waits_for = ""

    def wait_for_slot(self, want: SlotRequest) -> None:
        """Return at once."""

    def apply_refusal(self, error: CallError, operation: str) -> None:
        """Lower no limit."""


class InstantClock:
    """A clock whose waits end at once; ``waits`` counts them."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.waits = 0

    def now_ms(self) -> int:
        return round(self.ms)

    def monotonic_ms(self) -> int:
        return round(self.ms)

    def sleep_until(self, at_ms: float) -> None:
        self.ms = at_ms
        self.waits += 1


@dataclass
class Sides:
    """HubSpot and Stripe as ports, at the time ``now_ms`` of the store. ``calls`` counts the requests by method."""

    now_ms: int
    contacts: dict[str, Record] = field(default_factory=dict)
    customers: dict[str, Record] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    page_size: int = 100
    aside: dict[Side, list[SetAside]] = field(default_factory=lambda: {side: [] for side in Side})
    calls: Counter[str] = field(default_factory=Counter)

    def add_contact(self, record_id: str, **values: str) -> None:
        """Add or replace a contact, modified now."""
        self.contacts[record_id] = replace(contact(record_id, **values), created_ms=CREATED_MS, modified_ms=self.now_ms)

    def add_customer(self, record_id: str, **values: str) -> None:
        """Add or replace a customer."""
        self.customers[record_id] = replace(customer(record_id, **values), created_ms=CREATED_MS)

    # -- HubSpot

    def survey_contacts(self) -> Survey:
        self.calls["survey_contacts"] += 1
        return Survey(len(self.contacts), max(map(int, self.contacts), default=0))

    def list_contacts(self, after: str, limit: int = 100) -> Page:
        self.calls["list_contacts"] += 1
        ids = sorted((i for i in self.contacts if int(i) >= int(after or 0)), key=int)
        following = ids[self.page_size : self.page_size + 1]
        records = [self.contacts[i] for i in ids[: self.page_size]]
        timing = Timing(self.now_ms, self.now_ms)
        return Page(records, following[0] if following else "", timing, self.aside[Side.HUBSPOT])

    def search_modified(self, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
        self.calls["search_modified"] += 1
        found = (c for c in self.contacts.values() if c.modified_ms >= since_ms and int(c.id) > int(above_id or 0))
        return [(c.id, c.modified_ms) for c in sorted(found, key=lambda c: int(c.id))][:200]

    def read_contacts(self, ids: Sequence[str]) -> Mapping[str, Record | None]:
        self.calls["read_contacts"] += 1
        return {i: self.contacts.get(i) for i in ids}

    # -- Stripe

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        self.calls["list_customers"] += 1
        ids = sorted(i for i in self.customers if i > after)
        records = [self.customers[i] for i in ids[: self.page_size]]
        more = len(ids) > self.page_size
        timing = Timing(self.now_ms, self.now_ms)
        return Page(records, records[-1].id if more else "", timing, self.aside[Side.STRIPE])

    def read_customer(self, customer_id: str) -> CustomerAnswer:
        self.calls["read_customer"] += 1
        return CustomerAnswer(self.customers.get(customer_id), Timing(self.now_ms, self.now_ms))

    def list_events(self, since_s: int, after: str) -> EventPage:
        self.calls["list_events"] += 1
        return EventPage([e for e in self.events if e.occurred_ms >= since_s * 1000], [], "")


def make_runtime(store: Store, sides: Sides | None = None, name: str = "first") -> Runtime:
    """A runtime whose ports are ``sides`` and whose pacers never wait."""
    return Runtime(
        store,
        RULES,
        FieldTranslator(FIELDS),
        SyncOptions(),
        random.Random(0),
        ProcessState(name),
        sides,  # type: ignore[arg-type] # the methods that reconcile calls
        sides,  # type: ignore[arg-type] # as above
        pacers={side: OpenPacer() for side in Side},  # type: ignore[misc] # as far as it is used
    )


def make_reconcile(runtime: Runtime, path: str = MEMORY) -> Reconcile:
    """A run in the caller's thread."""
    return Reconcile(runtime, runtime.pacers, path, threads=False)


def compare(runtime: Runtime, *, fresh: bool = False) -> Report:
    """A full comparison, without progress."""
    return make_reconcile(runtime).compare(ignore, ignore, fresh=fresh)


def ignore(*_: object) -> None:
    """Show no progress."""


def lock_by_another(store: Store, key: str) -> None:
    """Lock a key under the token ``another``, as a process that is alive."""

    def take(tx: Tx) -> None:
        tx.processes.beat("another", "stripe", tx.now_ms)
        assert tx.locks.take_all([key], "another", "another", tx.now_ms + 60_000)

    store.run(take)


def store_all(store: Store, sides: Sides) -> Runtime:
    """A runtime over a database that holds every record of ``sides``, as after a reconcile; no job is left."""
    made = make_runtime(store, sides)
    make_reconcile(made).queue(compare(made))
    finish_jobs(store)
    return made


def finish_jobs(store: Store) -> list[tuple[Side, str]]:
    """End every job that is ready, as if a worker had done it: their lanes and keys."""
    found = []
    for side in Side:
        jobs = store.run(lambda tx, side=side: tx.jobs.claim(side, None, 50, "first"))  # type: ignore[misc] # binds the loop's value
        store.run(lambda tx, jobs=jobs: tx.jobs.finish_many(jobs))  # type: ignore[misc] # as above
        found += [(side, job.key) for job in jobs]
    return found
