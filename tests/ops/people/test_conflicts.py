"""Open conflicts are listed by side and field, the newest first."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.model import Conflict, Side
from wanesync.ops.people.conflicts import ConflictList, list_conflicts
from wanesync.store import Store
from wanesync.store.tables.conflicts import ConflictFilter


def keep(store: Store, conflict: Conflict) -> None:
    store.run(lambda tx: tx.conflicts.put(conflict, "link"))


def values(found: ConflictList) -> list[str]:
    return [row.conflict.value for row in found.rows]


def test_conflicts_are_filtered_and_counted(store: Store, clock: Clock) -> None:
    keep(store, Conflict(Side.HUBSPOT, "1", "city", "Ulm", "differs"))
    keep(store, Conflict(Side.STRIPE, "cus_1", "city", "Bonn", "differs"))
    clock.advance(1_000)
    keep(store, Conflict(Side.STRIPE, "cus_1", "name", "A", "differs"))
    everything = list_conflicts(store, ConflictFilter(), 10)
    assert sorted(values(everything)) == ["A", "Bonn", "Ulm"]
    assert values(list_conflicts(store, ConflictFilter(Side.STRIPE, "city"), 10)) == ["Bonn"]
    assert sorted(values(list_conflicts(store, ConflictFilter(field="city"), 10))) == ["Bonn", "Ulm"]
    assert sorted(values(list_conflicts(store, ConflictFilter(Side.STRIPE), 10))) == ["A", "Bonn"]
    newest = list_conflicts(store, ConflictFilter(), 1)
    assert (len(newest.rows), newest.total) == (1, 3)


def test_a_closed_conflict_is_not_listed(store: Store) -> None:
    keep(store, Conflict(Side.STRIPE, "cus_1", "city", "Bonn", "differs"))
    ids = [row.id for row in list_conflicts(store, ConflictFilter(), 10).rows]
    store.run(lambda tx: tx.conflicts.close(ids))
    assert list_conflicts(store, ConflictFilter(), 10) == ConflictList([], 0, 0, 0)
