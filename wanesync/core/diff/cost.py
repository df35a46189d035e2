"""What a full listing costs: the requests of each side, and the least time they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.core.model import Side

PAGE_RECORDS = 100
"""Records of one page of a listing, the most that either vendor returns."""
PAGE_LATENCY_MS = 200
"""Time a vendor takes for one page (measured)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests by side, and the least time in ms."""

    requests: Mapping[Side, int]
    least_ms: int


def estimate(records: Mapping[Side, int], rates: Mapping[Side, float], lanes: Mapping[Side, int]) -> Cost:
    """Estimate the cost of listing both sides.

    ``records``: known records. ``rates``: requests a second, without a side that has no limit. ``lanes``: pages that
    are fetched at the same time.
    """
    requests = {side: count // PAGE_RECORDS + 1 for side, count in records.items()}
    times_ms = [pages * PAGE_LATENCY_MS / lanes[side] for side, pages in requests.items()]
    times_ms += [requests[side] * 1000 / rate for side, rate in rates.items() if rate > 0]
    return Cost(requests, round(max(times_ms)))
