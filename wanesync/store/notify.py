"""Wakes the threads of this process that wait for work."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

CONTROL = "control"
"""Signalled like a lane: a limit or a pause was changed."""


@dataclass(slots=True)
class WorkSubscription:
    """One waiting thread. ``lane``: the lane it waits for, "" for any; ``seen``: the signals it has taken so far.

    A signal that was not taken yet ends the next wait at once.
    """

    lane: str = ""
    seen: int = 0


class Notifier:
    """Signal counters per lane: a signal between a look for work and the wait that follows is not lost."""

    def __init__(self) -> None:
        self._signals_to_all = 1
        self._signals: Counter[str] = Counter()
        self._changed = threading.Condition()

    def notify(self, lanes: Iterable[str] = ()) -> None:
        """Wakes the threads that wait for one of the lanes; without lanes, all of them."""
        with self._changed:
            self._signals.update(lanes)
            self._signals_to_all += not lanes
            self._changed.notify_all()

    def wait(self, subscription: WorkSubscription, timeout_s: float) -> bool:
        """Waits for a signal that the subscription has not seen; False after the time-out."""
        with self._changed:
            self._changed.wait_for(lambda: self._count(subscription.lane) != subscription.seen, timeout_s)
            signals = self._count(subscription.lane)
            signalled = signals != subscription.seen
            subscription.seen = signals
            return signalled

    def _count(self, lane: str) -> int:
        return self._signals_to_all + (self._signals[lane] if lane else self._signals.total())
