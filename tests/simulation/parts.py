"""The moving parts of a simulated installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wanesync.engine.context import Call
from wanesync.engine.worker import Worker

START_MS = 1_800_000_000_000


@dataclass(slots=True)
class Clock:
    """Virtual time."""

    now: int = START_MS

    def now_ms(self) -> int:
        """The time."""
        return self.now

    def sleep_until(self, at_ms: float) -> None:
        """Nobody sleeps here."""
        raise AssertionError("a simulated process slept")


@dataclass(slots=True)
class Process:
    """One worker process. ``paused_until``: it stands still until then."""

    worker: Worker
    paused_until: int = 0
    next_beat: int = 0


@dataclass(slots=True)
class Flight:
    """A call on its way: claimed, checked (its lease held a moment ago), sending, answered."""

    process: Process
    call: Call
    state: str = "claimed"
    answer: object = None


@dataclass(slots=True)
class Gate:
    """Stands in for a pacer: while a listing waits for its slot, other things happen."""

    meanwhile: Callable[[], None]

    def wait(self) -> None:
        """A slot is due."""
        self.meanwhile()
