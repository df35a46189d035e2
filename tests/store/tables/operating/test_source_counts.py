"""Counts of what a source changed, which all doors share."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.store import Store


def test_the_counts_of_all_doors_within_the_window_add_up(store: Store, other_store: Store, clock: Clock) -> None:
    def add(door: Store, **records: int) -> dict[str, int]:
        return door.run(lambda tx: tx.source_counts.add(records, tx.now_ms - 10_000))

    assert add(store) == {}
    assert add(store, crowd=30, person=1) == {"crowd": 30, "person": 1}
    clock.advance(5_000)
    assert add(other_store, crowd=40) == {"crowd": 70}
    clock.advance(6_000)
    assert add(store, crowd=1) == {"crowd": 41}
