"""Samples of each lane and its limit: what they are called, and over time for the charts of the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from wanesync.core.model import Side

if TYPE_CHECKING:
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.store.database import Tx


class Sample(StrEnum):
    """What is sampled of each side."""

    SIZE = "size"
    """Jobs that are due or running."""
    AGE = "age"
    """Age of the oldest of them in seconds."""
    LIMIT = "limit"
    """Limit in effect in requests a second."""


def name_sample(sample: Sample, side: Side) -> str:
    """Return the name under which a value is stored."""
    return f"{sample}.{side}"


def measure(tx: Tx, lanes: Mapping[str, LaneState]) -> dict[str, float]:
    """Return what is to be stored of this moment."""
    found: dict[str, float] = {}
    limits = tx.rates.limits()
    for side in Side:
        if (lane := lanes.get(side)) is not None:
            found[name_sample(Sample.SIZE, side)] = lane.due + lane.running
            found[name_sample(Sample.AGE, side)] = lane.oldest_s
        if side in limits:
            found[name_sample(Sample.LIMIT, side)] = limits[side][1]
    return found


def read_samples(tx: Tx, sample: Sample, sides: Sequence[Side], times: range) -> dict[Side, list[float | None]]:
    """Return the highest value of each step by side, None where there is no sample.

    ``times``: where each step begins, in ms.
    """
    names = {side: name_sample(sample, side) for side in sides}
    found = tx.samples.read([*names.values()], times.start, times.stop, times.step)
    return {side: [found[name].get(at_ms) for at_ms in times] for side, name in names.items()}
