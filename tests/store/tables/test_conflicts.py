"""Conflicts in the store."""

from __future__ import annotations

from dataclasses import replace

from wanesync.core.model import (
    Conflict,
    Deletion,
    Link,
    Side,
)
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_the_same_lost_value_is_kept_once_until_it_is_settled(store: Store) -> None:
    lost = Conflict(S, "cus_1", "name", "Ann", "policy")
    with store.transaction() as tx:
        assert tx.conflicts.put(lost, "l1")
        assert not tx.conflicts.put(lost, "l1")
        assert tx.conflicts.put(replace(lost, value="Bea"), "l1")
        assert tx.conflicts.put(replace(lost, side=H, kind="differ"), "")
    with store.transaction() as tx:
        rows = tx.conflicts.of_record(S, "cus_1")
        assert {row.conflict.value for row in rows} == {"Ann", "Bea"}
        assert {row.conflict for row in tx.conflicts.list(side=H)} == {replace(lost, side=H, kind="differ")}
        assert len(tx.conflicts.list(kind="policy")) == 2
        assert tx.conflicts.list(field="phone") == []
        assert tx.conflicts.close([rows[0].id]) == 1
        assert tx.conflicts.close([rows[0].id]) == 0
        assert tx.conflicts.count_open() == 2
        assert tx.conflicts.put(rows[0].conflict, "l1"), "settled, so it counts anew"


def test_the_two_ends_of_a_link_are_one_person_in_conflict(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(Link("l1", "1", "cus_1", True, {}, 1))
        for conflict in (
            Conflict(H, "1", "city", "Bonn", "differ"),
            Conflict(S, "cus_1", "city", "Ulm", "differ"),
            Conflict(S, "cus_1", "phone", "110", "not_taken"),
            Conflict(S, "cus_1", "phone", "112", "policy"),
            Conflict(S, "cus_2", "name", "Acme", "unsplit"),
        ):
            tx.conflicts.put(conflict, "")
    with store.reading() as tx:
        assert (tx.conflicts.count_open(), tx.conflicts.count_pairs(), tx.conflicts.count_kept()) == (5, 2, 1)


def test_tombstones_answer_by_address(store: Store) -> None:
    with store.transaction() as tx:
        tx.tombstones.put(H, "1", ["h1", "h2"], 5)
        tx.tombstones.put(H, "1", ["h1"], 7)
        tx.tombstones.put(S, "cus_1", [])
    with store.reading() as tx:
        assert tx.tombstones.match(["h1", "h3", ""]) == {"h1": Deletion(7)}
        assert tx.tombstones.match([]) == {}


def test_a_restored_record_has_no_tombstone_and_an_erased_one_keeps_it_until_it_is_lifted(store: Store) -> None:
    with store.transaction() as tx:
        tx.tombstones.put(H, "1", ["h1"], 5)
        tx.tombstones.put(H, "2", ["h2"], 5, erased=True)
        tx.tombstones.put(H, "2", ["h2"], 9)
        tx.tombstones.drop(H, "1")
        tx.tombstones.drop(H, "2")
    with store.transaction() as tx:
        assert tx.tombstones.match(["h1", "h2"]) == {"h2": Deletion(9, erased=True)}
        assert tx.tombstones.lift(["h2", "h3"]) == {"h2"}
    with store.reading() as tx:
        assert tx.tombstones.match(["h2"]) == {}


def test_tombstones_are_paged_in_the_order_of_their_hashes(store: Store) -> None:
    with store.transaction() as tx:
        tx.tombstones.put(H, "1", ["h3", "h1"])
        tx.tombstones.put(S, "cus_1", ["h2"])
        assert tx.tombstones.page("", 2) == ["h1", "h2"]
        assert tx.tombstones.page("h2", 2) == ["h3"]
