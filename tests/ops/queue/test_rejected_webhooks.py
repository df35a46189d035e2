"""Webhooks set aside are listed as they came, the newest first."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.ops.queue.rejected_webhooks import RejectedList, list_rejected
from wanesync.store import Store


def test_webhooks_set_aside_are_listed_and_counted(store: Store, clock: Clock) -> None:
    assert list_rejected(store, 10) == RejectedList([], 0)
    store.run(lambda tx: tx.rejected.put(Side.HUBSPOT, "no objectId", b'{"a": 1}'))
    clock.advance(1_000)
    store.run(lambda tx: tx.rejected.put(Side.STRIPE, "no id", b"{}"))
    found = list_rejected(store, 10)
    assert sorted((row.side, row.reason, row.body) for row in found.rows) == [
        (Side.HUBSPOT, "no objectId", b'{"a": 1}'),
        (Side.STRIPE, "no id", b"{}"),
    ]
    newest = list_rejected(store, 1)
    assert (len(newest.rows), newest.total) == (1, 2)
