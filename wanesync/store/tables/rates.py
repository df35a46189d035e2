"""Rate limits, and the time slots of requests under them: one row per scope, shared by all processes.

A row holds the theoretical arrival time (TAT) of the generic cell rate algorithm (GCRA), in microseconds: the time of
the next free slot. Slots lie a fixed interval apart, so that neither jitter nor the edge of a window puts more requests
than the limit into one second (docs/correctness.md#rate-slots). A narrower scope (one operation, bulk work) has a row
of its own: a request under it takes a slot of its side at a time that the narrower scope allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import NotFound
from wanesync.core.rate_limits import QUOTAS, Limit, set_by_hand
from wanesync.store.notify import CONTROL
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table, TransactionConflict

PACE = 0.96
"""Share of a limit that is used: a slot used up to 20 ms late must not make a second hold more than the limit."""
SLOT_HORIZON_MS = 300
"""How far ahead slots are reserved, for processes to prepare their requests."""
OVERDUE_HORIZON_MS = 2 * SLOT_HORIZON_MS
"""How far ahead a request that waited for its turn may reserve: further than all others, so none is faster again and
again. A reservation of theirs ends at most one interval after ``SLOT_HORIZON_MS`` (or is the only one)."""
MAX_HOLD_MS = 900_000
"""Longest ``Retry-After`` that holds a scope: 15 minutes (our choice)."""
_PERIOD_S = 1000  # GCRA counts whole requests per period: this one represents limits down to 0.001 a second
_NARROW_LEAD_MS = 30
"""How long before a slot of a narrower scope is due it may be reserved, to prepare its request."""
_NARROW_TOLERANCE_US = 10_000
"""How early a request may use a narrower scope; without it, it would wait for the next slot of its side."""
_CLOCK_TOLERANCE_US = 1_000_000
"""An arrival time further ahead than every slot by this much dates from before a clock was set back."""

_ArrivalTimes = dict[str, tuple[float, int]]
"""Scope -> (effective limit in requests a second, theoretical arrival time in us)."""


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """Reserved slots: (index of the request, due time in ms). ``next_ms``: the latest time to try again."""

    slots: Sequence[tuple[int, int]] = ()
    next_ms: int = 0


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Number of requests of a scope in the second or day that began at ``began_ms``; ``bulk``: those of bulk work."""

    scope: str
    span: str
    began_ms: int
    used: int
    bulk: int


