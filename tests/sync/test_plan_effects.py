"""What was given up for a record is tried again by itself when the record changes, on either side."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, RULES, contact, customer, link
from tests.support.lanes import bury
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Record, Side, contact_key, customer_key, guest_key
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.store import Store
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
        assert tx.jobs.dead() == [], "it alarms no more"
        assert [row["priority"] for row in tx.jobs.depth()] == [Priority.BULK]


def test_another_persons_letter_stays(runtime: Runtime, store: Store) -> None:
    letter = bury(store, JobRequest(S, WRITE, contact_key("2")))
    see(runtime, replace(ANN, modified_ms=20))
    with store.reading() as tx:
        assert [job.id for job in tx.jobs.dead()] == [letter.id]


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
