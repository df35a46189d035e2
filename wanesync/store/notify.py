"""Wakes the threads of this process that wait for work."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
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
        self._waiting: Counter[str] = Counter()
        guard = threading.Lock()
        self._changed, self._wait_begun = threading.Condition(guard), threading.Condition(guard)

    def notify(self, lanes: Collection[str] = ()) -> bool:
        """Wakes the threads that wait for one of the lanes; without lanes, all of them. Returns whether one waited."""
        with self._changed:
            self._signals.update(lanes)
            self._signals_to_all += not lanes
            concerned = any(self._waiting[lane] for lane in ("", *lanes)) if lanes else self._is_awaited()
            if concerned:
                self._changed.notify_all()
            return concerned

    def wait(self, subscription: WorkSubscription, timeout_s: float) -> bool:
        """Waits for a signal that the subscription has not seen; False after the time-out."""
        lane = subscription.lane
        with self._changed:
            if timeout_s > 0 and self._count(lane) == subscription.seen:
                self._waiting[lane] += 1
                self._wait_begun.notify_all()
                try:
                    self._changed.wait_for(lambda: self._count(lane) != subscription.seen, timeout_s)
                finally:
                    self._waiting[lane] -= 1
            signals = self._count(lane)
            signalled = signals != subscription.seen
            subscription.seen = signals
            return signalled

    def await_waiter(self, timeout_s: float) -> None:
        """Returns as soon as a thread waits for work, at once if one does already; at the latest after the time-out."""
        with self._wait_begun:
            self._wait_begun.wait_for(self._is_awaited, timeout_s)

    def _is_awaited(self) -> bool:
        return self._waiting.total() > 0

    def _count(self, lane: str) -> int:
        return self._signals_to_all + (self._signals[lane] if lane else self._signals.total())