class Rates(Table):
    """The tables ``rates`` and ``quota_uses``."""

    __slots__ = ()

    # -- limits

    def all(self) -> dict[str, Limit]:
        """Scope -> limit, with quotas."""
        return {row[0]: Limit(*row) for row in self._session.rows("all_limits")}

    def limits(self) -> dict[str, tuple[float, float]]:
        """Scope -> (configured, effective) in requests a second, without quotas."""
        return {scope: (row.configured, row.effective) for scope, row in self.all().items() if scope not in QUOTAS}

    def lock(self, scope: str) -> Limit | None:
        """The limit of a scope, None without one; a writing transaction locks it until it ends."""
        row = self._session.row("get_limit", scope=scope)
        return Limit(*row) if row else None

    def put(self, limit: Limit, *, is_new: bool = False) -> None:
        """Stores a limit, which applies to every process at once. Reserved slots stay valid.

        Lock it first. ``is_new``: there was none to lock; raises TransactionConflict if there is one by now.
        """
        values: dict[str, Value] = {
            "scope": limit.scope,
            "now": self._session.now_ms,
            "configured": float(limit.configured),
            "effective": float(limit.effective),
            "filed": float(limit.filed),
            "ceiling": float(limit.ceiling),
            "reason": limit.reason,
            "lowered_ms": limit.lowered_ms,
            "raised_ms": limit.raised_ms,
        }
        if not is_new:
            self._session.rows("set_limit", **values)
        elif self._session.row("add_limit", **values) is None:
            raise TransactionConflict(f"another process set the limit {limit.scope} at the same moment; try again")
        self._session.lanes_to_wake.add(CONTROL)

    def drop(self, scope: str) -> None:
        """Removes the limit of a scope."""
        self._session.rows("drop_limit", scope=scope)
        self._session.lanes_to_wake.add(CONTROL)

    def set_limit(self, scope: str, value: float) -> Limit:
        """Stores an operator's limit in requests a second, which applies to every process at once."""
        before = self.lock(scope)
        limit = set_by_hand(before, scope, float(value))
        self.put(limit, is_new=before is None)
        return limit

    # -- use of quotas

    def add_uses(self, uses: Sequence[QuotaUse]) -> None:
        """Adds to the counted requests."""
        # In one order, so that two processes do not deadlock.
        ordered = sorted(uses, key=lambda use: (use.scope, use.span, use.began_ms))
        self._session.each(
            "add_quota_use",
            [
                {"scope": use.scope, "span": use.span, "began_ms": use.began_ms, "used": use.used, "bulk": use.bulk}
                for use in ordered
            ],
        )

    def used_since(self, span: str, since_ms: int) -> dict[str, tuple[int, int]]:
        """Scope -> (requests, those of bulk work) in the seconds or days (``span``) since ``since_ms``."""
        rows = self._session.rows("quota_used_since", span=span, since_ms=since_ms)
        return {scope: (int(used), int(bulk)) for scope, used, bulk in rows}

    def drop_uses(self, span: str, before_ms: int) -> None:
        """Removes counts of seconds or days (``span``) that began before a time."""
        self._session.rows("drop_quota_uses", span=span, before_ms=before_ms)

    # -- slots

    def reserve(self, scope: str, slots: int) -> list[int]:
        """Reserves slots for up to ``slots`` requests: their due times in ms of database time. Raises NotFound.

        Fewer, or none, if no more are free within SLOT_HORIZON_MS.
        """
        return self._reserve(scope, slots, *self._get(scope)) if slots > 0 else []

    def _reserve(self, scope: str, slots: int, effective: float, tat_us: int, held_ms: int) -> list[int]:
        """Reserves slots of a row that was just read."""
        while not held_ms:
            due, new_tat_us = find_slots(effective, tat_us, self._session.now_ms, slots)
            # Another process may have reserved slots since the row was read: then it is read again.
            if not due or self._replace_tat(scope, tat_us, new_tat_us):
                return due
            effective, tat_us, held_ms = self._get(scope)
        return []

    def assign(self, scope: str, requests: Sequence[Sequence[str]], max_slots: int) -> SlotAssignment:
        """Reserves slots of ``scope`` for up to ``max_slots`` of the requests, the first ones first. Raises NotFound.

        A request is the narrower scopes it falls under; those without a row do not limit it, nor do those that allow
        as much as ``scope``. A request whose narrower scope has no slot now is left out, and later ones get theirs.
        """
        names = {name for request in requests for name in request}
        if max_slots <= 0 or not requests:
            return SlotAssignment()
        now_ms = self._session.now_ms
        effective, tat_us, held_ms, arrivals = self._read_with(scope, names)
        if not arrivals:
            slots = self._reserve(scope, min(max_slots, len(requests)), effective, tat_us, held_ms)
            return SlotAssignment([*enumerate(slots)])
        ready_ms = max(_ready_ms(requests, arrivals, now_ms), held_ms)
        # The next slot of the side may be far ahead: a narrower scope that is free by then is in time.
        queue_ms = min(max(0, tat_us // 1000 - now_ms), SLOT_HORIZON_MS)
        if ready_ms > now_ms + max(queue_ms, _NARROW_LEAD_MS):
            return SlotAssignment(next_ms=ready_ms)
        begin_us = max(tat_us, ready_ms * 1000 if ready_ms > now_ms else 0)
        due, _ = find_slots(effective, begin_us, now_ms, max_slots)
        chosen, _ = match_requests(due, requests, arrivals)
        # Only up to the first slot that no request can use: the later ones stay free.
        used = next((at for at, slot_ms in enumerate(due) if at >= len(chosen) or chosen[at][1] != slot_ms), len(due))
        due, new_tat_us = find_slots(effective, begin_us, now_ms, used)
        if not due:
            return SlotAssignment(next_ms=max(ready_ms, tat_us // 1000 - SLOT_HORIZON_MS))
        if not self._replace_tat(scope, tat_us, new_tat_us):
            return SlotAssignment(next_ms=now_ms)
        return self._reserve_narrow(due, requests, arrivals)

    def assign_overdue(self, scope: str, request: Sequence[str]) -> SlotAssignment:
        """Reserves the next slot of ``scope`` for a request that waited for its turn. Raises NotFound.

        It lies up to OVERDUE_HORIZON_MS ahead, where no other request reserves. None while the scope is held, or while
        a narrower scope has no slot as soon: the slots of the side before it would be lost to all.
        """
        while True:
            names, now_ms = set(request), self._session.now_ms
            effective, tat_us, held_ms, arrivals = self._read_with(scope, names)
            ready_ms = max(_ready_ms([request], arrivals, now_ms), held_ms)
            next_us = 0 if tat_us > _latest_tat_us(effective, now_ms) else tat_us
            queue_ms = min(max(0, next_us // 1000 - now_ms), OVERDUE_HORIZON_MS)
            if ready_ms > now_ms + max(queue_ms, _NARROW_LEAD_MS) or next_us > (now_ms + OVERDUE_HORIZON_MS) * 1000:
                return SlotAssignment(next_ms=max(ready_ms, next_us // 1000 - OVERDUE_HORIZON_MS))
            begin_us = max(next_us, ready_ms * 1000)
            if self._replace_tat(scope, tat_us, begin_us + interval_us(effective)):
                return self._reserve_narrow([-(-begin_us // 1000)], [request], arrivals)

    def delay_slots(self, delays_us: Mapping[str, int]) -> None:
        """Moves the slots that are free by so much (scope -> us): requests left later than their slots allowed.

        At most to a second behind ``SLOT_HORIZON_MS``: what left before that is in no window any more.
        """
        latest_us = (self._session.now_ms + SLOT_HORIZON_MS) * 1000 + _CLOCK_TOLERANCE_US
        # In one order, so that two processes do not deadlock.
        for scope, delay_us in sorted(delays_us.items()):
            self._session.rows("delay_slots", scope=scope, delay_us=delay_us, latest_us=latest_us)

    def _reserve_narrow(
        self, due: Sequence[int], requests: Sequence[Sequence[str]], arrivals: _ArrivalTimes
    ) -> SlotAssignment:
        """Assigns reserved slots of the side to requests, and reserves their slots of the narrower scopes.

        A narrower slot that another process has reserved meanwhile is left out.
        """
        while True:
            chosen, new_tats = match_requests(due, requests, arrivals)
            if all(self._replace_tat(name, arrivals[name][1], tat_us) for name, tat_us in new_tats.items()):
                left = [request for index, request in enumerate(requests) if index not in {at for at, _ in chosen}]
                after = {name: (rate, new_tats.get(name, tat_us)) for name, (rate, tat_us) in arrivals.items()}
                return SlotAssignment(chosen, _ready_ms(left, after, self._session.now_ms) if left else 0)
            arrivals = self._read(set(arrivals))

    def hold(self, scope: str, wait_ms: int) -> bool:
        """Gives out no slots of a scope for this time, which the vendor asked for; returns whether that is longer.

        Slots that are reserved stay valid: they lie at most ``SLOT_HORIZON_MS`` ahead.
        """
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"until_ms": now_ms + min(wait_ms, MAX_HOLD_MS), "latest_ms": now_ms + MAX_HOLD_MS}
        return self._session.row("hold_limit", scope=scope, **values) is not None

    def _get(self, scope: str) -> tuple[float, int, int]:
        """The effective limit, its theoretical arrival time, and until when it is held, ms; 0: it is not."""
        row = self._session.row("get_arrival_time", scope=scope)
        if row is None:
            raise NotFound(f"no limit is set for {scope}")
        return float(row[0]), int(row[1]), self._held_until_ms(row[2])

    def _read_with(self, scope: str, names: set[str]) -> tuple[float, int, int, _ArrivalTimes]:
        """What ``_get`` returns of a scope, and the arrival times of those narrower ones that bind, read together.

        One that allows as much as the scope itself does not bind: its slots would only be reserved twice, and of two
        processes that do so at once one would lose them.
        """
        rows = {row[0]: row[1:] for row in self._session.rows("get_arrival_times", scopes=sorted({*names, scope}))}
        if scope not in rows:
            raise NotFound(f"no limit is set for {scope}")
        effective, tat_us, held_ms = rows[scope]
        narrow = {name: rows[name] for name in sorted(names) if name in rows}
        binding = {name: row for name, row in narrow.items() if row[0] < effective or self._held_until_ms(row[2])}
        arrivals = self._narrow(binding)
        return float(effective), int(tat_us), self._held_until_ms(held_ms), arrivals

    def _held_until_ms(self, held_ms: int) -> int:
        """A time that lies further ahead than any hold dates from before a clock was set back."""
        now_ms = self._session.now_ms
        return held_ms if now_ms < held_ms <= now_ms + MAX_HOLD_MS else 0

    def _read(self, names: set[str]) -> _ArrivalTimes:
        rows = self._session.rows("get_arrival_times", scopes=sorted(names))
        return self._narrow({row[0]: row[1:] for row in rows})

    def _narrow(self, rows: Mapping[str, Row]) -> _ArrivalTimes:
        arrivals = {}
        for scope, (effective, tat_us, held_ms) in rows.items():
            if until_ms := self._held_until_ms(held_ms):
                # Behind every slot that is found now, so that no request gets one.
                arrivals[scope] = (effective, (until_ms + 2 * SLOT_HORIZON_MS) * 1000)
                continue
            reset = tat_us > _latest_tat_us(effective, self._session.now_ms) and self._replace_tat(scope, tat_us, 0)
            arrivals[scope] = (effective, 0 if reset else tat_us)
        return arrivals

    def _replace_tat(self, scope: str, tat_us: int, new_tat_us: int) -> bool:
        return bool(self._session.row("take_slots", scope=scope, tat_us=tat_us, new_tat_us=new_tat_us))


def interval_us(per_s: float) -> int:
    """The interval between two slots of a limit in requests a second."""
    return -(-_PERIOD_S * 1_000_000 // _per_period(per_s))


def _per_period(per_s: float) -> int:
    return max(1, round(per_s * PACE * _PERIOD_S))


def _latest_tat_us(per_s: float, now_ms: int) -> int:
    """The latest arrival time that is valid: no slot is reserved further ahead."""
    return (now_ms + SLOT_HORIZON_MS) * 1000 + interval_us(per_s) + _CLOCK_TOLERANCE_US


def find_slots(per_s: float, tat_us: int, now_ms: int, slots: int) -> tuple[list[int], int]:
    """Finds the next free slots by GCRA: (their due times in ms, the new theoretical arrival time in us)."""
    from pyrate_limiter import GCRA, Rate  # noqa: PLC0415 - of no use to a process that only receives webhooks

    rates = [Rate(_per_period(per_s), _PERIOD_S * 1000, burst=1 + SLOT_HORIZON_MS * 1000 // interval_us(per_s))]
    now_us = now_ms * 1000
    state: tuple[float, ...] = (0 if tat_us > _latest_tat_us(per_s, now_ms) else tat_us,)
    due: list[int] = []
    for _ in range(slots):
        begins_us = max(int(state[0]), now_us)
        state, decision = GCRA().step(rates, state, now_ms, 1)
        if not decision.allowed:
            break
        # Rounded up: a slot is never used before its time.
        due.append(-(-begins_us // 1000))
    return due, int(state[0])


def match_requests(
    due: Sequence[int], requests: Sequence[Sequence[str]], arrivals: Mapping[str, tuple[float, int]]
) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Assigns to each slot (ms) the first request whose narrower scopes allow that time.

    Returns [(index of the request, slot)], and scope -> new theoretical arrival time in us. Slots without such a
    request are left out.
    """
    tats = {scope: tat_us for scope, (_, tat_us) in arrivals.items()}
    changed: set[str] = set()
    chosen: list[tuple[int, int]] = []
    free = list(range(len(requests)))
    for slot_ms in due:
        for position, index in enumerate(free):
            scopes = [scope for scope in requests[index] if scope in tats]
            if all(tats[scope] - _NARROW_TOLERANCE_US <= slot_ms * 1000 for scope in scopes):
                for scope in scopes:
                    tats[scope] = max(tats[scope], slot_ms * 1000) + interval_us(arrivals[scope][0])
                changed.update(scopes)
                chosen.append((index, slot_ms))
                del free[position]
                break
    return chosen, {scope: tats[scope] for scope in arrivals if scope in changed}


def _ready_ms(requests: Sequence[Sequence[str]], arrivals: Mapping[str, tuple[float, int]], now_ms: int) -> int:
    """The first time, now or later, at which the narrower scopes allow one of the requests."""
    times = (
        max((arrivals[scope][1] // 1000 for scope in request if scope in arrivals), default=0) for request in requests
    )
    return max(now_ms, min(times, default=0))
