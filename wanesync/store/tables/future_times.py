"""Times that lie in the future because a clock was wrong when they were stored (docs/correctness.md#clocks)."""

from __future__ import annotations

from wanesync.store.queries import Value
from wanesync.store.session import Table

CLOCK_TOLERANCE_MS = 2_000
"""How far the clocks of two processes may differ: a stored time that lies further ahead is not believed."""
MAX_WAIT_MS = 16 * 60_000
"""Longest wait of a job: a Retry-After of 15 minutes is followed, with some jitter."""
MAX_LONG_WAIT_MS = 86_400_000
"""Wait of a job while the writes switch is off, or something is to be set up: one day, unless that ends."""
MAX_PROBE_MS = 60_000
"""Longest time until the next probe of a side or an operation, once a clock was wrong."""


class FutureTimes(Table):
    """Every table that holds times which decide something."""

    __slots__ = ()

    def repair(self) -> int:
        """Pulls back every time that lies further ahead than it can; returns how many jobs are due because of it."""
        now_ms = self._session.now_ms
        ahead_ms = now_ms + CLOCK_TOLERANCE_MS
        values: dict[str, Value] = {"now": now_ms, "ahead_ms": ahead_ms}
        bounds: dict[str, Value] = {"wait_ms": ahead_ms + MAX_WAIT_MS, "long_ms": ahead_ms + MAX_LONG_WAIT_MS}
        jobs = self._session.rows("repair_job_times", now=now_ms, **bounds)
        self._session.rows("repair_probe_times", probe_ms=now_ms + MAX_PROBE_MS, **values)
        for name in (
            "repair_arrival_times",
            "repair_limit_times",
            "repair_deletion_times",
            "repair_tombstone_times",
            "repair_overwrite_times",
            "drop_future_uses",
            "drop_future_processes",
        ):
            self._session.rows(name, **values)
        return len(jobs)
