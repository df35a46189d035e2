"""Rate slots: times at which one request may leave, reserved on store rows that all processes share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wanesync.core.errors import CallError
from wanesync.core.model import Side
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.budget import Budget
from wanesync.store.clock import Clock
from wanesync.store.database import Store
from wanesync.store.tables.rates import SLOT_HORIZON_MS, SlotAssignment

LATE_MS = 20
LOOK_MS = 1_000
SECOND_MS = 1_000
JITTER_MS = 45
"""What a request may be held up between this process and the other side's door, more than the one before it."""
SHUT_MS = 1_000
LOST_MS = SLOT_HORIZON_MS + SECOND_MS
"""No slot is so far ahead: it is from before a clock was set back, and nobody waits for it."""
CROWD_BREATHS_MS = (50, 200)
"""Between two looks for slots in a crowd: longer where there were few."""
FEW = 6
PLAIN = SlotRequest()


def _pass() -> None:
    """A call outside the job table may always be made."""


@dataclass(slots=True)
class Pacer:
    """Slots of one side and its narrower scopes, and this process's requests that really left in the last second."""

    store: Store
    clock: Clock
    side: Side
    budget: Budget = field(init=False)
    _left: dict[str, deque[int]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _armed: threading.local = field(default_factory=threading.local)
    _breath_ms: int = CROWD_BREATHS_MS[0]

    def __post_init__(self) -> None:
        """Its own view of the limits."""
        self.budget = Budget(self.store, self.side)

    def take(self, wanted: int) -> list[int]:
        """Up to ``wanted`` slots of the next moment for what falls under no narrower scope, in one reservation."""
        return self.store.reserve(self.side, wanted) if wanted > 0 else []

    def assign(self, wants: Sequence[SlotRequest], room: int) -> SlotAssignment:
        """Slots for up to ``room`` of the wants; one whose narrower scope has none now is passed over."""
        return self.store.assign(self.side, [self.narrow(want) for want in wants], room)

    def narrow(self, want: SlotRequest) -> tuple[str, ...]:
        """The narrower scopes with a limit that a request falls under."""
        return tuple(scope for scope in want.scopes(self.side) if scope in self.budget.limits)

    def breathe_ms(self, handed_out: int) -> int:
        """What to wait in a crowd after so many slots were handed out: the fewer there were, the longer.

        They are handed out ahead of time, and several cost as much as one.
        """
        (least_ms, most_ms), breath_ms = CROWD_BREATHS_MS, self._breath_ms
        self._breath_ms = min(most_ms, breath_ms * 2) if handed_out < FEW else max(least_ms, breath_ms // 2)
        return self._breath_ms

    def arm(self, slot_ms: int, want: SlotRequest = PLAIN, check: Callable[[], None] = _pass) -> None:
        """The slot of this thread's next request, and what it is; ``check`` raises when it may not be made any more."""
        self._armed.slot_ms, self._armed.want, self._armed.check, self._armed.left = slot_ms, want, check, False

    @property
    def has_left(self) -> bool:
        """Whether a request of this thread passed the gate since it was armed."""
        return getattr(self._armed, "left", False)

    def pass_gate(self) -> None:
        """Right before a request's bytes leave: wait for this thread's slot; one that was missed is forfeited.

        Raises what its check raises, and ``DatabaseUnavailable`` when there is nobody to give it another slot.
        """
        slot_ms: int | None = getattr(self._armed, "slot_ms", None)
        want: SlotRequest = getattr(self._armed, "want", PLAIN)
        check: Callable[[], None] = getattr(self._armed, "check", _pass)
        self._armed.slot_ms = None
        while True:
            if slot_ms is None:
                slot_ms = self._next_slot(want)
            leave_ms = slot_ms
            while leave_ms <= min(slot_ms + LATE_MS, self.clock.now_ms() + LOST_MS):
                self.clock.sleep_until(leave_ms)
                # However long that took: whoever stood still past the lease must not send.
                check()
                leave_ms = self._depart(want, slot_ms + LATE_MS)
                if not leave_ms:
                    self._armed.left = True
                    self.budget.count(want)
                    return
            slot_ms = None

    def wait(self, want: SlotRequest = PLAIN) -> None:
        """Wait for the slot of a call outside the job table; bulk work waits for a quota that is used up, too."""
        if not 0 <= self.clock.now_ms() - self.budget.refreshed_ms < LOOK_MS:
            self.budget.refresh()
        while self.budget.find_obstacle(want):
            self.clock.sleep_until(self.clock.now_ms() + SHUT_MS)
            self.budget.refresh()
        slot_ms = self._next_slot(want)
        self.clock.sleep_until(slot_ms)
        self.arm(slot_ms, want)

    def heed(self, error: CallError, operation: str) -> None:
        """A call outside the job table failed: a refusal for its rate lowers the limit it names."""
        self.budget.apply_refusal(error, operation)

    def _next_slot(self, want: SlotRequest) -> int:
        while True:
            given = self.assign([want], 1)
            if given.slots:
                return given.slots[0][1]
            now_ms = self.clock.now_ms()
            self.clock.sleep_until(now_ms + 50 if given.next_ms <= now_ms else min(given.next_ms, now_ms + 50))

    def _depart(self, want: SlotRequest, until_ms: int) -> int:
        """0: one more leaves now; else when to ask again, which is later than ``until_ms`` where that is too late.

        After a stall of the machine, slots of a moment ago must not pile up. Counted over a little more than
        a second, because requests come closer together on their way.
        """
        now_ms = self.clock.now_ms()
        if now_ms > until_ms:
            return until_ms + 1
        with self._guard:
            limits = [(scope, self.budget.limits.get(scope)) for scope in (str(self.side), *self.narrow(want))]
            for scope, limit in limits:
                left = self._left.setdefault(scope, deque())
                if left and left[-1] > now_ms + LATE_MS:
                    # A clock was set back since. They may have left just now: the second they count in begins anew.
                    self._left[scope] = left = deque(min(at_ms, now_ms) for at_ms in left)
                while left and left[0] <= now_ms - SECOND_MS - JITTER_MS:
                    left.popleft()
                most = max(1, int(limit.effective)) if limit is not None else len(left) + 1
                if len(left) >= most:
                    # As many leave the window first as there are too many in it.
                    return left[len(left) - most] + SECOND_MS + JITTER_MS
            for scope, _ in limits:
                self._left[scope].append(now_ms)
            return 0
