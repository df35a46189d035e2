"""What a listing is said to cost."""

from __future__ import annotations

import pytest

from wanesync.core.diff.cost import PAGE_LATENCY_MS, PAGE_RECORDS, estimate
from wanesync.core.model import Side

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.mark.parametrize(
    ("contacts", "lanes", "rate", "requests", "least_ms"),
    [
        (0, 1, 15.0, 1, PAGE_LATENCY_MS),
        (PAGE_RECORDS - 1, 1, 15.0, 1, PAGE_LATENCY_MS),
        (100_000, 1, 15.0, 1001, 1001 * PAGE_LATENCY_MS),
        (100_000, 5, 15.0, 1001, round(1001 * 1000 / 15)),
        (100_000, 5, 0.0, 1001, 1001 * PAGE_LATENCY_MS // 5),
    ],
    ids=["no records", "one page", "a page at a time: the latency", "side by side: the limit", "no limit"],
)
def test_the_slower_of_latency_and_limit_tells(
    contacts: int, lanes: int, rate: float, requests: int, least_ms: int
) -> None:
    cost = estimate({HUBSPOT: contacts, STRIPE: 0}, {HUBSPOT: rate, STRIPE: 100.0}, {HUBSPOT: lanes, STRIPE: 3})
    assert (cost.requests, cost.least_ms) == ({HUBSPOT: requests, STRIPE: 1}, least_ms)
