"""Copies of records in the store."""

from __future__ import annotations

from dataclasses import replace

from tests.support.store_rows import a_stored
from wanesync.core.model import (
    BY_DECISION,
    Note,
    NoteCode,
    Side,
)
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_a_record_comes_back_as_it_went_in(store: Store) -> None:
    stored = replace(
        a_stored(H, "1", "h1", "h2"),
        stale=True,
        note=Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts"),
        survivor="9",
        deleted=True,
    )
    stored = replace(stored, record=replace(stored.record, other_id="cus_1", intent="i-1"))
    with store.transaction() as tx:
        tx.records.put_many([stored])
    with store.reading() as tx:
        assert tx.records.get(H, "1") == stored
        assert tx.records.get(S, "1") is None


def test_a_store_replaces_the_copy_and_its_addresses(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, "1", "h1", "h2")])
    newer = a_stored(H, "1", "h2", "h3", revision=2)
    with store.transaction() as tx:
        tx.records.put_many([a_stored(S, "1", "h3"), a_stored(H, "1", "h9", revision=9), newer])
    with store.reading() as tx:
        assert tx.records.get_many([(H, "1"), (S, "1"), (S, "2")]) == {
            (H, "1"): newer,
            (S, "1"): a_stored(S, "1", "h3"),
        }
        assert tx.records.by_hmacs(["h1", "h2", "h3"]) == {"h2": {(H, "1")}, "h3": {(H, "1"), (S, "1")}}
        assert tx.records.get_many([]) == {}
        assert tx.records.by_hmacs([]) == {}


def test_only_the_living_are_found_counted_and_listed(store: Store) -> None:
    alive = replace(a_stored(S, "a", "h"), record=replace(a_stored(S, "a").record, other_id="7"))
    deleted = replace(a_stored(S, "b", "h"), record=replace(a_stored(S, "b").record, other_id="7"), deleted=True)
    merged = replace(a_stored(S, "c", "h"), survivor="a")
    with store.transaction() as tx:
        tx.records.put_many([alive, deleted, merged, a_stored(H, "7", "x")])
    with store.reading() as tx:
        assert tx.records.by_hmacs(["h"]) == {"h": {(S, "a")}}
        assert tx.records.by_other_ids(S, ["7", "8"]) == {(S, "a")}
        assert tx.records.by_other_ids(H, ["7"]) == set()
        assert (tx.records.count(S), tx.records.count(H)) == (1, 1)
        assert tx.records.ids(S, "", 10) == ["a"]


def test_ids_are_paged_in_the_order_of_their_bytes(store: Store) -> None:
    ids = ["10", "9", "Z", "a", "é", "B", "_"]
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, record_id) for record_id in ids])
    with store.reading() as tx:
        first = tx.records.ids(H, "", 4)
        assert first + tx.records.ids(H, first[-1], 10) == sorted(ids, key=str.encode)


def test_merges_lead_to_the_last_survivor(store: Store) -> None:
    chain = {"1": "2", "2": "3", "4": "3", "5": "6", "6": "5"}
    with store.transaction() as tx:
        tx.records.put_many([replace(a_stored(H, merged), survivor=into) for merged, into in chain.items()])
        tx.records.put_many([a_stored(H, "3")])
    with store.reading() as tx:
        assert tx.records.merged_into(["1", "2", "3", "4", "99"]) == {"1": "3", "2": "3", "4": "3"}
        assert tx.records.merged_into(["5"])["5"] in {"5", "6"}, "a circle ends"


def test_noted_records_are_found_by_the_code_of_their_note(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, "1"), a_stored(S, "2"), a_stored(S, "3")])
        tx.records.set_note(H, "1", Note(NoteCode.AMBIGUOUS, "two contacts"))
        tx.records.set_note(S, "2", Note(NoteCode.AMBIGUOUS, "three contacts"))
        tx.records.set_note(S, "3", BY_DECISION)
        tx.records.set_note(S, "2", None)
    with store.reading() as tx:
        assert tx.records.noted_ids(NoteCode.AMBIGUOUS) == {H: ["1"], S: []}
        assert tx.records.noted_ids(NoteCode.BY_DECISION) == {H: [], S: ["3"]}
        notes = {stored.id: stored.note for stored in tx.records.get_many([(H, "1"), (S, "2"), (S, "3")]).values()}
        assert notes == {"1": Note(NoteCode.AMBIGUOUS, "two contacts"), "2": None, "3": BY_DECISION}


def test_records_are_noted_before_they_are_read(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, "1"), a_stored(H, "2")])
        for record_id in ("1", "2"):
            tx.records.set_note(H, record_id, Note(NoteCode.AMBIGUOUS, record_id))
        assert tx.records.noted_ids(NoteCode.AMBIGUOUS)[H] == ["1", "2"]
