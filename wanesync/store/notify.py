"""Wakes the threads that wait for work in this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Watch:
    """How many rings one waiting thread has heard: one it has not heard ends its next wait at once.

    ``lane``: whose rings it hears; "" hears all of them.
    """

    lane: str = ""
    heard: int = 0


class Notifier:
    """Counters that can be waited for: no ring is lost between looking for work and waiting."""

    def __init__(self) -> None:
        self._for_all = 1
        self._rings: Counter[str] = Counter()
        self._changed = threading.Condition()

    def notify(self, lanes: Iterable[str] = ()) -> None:
        """Wakes those who wait for one of the lanes; without any, everyone."""
        with self._changed:
            self._rings.update(lanes)
            self._for_all += not lanes
            self._changed.notify_all()

    def wait(self, watch: Watch, timeout_s: float) -> bool:
        """Whether it rang since ``watch`` last heard it, within the time-out."""
        with self._changed:
            self._changed.wait_for(lambda: self._count(watch.lane) != watch.heard, timeout_s)
            rang = self._count(watch.lane) != watch.heard
            watch.heard = self._count(watch.lane)
            return rang

    def _count(self, lane: str) -> int:
        return self._for_all + (self._rings[lane] if lane else self._rings.total())
