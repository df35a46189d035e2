"""Database time and monotonic time of one process."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.store.clock import DatabaseClock, monotonic_clock_ms, wall_clock_ms


def test_database_time_is_the_wall_clock_plus_the_measured_offset(clock: Clock) -> None:
    database_clock = DatabaseClock(clock, clock, offset_ms=-250)
    assert database_clock.now_ms() == clock.ms - 250
    clock.advance(1_000)
    assert database_clock.now_ms() == clock.ms - 250


def test_a_moment_in_the_past_is_not_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps_s: list[float] = []
    monkeypatch.setattr("wanesync.store.clock.time.sleep", sleeps_s.append)
    database_clock = DatabaseClock(clock, clock, offset_ms=60_000)
    database_clock.sleep_until(clock.ms)
    assert sleeps_s == []
    database_clock.sleep_until(clock.ms + 1_500)
    assert sleeps_s == [1.5], "the offset has no part in intervals"


def test_the_monotonic_clock_never_goes_back() -> None:
    readings_ms = [monotonic_clock_ms() for _ in range(100)]
    assert readings_ms == sorted(readings_ms)
    assert wall_clock_ms() > 1_700_000_000_000
