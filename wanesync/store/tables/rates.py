"""Rate slots and limits: one row per scope, one budget for every process; and what was used of it.

The row holds the time at which the next request may go out: the state of pyrate-limiter's generic
cell rate algorithm, whose burst says how far ahead slots are handed out. They lie a fixed interval
apart at 0.955 of the limit, so that neither jitter nor an edge of a window makes more than the limit
of them. A narrower scope (one operation, bulk work) has a row of its own: a request that falls under
it takes one of its side's slots at a time the narrower one allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyrate_limiter import GCRA, Rate

from wanesync.core.errors import NotFound
from wanesync.core.rate_limits import QUOTAS, Limit, set_by_hand
from wanesync.store.session import Table

PACE = 0.955
AHEAD_MS = 300
SPAN_S = 1000  # the algorithm counts in whole requests: over so long a time, fractions of one a second fit
SOON_MS = 30
"""A slot of a narrower scope is given out so long before it is due: whoever takes it must get ready."""
EARLY_US = 10_000
"""So much before its time a request may use a narrower scope: else it would wait for the side's next slot."""

_Tats = dict[str, tuple[float, int]]
"""Scope -> (effective limit, time of its next request in us)."""


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """Slots handed out: (which of the wants, due time in ms). ``next_ms``: when to ask for the others at the latest."""

    slots: Sequence[tuple[int, int]] = ()
    next_ms: int = 0


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Requests of a scope in the second or the day that began then; ``bulk`` of them for bulk work alone."""

    scope: str
    span: str
    began_ms: int
    used: int
    bulk: int


class Rates(Table):
    """The tables ``rates`` and ``uses``."""

    __slots__ = ()

    # -- limits

    def all(self) -> dict[str, Limit]:
        """Every scope's limit, quotas included."""
        return {row[0]: Limit(*row) for row in self._session.rows("all_limits")}

    def limits(self) -> dict[str, tuple[float, float]]:
        """Scope -> (configured, effective), both in requests a second."""
        return {scope: (row.configured, row.effective) for scope, row in self.all().items() if scope not in QUOTAS}

    def lock(self, scope: str) -> Limit | None:
        """One scope's limit; in a writing transaction nobody else changes it before that ends."""
        row = self._session.row("get_limit", scope=scope)
        return Limit(*row) if row else None

    def put(self, limit: Limit) -> None:
        """Keeps a limit; for every process at once. Slots that were handed out stay valid."""
        self._session.rows(
            "set_limit",
            scope=limit.scope,
            now=self._session.now_ms,
            configured=float(limit.configured),
            effective=float(limit.effective),
            filed=float(limit.filed),
            ceiling=float(limit.ceiling),
            reason=limit.reason,
            lowered_ms=limit.lowered_ms,
            raised_ms=limit.raised_ms,
        )

    def drop(self, scope: str) -> None:
        """The scope has no limit of its own any more."""
        self._session.rows("drop_limit", scope=scope)

    def set_limit(self, scope: str, value: float) -> Limit:
        """The operator's limit, at once for every process."""
        limit = set_by_hand(self.lock(scope), scope, float(value))
        self.put(limit)
        return limit

    # -- what was used

    def add_uses(self, uses: Sequence[QuotaUse]) -> None:
        """Counts requests."""
        # In one order, so that two processes do not wait for each other.
        ordered = sorted(uses, key=lambda use: (use.scope, use.span, use.began_ms))
        self._session.each(
            "add_quota_use",
            [
                {"scope": use.scope, "span": use.span, "began_ms": use.began_ms, "used": use.used, "bulk": use.bulk}
                for use in ordered
            ],
        )

    def used_since(self, span: str, since_ms: int) -> dict[str, tuple[int, int]]:
        """Scope -> (requests, those of bulk work) in the spans that began at ``since_ms`` or later."""
        rows = self._session.rows("quota_used_since", span=span, since_ms=since_ms)
        return {scope: (int(used), int(bulk)) for scope, used, bulk in rows}

    def drop_uses(self, span: str, before_ms: int) -> None:
        """Forgets counts nobody needs any more."""
        self._session.rows("drop_quota_uses", span=span, before_ms=before_ms)

    # -- slots

    def reserve(self, scope: str, slots: int) -> list[int]:
        """Due times (ms, database time) of up to ``slots`` requests, none later than 300 ms from now. Raises NotFound.

        Fewer, or none, when the limit has no more to give: come back for the rest.
        """
        while slots > 0:
            effective, tat_us = self._get(scope)
            due, new_tat_us = hand_out(effective, tat_us, self._session.now_ms, slots)
            # Another process may have taken slots since the row was read: then it is read again.
            if not due or self._take(scope, tat_us, new_tat_us):
                return due
        return []

    def assign(self, scope: str, wants: Sequence[Sequence[str]], room: int) -> SlotAssignment:
        """Slots of ``scope`` for up to ``room`` of the wants, the first ones first. Raises NotFound.

        Each want names the narrower scopes it falls under; those without a row do not limit it. A want
        whose narrower scope has no slot now is passed over, and the others go.
        """
        names = {name for want in wants for name in want}
        if room <= 0 or not wants:
            return SlotAssignment()
        if not names:
            return SlotAssignment([*enumerate(self.reserve(scope, min(room, len(wants))))])
        now_ms = self._session.now_ms
        tats = self._read(names)
        ready_ms = _ready_ms(wants, tats, now_ms)
        effective, tat_us = self._get(scope)
        # Where the side's own next slot is far ahead, a narrower one that is due by then is in time.
        queue_ms = min(max(0, tat_us // 1000 - now_ms), AHEAD_MS)
        if ready_ms > now_ms + max(queue_ms, SOON_MS):
            return SlotAssignment(next_ms=ready_ms)
        begin_us = max(tat_us, ready_ms * 1000 if ready_ms > now_ms else 0)
        due, _ = hand_out(effective, begin_us, now_ms, room)
        chosen, _ = match(due, wants, tats)
        # Up to the first slot nobody could use: the others are left for whoever comes.
        used = next((at for at, slot_ms in enumerate(due) if at >= len(chosen) or chosen[at][1] != slot_ms), len(due))
        due, new_tat_us = hand_out(effective, begin_us, now_ms, used)
        if not due:
            return SlotAssignment(next_ms=max(ready_ms, tat_us // 1000 - AHEAD_MS))
        if not self._take(scope, tat_us, new_tat_us):
            return SlotAssignment(next_ms=now_ms)
        return self._settle(due, wants, names)

    def _settle(self, due: Sequence[int], wants: Sequence[Sequence[str]], names: set[str]) -> SlotAssignment:
        """The narrower scopes' part of slots that are ours already; what another process took first is passed over."""
        while True:
            tats = self._read(names)
            chosen, moved = match(due, wants, tats)
            if all(self._take(name, tats[name][1], new_us) for name, new_us in moved.items()):
                left = [want for index, want in enumerate(wants) if index not in {at for at, _ in chosen}]
                after = {name: (tats[name][0], moved.get(name, tats[name][1])) for name in tats}
                return SlotAssignment(chosen, _ready_ms(left, after, self._session.now_ms) if left else 0)

    def _get(self, scope: str) -> tuple[float, int]:
        row = self._session.row("get_arrival_time", scope=scope)
        if row is None:
            raise NotFound(f"no limit is set for {scope}")
        return float(row[0]), int(row[1])

    def _read(self, names: set[str]) -> _Tats:
        tats = {}
        for scope, effective, tat_us in self._session.rows("get_arrival_times", scopes=sorted(names)):
            lost_us = (self._session.now_ms + AHEAD_MS + 1000) * 1000 + interval_us(effective)
            # As in ``hand_out``: the row is from before a clock was set back.
            lost = tat_us > lost_us and self._take(scope, tat_us, 0)
            tats[scope] = (effective, 0 if lost else tat_us)
        return tats

    def _take(self, scope: str, tat_us: int, new_tat_us: int) -> bool:
        return bool(self._session.row("take_slots", scope=scope, tat_us=tat_us, new_tat_us=new_tat_us))


def interval_us(per_s: float) -> int:
    """How far apart the slots of a limit lie."""
    return -(-SPAN_S * 1_000_000 // _per_span(per_s))


def _per_span(per_s: float) -> int:
    return max(1, round(per_s * PACE * SPAN_S))


def hand_out(per_s: float, tat_us: int, now_ms: int, slots: int) -> tuple[list[int], int]:
    """Ask the algorithm for one slot after the other: their due times in ms, and the row's new arrival time in us."""
    apart_us = interval_us(per_s)
    rates = [Rate(_per_span(per_s), SPAN_S * 1000, burst=1 + AHEAD_MS * 1000 // apart_us)]
    now_us = now_ms * 1000
    # No slot is handed out that far ahead: the row is from before a clock was set back.
    lost_us = now_us + AHEAD_MS * 1000 + apart_us + 1_000_000
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


def match(
    due: Sequence[int], wants: Sequence[Sequence[str]], tats: Mapping[str, tuple[float, int]]
) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """For each slot (ms) the first want whose narrower scopes allow that time: (want, slot), and their rows' new times.

    Slots for which there is none are left out.
    """
    moved: dict[str, int] = {}
    chosen: list[tuple[int, int]] = []
    free = list(range(len(wants)))
    for slot_ms in due:
        for at, index in enumerate(free):
            names = [name for name in wants[index] if name in tats]
            if all(moved.get(name, tats[name][1]) - EARLY_US <= slot_ms * 1000 for name in names):
                for name in names:
                    moved[name] = max(moved.get(name, tats[name][1]), slot_ms * 1000) + interval_us(tats[name][0])
                chosen.append((index, slot_ms))
                del free[at]
                break
    return chosen, moved


def _ready_ms(wants: Sequence[Sequence[str]], tats: Mapping[str, tuple[float, int]], now_ms: int) -> int:
    """When the first of the wants may go, as far as its narrower scopes are concerned; now, or later."""
    times = (max((tats[name][1] // 1000 for name in want if name in tats), default=0) for want in wants)
    return max(now_ms, min(times, default=0))
