"""The comparison in SQL beside judging every key one by one over all records, on random worlds and both databases.

The naive way stores what was listed, as live sync stores what it reads, and plans every listed key from the database.
Classes, differences, volume and work must be the same.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.core_builders import FIELDS, RULES, STEADY
from tests.support.store_fixtures import Clock
from tests.support.store_reads import all_links
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.diff.bulk_guards import Volume
from wanesync.core.diff.difference import ACTIONABLE, DifferenceClass, KeyComparison, compare_key
from wanesync.core.errors import GuardError
from wanesync.core.model import (
    BY_DECISION,
    BasePair,
    Link,
    LinkState,
    Note,
    NoteCode,
    Parked,
    Record,
    Side,
    StoredRecord,
    WriteKind,
    contact_key,
    customer_key,
)
from wanesync.core.ports import Timing
from wanesync.reconcile.compare import NOT_LISTED, SHARED_ADDRESS, Comparison, Report
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store import make_key, open_store
from wanesync.store.clock import DatabaseClock
from wanesync.store.database import Store, Tx
from wanesync.sync.loader import load_contexts
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
TABLES = ("records", "emails", "links", "tombstones", "jobs", "journal", "conflicts", "holds", "held_fields")
CONTACTS, CUSTOMERS = ("1", "2", "3", "4", "5"), ("cus_1", "cus_2", "cus_3", "cus_4", "cus_5")
ADDRESSES = ("", "ana@example.com", "ben@example.com", "cleo@example.com", "dan@example.com")
CITIES = ("", "Lyon", "LYON", "Leeds")
NAMES = ("", "Ana\x1fSilva")
NOTES = (None, None, None, BY_DECISION, Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts carry its e-mail"))
Shown = tuple[str, str, str, tuple[tuple[str, object], ...], str]


@dataclass
class World:
    """Who is known, who is listed, and what binds them. ``merged``: contacts merged away by what is listed."""

    known: dict[tuple[Side, str], StoredRecord] = field(default_factory=dict)
    listed: dict[tuple[Side, str], Record] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    tombstones: list[tuple[Side, str, str]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def listed_of(self, side: Side) -> list[Record]:
        return [record for (at, _), record in sorted(self.listed.items()) if at is side]


def make_record(draw: st.DrawFn, side: Side, record_id: str) -> Record:
    values = {
        "email": draw(st.sampled_from(ADDRESSES)),
        "city": draw(st.sampled_from(CITIES)),
        "name": draw(st.sampled_from(NAMES)).replace("\x1f", " " if side is STRIPE else "\x1f"),
    }
    addresses = {values["email"]} - {""}
    if side is HUBSPOT and draw(st.integers(0, 5)) == 0:
        addresses |= {draw(st.sampled_from(ADDRESSES[1:]))}
    others = CUSTOMERS if side is HUBSPOT else CONTACTS
    other_id = draw(st.sampled_from(others)) if draw(st.integers(0, 7)) == 0 else ""
    modified = draw(st.integers(1, 3)) * 1000 if side is HUBSPOT else 0
    return Record(side, record_id, values, frozenset(addresses), other_id, created_ms=1, modified_ms=modified)


def twin_of(record: Record, side: Side, record_id: str) -> Record:
    """The same person on the other side."""
    name = record.values["name"].replace("\x1f", " ") if side is STRIPE else record.values["name"].replace(" ", "\x1f")
    values = {**record.values, "name": name}
    addresses = frozenset({values["email"]} - {""})
    return Record(side, record_id, values, addresses, created_ms=1, modified_ms=1000 if side is HUBSPOT else 0)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    first: dict[tuple[Side, str], Record] = {}
    for contact_id, customer_id in zip(CONTACTS, CUSTOMERS, strict=True):
        first[HUBSPOT, contact_id] = make_record(draw, HUBSPOT, contact_id)
        alike = draw(st.booleans())
        customer = twin_of(first[HUBSPOT, contact_id], STRIPE, customer_id)
        first[STRIPE, customer_id] = customer if alike else make_record(draw, STRIPE, customer_id)
    for ref, record in first.items():
        _appear(draw, world, ref, record)
    _bind(draw, world, first)
    _merge_some(draw, world)
    addresses: list[str] = draw(st.lists(st.sampled_from(ADDRESSES[1:]), max_size=1))
    for address in addresses:
        world.tombstones.append((draw(st.sampled_from(list(Side))), "gone", address))
    return world


def _appear(draw: st.DrawFn, world: World, ref: tuple[Side, str], record: Record) -> None:
    """Known as it is, or not; listed as it is, changed, older than known, or not at all; dead for us or in doubt."""
    side, record_id = ref
    how = draw(st.sampled_from(("same",) * 4 + ("new", "changed", "unlisted", "absent", "dead", "older")))
    if how not in ("new", "absent"):
        doubt = side is STRIPE and draw(st.integers(0, 7)) == 0
        note = draw(st.sampled_from(NOTES))
        known = StoredRecord(record, 0, 0, 1, stale=doubt, note=note)
        world.known[ref] = replace(known, deleted=True, stale=False, note=None) if how == "dead" else known
    if how == "changed":
        changed = make_record(draw, side, record_id)
        world.listed[ref] = replace(changed, modified_ms=record.modified_ms + 1000) if side is HUBSPOT else changed
    elif how == "older":
        world.listed[ref] = replace(make_record(draw, side, record_id), modified_ms=max(0, record.modified_ms - 500))
    elif how not in ("unlisted", "absent") and not (how == "dead" and draw(st.booleans())):
        world.listed[ref] = record


def _bind(draw: st.DrawFn, world: World, first: Mapping[tuple[Side, str], Record]) -> None:
    """Links between known records; at most one active one per customer and one primary per contact."""
    primaries: set[str] = set()
    for number, customer_id in enumerate(CUSTOMERS):
        if (STRIPE, customer_id) not in world.known or draw(st.integers(0, 3)) == 0:
            continue
        straight = draw(st.integers(0, 4)) > 0
        contact_id = CONTACTS[number] if straight else draw(st.sampled_from(CONTACTS))
        if (HUBSPOT, contact_id) not in world.known:
            continue
        state = draw(st.sampled_from((LinkState.ACTIVE,) * 5 + (LinkState.ORPHANED, LinkState.RELEASED)))
        primary = state is LinkState.ACTIVE and contact_id not in primaries
        primaries |= {contact_id} if primary else set()
        base = _base(draw, first[HUBSPOT, contact_id], first[STRIPE, customer_id])
        parked = {"email": Parked(HUBSPOT, "zoe@example.com")} if draw(st.integers(0, 9)) == 0 else {}
        link = Link(f"link{number}", contact_id, customer_id, primary, base, 1, state, parked)
        world.links.append(link)
        for ref in ((HUBSPOT, contact_id), (STRIPE, customer_id)):
            if (note := world.known[ref].note) and note.code is NoteCode.AMBIGUOUS:
                # Linking takes it away.
                world.known[ref] = replace(world.known[ref], note=None)
        if primary and draw(st.integers(0, 9)) == 0:
            world.held.append(link.id)


def _base(draw: st.DrawFn, contact: Record, customer: Record) -> dict[str, BasePair]:
    base = {s.name: (contact.values.get(s.name, ""), customer.values.get(s.name, "")) for s in FIELDS.specs}
    if draw(st.integers(0, 3)) == 0:
        base["city"] = (draw(st.sampled_from(CITIES)), draw(st.sampled_from(CITIES)))
    return base


def _merge_some(draw: st.DrawFn, world: World) -> None:
    """A contact that is not listed lives on in one that is."""
    gone = [i for side, i in world.known if side is HUBSPOT and (HUBSPOT, i) not in world.listed]
    alive = [i for side, i in world.listed if side is HUBSPOT]
    wanted = draw(st.booleans())
    if gone and alive and wanted:
        merged, survivor = draw(st.sampled_from(gone)), draw(st.sampled_from(alive))
        record = world.listed[HUBSPOT, survivor]
        world.listed[HUBSPOT, survivor] = replace(record, merged_ids=(merged,), modified_ms=record.modified_ms + 5000)


# -- both ways


@dataclass
class Outcome:
    """What a comparison comes to. ``work``: (key, lane, kinds)."""

    counts: Counter[DifferenceClass] = field(default_factory=Counter)
    found: Counter[Shown] = field(default_factory=Counter)
    work: Counter[tuple[str, Side, str]] = field(default_factory=Counter)
    volume: Volume = field(default_factory=Volume)
    to_link: int = 0
    unlisted: set[tuple[Side, str]] = field(default_factory=set)
    creating: set[str] = field(default_factory=set)

    def add(self, judged: KeyComparison) -> None:
        """One key, as ``reconcile`` has always counted it."""
        # A pair that lost an end is orphaned, and nothing else.
        ends = [(d, {(HUBSPOT, d.hubspot_id), (STRIPE, d.stripe_id)}) for d in judged.differences]
        mine = [d for d, refs in ends if not refs & self.unlisted]
        if ends and not mine:
            return
        self.volume.add(judged.plan)
        self.to_link += len(judged.plan.linked)
        creates = [a for a in judged.plan.actions.values() if a.kind is WriteKind.CREATE]
        hmacs = {hmac for action in creates for hmac in action.hmacs}
        shares_address = bool(hmacs & self.creating)
        self.creating |= hmacs
        if shares_address:
            mine = [replace(d, kind=DifferenceClass.DUPLICATE, note=SHARED_ADDRESS) for d in mine]
            for action in creates:
                self.volume.add_creation(action.side, -1)
        self.counts.update(d.kind for d in mine)
        self.found.update(shown(d) for d in mine if d.kind is not DifferenceClass.IN_SYNC)
        kinds = ",".join(sorted({d.kind for d in mine if d.kind in ACTIONABLE}))
        if not shares_address:
            self.work.update((judged.key, side, kinds) for side in judged.lanes)


def shown(found: object) -> Shown:
    return (found.kind, found.hubspot_id, found.stripe_id, tuple(sorted(found.fields.items())), found.note)  # type: ignore[attr-defined] # a Difference


def outcome_of(report: Report) -> Outcome:
    outcome = Outcome(+report.counts, volume=report.volume, to_link=report.to_link)
    outcome.found = Counter(shown(d) for d in report.differences())
    outcome.work = Counter(
        (key, lane, "" if kinds == "plain" else kinds) for key, lane, kinds in report.snapshot.jobs()
    )
    assert report.jobs == outcome.work.total() + report.unlisted
    return outcome


def judge_each(runtime: Runtime, world: World, unlisted: set[tuple[Side, str]]) -> Outcome:
    """Every listed key by itself, from the database; and those the customers point at."""
    outcome = Outcome(unlisted=unlisted)
    with runtime.store.reading() as tx:
        outcome.volume.links = tx.links.count_active()
        for side in Side:
            links = tx.links.of_records([(side, i) for at, i in unlisted if at is side])
            for link in links:
                if link.state is LinkState.ACTIVE:
                    outcome.counts[DifferenceClass.ORPHANED] += 1
                    outcome.found[DifferenceClass.ORPHANED, link.hubspot_id, link.stripe_id, (), NOT_LISTED] += 1
        done: set[str] = set()
        for key in _keys(tx, world):
            _judge_one(runtime, tx, key, outcome, done)
        for key in sorted(_woken(runtime, tx, sorted(done)) - done):
            _judge_one(runtime, tx, key, outcome, done)
    return outcome


def _judge_one(runtime: Runtime, tx: Tx, key: str, outcome: Outcome, done: set[str]) -> None:
    done.add(key)
    outcome.add(compare_key(load_contexts(tx, [key])[key], runtime.rules))


def _woken(runtime: Runtime, tx: Tx, keys: Iterable[str]) -> set[str]:
    linked = {customer_key(link.stripe_id) for link in all_links(tx) if link.state is LinkState.ACTIVE}
    # A linked customer only points at the contact it is reported under.
    alone = [key for key in keys if key.startswith("customer:") and key not in linked]
    plans = [compare_key(load_contexts(tx, [key])[key], runtime.rules).plan for key in alone]
    return {key for plan in plans for _, key in plan.wake}


def _keys(tx: Tx, world: World) -> list[str]:
    """Listed, and alive for us."""
    stored = tx.records.get_many(world.listed)
    alive = [ref for ref in sorted(world.listed) if ref in stored and stored[ref].alive]
    return [contact_key(record_id) if side is HUBSPOT else customer_key(record_id) for side, record_id in alive]


# -- the stage


def build(store: Store) -> Runtime:
    return Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions(), random.Random(0), ProcessState("compared"))


def wipe(url: str) -> None:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), isolation_level=None)) as file:
            for table in TABLES:
                file.execute(f"DELETE FROM {table}")
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())


def put_world(runtime: Runtime, world: World) -> None:
    store = runtime.store

    def put(tx: Tx) -> None:
        copies = [replace(s, hmacs=frozenset(store.hmac(a) for a in s.record.emails)) for s in world.known.values()]
        tx.records.put_many(copies)
        tx.links.put_many(world.links)
        for side, record_id, address in world.tombstones:
            tx.tombstones.put(side, record_id, [store.hmac(address)])
        for link_id in world.held:
            hold_id, _ = tx.holds.open("app", HoldKind.BRAKE)
            tx.holds.put(link_id, "city", HeldValue(HUBSPOT, "Lyon", "Leeds", hold_id))

    store.run(put)


def list_world(runtime: Runtime, world: World, snapshot: Snapshot) -> PageStore:
    page_store, now_ms = PageStore(runtime, snapshot), runtime.store.now_ms()
    page_store.put_contacts(world.listed_of(HUBSPOT))
    page_store.put_customers(world.listed_of(STRIPE), Timing(now_ms, now_ms), now_ms)
    return page_store


def believed(world: World, record: Record) -> bool:
    """Whether a contact as listed is stored at all."""
    known = world.known.get((record.side, record.id))
    if known is None or known.may_return:
        return True
    return known.alive and record.modified_ms >= known.record.modified_ms


def read_restored(runtime: Runtime, world: World) -> None:
    """What the reads store that storing the listing queued: contacts that were deleted are there again."""
    restored = [r for r in world.listed_of(HUBSPOT) if (s := world.known.get((HUBSPOT, r.id))) and s.may_return]
    with runtime.store.transaction() as tx, RecordWriter(runtime, tx, planned=True) as writer:
        for record in restored:
            writer.store_contact(record, read_after_deletion=True)


def compare_both_ways(url: str, store: Store, clock: Clock, world: World) -> None:
    wipe(url)
    runtime = build(store)
    put_world(runtime, world)
    clock.advance(10_000)
    snapshot = Snapshot.resume(MEMORY, store.encryption, {}, 0)
    page_store = list_world(runtime, world, snapshot)
    merged = {(HUBSPOT, i) for record in world.listed_of(HUBSPOT) if believed(world, record) for i in record.merged_ids}
    alive = {ref for ref, stored in world.known.items() if stored.alive}
    try:
        report = Comparison(runtime, snapshot).run(lambda _count: None)
    except GuardError:
        return
    found = outcome_of(report)
    unlisted = alive - set(world.listed) - (merged & alive)
    assert set(snapshot.unlisted()) == unlisted
    page_store.store_changed()
    read_restored(runtime, world)
    expected = judge_each(runtime, world, unlisted)
    assert found.found == expected.found
    assert found.counts == expected.counts
    assert found.work == expected.work
    assert (found.volume, found.to_link) == (expected.volume, expected.to_link)
    snapshot.close()


@pytest.fixture
def open_sqlite(sqlite_url: str, clock: Clock) -> Iterator[Store]:
    with closing(open_store(sqlite_url, [make_key("k001")], migrate=True, clock=DatabaseClock(clock, clock))) as store:
        yield store


@pytest.fixture
def open_postgres(postgres_url: str, clock: Clock) -> Iterator[Store]:
    with closing(
        open_store(postgres_url, [make_key("k001")], migrate=True, clock=DatabaseClock(clock, clock))
    ) as store:
        yield store


FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
PHASES = (Phase.explicit, Phase.generate)


@settings(STEADY, max_examples=120, suppress_health_check=FIXTURES, phases=PHASES, report_multiple_bugs=False)
@given(world=worlds())
def test_the_comparison_in_sql_says_what_judging_every_key_says(
    sqlite_url: str, open_sqlite: Store, clock: Clock, world: World
) -> None:
    compare_both_ways(sqlite_url, open_sqlite, clock, world)


@settings(STEADY, max_examples=30, suppress_health_check=FIXTURES, phases=PHASES, report_multiple_bugs=False)
@given(world=worlds())
def test_and_on_postgres(postgres_url: str, open_postgres: Store, clock: Clock, world: World) -> None:
    compare_both_ways(postgres_url, open_postgres, clock, world)
