"""Figures: what is counted and timed by minute, how it is labelled, and quantiles out of histograms.

A figure is a count, or a histogram of times. Its labels are codes of this program (sides, kinds, operations), never
anything that a person or a vendor wrote.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

BOUNDS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000),
    *(10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000),
)
"""Upper bounds of the buckets of every histogram, inclusive, in ms; one more bucket has what is longer (our choice:
from the answer of a webhook to the longest wait of a burst, with the default of ``[sync] target_s`` among them)."""
BUCKETS = len(BOUNDS_MS) + 1


class Figure(StrEnum):
    """What is counted; the labels of each stand in ``LABELS``."""

    WEBHOOKS = "webhooks"
    """Webhook requests and elements, by ``store.tables.operating.webhook_counts.Outcome``."""
    EVENTS_STORED = "events_stored"
    """Events that were new."""
    WEBHOOK_ANSWER = "webhook_answer"
    """Time from a request's head to its answer."""
    JOBS_ENDED = "jobs_ended"
    """Claimed jobs by ``core.jobs.Ending``: ``retry`` and ``dead`` had an attempt that failed."""
    JOB_PICKUP = "job_pickup"
    """Time from when a job of live work was due until it was claimed."""
    VENDOR_REQUESTS = "vendor_requests"
    """Requests to a vendor by ``RequestResult``."""
    VENDOR_CALL = "vendor_call"
    """Time from when a request's bytes left until its answer was there."""
    END_TO_END = "end_to_end"
    """Time from when an event was accepted until the last answer of the change was stored."""
    PEOPLE = "people"
    """People whose change reached the other side, within ``[sync] target_s`` or beyond it."""


class RequestResult(StrEnum):
    """How a request to a vendor ended: 2xx, 429, another 4xx, 5xx, or without an answer."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    FAILED = "failed"
    NO_ANSWER = "no_answer"


class InTime(StrEnum):
    """Whether a change reached the other side within ``[sync] target_s`` of its arrival."""

    WITHIN = "within"
    BEYOND = "beyond"


LABELS: Mapping[Figure, tuple[str, ...]] = {
    Figure.WEBHOOKS: ("side", "outcome"),
    Figure.EVENTS_STORED: ("side",),
    Figure.WEBHOOK_ANSWER: ("side",),
    Figure.JOBS_ENDED: ("side", "kind", "ending"),
    Figure.JOB_PICKUP: ("side", "kind"),
    Figure.VENDOR_REQUESTS: ("side", "operation", "result"),
    Figure.VENDOR_CALL: ("side", "operation"),
    Figure.END_TO_END: ("side", "kind"),
    Figure.PEOPLE: ("side", "result"),
}
"""Figure -> the names of its labels. ``side`` is the lane of a job: the side that is read or written."""
HISTOGRAMS = frozenset({Figure.WEBHOOK_ANSWER, Figure.JOB_PICKUP, Figure.VENDOR_CALL, Figure.END_TO_END})
_LABEL = re.compile(r"[a-z0-9_.]{1,64}")


@cache
def encode_labels(figure: Figure, *values: str) -> str:
    """Return the labels of a figure as one text, values in the order of ``LABELS``.

    Raises ``ValueError`` for another number of values, and for one that is no code of this program.
    """
    names = LABELS[figure]
    for value in values:
        if not _LABEL.fullmatch(value):
            raise ValueError(f"a label of {figure} is no code")
    return ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


@cache
def decode_labels(text: str) -> Mapping[str, str]:
    """Return the labels of a stored figure."""
    return dict(part.split("=", 1) for part in text.split(",") if part)


def find_bucket(ms: float) -> int:
    """Return the number of the bucket of a time."""
    return bisect_left(BOUNDS_MS, ms)


@dataclass(frozen=True, slots=True)
class Amount:
    """What was counted: ``count``; of a histogram also the sum of the times in ms and how many fell in each bucket."""

    count: int = 0
    total_ms: int = 0
    buckets: tuple[int, ...] = ()

    def __add__(self, other: Amount) -> Amount:
        """Return both together."""
        buckets = self.buckets or other.buckets
        if self.buckets and other.buckets:
            buckets = tuple(map(int.__add__, self.buckets, other.buckets))
        return Amount(self.count + other.count, self.total_ms + other.total_ms, buckets)

    @property
    def mean_ms(self) -> float | None:
        """The mean of the times, None without one."""
        return self.total_ms / self.count if self.count and self.buckets else None

    def quantile_ms(self, share: float) -> float | None:
        """Return the time that a share (0 to 1) of all stays below, None without one."""
        return find_quantile_ms(self.buckets, share)


NOTHING = Amount()
NO_TIMES = Amount(0, 0, (0,) * BUCKETS)
"""A histogram without a time."""


def time_amount(ms: float) -> Amount:
    """Return a histogram of one time."""
    buckets = [0] * BUCKETS
    buckets[find_bucket(ms)] = 1
    return Amount(1, round(max(0.0, ms)), tuple(buckets))


def find_quantile_ms(buckets: Sequence[int], share: float) -> float | None:
    """Return a quantile out of the counts of the buckets, None if all are empty.

    Within a bucket the times count as evenly spread, as Prometheus' ``histogram_quantile`` does; what lies above the
    highest bound counts as that bound.
    """
    wanted, below = sum(buckets) * share, 0
    for bucket, count in enumerate(buckets):
        if count and below + count >= wanted:
            low = BOUNDS_MS[bucket - 1] if bucket else 0
            high = BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)]
            return low + (high - low) * (wanted - below) / count if high > low else float(high)
        below += count
    return None
