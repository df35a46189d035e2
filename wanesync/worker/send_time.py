"""How long the changes of a lane take from their claim to the vendor's answer, as measured lately.

The order of deadlines needs it (docs/correctness.md#claims): on a busy machine a change that is claimed two seconds
before its target arrives too late, and should not go before one that does not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from wanesync.core.jobs import SEND_MS, JobKind, follow_send_ms
from wanesync.sync.calls import AnyCall


@dataclass(slots=True)
class SendTime:
    """Measures write calls; all times are monotonic ms. ``ms``: what to count with now."""

    ms: int = SEND_MS
    _claimed_ms: dict[int, int] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, calls: Iterable[AnyCall], now_ms: int, *, is_first: bool) -> None:
        """Note calls that were claimed now. ``is_first``: no other call of the lane is under way."""
        with self._guard:
            if is_first:
                # Those that were given up without an answer.
                self._claimed_ms.clear()
            for call in calls:
                if any(job.kind is JobKind.WRITE for job in call.jobs):
                    self._claimed_ms[id(call)] = now_ms

    def end(self, call: AnyCall, now_ms: int) -> None:
        """Take the time of a call that is answered."""
        with self._guard:
            claimed_ms = self._claimed_ms.pop(id(call), None)
            if claimed_ms is not None:
                self.ms = follow_send_ms(self.ms, now_ms - claimed_ms)
