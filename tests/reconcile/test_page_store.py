"""Pages are stored in the snapshot; the database learns of changed records only when a run will write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import link
from tests.support.reconcile_harness import CREATED_MS, Sides, compare, make_reconcile, make_runtime
from wanesync.core.model import Record, RecordRef, Side, StoredRecord
from wanesync.core.ports import Timing
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.snapshot.codec import CHANGED_MEANWHILE
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def sides(store: Store) -> Sides:
    """A linked pair."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="ana@example.com", city="Lyon")
    made.add_customer("cus_1", email="ana@example.com", city="Lyon")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    """The pair is stored and linked."""
    made = make_runtime(store, sides)
    make_reconcile(made).queue(compare(made))
    store.run(lambda tx: tx.links.put(link("1", "cus_1")))
    return made


@pytest.fixture
def snapshot(store: Store) -> Snapshot:
    return Snapshot.resume(MEMORY, store.encryption, {}, 0)


def stored(runtime: Runtime, *refs: RecordRef) -> dict[RecordRef, StoredRecord]:
    with runtime.store.reading() as tx:
        return dict(tx.records.get_many(refs))


def put_customer(runtime: Runtime, snapshot: Snapshot, record: Record, called_ms: int) -> None:
    now_ms = runtime.store.now_ms()
    PageStore(runtime, snapshot).put_customers([record], Timing(now_ms, now_ms), called_ms)


def test_an_unchanged_record_is_no_copy(runtime: Runtime, sides: Sides, snapshot: Snapshot) -> None:
    PageStore(runtime, snapshot).put_contacts([sides.contacts["1"]])
    put_customer(runtime, snapshot, sides.customers["cus_1"], runtime.store.now_ms())
    assert [snapshot.count(side) for side in Side] == [1, 1]
    assert [snapshot.changed_after(side, "", 10) for side in Side] == [{}, {}]


def test_a_changed_record_stays_in_the_snapshot_until_it_is_stored(
    runtime: Runtime, sides: Sides, snapshot: Snapshot
) -> None:
    sides.now_ms += 1
    sides.add_contact("1", email="ana@example.com", city="Leeds")
    page_store = PageStore(runtime, snapshot)
    page_store.put_contacts([sides.contacts["1"]])
    before = stored(runtime, (HUBSPOT, "1"))[HUBSPOT, "1"]
    assert before.record.values["city"] == "Lyon"
    assert snapshot.changed_after(HUBSPOT, "", 10)["1"].base_revision == before.revision
    page_store.store_changed()
    assert stored(runtime, (HUBSPOT, "1"))[HUBSPOT, "1"].record.values["city"] == "Leeds"


def test_a_contact_older_than_the_stored_one_is_listed_as_stored(
    runtime: Runtime, sides: Sides, snapshot: Snapshot
) -> None:
    older = replace(sides.contacts["1"], values={"email": "old@example.com"}, modified_ms=CREATED_MS)
    PageStore(runtime, snapshot).put_contacts([older])
    assert snapshot.changed_after(HUBSPOT, "", 10) == {}


def test_a_customer_that_was_stored_during_the_call_is_marked(
    runtime: Runtime, sides: Sides, snapshot: Snapshot
) -> None:
    called_ms = runtime.store.now_ms() - 60_000
    changed = replace(sides.customers["cus_1"], values={"email": "ana@example.com", "city": "Leeds"})
    put_customer(runtime, snapshot, changed, called_ms)
    assert snapshot.changed_after(STRIPE, "", 10)["cus_1"].base_revision == CHANGED_MEANWHILE


def test_a_restricted_run_stores_new_records_and_those_of_its_keys_only(
    runtime: Runtime, sides: Sides, snapshot: Snapshot
) -> None:
    sides.now_ms += 1
    sides.add_contact("1", email="ana@example.com", city="Leeds")
    sides.add_contact("2", email="new@example.com")
    page_store = PageStore(runtime, snapshot)
    page_store.put_contacts(list(sides.contacts.values()))
    page_store.store_changed(keys={"contact:9"})
    found = stored(runtime, (HUBSPOT, "1"), (HUBSPOT, "2"))
    assert found[HUBSPOT, "1"].record.values["city"] == "Lyon"
    assert (HUBSPOT, "2") in found
    page_store.store_changed(keys={"contact:1"})
    assert stored(runtime, (HUBSPOT, "1"))[HUBSPOT, "1"].record.values["city"] == "Leeds"


def test_a_merged_contact_is_known_by_its_survivor(runtime: Runtime, sides: Sides, snapshot: Snapshot) -> None:
    sides.add_contact("2", email="ben@example.com")
    survivor = replace(sides.contacts["2"], merged_ids=("1",))
    PageStore(runtime, snapshot).put_contacts([survivor])
    assert snapshot.survivors_of(["1"]) == {"1": "2"}
    assert snapshot.find_unlisted(HUBSPOT, "", ["1", "2"]) == []
