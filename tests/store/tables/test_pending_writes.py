"""Pending writes in the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import find_write, open_writes
from tests.support.store_rows import a_create, an_update
from tests.support.threads import together
from wanesync.core.model import Side, WriteResult
from wanesync.store import EmailIntentTaken, Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_a_write_comes_back_as_it_went_in(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([a_create("w1", "h1", "h2"), an_update("w2")])
    with store.reading() as tx:
        assert find_write(tx, "w1") == a_create("w1", "h1", "h2")
        assert find_write(tx, "w2") == an_update("w2")
        assert find_write(tx, "w3") is None
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
        assert find_write(tx, "w2") is None
        assert tx.pending_writes.open_for_hmacs([]) == {}


@pytest.mark.parametrize("answer", list(WriteResult))
def test_any_answer_frees_the_addresses(store: Store, answer: WriteResult) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(a_create("w1", "h1"))
        tx.pending_writes.record_result("w1", answer, "cus_9")
        tx.pending_writes.put(a_create("w2", "h1"))
        write = find_write(tx, "w1")
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
        write = find_write(tx, "w1")
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


def test_the_generation_counts_creations_whose_key_is_used_up(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.pending_writes.next_generations(H, ["1"]).get("1", 0) == 0
        for number, answer in enumerate((WriteResult.LOST, WriteResult.REFUSED, WriteResult.OK, WriteResult.CONFLICT)):
            tx.pending_writes.put(a_create(f"w{number}", "h"))
            tx.pending_writes.record_result(f"w{number}", answer)
        tx.pending_writes.put(replace(an_update("u"), result=WriteResult.LOST))
        assert tx.pending_writes.next_generations(H, ["1"]).get("1", 0) == 3
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


def test_deferred_writes_are_seen_by_a_read_of_their_table(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([a_create("w1", "h1"), a_create("w2", "h2")])
        assert tx.pending_writes.open_ids(["w1", "w2"]) == {"w1", "w2"}
        tx.pending_writes.record_result("w1", WriteResult.OK)
        tx.pending_writes.record_result("w2", WriteResult.LOST)
        tx.pending_writes.mark_sent("w2")
        assert tx.pending_writes.open_ids(["w1", "w2"]) == set()
        assert tx.pending_writes.open_for_hmacs(["h1", "h2"]) == {}
        tx.journal.add("linked", H, "1", "", {"n": 1})
        assert [entry.kind for entry in tx.journal.of(["1"], 9)] == ["linked"]
    with store.reading() as tx:
        found = [find_write(tx, write_id) for write_id in ("w1", "w2")]
        assert [(own.result, own.sent_ms > 0) for own in found if own] == [
            (WriteResult.OK, False),
            (WriteResult.LOST, True),
        ]


def test_deferred_writes_keep_their_order_on_one_row(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(an_update("w1"))
        tx.pending_writes.mark_sent("w1")
        tx.pending_writes.put(replace(an_update("w1"), target_id="cus_9"))
        tx.pending_writes.record_result("w1", WriteResult.OK)
        tx.pending_writes.put(replace(an_update("w1"), target_id="cus_10"))
    with store.reading() as tx:
        own = find_write(tx, "w1")
        assert own is not None
        assert (own.target_id, own.result) == ("cus_9", WriteResult.OK), "a result that is stored is not undone"


def test_creates_of_a_batch_that_find_an_address_taken_are_not_stored(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(a_create("w0", "h0"))
        taken = tx.pending_writes.put_many([a_create("w1", "h1", "h0"), a_create("w2", "h1"), an_update("w3")])
        assert set(taken) == {"w1", "w2"}, "w1 met w0; w2 came behind w1"
        assert taken["w1"] == "w0"
    with store.reading() as tx:
        assert tx.pending_writes.open_for_hmacs(["h0", "h1"]) == {"h0": "w0"}
        assert tx.pending_writes.open_ids(["w0", "w1", "w2", "w3"]) == {"w0", "w3"}


def test_an_address_goes_to_one_create(store: Store, other_store: Store) -> None:
    def create(of: Store, write_id: str, side: Side) -> bool:
        try:
            of.run(lambda tx: tx.pending_writes.put(a_create(write_id, "h1", "h2", side=side)))
        except EmailIntentTaken:
            return False
        return True

    both = together([lambda: create(store, "w1", H), lambda: create(other_store, "w2", S)])
    assert sorted(both) == [False, True]
    with store.transaction() as tx:
        winner = "w1" if both[0] else "w2"
        assert tx.pending_writes.open_for_hmacs(["h1", "h2"]) == {"h1": winner, "h2": winner}
        assert tx.pending_writes.count_open() == 1
        tx.pending_writes.record_result(winner, WriteResult.OK)
    assert create(store, "w3", S)
