"""Rate windows of the stand-ins, and the counter of arrivals that checks read."""

from __future__ import annotations

from collections import deque


class RateWindow:
    """A sliding window that admits at most ``limit`` requests in any ``interval_ms``.

    ``limit`` may be changed at any time. A request exactly ``interval_ms`` after another is outside its window. Memory
    is bounded by the number of milliseconds in one interval.
    """

    def __init__(self, limit: int, interval_ms: int = 1000) -> None:
        self.limit = limit
        self.interval_ms = interval_ms
        self._admitted: deque[tuple[int, int]] = deque()
        self._used = 0

    def admit(self, now_ms: int) -> bool:
        """Take one slot of the window; False, and no slot taken, when it is full."""
        if self.used(now_ms) >= self.limit:
            return False
        self._used += 1
        # Two threads may pass their times in the wrong order: the later time counts for both.
        latest = max(now_ms, self._admitted[-1][0]) if self._admitted else now_ms
        if self._admitted and self._admitted[-1][0] == latest:
            self._admitted[-1] = (latest, self._admitted[-1][1] + 1)
        else:
            self._admitted.append((latest, 1))
        return True

    def used(self, now_ms: int) -> int:
        """How many slots of the window that ends now are taken."""
        while self._admitted and self._admitted[0][0] <= now_ms - self.interval_ms:
            self._used -= self._admitted.popleft()[1]
        return self._used


class ArrivalCounter:
    """Counts every arrival, refused ones included: the total, and the fullest window so far."""

    def __init__(self, interval_ms: int = 1000) -> None:
        self.interval_ms = interval_ms
        self.total = 0
        self._largest = 0
        self._window = RateWindow(2**62, interval_ms)

    def count(self, now_ms: int) -> None:
        """Count one request."""
        self.total += 1
        self._window.admit(now_ms)
        self._largest = max(self._largest, self._window.used(now_ms))

    def largest(self) -> int:
        """The largest number of arrivals in any window of ``interval_ms`` so far."""
        return self._largest
