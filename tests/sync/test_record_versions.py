"""Which copy of a record is newer, and what a copy that came in queues."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, customer_answer
from wanesync.core.jobs import JobKind
from wanesync.core.model import LinkState, Parked, Record, StoredRecord
from wanesync.core.ports import Timing
from wanesync.sync.record_versions import RecordWriter, store_contacts

ANN = contact("1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", email="ann@example.com", city="Lyon")


def copy_of(live: LiveSync, record: Record) -> StoredRecord:
    with live.store.reading() as tx:
        return tx.records.get_many([(record.side, record.id)])[record.side, record.id]


def at(modified_ms: int, city: str) -> Record:
    return replace(ANN, values={**ANN.values, "city": city}, modified_ms=modified_ms)


def test_an_older_contact_is_not_stored(live: LiveSync) -> None:
    live.know(at(10, "Paris"))
    live.know(at(9, "Rome"))
    assert (copy_of(live, ANN).record.values["city"], copy_of(live, ANN).revision) == ("Paris", 1)


def test_the_same_contact_again_is_no_new_revision(live: LiveSync) -> None:
    live.know(at(10, "Paris"), at(10, "Paris"))
    assert copy_of(live, ANN).revision == 1


def test_a_deleted_contact_that_shows_up_is_read_and_stays_deleted_until_then(live: LiveSync) -> None:
    live.know(ANN)
    live.delete(HUBSPOT, "1")
    live.delete(HUBSPOT, "1")
    live.know(at(99, "Paris"))
    assert (copy_of(live, ANN).deleted, copy_of(live, ANN).revision) == (True, 2)
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)


def test_a_merged_contact_is_planned_once(live: LiveSync) -> None:
    survivor = replace(ANN, id="2", merged_ids=("1", "2"))
    live.know(ANN)
    live.know(survivor)
    live.know(replace(survivor, modified_ms=5))
    assert (copy_of(live, ANN).survivor, copy_of(live, ANN).revision) == ("2", 2)
    assert live.is_queued(HUBSPOT, "contact:1")


def test_a_customer_stored_since_the_call_began_is_stale_and_read(live: LiveSync) -> None:
    live.know(CUS)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_customer(customer_answer(replace(CUS, values={"city": "Rome"})), 0)
    assert (copy_of(live, CUS).stale, copy_of(live, CUS).record.values["city"]) == (True, "Lyon")
    assert live.is_queued(STRIPE, "cus_1", JobKind.READ)


def test_a_replayed_answer_is_only_a_first_copy(live: LiveSync) -> None:
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_customer(customer_answer(CUS, replayed=True), 0)
    assert copy_of(live, CUS).stale
    assert live.is_queued(STRIPE, "cus_1", JobKind.READ)


def test_no_answer_and_answers_for_a_deleted_customer_store_nothing(live: LiveSync) -> None:
    live.know(CUS)
    live.delete(STRIPE, "cus_1")
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_customer(customer_answer(None), 0)
        records.store_customer(customer_answer(CUS), 2)
        records.want_read("cus_1")
    assert copy_of(live, CUS).deleted
    assert not live.is_queued(STRIPE, "cus_1", JobKind.READ)


def test_the_object_of_an_event_leaves_a_stale_copy_stale(live: LiveSync) -> None:
    live.know(CUS)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.want_read("cus_1")
        records.store_customer_event(replace(CUS, values={"city": "Rome"}), 5)
    assert (copy_of(live, CUS).stale, copy_of(live, CUS).record.values["city"]) == (True, "Rome")


def test_a_batch_read_stores_deletes_and_merges(live: LiveSync) -> None:
    live.know(ANN, replace(ANN, id="2"))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        store_contacts(records, {"1": None, "2": replace(ANN, id="3"), "4": replace(ANN, id="4")})
    assert (copy_of(live, ANN).deleted, copy_of(live, ANN).absent) == (False, True)
    assert copy_of(live, replace(ANN, id="2")).survivor == "3"
    assert copy_of(live, replace(ANN, id="4")).alive


def test_an_address_queues_the_records_that_share_it_unless_they_are_linked(live: LiveSync) -> None:
    live.know(CUS)
    linked = replace(ANN, id="8", other_id="cus_8"), replace(CUS, id="cus_8", other_id="8")
    live.link(*linked)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_contact(ANN)
    assert live.is_queued(STRIPE, "customer:cus_1")
    assert not live.is_queued(STRIPE, "contact:8")


def test_a_linked_record_with_a_parked_field_is_queued(live: LiveSync) -> None:
    link = live.link(replace(ANN, id="8", other_id="cus_8"), replace(CUS, id="cus_8", other_id="8"))
    live.store.run(lambda tx: tx.links.put(replace(link, parked={"email": Parked(HUBSPOT, "x")}, version=2)))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_contact(ANN)
    assert live.is_queued(HUBSPOT, "contact:8")


def test_nothing_is_stored_if_the_block_raises(live: LiveSync) -> None:
    def store_and_stop(records: RecordWriter) -> None:
        with records:
            records.store_contact(ANN)
            raise ValueError("stop")

    with live.store.transaction() as tx:
        with pytest.raises(ValueError, match="stop"):
            store_and_stop(RecordWriter(live.runtime, tx))
        assert tx.records.get_many([(HUBSPOT, "1")]) == {}


def test_a_read_of_an_unknown_customer_is_queued_and_nothing_is_marked(live: LiveSync) -> None:
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.want_read("cus_9")
    assert live.is_queued(STRIPE, "cus_9", JobKind.READ)
    with live.store.reading() as tx:
        assert tx.records.get(STRIPE, "cus_9") is None


def test_a_record_with_a_link_that_is_no_longer_active_is_queued(live: LiveSync) -> None:
    link = live.link(replace(ANN, id="8"), replace(CUS, id="cus_8"))
    live.store.run(lambda tx: tx.links.put(replace(link, state=LinkState.ORPHANED, primary=False, version=2)))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_contact(ANN)
    assert live.is_queued(HUBSPOT, "contact:8")
    assert live.is_queued(STRIPE, "customer:cus_8")


def test_a_contact_is_found_by_each_of_its_addresses(live: LiveSync) -> None:
    second = customer("cus_2", email="second@example.com")
    live.know(second)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_contact(replace(ANN, emails=ANN.emails | second.emails))
    hmacs = {live.store.hmac(address) for address in ("ann@example.com", "second@example.com")}
    assert copy_of(live, ANN).hmacs == hmacs
    with live.store.reading() as tx:
        assert all((HUBSPOT, "1") in refs for refs in tx.records.by_hmacs(sorted(hmacs)).values())
    assert live.is_queued(STRIPE, "customer:cus_2")


def test_an_address_that_went_away_queues_the_records_that_share_it(live: LiveSync) -> None:
    live.know(ANN, CUS)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.store_contact(replace(ANN, values={"email": "new@example.com"}, emails=frozenset({"new@example.com"})))
    assert live.is_queued(STRIPE, "customer:cus_1")


def test_an_answer_without_the_address_does_not_take_it_away(live: LiveSync) -> None:
    live.know(ANN)
    live.know(replace(ANN, values={"city": "Nice"}, emails=frozenset(), unknown=frozenset({"email"}), modified_ms=9))
    assert copy_of(live, ANN).hmacs == {live.store.hmac("ann@example.com")}


def test_an_answer_stamped_in_the_future_does_not_make_later_events_old(live: LiveSync) -> None:
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        ahead_ms = tx.now_ms + 3_600_000
        records.store_customer(replace(customer_answer(CUS), timing=Timing(ahead_ms, ahead_ms + 999)), 0)
    stored = copy_of(live, CUS)
    assert stored.valid_from_ms <= live.store.now_ms() < stored.valid_to_ms


@pytest.mark.parametrize("lacked", [True, False])
def test_a_listing_that_brings_what_an_answer_lacked_queues_the_plan_of_it(live: LiveSync, *, lacked: bool) -> None:
    """The listing may end before it compares, and the read that was to bring the field finds nothing new then."""
    live.link(ANN, replace(CUS, unknown=frozenset({"city"} if lacked else ())))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx, planned=True) as records:
        records.store_customer(customer_answer(CUS), copy_of(live, CUS).revision)
    assert not copy_of(live, CUS).unanswered
    assert live.is_queued(STRIPE, "contact:1") is lacked
