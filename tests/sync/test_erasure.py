"""What is left of a person after a privacy deletion (docs/correctness.md#privacy-deletions)."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, customer_answer
from tests.support.reconcile_harness import InstantClock
from tests.support.store_reads import count_events, read_everything
from wanesync.core.jobs import JobKind
from wanesync.core.model import WANTED, Conflict, Event, LinkState, Parked, ParkReason, Side
from wanesync.core.operating.operators import SYSTEM
from wanesync.core.plan import ERASED
from wanesync.core.purchases import PurchaseState
from wanesync.ops.alarms import read_alarms
from wanesync.ops.people.links import Linker
from wanesync.ops.status import read_status
from wanesync.store.tables.erasure import ERASED_AT
from wanesync.sync.erasure import sweep
from wanesync.sync.intake import store_events
from wanesync.sync.record_versions import RecordWriter

PLANTED = "Plantagenet"
ANN = replace(contact("1", email=f"{PLANTED}@example.com", name=PLANTED, city=PLANTED), modified_ms=5)
CUS = customer("cus_1", email=f"{PLANTED}@example.com", name=PLANTED, city=PLANTED)
BOB = contact("2", email="bob@example.com", city=PLANTED)


def tell(live: LiveSync, side: Side, kind: str, record_id: str, at_ms: int, **values: str) -> None:
    event = Event(f"{kind}-{record_id}-{at_ms}", side, kind, record_id, at_ms, values, source="user:CRM_UI/1")
    live.store.run(lambda tx: store_events(tx, [event]))


def plant(live: LiveSync) -> None:
    """Store values of a pair in every table that holds some; and another person's, which are to stay."""
    live.know(BOB)
    link = live.link(ANN, CUS)
    live.store.run(lambda tx: tx.links.put(replace(
        link, parked={"city": Parked(STRIPE, PLANTED, ParkReason.INVALID, 1)}, version=link.version + 1
    )))  # fmt: skip
    tell(live, HUBSPOT, "updated", "1", 4, city=PLANTED)
    tell(live, STRIPE, "updated", "cus_1", 4, city=PLANTED)
    live.pay("pi_1", customer_id="cus_1", email=f"{PLANTED}@example.com")
    with live.store.transaction() as tx:
        for side, record_id in ((HUBSPOT, "1"), (STRIPE, "cus_1")):
            tx.conflicts.put(Conflict(side, record_id, "city", PLANTED, "policy"), link.id)
            tx.journal.add("updated", side, record_id, link.id, {"fields": {"city": ["", PLANTED]}})
        tx.journal.add("held", HUBSPOT, "", link.id, {"fields": {"city": PLANTED}})
        tx.rejected.put(HUBSPOT, "no usable occurredAt", f'{{"objectId":1,"propertyValue":"{PLANTED}"}}'.encode())
        tx.purchases.set_state("pi_1", PurchaseState.SENT, contact_id="1")


def erase(live: LiveSync) -> None:
    tell(live, HUBSPOT, "privacy_deleted", "1", 10)
    live.hubspot.answer("read_contacts", {"1": None})
    live.work(HUBSPOT, JobKind.READ)


def find_planted(live: LiveSync) -> dict[str, list[str]]:
    with live.store.reading() as tx:
        found = read_everything(tx)
    planted = {table: [text for text in texts if PLANTED.lower() in text.lower()] for table, texts in found.items()}
    return {table: texts for table, texts in planted.items() if texts}


def count_open_events(live: LiveSync) -> int:
    with live.store.reading() as tx:
        return count_events(tx)["open"]


def test_nothing_of_the_person_is_left(live: LiveSync) -> None:
    plant(live)
    live.work(STRIPE, JobKind.READ)
    assert find_planted(live).keys() >= {"records", "links", "events", "journal", "conflicts", "purchases", "rejected"}
    erase(live)
    left = find_planted(live)
    assert left.keys() == {"records"}, left
    assert ["bob@example.com" in text for text in left["records"]] == [True], "another person's values stay"


