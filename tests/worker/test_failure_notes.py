"""Failures of batches as the database keeps them for ``status``."""

from __future__ import annotations

from unittest.mock import patch

from tests.support.core_builders import FIELDS, RULES
from tests.support.store_fixtures import Clock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import DatabaseUnavailable
from wanesync.store import Store
from wanesync.store.tables.processes import FAILED_BATCH_MS
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.failure_notes import FailureNotes


def notes_of(store: Store, name: str) -> FailureNotes:
    runtime = Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), store._rng, ProcessState(name))
    return FailureNotes(runtime, "outcomes")


def test_failures_are_counted_until_a_success(store: Store, clock: Clock) -> None:
    notes, other = notes_of(store, "w1"), notes_of(store, "w2")
    for _ in range(3):
        assert notes.add("54000")
        clock.advance(1_000)
    assert other.add("too long")
    with store.reading() as tx:
        found = [(one.reason, one.times, store.now_ms() - one.first_ms) for one in tx.failed_batches.all()]
    assert found == [("54000", 3, 3_000), ("too long", 1, 0)]
    notes.clear()
    with store.reading() as tx:
        assert [one.reason for one in tx.failed_batches.all()] == ["too long"]


def test_failures_of_a_process_that_was_killed_are_forgotten(store: Store, clock: Clock) -> None:
    notes = notes_of(store, "w1")
    notes.add("54000")
    clock.advance(FAILED_BATCH_MS + 1)
    with store.reading() as tx:
        assert tx.failed_batches.all() == []
    notes.add("54000")
    with store.reading() as tx:
        assert [one.times for one in tx.failed_batches.all()] == [1]
    clock.advance(2 * 86_400_000)
    store.run(lambda tx: tx.processes.remove_obsolete())
    clock.ms -= 2 * 86_400_000
    with store.reading() as tx:
        assert tx.failed_batches.all() == []


def test_a_database_that_is_down_takes_no_note(store: Store) -> None:
    notes = notes_of(store, "w1")
    with patch.object(Store, "run", side_effect=DatabaseUnavailable("down")):
        assert not notes.add("down")
    notes.add("x")
    with patch.object(Store, "run", side_effect=DatabaseUnavailable("down")):
        notes.clear()
    notes.clear()
    with store.reading() as tx:
        assert tx.failed_batches.all() == []
