from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import list_purchases, open_writes
from wanesync.core.model import Change, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.store import EmailIntentTaken, Store

H, S = Side.HUBSPOT, Side.STRIPE


def a_create(write_id: str, *hmacs: str, side: Side = S, source_id: str = "1") -> PendingWrite:
    return PendingWrite(
        id=write_id,
        side=side,
        kind=WriteKind.CREATE,
        link_key=f"contact:{source_id}",
        source_id=source_id,
        target_id="",
        idempotency_key=f"key-{write_id}",
        body='{"email": "ann@example.com"}',
        changes={"email": Change("", "ann@example.com", "Ann@example.com")},
        hmacs=frozenset(hmacs),
        generation=2,
    )


def an_update(write_id: str, target_id: str = "cus_1") -> PendingWrite:
    return replace(a_create(write_id), kind=WriteKind.UPDATE, target_id=target_id, link_id="l1")


def test_a_write_comes_back_as_it_went_in(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([a_create("w1", "h1", "h2"), an_update("w2")])
    with store.reading() as tx:
        assert tx.pending_writes.get("w1") == a_create("w1", "h1", "h2")
        assert tx.pending_writes.get("w2") == an_update("w2")
        assert tx.pending_writes.get("w3") is None
        assert tx.pending_writes.by_keys(S, ["key-w1"]).get("key-w1") == a_create("w1", "h1", "h2")
        assert tx.pending_writes.by_keys(H, ["key-w1"]).get("key-w1") is None
        assert (tx.pending_writes.count_open(), len(open_writes(tx, 1))) == (2, 1)


def test_one_open_create_per_address_over_both_sides(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(a_create("w1", "h1"))
        tx.pending_writes.put(a_create("w1", "h1"))
    with pytest.raises(EmailIntentTaken) as caught, other_store.transaction() as tx:
        tx.pending_writes.put(a_create("w2", "h1", side=H))
    assert caught.value.write_id == "w1"
    with other_store.transaction() as tx:
        with pytest.raises(EmailIntentTaken):
            tx.pending_writes.put(a_create("w2", "h0", "h1", "h2"))
        tx.pending_writes.put(a_create("w3", "h0", "h2"))
    with store.reading() as tx:
        assert tx.pending_writes.open_for_hmacs(["h0", "h1", "h2", "h3"]) == {"h0": "w3", "h1": "w1", "h2": "w3"}
        assert tx.pending_writes.get("w2") is None
        assert tx.pending_writes.open_for_hmacs([]) == {}


@pytest.mark.parametrize("answer", list(WriteResult))
def test_any_answer_frees_the_addresses(store: Store, answer: WriteResult) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(a_create("w1", "h1"))
        tx.pending_writes.record_result("w1", answer, "cus_9")
        tx.pending_writes.put(a_create("w2", "h1"))
        write = tx.pending_writes.get("w1")
        assert write
        assert (write.result, write.target_id) == (answer, "cus_9")
        assert [open_write.id for open_write in tx.pending_writes.open_for_keys(["contact:1", "contact:2"])] == ["w2"]
        assert [open_write.id for open_write in tx.pending_writes.open_for_keys(["contact:1"], S)] == ["w2"]
        assert tx.pending_writes.open_for_keys(["contact:1"], H) == []
        assert tx.pending_writes.open_for_keys([]) == []


def test_an_answer_keeps_the_target_of_an_update(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(an_update("w1"))
        tx.pending_writes.record_result("w1", WriteResult.OK)
        write = tx.pending_writes.get("w1")
        assert write
        assert write.target_id == "cus_1"


def test_what_was_sent_lately_is_found_by_its_target(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([an_update("w1"), an_update("w2"), an_update("never sent"), an_update("x", "cus_2")])
        tx.pending_writes.mark_sent("w1")
        tx.pending_writes.mark_sent("x")
    clock.advance(10_000)
    with store.transaction() as tx:
        tx.pending_writes.mark_sent("w2")
        sent_ms = tx.now_ms
    with store.reading() as tx:
        found = tx.pending_writes.recent(S, ["cus_1", "cus_3"], 0)
        assert {target: [write.id for write in writes] for target, writes in found.items()} == {"cus_1": ["w1", "w2"]}
        assert [write.sent_ms for write in tx.pending_writes.recent(S, ["cus_1"], sent_ms)["cus_1"]] == [sent_ms]
        assert tx.pending_writes.recent(H, ["cus_1"], 0) == {}


def test_the_generation_counts_creations_that_came_to_nothing(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.pending_writes.next_generations(H, ["1"]).get("1", 0) == 0
        for number, answer in enumerate((WriteResult.LOST, WriteResult.REFUSED, WriteResult.OK, WriteResult.CONFLICT)):
            tx.pending_writes.put(a_create(f"w{number}", "h"))
            tx.pending_writes.record_result(f"w{number}", answer)
        tx.pending_writes.put(replace(an_update("u"), result=WriteResult.LOST))
        assert tx.pending_writes.next_generations(H, ["1"]).get("1", 0) == 2
        assert tx.pending_writes.next_generations(S, ["1"]) == tx.pending_writes.next_generations(H, ["2"]) == {}


def test_one_key_may_have_several_writes_and_the_newest_counts(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(replace(a_create("z", side=H), idempotency_key="i1"))
    clock.advance(1)
    with store.transaction() as tx:
        tx.pending_writes.put(replace(a_create("a", side=H), idempotency_key="i1"))
    with store.reading() as tx:
        assert {key: write.id for key, write in tx.pending_writes.by_keys(H, ["i1", "i2"]).items()} == {"i1": "a"}
        assert tx.pending_writes.by_keys(H, []) == {}


def test_keys_of_ours_are_known(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([a_create("w1", "h"), a_create("w2", "h2", side=H)])
        assert tx.pending_writes.known_keys(S, ["key-w1", "key-w2", "another"]) == {"key-w1"}
        assert tx.pending_writes.known_keys(S, []) == set()


def test_open_writes_are_found_by_their_target(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([an_update("w1"), an_update("w2", "cus_2"), a_create("w3", "h")])
        tx.pending_writes.record_result("w2", WriteResult.OK)
        assert tx.pending_writes.open_targets(S, ["cus_1", "cus_2", "cus_3"]) == {"cus_1"}
        assert tx.pending_writes.open_targets(S, []) == set()
        assert tx.pending_writes.open_targets(H, ["cus_1"]) == set()


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
