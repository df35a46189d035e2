"""Series, totals and the share within the target."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.operating.figures import DAY_MS, HOUR_MS, MINUTE_MS, Figure, InTime
from wanesync.ops.figures import read_series, read_timeliness, read_total, read_totals
from wanesync.store import Store
from wanesync.store.figure_counts import store_figures

ENDED = Figure.JOBS_ENDED


def _fill(store: Store, clock: Clock) -> int:
    """Five jobs in this minute, two of them failed, and one more ten minutes later; returns the start."""
    from_ms = (store.now_ms() // HOUR_MS + 1) * HOUR_MS
    clock.advance(from_ms - store.now_ms())
    for kind, ending, number in (("read", "done", 3), ("write", "retry", 2)):
        store.figures.add(ENDED, "stripe", kind, ending, number=number)
    clock.advance(10 * MINUTE_MS)
    store.figures.add(ENDED, "hubspot", "write", "done")
    store_figures(store)
    return from_ms


def test_a_series_has_every_step_and_only_the_labels_that_were_asked_for(store: Store, clock: Clock) -> None:
    from_ms = _fill(store, clock)
    to_ms = from_ms + 15 * MINUTE_MS
    with store.reading() as tx:
        (everything,) = read_series(tx, ENDED, from_ms, to_ms, 5 * MINUTE_MS)
        by_side = read_series(tx, ENDED, from_ms, to_ms, 5 * MINUTE_MS, labels={"ending": "done"}, by=["side"])
        none = read_series(tx, Figure.PEOPLE, from_ms, to_ms, HOUR_MS)
    assert [(point.at_ms - from_ms, point.amount.count) for point in everything.points] == [
        (0, 5),
        (300_000, 0),
        (600_000, 1),
    ]
    assert [(series.labels, series.total.count) for series in by_side] == [
        ({"side": "hubspot"}, 1),
        ({"side": "stripe"}, 3),
    ]
    assert [point.amount.count for point in none[0].points] == [0]


def test_hours_are_read_where_minutes_are_gone(store: Store, clock: Clock) -> None:
    from_ms = _fill(store, clock)
    with store.transaction() as tx:
        tx._session.execute("DELETE FROM figures WHERE span_ms = 60000")
    with store.reading() as tx:
        (hours,) = read_series(tx, ENDED, from_ms, from_ms + DAY_MS, HOUR_MS)
        totals = read_totals(tx, ENDED, from_ms - 80 * DAY_MS, from_ms + DAY_MS, by=["kind"])
    assert hours.points[0].amount.count == 6
    assert {key[0][1]: amount.count for key, amount in totals.items()} == {"read": 3, "write": 3}


@pytest.mark.parametrize("step_ms", [0, 1_000, 90_001])
def test_a_step_is_whole_minutes(store: Store, step_ms: int) -> None:
    with store.reading() as tx, pytest.raises(ValueError, match="whole number of minutes"):
        read_series(tx, ENDED, 0, 100, step_ms)


def test_quantiles_come_out_of_the_histogram(store: Store, clock: Clock) -> None:
    for ms in (*[40] * 98, 8_000, 9_000):
        store.figures.observe(Figure.END_TO_END, "stripe", "write", ms=ms)
    store_figures(store)
    with store.reading() as tx:
        total = read_total(tx, Figure.END_TO_END, store.now_ms() - HOUR_MS, store.now_ms() + 1)
    p50, p99 = total.quantile_ms(0.5), total.quantile_ms(0.99)
    assert p50 is not None
    assert p99 is not None
    assert (20 <= p50 <= 50, 5_000 <= p99 <= 10_000) == (True, True)


def test_the_share_within_the_target_counts_those_that_still_wait(store: Store, clock: Clock) -> None:
    with store.reading() as tx:
        assert read_timeliness(tx, 30_000).last_hour.share is None
    store.figures.add(Figure.PEOPLE, "stripe", InTime.BEYOND, number=2)
    store_figures(store)
    clock.advance(2 * HOUR_MS)
    store.figures.add(Figure.PEOPLE, "stripe", InTime.WITHIN, number=6)
    store.figures.add(Figure.PEOPLE, "hubspot", InTime.BEYOND)
    store_figures(store)
    waiting = {"contact:1": Priority.LIVE, "contact:2": Priority.BULK, "contact:3": Priority.PURCHASE}
    requests = [JobRequest(Side.STRIPE, JobKind.WRITE, key, priority) for key, priority in waiting.items()]
    store.run(lambda tx: tx.jobs.put_many(requests))
    clock.advance(31_000)
    store.run(lambda tx: tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, "9")))
    with store.reading() as tx:
        found = read_timeliness(tx, 30_000)
    assert (found.waiting, found.oldest, found.oldest_s) == (1, "stripe:contact:1", 31.0)
    assert (found.last_hour.within, found.last_hour.beyond, found.last_hour.share) == (6, 1, 6 / 8)
    assert found.last_day.share == 6 / 10
    assert found.as_json()["last_hour"] == {"within": 6, "beyond": 1, "share": 6 / 8}
