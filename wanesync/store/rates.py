"""Rate slots: one row per limit, one budget for every process.

The row holds the time at which the next request may go out: the state of pyrate-limiter's generic
cell rate algorithm, whose burst says how far ahead slots are handed out. They lie a fixed interval
apart at 0.96 of the limit, so that neither jitter nor an edge of a window makes more than the limit
of them.
"""

from __future__ import annotations

from pyrate_limiter import GCRA, Rate

from wanesync.core.errors import NotFound
from wanesync.store.db import Session

PACE = 0.96
AHEAD_MS = 300
SPAN_S = 1000  # the algorithm counts in whole requests: over so long a time, fractions of one a second fit
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
        while slots > 0:
            row = self._session.row("get_rate", scope=scope)
            if row is None:
                raise NotFound(f"no limit is set for {scope}")
            effective, tat_us = row
            due, new_tat_us = hand_out(effective, tat_us, self._session.now_ms, slots)
            # Another process may have taken slots since the row was read: then it is read again.
            if not due or self._session.row("take_slots", scope=scope, tat_us=tat_us, new_tat_us=new_tat_us):
                return due
        return []

    def _get(self, scope: str) -> tuple[float, float]:
        row = self._session.row("get_limit", scope=scope)
        if row is None:
            raise NotFound(f"no limit is set for {scope}")
        return float(row[0]), float(row[1])

    def _put(self, scope: str, configured: float, effective: float) -> float:
        self._session.rows(
            "set_limit", scope=scope, now=self._session.now_ms, configured=float(configured), effective=float(effective)
        )
        return effective


def hand_out(per_s: float, tat_us: int, now_ms: int, slots: int) -> tuple[list[int], int]:
    """Ask the algorithm for one slot after the other: their due times in ms, and the row's new arrival time in us."""
    per_span = max(1, round(per_s * PACE * SPAN_S))
    interval_us = -(-SPAN_S * 1_000_000 // per_span)
    rates = [Rate(per_span, SPAN_S * 1000, burst=1 + AHEAD_MS * 1000 // interval_us)]
    now_us = now_ms * 1000
    # No slot is handed out that far ahead: the row is from before a clock was set back.
    lost_us = now_us + AHEAD_MS * 1000 + interval_us + 1_000_000
    state: tuple[float, ...] = (0 if tat_us > lost_us else tat_us,)
    due: list[int] = []
    for _ in range(slots):
        begins_us = max(int(state[0]), now_us)
        state, decision = GCRA().step(rates, state, now_ms, 1)
        if not decision.allowed:
            break
        # Rounded up: a slot is never used before its time.
        due.append(-(-begins_us // 1000))
    return due, int(state[0])
