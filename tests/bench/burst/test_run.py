"""The theoretical bound of a burst."""

from __future__ import annotations

import pytest

from wanesync.bench.burst.load import Load
from wanesync.bench.burst.run import bound_latency_s, bound_s
from wanesync.bench.environment import Limits


def test_the_bound_of_the_clients_burst() -> None:
    load = Load(contacts=10_000, seconds=60)
    assert bound_s(load, Limits(stripe=100)) == 100
    assert bound_latency_s(load, Limits(stripe=100), 60) == pytest.approx(40)
    assert bound_latency_s(load, Limits(stripe=100), 45) == pytest.approx(30)
    assert bound_s(load, Limits(stripe=200)) == 60
    assert bound_latency_s(load, Limits(stripe=200), 60) == 0
