"""A clock that tests own: it moves when something sleeps or a test moves it, and can be set back."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.store.clock import DatabaseClock

START_MS = 1_800_000_000_000


@dataclass
class VirtualClock:
    """Database time and monotonic time of one process. ``oversleep_ms``: how much longer than asked a sleep lasts."""

    now: int = START_MS
    set_back_by_ms: int = 0
    oversleep_ms: int = 0

    def now_ms(self) -> int:
        return self.now

    def monotonic_ms(self) -> int:
        return self.now + self.set_back_by_ms

    def sleep_until(self, at_ms: float) -> None:
        self.now += max(0, int(at_ms) - self.monotonic_ms()) + self.oversleep_ms

    def set_back(self, ms: int) -> None:
        """Set the wall clock back; monotonic time goes on."""
        self.now -= ms
        self.set_back_by_ms += ms

    def as_database_clock(self) -> DatabaseClock:
        """The clock to open a store with."""
        return DatabaseClock(self.now_ms, self.monotonic_ms)
