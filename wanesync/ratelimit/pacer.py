"""Rate slots: times at which one request may leave, reserved in store rows that all processes share.

Slots are stored in database time. Here they are converted to the monotonic time of this process, so that a wall clock
that is set back or forward neither delays a request nor lets too many through (docs/correctness.md#rate-slots).
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import SidePaused
from wanesync.core.rate_limits import OUTSIDE_TURN, SlotRequest, turn_ms
from wanesync.ratelimit.budget import Budget
from wanesync.store.tables.rates import OVERDUE_HORIZON_MS, SLOT_HORIZON_MS, SlotAssignment, interval_us

if TYPE_CHECKING:
    from wanesync.core.errors import CallError
    from wanesync.core.model import Side
    from wanesync.store.clock import Clock
    from wanesync.store.database import Store

MAX_SLOT_DELAY_MS = 20
"""A slot used later than this is forfeited: the request would crowd a second that is full (our choice)."""
WINDOW_MS = 1_000
"""Both vendors count requests by the second."""
MAX_NETWORK_JITTER_MS = 40
"""How much closer two requests may come together on their way to the vendor: slots lie at 0.96 of the limit, so one
window of 1,000 requests leaves 40 ms."""
REFRESH_INTERVAL_MS = 1_000
"""Age at which ``wait_for_slot`` refreshes the limits, as often as a worker's heartbeat does."""
QUOTA_POLL_MS = 1_000
"""How often a request that waits for a quota looks whether there is one again."""
MAX_SLOT_POLL_MS = 50
"""How long a request waits at most before it tries to reserve a slot again: the limit may be higher by then."""
WAIT_REPORT_MS = 30_000
"""How often a listing that waits for a quota, or for a turn of each slot, says so (our choice)."""
WAIT_SHOWN_MS = 5_000
"""How long after its last look at a quota, or at its turn, a listing counts as one that waits (our choice): it looks
every second, or once in each turn."""
ANY_REQUEST = SlotRequest()

log = structlog.get_logger()


def _allow() -> None:
    """Allow a call outside the job table, which no lease limits."""


