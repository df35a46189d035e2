"""A read that finds nothing is no deletion; a restored contact goes on (docs/correctness.md#absence)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, customer_answer, refused
from wanesync.core.errors import Failure
from wanesync.core.jobs import JobKind
from wanesync.core.model import Event, LinkState, NoteCode, Record, Side, StoredRecord
from wanesync.sync.intake import store_events

ANN = replace(contact("1", email="ann@example.com", city="Lyon"), modified_ms=5)
CUS = customer("cus_1", email="ann@example.com", city="Lyon")
KEY = "contact:1"
NOWHERE: frozenset[str] = frozenset()


def read(live: LiveSync, record: Record | None, record_id: str = "1", archived: frozenset[str] = NOWHERE) -> None:
    """Read a contact that is due: ``record`` None finds nothing, also in the recycle bin."""
    live.hubspot.answer("read_contacts", {record_id: record})
    if record is None:
        live.hubspot.answer("find_archived", archived)
    live.work(HUBSPOT, JobKind.READ)


def read_customer(live: LiveSync, answer: object) -> None:
    live.stripe.answer("read_customer", answer)
    live.work(STRIPE, JobKind.READ)


def tell(live: LiveSync, kind: str, at_ms: int, record_id: str = "1", **values: str) -> None:
    """A webhook event of a contact arrives."""
    event = Event(f"{kind}-{at_ms}", HUBSPOT, kind, record_id, at_ms, values, source="user:CRM_UI/1")
    live.store.run(lambda tx: store_events(tx, [event]))


def copy_of(live: LiveSync, side: Side = HUBSPOT, record_id: str = "1") -> StoredRecord:
    with live.store.reading() as tx:
        found = tx.records.get(side, record_id)
    assert found is not None
    return found


def is_ready(live: LiveSync, record_id: str = "1", side: Side = HUBSPOT) -> bool:
    """Whether the read of a record is due now."""
    with live.store.reading() as tx:
        due_ms = tx.jobs.next_due_ms(side)
        return live.is_queued(side, record_id, JobKind.READ) and due_ms is not None and due_ms <= tx.now_ms


def lose(live: LiveSync) -> None:
    """Four reads over 71 s find nothing."""
    read(live, None)
    for wait_ms in (1_000, 10_000, 60_000):
        live.advance(wait_ms - 1)
        assert not is_ready(live)
        live.advance(1)
        read(live, None)


@pytest.mark.case(11)
def test_a_new_contact_that_the_first_reads_do_not_find_is_synced(live: LiveSync) -> None:
    tell(live, "created", 5)
    read(live, None)
    live.advance(1_000)
    read(live, None)
    live.advance(10_000)
    read(live, ANN)
    assert copy_of(live).alive
    assert live.is_queued(STRIPE, KEY)


@pytest.mark.case(11)
def test_a_pair_whose_contact_is_not_found_for_a_while_is_not_orphaned(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    read(live, None)
    assert (live.links("1"), copy_of(live).absent) == ([link], True)
    live.advance(1_000)
    read(live, replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=9))
    assert (copy_of(live).absent, copy_of(live).missing) == (False, False)
    assert live.is_queued(STRIPE, KEY)


def test_after_four_absences_a_contact_is_missing_and_nothing_is_done_to_it_or_its_customer(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    lose(live)
    assert (copy_of(live).missing, copy_of(live).deleted, live.links("1")) == (True, False, [link])
    live.know(replace(CUS, values={**CUS.values, "city": "Nice"}))
    for side in Side:
        live.queue(side, KEY)
        live.work(side)
    assert live.links("1") == [link]
    assert copy_of(live).note is not None
    with live.store.reading() as tx:
        assert tx.tombstones.match(copy_of(live).hmacs) == {}
        assert tx.records.missing("", 10) == [(HUBSPOT, "1")]


def test_a_missing_contact_blocks_the_creation_of_another_one(live: LiveSync) -> None:
    live.know(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    lose(live)
    live.queue(STRIPE, "customer:cus_1")
    live.work(STRIPE)
    note = copy_of(live, STRIPE, "cus_1").note
    assert (note is not None and note.code, live.is_queued(HUBSPOT, "customer:cus_1")) == (NoteCode.MISSING, False)
    live.queue(HUBSPOT, "1", JobKind.READ)
    read(live, ANN)
    live.work(STRIPE)
    live.work(HUBSPOT)
    assert [link.state for link in live.links("1")] == [LinkState.ACTIVE]


def test_a_missing_contact_that_is_heard_of_is_asked_for_anew(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    lose(live)
    tell(live, "restored", 9)
    read(live, None)
    live.advance(1_000)
    assert is_ready(live)
    read(live, ANN)
    assert not copy_of(live).missing


def test_an_edit_of_a_contact_that_is_not_found_is_not_judged_before_it_is(live: LiveSync) -> None:
    tell(live, "updated", 5, city="Lyon")
    read(live, None)
    assert live.conflicts() == []
    live.advance(1_000)
    read(live, ANN)
    assert live.conflicts() == []


@pytest.mark.parametrize("order", ["event first", "absence first"])
def test_a_deletion_event_deletes_whichever_comes_first(live: LiveSync, order: str) -> None:
    live.link(ANN, CUS)
    if order == "absence first":
        live.queue(HUBSPOT, "1", JobKind.READ)
        read(live, None)
    tell(live, "deleted", 9)
    live.hubspot.answer("read_contacts", {"1": None})
    live.work(HUBSPOT, JobKind.READ)
    live.work(HUBSPOT)
    assert (copy_of(live).deleted, copy_of(live).valid_to_ms) == (True, 9)
    assert live.links("1")[0].state is LinkState.ORPHANED


def test_a_contact_in_the_recycle_bin_is_deleted_though_its_webhook_is_lost(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    read(live, None, archived=frozenset({"1"}))
    live.work(HUBSPOT)
    assert (copy_of(live).deleted, live.links("1")[0].state) == (True, LinkState.ORPHANED)


def delete(live: LiveSync, kind: str = "deleted") -> None:
    tell(live, kind, 9)
    live.hubspot.answer("read_contacts", {"1": None})
    live.work(HUBSPOT, JobKind.READ)
    live.work(HUBSPOT)
    assert live.links("1")[0].state is LinkState.ORPHANED


@pytest.mark.case(12)
@pytest.mark.parametrize("sign", ["event", "listing"])
def test_a_contact_that_is_deleted_and_restored_goes_on_with_its_base(live: LiveSync, sign: str) -> None:
    link = live.link(ANN, CUS)
    delete(live)
    restored = replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=20)
    if sign == "event":
        tell(live, "restored", 15)
    else:
        live.know(restored)
    assert copy_of(live).deleted
    read(live, restored)
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**CUS.values, "city": "Paris"})))
    live.work(HUBSPOT)
    live.work(STRIPE)
    (after,) = live.links("1")
    assert (after.id, after.state, after.primary) == (link.id, LinkState.ACTIVE, True)
    assert after.base == {**link.base, "city": ("Paris", "Paris")}
    assert copy_of(live, STRIPE, "cus_1").note is None
    with live.store.reading() as tx:
        assert tx.tombstones.match(copy_of(live).hmacs) == {}
    assert [name for name, _ in live.stripe.requests] == ["update_customer"]


def test_a_read_that_began_before_the_deletion_does_not_undo_it(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    calls = live.prepare(live.claim(HUBSPOT, JobKind.READ))
    live.delete(HUBSPOT, "1")
    live.hubspot.answer("read_contacts", {"1": ANN})
    live.carry_out(calls)
    assert copy_of(live).deleted
    assert is_ready(live)


def test_a_privacy_deletion_is_final(live: LiveSync) -> None:
    live.link(ANN, CUS)
    delete(live, "privacy_deleted")
    tell(live, "restored", 15)
    live.hubspot.answer("read_contacts", {"1": replace(ANN, modified_ms=20)})
    live.work(HUBSPOT, JobKind.READ)
    live.work(HUBSPOT)
    assert (copy_of(live).erased, copy_of(live).deleted) == (True, True)
    with live.store.reading() as tx:
        assert all(grave.erased for grave in tx.tombstones.match(copy_of(live).hmacs).values())


@pytest.mark.parametrize("nothing", [customer_answer(None), refused(STRIPE, Failure.NOT_FOUND)])
def test_a_customer_that_is_not_found_is_absent_and_not_deleted(live: LiveSync, nothing: object) -> None:
    link = live.link(ANN, CUS)
    live.queue(STRIPE, "cus_1", JobKind.READ)
    read_customer(live, nothing)
    assert (copy_of(live, STRIPE, "cus_1").absent, live.links("1")) == (True, [link])
    live.advance(1_000)
    read_customer(live, customer_answer(CUS))
    assert not copy_of(live, STRIPE, "cus_1").absent


def test_an_update_whose_customer_is_not_found_leads_to_a_read(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=9))
    live.queue(STRIPE, KEY)
    live.stripe.answer("update_customer", refused(STRIPE, Failure.NOT_FOUND))
    live.work(STRIPE)
    assert (live.links("1")[0].state, live.open_writes(KEY)) == (link.state, [])
    read_customer(live, replace(customer_answer(None), deleted=True))
    live.work(STRIPE)
    assert live.links("1")[0].state is LinkState.ORPHANED


def test_a_first_absence_that_lies_in_the_future_is_not_believed(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(HUBSPOT, "1", JobKind.READ)
    with live.store.transaction() as tx:
        later = tx.now_ms + 3_600_000
        tx.records.put_many([replace(tx.records.get_many([(HUBSPOT, "1")])[HUBSPOT, "1"], absent_ms=later)])
    read(live, None)
    assert copy_of(live).absent_ms < later


def test_contacts_that_a_merge_event_names_are_not_written_to_before_they_are_read(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Nice"}))
    event = Event("m", HUBSPOT, "merged", "3", 9, merged_ids=("2", "1"), kept_id="2")
    live.store.run(lambda tx: store_events(tx, [event]))
    live.queue(HUBSPOT, KEY)
    live.work(HUBSPOT)
    assert (live.hubspot.requests, live.links("1")) == ([], [link])


def test_a_survivor_that_is_gone_when_it_is_read_still_ends_the_contacts_merged_into_it(live: LiveSync) -> None:
    live.link(ANN, CUS)
    event = Event("m", HUBSPOT, "merged", "3", 9, merged_ids=("2", "1"), kept_id="2")
    live.store.run(lambda tx: store_events(tx, [event]))
    tell(live, "deleted", 10, "3")
    live.hubspot.answer("read_contacts", {"1": None, "2": None, "3": None})
    live.hubspot.answer("find_archived", NOWHERE)
    live.work(HUBSPOT, JobKind.READ)
    live.work(HUBSPOT)
    assert (copy_of(live).survivor, copy_of(live).absent) == ("3", False)
    assert live.links("1")[0].state is LinkState.ORPHANED
