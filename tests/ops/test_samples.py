"""Samples of the lanes and their limits: by the process that evaluates alerts, for the charts."""

from __future__ import annotations

from tests.support.alert_situations import Watch
from tests.support.lanes import queue
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS
from wanesync.ops.samples import Sample, read_samples
from wanesync.store import Store


def test_the_evaluation_of_alerts_stores_size_age_and_limit_of_each_lane(store: Store, clock: Clock) -> None:
    clock.advance(HOUR_MS - store.now_ms() % HOUR_MS)
    begin_ms = store.now_ms()
    watch = Watch(clock, [store])
    queue(store, Side.STRIPE, JobKind.WRITE, 3)
    store.run(lambda tx: tx.rates.set_limit("stripe", 12))
    watch.ticks(120)
    times = range(begin_ms, begin_ms + 3 * MINUTE_MS, MINUTE_MS)
    with store.reading() as tx:
        sizes, ages, limits = (read_samples(tx, sample, [*Side], times) for sample in Sample)
    assert sizes[Side.STRIPE][:2] == [3, 3]
    assert sizes[Side.HUBSPOT][0] == 0
    first_s, second_s = (age or 0 for age in ages[Side.STRIPE][:2])
    assert 40 <= first_s < second_s <= 121
    assert limits[Side.STRIPE][:2] == [12, 12]
