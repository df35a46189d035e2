"""What a full listing costs: requests of each side, and the least time they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.core.model import Side

PAGE_RECORDS = 100
PAGE_LATENCY_MS = 200
"""How long a side takes for a page, by experience."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests by side, and milliseconds."""

    requests: Mapping[Side, int]
    least_ms: int


def estimate(records: Mapping[Side, int], rates: Mapping[Side, float], lanes: Mapping[Side, int]) -> Cost:
    """``records`` known of each side; ``rates``: requests a second, missing where there is no limit."""
    requests = {side: count // PAGE_RECORDS + 1 for side, count in records.items()}
    spans = [pages * PAGE_LATENCY_MS / lanes[side] for side, pages in requests.items()]
    spans += [requests[side] * 1000 / rate for side, rate in rates.items() if rate > 0]
    return Cost(requests, round(max(spans)))