def test_a_keyed_tombstone_blocks_the_address_and_the_customer_is_listed(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    hmac = live.store.hmac(f"{PLANTED}@example.com")
    with live.store.reading() as tx:
        assert tx.tombstones.match([hmac])[hmac].erased
        copy = tx.records.get(STRIPE, "cus_1")
        assert tx.settings.get(ERASED_AT)
    assert copy is not None
    assert (copy.note, dict(copy.record.values), set(copy.hmacs)) == (ERASED, {}, {hmac})
    assert (live.links("1")[0].state, live.links("1")[0].base) == (LinkState.ORPHANED, {})
    assert live.links("1")[0].id == link.id
    assert read_status(live.store).still_held == ["cus_1"]
    assert any("Stripe cus_1: the data of this person were deleted" in line for line in read_alarms(live.store))


def test_a_customer_with_another_address_is_listed_too(live: LiveSync) -> None:
    live.link(
        ANN, replace(CUS, values={**CUS.values, "email": "other@example.com"}, emails=frozenset({"other@example.com"}))
    )
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    assert read_status(live.store).still_held == ["cus_1"]


def test_what_stripe_shows_of_the_customer_later_is_not_stored(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        stored = records.get(STRIPE, "cus_1")
        assert stored is not None
        records.store_customer(customer_answer(CUS), stored.revision)
    assert find_planted(live) == {}


def test_a_read_under_way_meanwhile_is_stored_without_its_values(live: LiveSync) -> None:
    """Its answer comes before the customer is planned again."""
    live.link(ANN, CUS)
    erase(live)
    live.know(CUS)
    assert find_planted(live) == {}


def test_a_customer_that_was_deleted_before_leaves_no_values(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.delete(STRIPE, "cus_1")
    erase(live)
    assert find_planted(live) == {}


def test_events_of_the_customer_that_come_later_are_settled(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    tell(live, STRIPE, "updated", "cus_1", 12, city=PLANTED)
    live.stripe.script("read_customer", lambda *_: customer_answer(CUS, live.clock.ms))
    live.queue(STRIPE, "cus_1", JobKind.READ)
    live.work(STRIPE, JobKind.READ)
    live.work(HUBSPOT)
    assert count_open_events(live) == 0
    live.store.run(sweep)
    assert find_planted(live) == {}


def test_a_customer_without_a_link_that_gets_another_address_is_another_person(live: LiveSync) -> None:
    """It was noted for its address only; a copy without values must not be read over and over."""
    live.know(ANN)
    erase(live)
    live.know(CUS)
    live.queue(HUBSPOT, "customer:cus_1")
    live.work(HUBSPOT)
    live.know(CUS)
    assert find_planted(live) == {}
    moved = replace(CUS, values={**CUS.values, "email": "new@example.com"}, emails=frozenset({"new@example.com"}))
    live.know(moved)
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert (copy.note, copy.record.values["city"]) == (None, PLANTED)


def test_reads_that_bring_no_value_of_an_erased_person_back_off(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.know(CUS)
    live.know(CUS)
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert copy.unanswered == 2


def test_a_contact_that_became_the_erased_one_in_the_same_webhook_is_erased_as_well(live: LiveSync) -> None:
    """And one that had been merged into that one before."""
    live.know(replace(ANN, id="3", emails=frozenset({"old@example.com"})), replace(ANN, id="4", emails=frozenset()))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.merge_away("3", "4")
    live.hubspot.answer("find_archived", frozenset())
    event = Event("merge", HUBSPOT, "merged", "1", 8, merged_ids=("4",), source="user:CRM_UI/1")
    live.store.run(lambda tx: store_events(tx, [event]))
    erase(live)
    assert find_planted(live) == {}
    hmac = live.store.hmac("old@example.com")
    with live.store.reading() as tx:
        assert tx.tombstones.match([hmac])[hmac].erased


def test_the_alarm_ends_when_the_customer_is_deleted_or_kept_by_decision(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    live.delete(STRIPE, "cus_1")
    assert read_status(live.store).still_held == []


def test_what_arrives_later_is_erased_by_the_daily_sweep(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    tell(live, HUBSPOT, "updated", "1", 9, city=PLANTED)
    live.store.run(lambda tx: tx.journal.add("updated", HUBSPOT, "1", "", {"fields": {"city": ["", PLANTED]}}))
    assert find_planted(live).keys() == {"events", "journal"}
    assert live.store.run(sweep) == 1
    assert find_planted(live) == {}


def test_a_contact_that_was_merged_into_the_erased_one_is_erased_as_well(live: LiveSync) -> None:
    live.know(replace(ANN, id="3", emails=frozenset({"old@example.com"})))
    live.link(ANN, CUS)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.merge_away("3", "1")
    erase(live)
    assert find_planted(live) == {}
    hmac = live.store.hmac("old@example.com")
    with live.store.reading() as tx:
        assert tx.tombstones.match([hmac])[hmac].erased


def test_a_merge_that_is_told_after_the_erasure_of_its_survivor_erases_the_merged_contact_and_its_customer(
    live: LiveSync,
) -> None:
    pair = replace(ANN, id="3", emails=frozenset({"old@example.com"}))
    live.link(pair, CUS)
    erase(live)
    assert find_planted(live) != {}
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.merge_away("3", "1")
    assert find_planted(live) == {}
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert copy.note == ERASED
    assert [link.state for link in live.links("3")] == [LinkState.ORPHANED]


def test_a_decision_that_lifts_it_reads_the_customer_again(live: LiveSync) -> None:
    live.link(ANN, CUS)
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    with live.store.transaction() as tx:
        tx.tombstones.lift([live.store.hmac(f"{PLANTED}@example.com")])
        tx.records.set_note(STRIPE, "cus_1", WANTED)
    live.queue(HUBSPOT, "customer:cus_1")
    live.work(HUBSPOT)
    live.stripe.answer("read_customer", customer_answer(CUS))
    live.work(STRIPE, JobKind.READ)
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert copy.record.values["city"] == PLANTED
    assert live.is_queued(HUBSPOT, "customer:cus_1")


def test_a_plain_deletion_erases_nothing(live: LiveSync) -> None:
    plant(live)
    tell(live, HUBSPOT, "deleted", "1", 10)
    live.hubspot.answer("read_contacts", {"1": None})
    live.work(HUBSPOT, JobKind.READ)
    assert find_planted(live).keys() >= {"records", "links", "events", "journal", "conflicts", "purchases", "rejected"}


def test_a_contact_that_was_deleted_before_is_erased(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.delete(HUBSPOT, "1")
    erase(live)
    assert find_planted(live) == {}


LIVING = "Lancaster"
BOBS = customer("cus_1", "1", email="bob@example.com", name=LIVING, city=LIVING)


def release_the_customer_of_another(live: LiveSync) -> None:
    """A customer was linked with the wrong contact; an operator unlinked the two."""
    link = live.link(ANN, BOBS)
    live.store.run(lambda tx: tx.journal.add("updated", STRIPE, "cus_1", link.id, {"fields": {"city": ["", PLANTED]}}))
    Linker(live.runtime, SYSTEM, InstantClock()).unlink("1", "cus_1")
    tell(live, STRIPE, "updated", "cus_1", 6, city=LIVING)
    with live.store.transaction() as tx:
        tx.conflicts.put(Conflict(STRIPE, "cus_1", "phone", LIVING, "overwritten"), "")
        tx.journal.add("updated", STRIPE, "cus_1", "", {"fields": {"city": ["", LIVING]}})


def count_living(live: LiveSync) -> dict[str, int]:
    with live.store.reading() as tx:
        return {table: sum(LIVING in text for text in texts) for table, texts in read_everything(tx).items()}


def test_a_customer_that_an_operator_unlinked_is_another_persons_and_keeps_its_values(live: LiveSync) -> None:
    release_the_customer_of_another(live)
    before = count_living(live)
    erase(live)
    assert find_planted(live) == {}, "what went over the released link is emptied"
    live.store.run(sweep)
    after = count_living(live)
    assert {table: after[table] for table in ("records", "events", "conflicts", "journal")} == {
        table: before[table] for table in ("records", "events", "conflicts", "journal")
    }
    link = live.links("1")[0]
    assert (link.state, link.base) == (LinkState.RELEASED, {})
    live.work(HUBSPOT)
    live.work(STRIPE)
    live.know(BOBS)
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert (copy.note == ERASED, copy.record.values["city"]) == (False, LIVING)
    assert read_status(live.store).still_held == []


def test_an_unlinked_customer_that_was_linked_with_the_right_contact_stays_as_it_is(live: LiveSync) -> None:
    release_the_customer_of_another(live)
    live.know(BOB)
    Linker(live.runtime, SYSTEM, InstantClock()).link("2", "cus_1")
    before = live.conflicts()
    erase(live)
    live.store.run(sweep)
    assert live.conflicts() == before
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert copy.record == BOBS


def test_a_customer_that_is_linked_with_another_contact_since_is_that_persons(live: LiveSync) -> None:
    live.link(ANN, BOBS)
    live.know(BOB)
    with live.store.transaction() as tx:
        (old,) = tx.links.of_records([(STRIPE, "cus_1")])
        tx.links.put(replace(old, state=LinkState.ORPHANED, primary=False, version=old.version + 1))
        tx.links.put(replace(old, id="other", hubspot_id="2", version=1))
        tx.conflicts.put(Conflict(STRIPE, "cus_1", "phone", LIVING, "overwritten"), "")
    before = live.conflicts()
    erase(live)
    live.store.run(sweep)
    with live.store.reading() as tx:
        copy = tx.records.get(STRIPE, "cus_1")
    assert copy is not None
    assert (live.conflicts(), copy.record.values["city"]) == (before, LIVING)


def test_an_unlinked_customer_with_the_address_of_the_person_is_listed(live: LiveSync) -> None:
    """Only the address still ties the two."""
    live.link(ANN, CUS)
    Linker(live.runtime, SYSTEM, InstantClock()).unlink("1", "cus_1")
    erase(live)
    live.work(HUBSPOT)
    live.work(STRIPE)
    assert read_status(live.store).still_held == ["cus_1"]
    live.know(CUS)
    assert find_planted(live) == {}
