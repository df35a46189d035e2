"""Wakes the threads that wait for work in this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class Watch:
    """How many rings one waiting thread has heard: one it has not heard ends its next wait at once."""

    heard: int = 0


class Bell:
    """A counter that can be waited for: no ring is lost between looking for work and waiting."""

    def __init__(self) -> None:
        self._rings = 1
        self._changed = threading.Condition()

    def ring(self) -> None:
        """Wakes everyone."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, watch: Watch, timeout_s: float) -> bool:
        """Whether it rang since ``watch`` last heard it, within the time-out."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings != watch.heard, timeout_s)
            rang = self._rings != watch.heard
            watch.heard = self._rings
            return rang
