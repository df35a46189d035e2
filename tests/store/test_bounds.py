"""What is indexed is bounded: no text of a vendor, however long, keeps a row out of the database."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.store_rows import a_stored, an_event
from wanesync.core.ids import MAX_INDEXED_BYTES, bound
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Conflict, Side
from wanesync.core.purchases import Purchase
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def letters(count: int, seed: int = 1) -> str:
    """Random letters: Postgres compresses an index entry, so that equal ones would fit."""
    rng = random.Random(seed)
    return "".join(chr(rng.randrange(33, 0x2FFF)) for _ in range(count))


@pytest.mark.case(2)
def test_a_record_with_a_very_long_id_of_the_other_side_is_stored_and_found_by_it(store: Store) -> None:
    long = letters(10_000)
    copy = a_stored(H, "1")
    store.run(lambda tx: tx.records.put_many([replace(copy, record=replace(copy.record, other_id=long))]))
    with store.reading() as tx:
        assert tx.records.by_other_ids(H, [long]) == {(H, "1")}
        assert tx.records.by_other_ids(H, [long[:-1]]) == set()
        stored = tx.records.get(H, "1")
    assert stored is not None
    assert stored.record.other_id == long


@pytest.mark.case(3)
@pytest.mark.case(5)
@pytest.mark.parametrize("text", [letters(8_000), "crm_ui/\0x", letters(8_000) + "\0", "half \ud83d"])
def test_an_event_with_any_source_and_key_is_stored(store: Store, text: str) -> None:
    event = replace(an_event("e1"), source=f"user:{text}", request_key=text, record_id=text)
    assert store.run(lambda tx: tx.events.put_many([event])) == {"e1"}
    with store.reading() as tx:
        stored = tx.events.get("e1")
    assert stored is not None
    assert stored.source.startswith("user:")
    assert (stored.record_id, stored.request_key) == (bound(text), bound(text))


def test_jobs_payments_conflicts_and_the_journal_take_any_id(store: Store) -> None:
    text = letters(9_000)
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(H, JobKind.READ, text), JobRequest(H, JobKind.READ, text)])
        tx.purchases.put(Purchase("pi_1", text, text, "", "", 1, text, 1))
        assert tx.conflicts.put(Conflict(H, text, "city", "Paris", "policy"), "")
        assert not tx.conflicts.put(Conflict(H, text, "city", "Paris", "policy"), "")
        tx.journal.add("dead", H, text, "", {})
    with store.reading() as tx:
        assert [row["ready"] for row in tx.jobs.depth()] == [1]
        assert tx.purchases.get_many(["pi_1"])["pi_1"].charge_id == bound(text)


@pytest.mark.parametrize("text", ["", "cus_123", "x" * MAX_INDEXED_BYTES, "é" * 127])
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert bound(text) == text


@pytest.mark.parametrize("text", ["x" * 256, "é" * 128, letters(300), "a\0b", "\ud83d", "\ud83d" * 200])
def test_other_texts_keep_their_beginning_and_differ_where_they_differ(text: str) -> None:
    short = bound(text)
    assert len(short.encode()) <= MAX_INDEXED_BYTES
    assert "\0" not in short
    assert bound(text) == short
    assert bound(text + "x") != short
    assert bound(short) == short
