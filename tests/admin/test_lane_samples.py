"""Samples of the lanes, and the small charts made of them."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.admin.lane_samples import MIN_GAP_MS, SPAN_MS, LaneSamples, draw_points
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.store import Store
from wanesync.store.tables.operating.samples import SHORT_MS


def test_size_and_age_of_a_lane_are_kept_for_five_minutes(store: Store, clock: Clock) -> None:
    samples = LaneSamples()
    samples.take(store)
    store.run(lambda tx: tx.jobs.put_many([JobRequest(Side.STRIPE, JobKind.READ, "cus_1", Priority.LIVE)]))
    clock.advance(4_000)
    samples.take(store)
    samples.take(store)
    found = samples.of("stripe")
    assert [(sample.size, sample.oldest_s) for sample in found] == [(0, 0.0), (1, 4.0)], "two at one time are one"
    assert [sample.size for sample in samples.of("hubspot")] == [0, 0]
    clock.advance(SPAN_MS + MIN_GAP_MS)
    samples.take(store)
    assert len(samples.of("stripe")) == 1


def test_a_new_process_begins_with_the_samples_that_are_stored(store: Store, clock: Clock) -> None:
    clock.advance(60_000 - store.now_ms() % 60_000)
    for size in range(1, 41):
        store.run(lambda tx, size=size: tx.samples.add({"size.stripe": size, "age.stripe": size * 10}))  # type: ignore[misc] # binds the loop's value
        clock.advance(SHORT_MS)
    samples = LaneSamples()
    samples.take(store)
    found = samples.of("stripe")
    assert [sample.size for sample in found] == [*range(11, 41), 0]
    assert found[0].oldest_s == 110
    assert [sample.at_ms for sample in found] == sorted({sample.at_ms for sample in found})
    samples.fill(store)
    assert len(samples.of("stripe")) == len(found), "they are read once"


def test_points_reach_from_the_bottom_to_the_top() -> None:
    assert draw_points([(0, 5.0), (150_000, 0.0), (300_000, 10.0)], 300_000) == (
        "0.0,15.0 50.0,29.0 100.0,1.0",
        "0.0,30 0.0,15.0 50.0,29.0 100.0,1.0 100.0,30",
    )
    assert draw_points([], 300_000) == ("", "")
    assert draw_points([(0, 0.0)], 300_000)[0] == "0.0,29.0"
