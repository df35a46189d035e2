"""Percentiles."""

from __future__ import annotations

from wanesync.bench.figures import percentile


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.99) == float("inf")
