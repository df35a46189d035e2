"""Rate slots: times at which one request may leave, reserved on a store row that all processes share."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from wanesync.store.store import Store

LATE_MS = 20


class Clock(Protocol):
    """Time and waiting, so that a simulator can own both."""

    def now_ms(self) -> int:
        """Wall clock in ms."""
        ...

    def sleep_until(self, at_ms: float) -> None:
        """Wait until a time."""
        ...


@dataclass(slots=True)
class Pacer:
    """Slots of one scope, taken a few at a time."""

    store: Store
    clock: Clock
    scope: str
    slots: deque[int] = field(default_factory=deque)

    def take(self, wanted: int, horizon_ms: int) -> list[int]:
        """Up to ``wanted`` slots due within ``horizon_ms``; those used too late are forfeited."""
        now_ms = self.clock.now_ms()
        while self.slots and self.slots[0] < now_ms - LATE_MS:
            self.slots.popleft()
        missing = wanted - len(self.slots)
        if missing > 0 and (not self.slots or self.slots[-1] <= now_ms + horizon_ms):
            self.slots.extend(self.store.reserve(self.scope, missing))
        due: list[int] = []
        while self.slots and len(due) < wanted and self.slots[0] <= now_ms + horizon_ms:
            due.append(self.slots.popleft())
        return due

    def give_back(self, slots: list[int]) -> None:
        """Slots not used: the next call may still make it in time."""
        self.slots.extendleft(reversed(slots))

    def next_ms(self) -> float:
        """When the next slot in hand is due; infinity when there is none."""
        return self.slots[0] if self.slots else math.inf

    def wait(self) -> None:
        """Wait for one slot (for calls outside the job table: listings, catch-up, probes)."""
        while True:
            slots = self.store.reserve(self.scope, 1)
            if slots:
                self.clock.sleep_until(slots[0])
                return
            self.clock.sleep_until(self.clock.now_ms() + 50)
