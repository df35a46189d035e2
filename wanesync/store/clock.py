"""Time for one process: database time for stored values, monotonic time for intervals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


def wall_clock_ms() -> int:
    """The local wall clock in ms since 1970; it may be set back."""
    return time.time_ns() // 1_000_000


def monotonic_clock_ms() -> int:
    """The local monotonic clock in ms; only differences between two readings have a meaning."""
    return time.monotonic_ns() // 1_000_000


def elapsed_s() -> float:
    """Seconds that go on while this process is stopped and while the machine is suspended (CLOCK_BOOTTIME of Linux)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock(Protocol):
    """Time and waiting, as a worker needs them; the simulator passes its own."""

    def now_ms(self) -> int:
        """Database time in ms since 1970: for values that are stored or compared with stored ones."""
        ...

    def monotonic_ms(self) -> int:
        """Monotonic time in ms: for intervals within this process."""
        ...

    def sleep_until(self, at_ms: float) -> None:
        """Sleep until a moment in monotonic time, in ms."""
        ...


@dataclass(slots=True)
class DatabaseClock:
    """Database time: the local wall clock plus the offset measured at the start and at each heartbeat, in ms.

    Both local clocks are arguments, so that tests control them.
    """

    wall_ms: Callable[[], int] = wall_clock_ms
    monotonic_ms: Callable[[], int] = monotonic_clock_ms
    offset_ms: int = 0

    def now_ms(self) -> int:
        """Database time in ms since 1970."""
        return self.wall_ms() + self.offset_ms

    def sleep_until(self, at_ms: float) -> None:
        """Sleep until a moment in monotonic time, in ms."""
        delay_ms = at_ms - self.monotonic_ms()
        if delay_ms > 0:
            time.sleep(delay_ms / 1000)
