"""The table of samples: the highest value of each span, and what is removed with age."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.operating.figures import DAY_MS, HOUR_MS, MINUTE_MS
from wanesync.store import Store
from wanesync.store.tables.operating.samples import SHORT_MS, SPANS_MS
from wanesync.store.tables.retention import RetentionPolicy
from wanesync.worker.retention import RetentionTask


def test_the_highest_value_of_each_span_is_kept(store: Store, clock: Clock) -> None:
    clock.advance(HOUR_MS - store.now_ms() % HOUR_MS)
    start_ms = store.now_ms()
    for size in (3.0, 7.5, 1.0):
        store.run(lambda tx, size=size: tx.samples.add({"size.stripe": size, "age.stripe": 2}))  # type: ignore[misc] # binds the loop's value
        clock.advance(SHORT_MS // 2)
    with store.reading() as tx:
        found = {
            step_ms: tx.samples.read(["size.stripe", "size.hubspot"], start_ms, start_ms + HOUR_MS, step_ms)
            for step_ms in (SHORT_MS, MINUTE_MS, 15 * MINUTE_MS, HOUR_MS)
        }
    assert found.pop(SHORT_MS) == {"size.stripe": {start_ms: 7.5, start_ms + SHORT_MS: 1.0}, "size.hubspot": {}}
    for values in found.values():
        assert values == {"size.stripe": {start_ms: 7.5}, "size.hubspot": {}}


def test_a_step_that_is_not_kept_is_refused(store: Store) -> None:
    with store.reading() as tx, pytest.raises(ValueError, match="15000"):
        tx.samples.read(["size.stripe"], 0, DAY_MS, 15_000)


def test_short_spans_are_kept_an_hour_and_the_others_like_figures(store: Store, clock: Clock) -> None:
    def prune_after(span_ms: int) -> list[int]:
        clock.advance(span_ms)
        RetentionTask(store, RetentionPolicy()).prune()
        with store.reading() as tx:
            return [row[0] for row in tx._session.execute("SELECT span_ms FROM samples ORDER BY span_ms").fetchall()]

    store.run(lambda tx: tx.samples.add({"size.stripe": 1}))
    assert prune_after(HOUR_MS - MINUTE_MS) == [*SPANS_MS]
    assert prune_after(2 * MINUTE_MS) == [MINUTE_MS, HOUR_MS]
    assert prune_after(8 * DAY_MS) == [HOUR_MS]
    assert prune_after(83 * DAY_MS) == []
