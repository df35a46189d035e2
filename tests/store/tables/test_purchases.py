"""Purchases in the store."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import customer, stored
from tests.support.store_reads import list_purchases
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.store import Store


def a_purchase(payment_id: str, customer_id: str = "cus_1", hmac: str = "h1") -> Purchase:
    return Purchase(
        payment_id=payment_id,
        charge_id="ch_1",
        customer_id=customer_id,
        email="ann@example.com",
        hmac=hmac,
        amount=99_999_999_99,
        currency="eur",
        occurred_ms=1_700_000_000_000,
        description="Müsli",
        sink=Sink.NOTE,
        state=PurchaseState.WAITING,
        created_ms=3,
    )


def test_a_payment_is_kept_once(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        assert tx.purchases.put(a_purchase("pi_1"))
    with other_store.transaction() as tx:
        assert not tx.purchases.put(replace(a_purchase("pi_1"), amount=1))
        assert tx.purchases.get_many(["pi_1"]).get("pi_1") == a_purchase("pi_1")
        assert tx.purchases.get_many(["pi_2"]).get("pi_2") is None
        assert tx.purchases.put(replace(a_purchase("pi_2"), created_ms=0, sink=None))
        fresh = tx.purchases.get_many(["pi_1", "pi_2", "pi_3"])["pi_2"]
        assert (fresh.created_ms, fresh.sink) == (tx.now_ms, None)


def test_waiting_payments_are_found_by_customer_and_by_address(store: Store) -> None:
    with store.transaction() as tx:
        tx.purchases.put(a_purchase("pi_1"))
        tx.purchases.put(a_purchase("pi_2", "cus_2", "h2"))
        tx.purchases.put(a_purchase("pi_3", "", ""))
        tx.purchases.put(replace(a_purchase("pi_4"), state=PurchaseState.SENT))
        assert tx.purchases.waiting_for(["cus_1", "cus_9"]) == ["pi_1"]
        assert tx.purchases.waiting_for_hmacs(["h1", "h2", ""]) == ["pi_1", "pi_2"]
        assert (tx.purchases.waiting_for([]), tx.purchases.waiting_for_hmacs([])) == ([], [])
        assert tx.purchases.counts() == {"todo": 0, "waiting": 3, "sent": 1, "unmatched": 0}


def test_a_payment_that_another_transaction_is_just_giving_up_is_found_like_those_that_wait(
    store: Store, other_store: Store
) -> None:
    with store.transaction() as tx:
        tx.purchases.put(replace(a_purchase("pi_1"), state=PurchaseState.TODO))
        tx.purchases.put(replace(a_purchase("pi_2"), state=PurchaseState.TODO, contact_id="7"))
        tx.records.put_many([stored(customer("cus_1"), hmacs=frozenset({"h9"}))])
    with store.transaction() as tx:
        tx.purchases.set_state("pi_1", PurchaseState.UNMATCHED, reason="no contact")
        with other_store.reading() as other:
            # It stores what the payment was not found with, and sees nothing of the other transaction.
            assert other.purchases.waiting_for(["cus_1"]) == ["pi_1"]
            assert other.purchases.waiting_near(["h1"]) == other.purchases.waiting_near(["h9"]) == ["pi_1"]


def test_payments_follow_their_contact_into_a_merge(store: Store) -> None:
    with store.transaction() as tx:
        for at_ms, (payment_id, sink, state) in enumerate(
            [
                ("pi_1", Sink.PROPERTIES, PurchaseState.SENT),
                ("pi_2", Sink.PROPERTIES, PurchaseState.SENT),
                ("pi_3", Sink.PROPERTIES, PurchaseState.TODO),
                ("pi_4", Sink.NOTE, PurchaseState.SENT),
            ]
        ):
            row = replace(a_purchase(payment_id), occurred_ms=at_ms + 1, sink=sink, state=state, contact_id="7")
            tx.purchases.put(row)
        tx.purchases.put(replace(a_purchase("pi_5"), contact_id="8", sink=Sink.PROPERTIES, state=PurchaseState.SENT))
        assert tx.purchases.move("7", "9") == "pi_2"
        assert [row.payment_id for row in tx.purchases.of_contact("9")] == ["pi_1", "pi_2", "pi_3", "pi_4"]
        assert [row.payment_id for row in tx.purchases.of_contact("8")] == ["pi_5"]
        assert tx.purchases.of_contact("7") == []
        assert tx.purchases.move("7", "9") == ""


def test_a_payment_moves_on_and_keeps_its_contact_and_sink(store: Store) -> None:
    with store.transaction() as tx:
        tx.purchases.put(a_purchase("pi_1"))
        tx.purchases.set_state("pi_1", PurchaseState.TODO, contact_id="7", sink=Sink.CUSTOM_EVENT)
        tx.purchases.set_state("pi_1", PurchaseState.SENT, reason="done")
        purchase = tx.purchases.get_many(["pi_1"]).get("pi_1")
        assert purchase == replace(
            a_purchase("pi_1"), state=PurchaseState.SENT, contact_id="7", sink=Sink.CUSTOM_EVENT, reason="done"
        )
        assert tx.purchases.of_contact("7") == [purchase]
        assert list_purchases(tx, PurchaseState.SENT) == [purchase]
        assert (list_purchases(tx, PurchaseState.WAITING), tx.purchases.of_contact("")) == ([], [])
