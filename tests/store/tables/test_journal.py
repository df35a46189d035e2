"""The journal of the store."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.model import (
    Side,
)
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_the_journal_tells_the_newest_first(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        for number in range(12):
            tx.journal.add("seen", H, "1", "l1", {"number": number})
        tx.journal.add("started", None, "", "", {})
    clock.advance(5)
    with store.transaction() as tx:
        tx.journal.add("written", S, "cus_1", "l1", {"fields": ["name"]})
    with store.reading() as tx:
        assert [row.kind for row in tx.journal.latest(2)] == ["written", "started"]
        assert [row.data["number"] for row in tx.journal.of(["1"], 3)] == [11, 10, 9]
        both = tx.journal.of(["1", "l1", "cus_1"], 50)
        assert len(both) == 13, "an entry found twice is told once"
        assert (both[0].side, both[0].record_id) == (S, "cus_1")
        assert tx.journal.of([""], 5) == []
