"""Rate slots: times at which one request may leave, reserved on a store row that all processes share."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Slots of one scope."""

    store: Store
    clock: Clock
    scope: str

    def take(self, wanted: int) -> list[int]:
        """Up to ``wanted`` slots of the next moment, in one reservation."""
        return self.store.reserve(self.scope, wanted) if wanted > 0 else []

    def wait(self) -> None:
        """Wait for one slot (for calls outside the job table: listings, catch-up, further requests of one call)."""
        while True:
            slots = self.take(1)
            if slots:
                self.clock.sleep_until(slots[0])
                return
            self.clock.sleep_until(self.clock.now_ms() + 50)
