"""Rate slots: one row per limit, one statement per reservation, one budget for every process.

The row holds the time at which the next request may go out (the generic cell rate algorithm, as in
pyrate-limiter's state bucket, with a burst of one). Slots lie a fixed interval apart at 0.96 of the
limit, so that neither jitter nor an edge of a window makes more than the limit of them.
"""

from __future__ import annotations

import math

from wanesync.core.errors import NotFound
from wanesync.store.db import Session, Value

PACE = 0.96
AHEAD_MS = 300
_LOWEST = 0.05  # of the configured limit: what 429s can bring it down to


class Rates:
    """The table ``rates``. ``configured``: requests a second as the operator says; ``effective``: as 429s taught us."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def set_limit(self, scope: str, per_s: float) -> None:
        """The operator's limit, at once for every process."""
        self._put(scope, per_s, per_s)

    def limits(self) -> dict[str, tuple[float, float]]:
        """Scope -> (configured, effective), both in requests a second."""
        return {scope: (configured, effective) for scope, configured, effective in self._session.rows("all_limits")}

    def lower(self, scope: str, factor: float) -> float:
        """After a 429: the new effective limit, never below a twentieth of the configured one. Raises NotFound."""
        configured, effective = self._get(scope)
        return self._put(scope, configured, max(configured * _LOWEST, effective * factor))

    def recover(self, scope: str, step: float = 0.05) -> float:
        """After a quiet while: the effective limit rises by ``step`` of the configured one. Raises NotFound."""
        configured, effective = self._get(scope)
        return self._put(scope, configured, min(configured, effective + configured * step))

    def reserve(self, scope: str, slots: int) -> list[int]:
        """Due times (ms, database time) of up to ``slots`` requests, none later than 300 ms from now. Raises NotFound.

        Fewer, or none, when the limit has no more to give: come back for the rest.
        """
        now_us = self._session.now_ms * 1000
        end_us = now_us + AHEAD_MS * 1000
        values: dict[str, Value] = {"scope": scope, "now_us": now_us, "end_us": end_us}
        row = self._session.row("reserve_slots", n=slots, **values) if slots > 0 else None
        if row is None and slots > 0 and self._session.row("reset_slots", **values):
            row = self._session.row("reserve_slots", n=slots, **values)
        if row is None:
            if not self._session.row("has_limit", scope=scope):
                raise NotFound(f"no limit is set for {scope}")
            return []
        first_us, next_us, interval_us = row
        # Rounded up: a slot is never used before its time.
        return [-(-due_us // 1000) for due_us in range(first_us, next_us, interval_us)]

    def _get(self, scope: str) -> tuple[float, float]:
        row = self._session.row("get_limit", scope=scope)
        if row is None:
            raise NotFound(f"no limit is set for {scope}")
        return float(row[0]), float(row[1])

    def _put(self, scope: str, configured: float, effective: float) -> float:
        interval_us = math.ceil(1_000_000 / (effective * PACE))
        values = {"configured": float(configured), "effective": float(effective), "interval_us": interval_us}
        self._session.rows("set_limit", scope=scope, now=self._session.now_ms, **values)
        return effective
