"""What is stored about one person, and how its journal is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer, link
from tests.support.store_fixtures import Clock
from tests.support.store_rows import an_update
from wanesync.core.errors import NotFound
from wanesync.core.model import Change, Conflict, Event, Record, Side, StoredRecord, WriteResult
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.ops.people.history import read_latest, read_person, show_data
from wanesync.store import Store
from wanesync.terminal import mask


def keep(store: Store, record: Record) -> StoredRecord:
    """A stored copy with the keyed hash of its addresses."""
    return StoredRecord(record, 1, 1, 1, hmacs=frozenset(map(store.hmac, record.emails)))


@pytest.fixture(name="pair")
def store_pair(store: Store, clock: Clock) -> Store:
    """A linked contact and customer, a conflict, and three journal entries, the last about another record."""
    records = [
        keep(store, contact("7", email="ana@example.com")),
        keep(store, customer("cus_7", email="ana@example.com")),
    ]
    with store.transaction() as tx:
        for record in records:
            tx.records.put_many([record])
        tx.links.put(link("7", "cus_7"))
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_7", "city", "Bonn", "differs"), link("7", "cus_7").id)
        tx.journal.add("linked", Side.HUBSPOT, "7", link("7", "cus_7").id, {})
        tx.journal.add("updated", Side.STRIPE, "cus_7", "", {"fields": {"city": ["", "Ulm"]}})
        tx.journal.add("created", Side.STRIPE, "cus_8", "", {})
    return store


@pytest.mark.parametrize("key", ["ANA@example.com", "7", "cus_7"])
def test_an_address_and_both_ids_find_the_same_person(pair: Store, key: str) -> None:
    found = read_person(pair, key, 10)
    assert [stored.id for stored in found.records] == ["7", "cus_7"]
    assert [one.hubspot_id for one in found.links] == ["7"]
    assert [row.conflict.value for row in found.conflicts] == ["Bonn"]
    assert [row.kind for row in found.entries] == ["linked", "updated"]


def test_the_limit_keeps_the_newest_entries(pair: Store) -> None:
    assert [row.kind for row in read_person(pair, "7", 1).entries] == ["updated"]
    assert [row.kind for row in read_latest(pair, 2)] == ["updated", "created"]


@pytest.mark.case(36)
def test_a_write_whose_answer_was_lost_and_the_webhooks_are_in_the_history(pair: Store, clock: Clock) -> None:
    ours = replace(an_update("w1", "cus_7"), changes={"city": Change("Ulm", "Rome", "Rome")}, sent_ms=0)
    came_ms = clock.ms + 4_000
    events = [
        Event("e1", Side.STRIPE, "updated", "cus_7", came_ms, {"city": "Rome"}, request_key=ours.idempotency_key),
        Event("e2", Side.STRIPE, "updated", "cus_7", came_ms, {"city": "Oslo"}),
        Event("e3", Side.HUBSPOT, "updated", "7", came_ms, {"phone": "1"}, source="user:CRM_UI/jane@example.com"),
        Event("e4", Side.HUBSPOT, "updated", "7", came_ms, {"city": "Rome"}, source="INTEGRATION/1"),
    ]
    clock.advance(1_000)
    pair.run(lambda tx: tx.pending_writes.put(ours))
    pair.run(lambda tx: tx.pending_writes.mark_sent(ours.id))
    clock.advance(1_000)
    pair.run(lambda tx: tx.pending_writes.record_result(ours.id, WriteResult.LOST))
    clock.advance(1_000)
    pair.run(lambda tx: tx.events.put_many(events))
    lines = [(row.kind, str(row.side), row.data) for row in read_person(pair, "7", 10).entries][2:]
    lost = {"write": ours.id, "kind": "update", "then": "planned again from a later read"}
    other = {"event": "updated", "by": "another program or a person", "fields": {"city": "Oslo"}}
    assert lines[0][0] == "answer lost"
    expected = [
        ("answer lost", "stripe", lost | {"fields": {"city": ["Ulm", "Rome"]}}),
        ("webhook", "stripe", {"event": "updated", "by": "our own write", "fields": {"city": "Rome"}}),
        ("webhook", "stripe", other),
        ("webhook", "hubspot", {"event": "updated", "by": "user:CRM_UI/j***", "fields": {"phone": "1"}}),
        ("webhook", "hubspot", other | {"by": "our own write, or another program", "fields": {"city": "Rome"}}),
    ]
    assert sorted(lines, key=repr) == sorted(expected, key=repr)
    assert [row.kind for row in read_person(pair, "7", 1).entries] == ["webhook"]


BOUGHT = Purchase("pi_1", "ch_1", "cus_7", "ana@example.com", "", 1999, "eur", 1_000, contact_id="7")


@pytest.mark.parametrize("key", ["pi_1", "ch_1", "7", "cus_7", "ana@example.com"])
def test_a_payment_or_charge_finds_the_person_who_bought(pair: Store, key: str) -> None:
    with pair.transaction() as tx:
        tx.purchases.put(BOUGHT)
        tx.purchases.put(replace(BOUGHT, payment_id="pi_2", charge_id="ch_2", contact_id="9", customer_id="cus_9"))
    found = read_person(pair, key, 10)
    assert [stored.id for stored in found.records] == ["7", "cus_7"]
    assert [one.payment_id for one in found.purchases] == ["pi_1"]
    assert [row.kind for row in found.entries] == ["linked", "updated"]


def test_a_guests_payment_is_found_with_what_was_done_about_it(pair: Store) -> None:
    guest = replace(BOUGHT, customer_id="", contact_id="", state=PurchaseState.UNMATCHED)
    with pair.transaction() as tx:
        tx.purchases.put(guest)
        tx.journal.add("unmatched", Side.HUBSPOT, "pi_1", "", {"reason": "no contact"})
    found = read_person(pair, "ch_1", 10)
    assert (found.records, [one.state for one in found.purchases]) == ([], ["unmatched"])
    assert [row.kind for row in found.entries] == ["unmatched"]


def test_a_payment_that_waits_is_shown_with_its_customer(pair: Store) -> None:
    with pair.transaction() as tx:
        tx.purchases.put(replace(BOUGHT, contact_id="", state=PurchaseState.WAITING))
    assert [one.payment_id for one in read_person(pair, "cus_7", 10).purchases] == ["pi_1"]


@pytest.mark.parametrize("key", ["unknown@example.com", "8"])
def test_a_person_without_stored_records_is_not_found(pair: Store, key: str) -> None:
    with pytest.raises(NotFound, match="no record, payment or charge has this address or id"):
        read_person(pair, key, 10)


def test_values_of_fields_and_addresses_of_sources_are_masked_and_the_rest_stays() -> None:
    data = {
        "source": "hubspot:CRM_UI/jane@example.com",
        "hold": "h1",
        "fields": {"name": ["", "Ada"], "source": ["", "jane@example.com"], "count": 2},
        "more": [{"source": "7", "reason": "Ada"}],
    }
    assert show_data(data, mask) == {
        "source": "hubspot:CRM_UI/j***",
        "hold": "h1",
        "fields": {"name": ["", "A***"], "source": ["", "j***@e***"], "count": 2},
        "more": [{"source": "7", "reason": "Ada"}],
    }
    assert show_data({"fields": 3}, mask) == {"fields": 3}