@dataclass(slots=True)
class Pacer:
    """The slots of one side and its narrower scopes, and the requests of this process that left in the last second.

    Thread-safe; all times are monotonic ms of this process. ``budget``: this process's view of the limits.
    """

    store: Store
    clock: Clock
    side: Side
    budget: Budget = field(init=False)
    _departures: dict[str, deque[int]] = field(default_factory=dict)
    _owed_us: Counter[str] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _request: threading.local = field(default_factory=threading.local)
    _refreshed_at_ms: int | None = None
    _slot_given_ms: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _reported_wait_ms: int | None = None
    _wait: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        """Begin with an empty view of the limits."""
        self.budget = Budget(self.store, self.side, monotonic_ms=self.clock.monotonic_ms)

    def refresh(self) -> None:
        """Refresh the limits. Raises ``DatabaseUnavailable``."""
        self.budget.refresh()
        self._refreshed_at_ms = self.clock.monotonic_ms()

    def reserve_slot(self) -> int | None:
        """Reserve the next slot for a request that falls under no narrower scope; None if none is due soon."""
        self._delay_slots()
        slots = self.store.reserve(self.side, 1)
        return self._to_monotonic_ms(slots[0]) if slots else None

    def assign_slots(self, requests: Sequence[SlotRequest], room: int) -> SlotAssignment:
        """Reserve slots for up to ``room`` requests, the first ones first.

        A request whose narrower scope has no slot now is passed over; see ``next_ms`` for when to try it again.
        """
        self._delay_slots()
        given = self.store.assign(self.side, [self.limited_scopes(request) for request in requests], room)
        slots = [(index, self._to_monotonic_ms(slot_ms)) for index, slot_ms in given.slots]
        return SlotAssignment(slots, given.next_ms + self._database_to_monotonic_ms() if given.next_ms else 0)

    def limited_scopes(self, request: SlotRequest) -> tuple[str, ...]:
        """Return the narrower scopes a request falls under, as far as they have a limit."""
        return tuple(scope for scope in request.scopes(self.side) if scope in self.budget.limits)

    def announce(self, slot_ms: int, request: SlotRequest = ANY_REQUEST, check: Callable[[], None] = _allow) -> None:
        """Announce this thread's next request and its slot. ``check`` raises if it may not be sent any more."""
        local = self._request
        local.slot_ms, local.request, local.check, local.has_left = slot_ms, request, check, False
        local.is_outside = False

    @property
    def waits_for(self) -> str:
        """What listings of this process wait for: a quota, or a turn of each slot; "" for nothing."""
        wait = self._wait
        if wait is None:
            return ""
        shown_ms = max(WAIT_SHOWN_MS, 2 * turn_ms(self.budget.limits.get(str(self.side))))
        return wait[1] if self.clock.monotonic_ms() - wait[0] <= shown_ms else ""

    @property
    def has_left(self) -> bool:
        """Whether a request of this thread left since the last ``announce``."""
        return getattr(self._request, "has_left", False)

    @property
    def operation(self) -> str:
        """The operation of this thread's newest request, "" if none was announced."""
        request: SlotRequest = getattr(self._request, "request", ANY_REQUEST)
        return request.operation

    def pass_gate(self) -> None:
        """Run right before a request's bytes leave: wait for this thread's slot, or for another one if it was missed.

        Raises what the request's ``check`` raises, and ``DatabaseUnavailable`` if no other slot can be reserved.
        """
        slot_ms: int | None = getattr(self._request, "slot_ms", None)
        request: SlotRequest = getattr(self._request, "request", ANY_REQUEST)
        check: Callable[[], None] = getattr(self._request, "check", _allow)
        self._request.slot_ms = self._request.used_ms = None
        while True:
            if slot_ms is None:
                slot_ms = self._next_slot(request)
            leave_ms = slot_ms
            while leave_ms <= slot_ms + MAX_SLOT_DELAY_MS:
                self.clock.sleep_until(leave_ms)
                # However long the wait took: a process that was stopped for longer than its lease must not send.
                check()
                leave_ms = self._depart(request, slot_ms + MAX_SLOT_DELAY_MS)
                if not leave_ms:
                    self._request.has_left, self._request.used_ms = True, slot_ms
                    self.budget.count(request)
                    return
            slot_ms = None

    def note_sent(self) -> None:
        """Note that the bytes of this thread's request have left: on a busy machine, some time after the gate.

        The last second is counted from then on. One that left later than the jitter that the pace allows for crowds
        the second that follows, whose slots are other processes', too: free slots move by as much as it was late, at
        most by one interval.
        """
        now_ms, slot_ms = self.clock.monotonic_ms(), getattr(self._request, "used_ms", None)
        passed_ms: int = getattr(self._request, "passed_ms", now_ms)
        if slot_ms is None or now_ms == passed_ms:
            return
        self._request.used_ms = None
        request: SlotRequest = getattr(self._request, "request", ANY_REQUEST)
        late_us = (now_ms - slot_ms) * 1000 if now_ms > slot_ms + MAX_NETWORK_JITTER_MS else 0
        with self._guard:
            for scope in (str(self.side), *self.limited_scopes(request)):
                departures, limit = self._departures.get(scope), self.budget.limits.get(scope)
                if departures and passed_ms in departures:
                    departures.remove(passed_ms)
                    departures.append(now_ms)
                if late_us and limit is not None:
                    self._owed_us[scope] += min(late_us, interval_us(limit.effective))

    def _delay_slots(self) -> None:
        with self._guard:
            owed_us, self._owed_us = self._owed_us, Counter()
        if not owed_us:
            return
        try:
            self.store.delay_slots(owed_us)
        except BaseException:
            with self._guard:
                self._owed_us.update(owed_us)
            raise

    def wait_for_slot(self, request: SlotRequest = ANY_REQUEST) -> None:
        """Wait for the slot of a call outside the job table; bulk work waits for a quota that is used up, too.

        Raises ``SidePaused`` while an operator's pause stops the side, and ``DatabaseUnavailable``.
        """
        began_ms = self.clock.monotonic_ms()
        slot_ms: int | None = None
        while slot_ms is None:
            self._wait_for_quota(request)
            slot_ms = self._try_slot(request, began_ms, has_turn=True)
        self.clock.sleep_until(slot_ms)
        self.announce(slot_ms, request)
        self._request.is_outside = True

    def _wait_for_quota(self, request: SlotRequest) -> None:
        refreshed_ms = self._refreshed_at_ms
        if refreshed_ms is None or self.clock.monotonic_ms() - refreshed_ms >= REFRESH_INTERVAL_MS:
            self.refresh()
        while not self.budget.is_paused and (obstacle := self.budget.find_obstacle(request)):
            self._report_wait("bulk requests wait for a quota", reason=obstacle)
            self.clock.sleep_until(self.clock.monotonic_ms() + QUOTA_POLL_MS)
            self.refresh()
        if self.budget.is_paused:
            raise SidePaused(self.side)

    def _try_slot(self, request: SlotRequest, began_ms: int, *, has_turn: bool) -> int | None:
        """Return a slot for a call that waits since ``began_ms``; None after a little wait.

        ``has_turn``: a call outside the job table. Jobs reserve slots faster: after ``OUTSIDE_TURN`` intervals without
        a slot for such a call it is its turn.
        """
        given = self.assign_slots([request], 1)
        if has_turn and not given.slots and self._is_overdue(began_ms) and self._turn.acquire(blocking=False):
            try:
                # Another thread may have had its turn just before.
                given = self._assign_overdue(request) if self._is_overdue(began_ms) else given
            finally:
                self._turn.release()
        if given.slots:
            if has_turn:
                self._slot_given_ms = self.clock.monotonic_ms()
            return given.slots[0][1]
        self._sleep_before(given.next_ms)
        return None

    def _is_overdue(self, began_ms: int) -> bool:
        limit = self.budget.limits.get(str(self.side))
        return self.clock.monotonic_ms() - max(began_ms, self._slot_given_ms) >= turn_ms(limit)

    def _assign_overdue(self, request: SlotRequest) -> SlotAssignment:
        if request.bulk:
            reason = f"jobs use nearly every request of the limit; a listing gets at least one in {OUTSIDE_TURN}"
            self._report_wait("bulk requests wait for others", reason=reason)
        self._delay_slots()
        given = self.store.assign_overdue(self.side, self.limited_scopes(request))
        slots = [(index, self._to_monotonic_ms(slot_ms, OVERDUE_HORIZON_MS)) for index, slot_ms in given.slots]
        if slots:
            # Before another thread looks whether it is its turn.
            self._slot_given_ms = self.clock.monotonic_ms()
        return SlotAssignment(slots, given.next_ms + self._database_to_monotonic_ms())

    def _report_wait(self, event: str, *, reason: str) -> None:
        now_ms = self.clock.monotonic_ms()
        self._wait = now_ms, reason
        if self._reported_wait_ms is None or now_ms - self._reported_wait_ms >= WAIT_REPORT_MS:
            self._reported_wait_ms = now_ms
            log.info(event, side=str(self.side), reason=reason)

    def apply_refusal(self, error: CallError, operation: str) -> None:
        """Lower the limit that a refused call outside the job table names, if it was refused for its rate."""
        self.budget.apply_refusal(error, operation)

    def _next_slot(self, request: SlotRequest) -> int:
        began_ms, slot_ms = self.clock.monotonic_ms(), None
        while slot_ms is None:
            slot_ms = self._try_slot(request, began_ms, has_turn=getattr(self._request, "is_outside", False))
        return slot_ms

    def _sleep_before(self, next_ms: int) -> None:
        """Wait before the next attempt to reserve a slot: until a time, at most for a little."""
        poll_ms = self.clock.monotonic_ms() + MAX_SLOT_POLL_MS
        self.clock.sleep_until(poll_ms if next_ms <= poll_ms - MAX_SLOT_POLL_MS else min(next_ms, poll_ms))

    def _depart(self, request: SlotRequest, until_ms: int) -> int:
        """Let one more request leave now and return 0, else the time of the next attempt.

        That is after ``until_ms`` if it is too late for the slot.

        After a stall of the machine, slots of a moment ago must not pile up. Requests are counted over a little more
        than a second, because they may come closer together on their way.
        """
        now_ms = self.clock.monotonic_ms()
        if now_ms > until_ms:
            return until_ms + 1
        with self._guard:
            limits = [
                (scope, self.budget.limits.get(scope)) for scope in (str(self.side), *self.limited_scopes(request))
            ]
            for scope, limit in limits:
                departures = self._departures.setdefault(scope, deque())
                while departures and departures[0] <= now_ms - WINDOW_MS - MAX_NETWORK_JITTER_MS:
                    departures.popleft()
                most = max(1, int(limit.effective)) if limit is not None else len(departures) + 1
                if len(departures) >= most:
                    # As many leave the window first as there are too many in it.
                    return departures[len(departures) - most] + WINDOW_MS + MAX_NETWORK_JITTER_MS
            for scope, _ in limits:
                self._departures[scope].append(now_ms)
            self._request.passed_ms = now_ms
            return 0

    def _to_monotonic_ms(self, slot_ms: int, horizon_ms: int = SLOT_HORIZON_MS) -> int:
        """Return a slot in monotonic time, at most as far ahead as one is reserved.

        The clock may have been set since the store gave the slot: the thread would sleep for as long as it was wrong.
        """
        latest_ms = self.clock.monotonic_ms() + horizon_ms
        return min(slot_ms + self._database_to_monotonic_ms(), latest_ms)

    def _database_to_monotonic_ms(self) -> int:
        """Return what to add to a time of the database to have it in monotonic time."""
        return self.clock.monotonic_ms() - self.clock.now_ms()
