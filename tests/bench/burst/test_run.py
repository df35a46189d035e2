"""The theoretical bound of a burst."""

from __future__ import annotations

import pytest

from wanesync.bench.burst.load import Load
from wanesync.bench.burst.plot import draw
from wanesync.bench.burst.results import Span
from wanesync.bench.burst.run import (
    BurstResult,
    bound_latency_late_s,
    bound_latency_s,
    bound_s,
    bound_share,
    bound_share_first_come,
)
from wanesync.bench.environment import Limits


def test_the_bound_of_the_clients_burst() -> None:
    load = Load(contacts=10_000, seconds=60)
    assert bound_s(load, Limits(stripe=100)) == 100
    assert bound_latency_s(load, Limits(stripe=100), 60) == pytest.approx(40)
    assert bound_latency_s(load, Limits(stripe=100), 45) == pytest.approx(30)
    assert bound_s(load, Limits(stripe=200)) == 60
    assert bound_latency_s(load, Limits(stripe=200), 60) == 0


@pytest.mark.parametrize(
    ("stripe", "by_deadline", "first_come"), [(100, 0.9, 0.75), (25, 0.225, 0.0882), (120, 1.0, 1.0), (200, 1.0, 1.0)]
)
def test_who_cannot_be_in_time_should_take_nobodys_place(stripe: int, by_deadline: float, first_come: float) -> None:
    load, limits = Load(contacts=10_000, seconds=60), Limits(stripe=stripe)
    assert bound_share(load, limits) == pytest.approx(by_deadline)
    assert bound_share_first_come(load, limits) == pytest.approx(first_come, abs=1e-4)


def test_the_last_one_is_done_at_the_same_time_in_either_order() -> None:
    load = Load(contacts=10_000, seconds=60)
    for stripe in (100, 25):
        limits = Limits(stripe=stripe)
        assert 60 + bound_latency_late_s(load, limits, 60) == pytest.approx(bound_s(load, limits))


@pytest.mark.parametrize("stripe", [100, 200])
def test_the_plot_shows_both_orders_and_the_bounds(stripe: int) -> None:
    spans = [Span(arrived_s, 20.0) for arrived_s in (1.0, 30.0)]
    load, limits = Load(contacts=10_000, seconds=60), Limits(stripe=stripe)
    measured = BurstResult({}, spans, [], [], load, limits)
    alone, both = draw(measured), draw(measured, BurstResult({}, spans, [], [], load, limits))
    assert ("first come" in alone, "first come" in both) == (False, True)
    assert both.count("<circle") == alone.count("<circle") + len(spans) + 1
