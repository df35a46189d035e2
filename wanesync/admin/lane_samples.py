"""The size and the age of each lane over the last five minutes, for the small charts.

They are those that this process saw, and before its start those that are stored (``ops.samples``).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.model import Side
from wanesync.ops.samples import Sample, read_samples
from wanesync.store.tables.operating.samples import SHORT_MS

if TYPE_CHECKING:
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.store.database import Store, Tx

SPAN_MS = 300_000
"""How long samples are kept: 5 min."""
MIN_GAP_MS = 1_500
"""Samples lie at least so far apart: many readers do not make more of them."""
WIDTH, HEIGHT = 100.0, 30.0
"""Size of a small chart in its own units."""


@dataclass(frozen=True, slots=True)
class LaneSample:
    """One lane at one time. ``size``: jobs that are due or running. ``oldest_s``: age of the oldest of them."""

    at_ms: int
    size: int
    oldest_s: float


class LaneSamples:
    """Samples of both lanes; every method may be called in any thread."""

    def __init__(self, span_ms: int = SPAN_MS) -> None:
        self._span_ms = span_ms
        self._samples: dict[str, deque[LaneSample]] = {str(side): deque() for side in Side}
        self._guard = threading.Lock()
        self._is_filled = False

    def take(self, store: Store) -> None:
        """Read both lanes and keep what they are now. Raises DatabaseUnavailable."""
        with store.reading() as tx:
            self._fill(tx)
            rows, now_ms = tx.jobs.depth(), tx.now_ms
        found = {}
        for side in self._samples:
            mine = [row for row in rows if row["lane"] == side]
            busy = [row["oldest_arrived_ms"] for row in mine if row["due"] or row["running"]]
            size = sum(row["due"] + row["running"] for row in mine)
            found[side] = LaneSample(now_ms, size, max(0, now_ms - min(busy)) / 1000 if busy else 0.0)
        self._keep(now_ms, found)

    def add(self, now_ms: int, lanes: Mapping[str, LaneState]) -> None:
        """Keep what a status says about both lanes."""
        self._keep(
            now_ms, {side: LaneSample(now_ms, lane.due + lane.running, lane.oldest_s) for side, lane in lanes.items()}
        )

    def fill(self, store: Store) -> None:
        """Begin with the samples that are stored, once. Raises DatabaseUnavailable."""
        if not self._is_filled:
            with store.reading() as tx:
                self._fill(tx)

    def _fill(self, tx: Tx) -> None:
        if self._is_filled:
            return
        end_ms = tx.now_ms - tx.now_ms % SHORT_MS
        times = range(end_ms - self._span_ms, end_ms, SHORT_MS)
        sizes, ages = (read_samples(tx, sample, tuple(Side), times) for sample in (Sample.SIZE, Sample.AGE))
        with self._guard:
            self._is_filled = True
            for side in Side:
                found = [*zip(times, sizes[side], ages[side], strict=True)]
                self._samples[side].extendleft(
                    LaneSample(at_ms, int(size), age)
                    for at_ms, size, age in reversed(found)
                    if size is not None and age is not None
                )

    def _keep(self, now_ms: int, found: Mapping[str, LaneSample]) -> None:
        with self._guard:
            for side, sample in found.items():
                kept = self._samples[side]
                # A clock that was set back begins anew.
                while kept and (kept[-1].at_ms > now_ms or kept[0].at_ms < now_ms - self._span_ms):
                    kept.popleft()
                if not kept or now_ms - kept[-1].at_ms >= MIN_GAP_MS:
                    kept.append(sample)

    def of(self, side: str) -> Sequence[LaneSample]:
        """Return the samples of a lane, the oldest first."""
        with self._guard:
            return [*self._samples[side]]


def draw_points(points: Iterable[tuple[int, float]], now_ms: int, span_ms: int = SPAN_MS) -> tuple[str, str]:
    """Return the points of a line, and of the area below it, for an SVG of ``WIDTH`` by ``HEIGHT``.

    ``points``: (time in ms, value); the highest value reaches the top.
    """
    found = [(at_ms, value) for at_ms, value in points if at_ms >= now_ms - span_ms]
    if not found:
        return "", ""
    highest = max((value for _, value in found), default=0) or 1
    places = [
        (round(WIDTH * (at_ms - now_ms + span_ms) / span_ms, 1), round(HEIGHT - 1 - (HEIGHT - 2) * value / highest, 1))
        for at_ms, value in found
    ]
    line = " ".join(f"{x},{y}" for x, y in places)
    return line, f"{places[0][0]},{HEIGHT:g} {line} {places[-1][0]},{HEIGHT:g}"
