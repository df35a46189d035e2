"""What plans and changed records leave behind: dead letters tried again, holds that end, purchases that move."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, RULES, contact, customer, link
from tests.support.lanes import bury
from tests.support.live_sync import LiveSync
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.change_guard import HoldKind
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Record, Side, contact_key, customer_key, guest_key
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.store import Store
from wanesync.sync.plan_effects import move_purchases
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions

H, S = Side.HUBSPOT, Side.STRIPE
READ, WRITE, PURCHASE = JobKind.READ, JobKind.WRITE, JobKind.PURCHASE
ANN = replace(contact("1", email="ann@example.com", city="Lyon"), modified_ms=10)
CUS = customer("cus_1", email="ann@example.com", city="Lyon")


@pytest.fixture
def runtime(store: Store) -> Runtime:
    """Ann on both sides, linked."""
    made = Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("w1"))
    see(made, ANN)
    see(made, CUS)
    store.run(lambda tx: tx.links.put(link("1", "cus_1")))
    rest(store)
    return made


def rest(store: Store) -> None:
    """Whatever waits is done."""
    for side in Side:
        store.run(lambda tx, side=side: tx.jobs.finish_many(tx.jobs.claim(side, None, 50, "w1")))  # type: ignore[misc] # a bound name in a lambda


def see(runtime: Runtime, record: Record) -> None:
    """Store a copy of a record, as after a read."""
    with runtime.store.transaction() as tx, RecordWriter(runtime, tx) as records:
        if record.side is H:
            records.store_contact(record)
        else:
            old = records.get(S, record.id)
            records.store_customer(CustomerAnswer(record, Timing(tx.now_ms, tx.now_ms)), old.revision if old else 0)


def waiting(store: Store, lane: Side, kind: JobKind, key: str) -> bool:
    with store.reading() as tx:
        return key in tx.jobs.pending_keys(lane, kind, [key])


LETTERS = [
    (S, WRITE, contact_key("1")),
    (H, WRITE, contact_key("1")),
    (H, WRITE, customer_key("cus_1")),
    (H, READ, "1"),
    (S, READ, "cus_1"),
]


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize(
    "changed", [replace(ANN, modified_ms=20), replace(CUS, values=dict(CUS.values) | {"city": "Oslo"})]
)
def test_a_change_on_either_side_revives_it(
    runtime: Runtime, store: Store, letter: tuple[Side, JobKind, str], changed: Record
) -> None:
    lane, kind, key = letter
    bury(store, JobRequest(lane, kind, key, Priority.BULK), DeadClass.VALIDATION)
    see(runtime, ANN)
    see(runtime, CUS)
    assert not waiting(store, lane, kind, key), "nothing changed"
    see(runtime, changed)
    assert waiting(store, lane, kind, key)
    with store.reading() as tx:
        assert tx.dead_letters.latest() == [], "it alarms no more"
        assert [row["priority"] for row in tx.jobs.depth()] == [Priority.BULK]


def test_a_change_of_a_survivor_revives_the_read_of_a_contact_that_was_merged_into_it(
    runtime: Runtime, store: Store
) -> None:
    see(runtime, contact("9", email="ann.nine@example.com"))
    with store.transaction() as tx, RecordWriter(runtime, tx) as records:
        records.merge_away("9", "1")
    rest(store)
    bury(store, JobRequest(H, READ, "9"), DeadClass.VALIDATION)
    see(runtime, replace(ANN, modified_ms=20))
    assert waiting(store, H, READ, "9")


def test_another_persons_letter_stays(runtime: Runtime, store: Store) -> None:
    letter = bury(store, JobRequest(S, WRITE, contact_key("2")))
    see(runtime, replace(ANN, modified_ms=20))
    with store.reading() as tx:
        assert [job.id for job in tx.dead_letters.latest()] == [letter.id]


def test_a_deletion_is_a_change(runtime: Runtime, store: Store) -> None:
    bury(store, JobRequest(S, WRITE, contact_key("1")))
    with store.transaction() as tx, RecordWriter(runtime, tx) as records:
        records.delete(S, "cus_1")
    assert waiting(store, S, WRITE, contact_key("1"))


def test_a_guest_who_turns_up_closes_what_was_given_up_for_them(runtime: Runtime, store: Store) -> None:
    guest = guest_key(store.hmac("guest@example.com"))
    bury(store, JobRequest(H, WRITE, guest))
    see(runtime, contact("9", email="guest@example.com"))
    assert waiting(store, H, WRITE, guest)


def test_a_purchase_is_tried_again_when_its_contact_changes(runtime: Runtime, store: Store) -> None:
    def sell(payment: str, state: PurchaseState) -> None:
        store.run(lambda tx: tx.purchases.put(Purchase(payment, payment, "cus_1", "", "", 100, "eur", 1, "")))
        store.run(lambda tx: tx.purchases.set_state(payment, state, contact_id="1"))

    sell("pi_refused", PurchaseState.TODO)
    sell("pi_sent", PurchaseState.SENT)
    bury(store, JobRequest(H, PURCHASE, "pi_refused", Priority.PURCHASE))
    see(runtime, replace(ANN, modified_ms=20))
    assert waiting(store, H, PURCHASE, "pi_refused")
    assert not waiting(store, H, PURCHASE, "pi_sent")


@pytest.mark.parametrize("address", ["own@example.com", "gone@example.com"])
def test_an_unmatched_purchase_is_tried_again_when_its_contact_turns_up(
    runtime: Runtime, store: Store, address: str
) -> None:
    """By the address of the payment, or one its customer has or had, even if the customer is deleted."""
    see(runtime, customer("cus_gone", email="gone@example.com"))
    with store.transaction() as tx:
        with RecordWriter(runtime, tx) as records:
            records.delete(S, "cus_gone")
        tx.purchases.put(
            Purchase("pi_1", "ch_1", "cus_gone", "own@example.com", store.hmac("own@example.com"), 100, "eur", 1, "")
        )
        tx.purchases.set_state("pi_1", PurchaseState.UNMATCHED, reason="its customer cannot be linked")
    rest(store)
    bury(store, JobRequest(H, PURCHASE, "pi_1", Priority.PURCHASE), DeadClass.UNMATCHED)
    see(runtime, contact("7", email=address))
    assert waiting(store, H, PURCHASE, "pi_1")


# -- holds and merges


def test_a_held_change_that_was_taken_back_is_held_no_more(live: LiveSync) -> None:
    made = live.link(ANN, CUS)
    live.store.run(lambda tx: tx.holds.open("hubspot:city", HoldKind.BRAKE))

    def plan_city(city: str, modified_ms: int) -> dict[str, object]:
        live.know(replace(ANN, values={**ANN.values, "city": city}, modified_ms=modified_ms))
        live.queue(S, contact_key("1"))
        live.work(S)
        with live.store.reading() as tx:
            return {**tx.holds.of_links([made.id])}

    assert list(plan_city("Paris", 20)) == [made.id]
    assert plan_city("Lyon", 30) == {}
    assert live.stripe.requests == []


def test_the_roll_up_of_a_merged_contact_is_sent_again_for_its_survivor(live: LiveSync) -> None:
    live.know(ANN, replace(ANN, id="2"))
    live.pay("pi_1", "cus_1")
    live.pay("pi_2", "cus_1")
    with live.store.transaction() as tx:
        for payment_id, sink in (("pi_1", Sink.PROPERTIES), ("pi_2", Sink.NOTE)):
            tx.purchases.set_state(payment_id, PurchaseState.SENT, contact_id="1", sink=sink)
        tx.jobs.finish_many(tx.jobs.claim(H, [PURCHASE], 9, "w1"))
        move_purchases(tx, "1", "2")
        rows = tx.purchases.get_many(["pi_1", "pi_2"])
    assert {i: (row.contact_id, row.state) for i, row in rows.items()} == {
        "pi_1": ("2", PurchaseState.TODO),
        "pi_2": ("2", PurchaseState.SENT),
    }
    assert live.is_queued(H, "pi_1", PURCHASE)
    assert not live.is_queued(H, "pi_2", PURCHASE)
