"""Counts of webhook requests by side, outcome and minute."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.store import Store
from wanesync.store.tables.operating.webhook_counts import Outcome, WebhookCount


def test_requests_are_counted_by_minute_and_the_last_one_is_known(store: Store, clock: Clock) -> None:
    key = (Side.STRIPE, Outcome.SIGNATURE)
    for _ in range(2):
        store.run(lambda tx: tx.webhook_counts.add({key: 2}))
    clock.advance(600_000)
    store.run(lambda tx: tx.webhook_counts.add({key: 3, (Side.HUBSPOT, Outcome.ACCEPTED): 1}))
    with store.reading() as tx:
        now_ms = tx.now_ms
        found = sorted(tx.webhook_counts.sum(300_000), key=lambda count: count.side)
    assert [(c.side, c.outcome, c.lately, c.kept) for c in found] == [
        (Side.HUBSPOT, Outcome.ACCEPTED, 1, 1),
        (Side.STRIPE, Outcome.SIGNATURE, 3, 7),
    ]
    assert all(abs(now_ms - count.last_ms) < 60_000 for count in found)
    assert isinstance(found[0], WebhookCount)
