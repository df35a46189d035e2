"""The least possible time of a listing."""

from __future__ import annotations

import pytest

from wanesync.bench.environment import Limits
from wanesync.bench.reconcile.run import find_bound_s
from wanesync.core.model import Side


def test_the_bound_depends_on_limits_and_latency() -> None:
    pages = {Side.HUBSPOT: 1000, Side.STRIPE: 1000}
    assert find_bound_s(pages, Limits(15, 100, (200, 200)), parallel=False) == 200
    assert find_bound_s(pages, Limits(15, 100, (200, 200)), parallel=True) == pytest.approx(66.67, abs=0.01)
    assert find_bound_s(pages, Limits(15, 5, (0, 0)), parallel=True) == 200
