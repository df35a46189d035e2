"""The writes switch is read, set, and remembered in the journal."""

from __future__ import annotations

from tests.support.operators import ADA
from wanesync.ops.writes import OFF, ON, read_writes, switch_writes
from wanesync.store import Store


def switch(store: Store) -> str:
    return read_writes(store)


def test_before_the_first_start_writes_are_off(store: Store) -> None:
    assert switch(store) == OFF


def test_the_switch_is_set_once_and_written_to_the_journal_once(store: Store) -> None:
    for _ in range(2):
        assert switch_writes(store, ADA, on=True) == 0
        assert switch(store) == ON
    assert switch_writes(store, ADA, on=False) == 0
    assert switch(store) == OFF
    with store.reading() as tx:
        entries = [row.data for row in tx.journal.latest(10) if row.kind == "writes"]
    assert sorted(str(data["writes"]) for data in entries) == [OFF, ON]
