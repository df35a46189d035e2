"""The moving parts of a simulated installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wanesync.core.errors import CallError
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.budget import Budget
from wanesync.sync.calls import AnyCall
from wanesync.worker.worker import Worker

START_MS = 1_800_000_000_000


@dataclass(slots=True)
class Clock:
    """Virtual time in ms, shared by all processes. ``jump_ms``: how far the computer's clock is off."""

    now: int = START_MS
    jump_ms: int = 0

    def wall_ms(self) -> int:
        """What the computer takes for the time: the processes and the database."""
        return self.now + self.jump_ms

    def now_ms(self) -> int:
        """The time."""
        return self.now

    def monotonic_ms(self) -> int:
        """Virtual time: it never goes back."""
        return self.now

    def sleep_until(self, at_ms: float) -> None:
        """Fail: a simulated process must not sleep."""
        raise AssertionError("a simulated process slept")


@dataclass(slots=True)
class LocalClock:
    """The clock of one process, which may be wrong."""

    true: Clock
    offset_ms: int = 0

    def now_ms(self) -> int:
        """What it takes for the time."""
        return self.true.wall_ms() + self.offset_ms

    def monotonic_ms(self) -> int:
        """Virtual time: an offset of the wall clock does not matter."""
        return self.true.now

    def sleep_until(self, at_ms: float) -> None:
        """Fail: a simulated process must not sleep."""
        raise AssertionError("a simulated process slept")


@dataclass(slots=True)
class Process:
    """One worker process. ``paused_until``: it stands still until then."""

    worker: Worker
    local: LocalClock
    paused_until: int = 0
    next_beat: int = 0


@dataclass(slots=True)
class Flight:
    """A call on its way: claimed, checked (its lease held a moment ago), sending, answered.

    ``quiet``: it was claimed while writes were off. ``not_before_ms``: its answer could not be committed.
    """

    process: Process
    call: AnyCall
    state: str = "claimed"
    answer: object = None
    quiet: bool = False
    not_before_ms: int = 0

    def stale(self, now_ms: int) -> bool:
        """Whether its process lost its lease since."""
        return (
            now_ms + self.process.local.true.jump_ms + self.process.local.offset_ms >= self.process.worker.lease.ends_ms
        )


@dataclass(slots=True)
class Gate:
    """Stands in for a pacer: while a listing waits for its slot, other things happen; refusals count as ever."""

    budget: Budget
    meanwhile: Callable[[], None]

    def wait_for_slot(self, _want: SlotRequest) -> None:
        """A slot is due."""
        self.meanwhile()

    def apply_refusal(self, error: CallError, operation: str) -> None:
        """A call was refused."""
        self.budget.apply_refusal(error, operation)
