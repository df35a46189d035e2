"""Rate slots: times at which one request may leave, reserved on a store row that all processes share."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from wanesync.store.store import Store

LATE_MS = 20
LOOK_MS = 2_000
SECOND_MS = 1_000


class Clock(Protocol):
    """Time and waiting, so that a simulator can own both."""

    def now_ms(self) -> int:
        """Wall clock in ms."""
        ...

    def sleep_until(self, at_ms: float) -> None:
        """Wait until a time."""
        ...


class WallClock:
    """Real time."""

    def now_ms(self) -> int:
        """Wall clock in ms."""
        return time.time_ns() // 1_000_000

    def sleep_until(self, at_ms: float) -> None:
        """Sleep until a time."""
        delay = at_ms / 1000 - time.time()
        if delay > 0:
            time.sleep(delay)


@dataclass(slots=True)
class Pacer:
    """Slots of one scope, and the requests of this process that really left in the last second."""

    store: Store
    clock: Clock
    scope: str
    _left: deque[int] = field(default_factory=deque)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _limit: float = math.inf
    _looked_ms: int = 0
    _armed: threading.local = field(default_factory=threading.local)

    def take(self, wanted: int) -> list[int]:
        """Up to ``wanted`` slots of the next moment, in one reservation."""
        return self.store.reserve(self.scope, wanted) if wanted > 0 else []

    def arm(self, slot_ms: int) -> None:
        """The slot of this thread's next request."""
        self._armed.slot_ms = slot_ms

    def pass_gate(self) -> None:
        """Right before a request's bytes leave: wait for this thread's slot; one that was missed is forfeited."""
        slot_ms: int | None = getattr(self._armed, "slot_ms", None)
        self._armed.slot_ms = None
        while True:
            if slot_ms is None:
                slot_ms = self._next_slot()
            self.clock.sleep_until(slot_ms)
            if self.clock.now_ms() <= slot_ms + LATE_MS and self._depart():
                return
            slot_ms = None

    def wait(self) -> None:
        """Wait for the slot of a call outside the job table, or of a further request of one call."""
        slot_ms = self._next_slot()
        self.clock.sleep_until(slot_ms)
        self.arm(slot_ms)

    def _next_slot(self) -> int:
        while True:
            slots = self.take(1)
            if slots:
                return slots[0]
            self.clock.sleep_until(self.clock.now_ms() + 50)

    def _depart(self) -> bool:
        """Whether one more may leave now: after a stall of the machine, slots of a moment ago must not pile up."""
        now_ms = self.clock.now_ms()
        with self._guard:
            if now_ms - self._looked_ms > LOOK_MS:
                self._looked_ms = now_ms
                with self.store.reading() as tx:
                    self._limit = tx.rates.limits().get(self.scope, (math.inf, math.inf))[1]
            while self._left and self._left[0] <= now_ms - SECOND_MS:
                self._left.popleft()
            if len(self._left) + 1 > self._limit:
                return False
            self._left.append(now_ms)
            return True
