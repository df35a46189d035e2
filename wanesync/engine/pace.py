"""Rate slots: times at which one request may leave, reserved on a store row that all processes share."""

from __future__ import annotations

import math
import threading
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

    def take(self, wanted: int) -> list[int]:
        """Up to ``wanted`` slots of the next moment, in one reservation."""
        return self.store.reserve(self.scope, wanted) if wanted > 0 else []

    def depart(self) -> bool:
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

    def wait(self) -> None:
        """Wait for one slot (for calls outside the job table: listings, catch-up, further requests of one call)."""
        while True:
            slots = self.take(1)
            if slots:
                self.clock.sleep_until(slots[0])
                return
            self.clock.sleep_until(self.clock.now_ms() + 50)
