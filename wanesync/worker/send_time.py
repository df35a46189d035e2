"""How long the changes of a lane take to the vendor's commit, as measured lately, and which can still be in time.

The commit is taken to be half way between the request and its answer.

The order of deadlines needs it (docs/correctness.md#claims): on a busy machine a change that is claimed two seconds
before its target arrives too late, and should not go before one that does not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wanesync.core.jobs import CALL_MS, LIVE_PRIORITIES, SEND_MS, JobKind, follow_call_ms, follow_send_ms
from wanesync.sync.calls import AnyCall


@dataclass(slots=True)
class SendTime:
    """Measures write calls; all times are monotonic ms. ``ms``: what to count with now, from the claim to the commit.

    ``call_ms``: the same, from when it is given its slot, which may lie some tenths of a second ahead.
    """

    ms: int = SEND_MS
    call_ms: int = CALL_MS
    _claimed_ms: dict[int, int] = field(default_factory=dict)
    _targets_ms: dict[int, int] = field(default_factory=dict)
    _given_ms: dict[int, int] = field(default_factory=dict)
    _late: set[int] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(
        self, calls: Iterable[AnyCall], began_ms: int, *, is_first: bool, to_monotonic_ms: int = 0, target_ms: int = 0
    ) -> None:
        """Note calls whose claim began at ``began_ms``. ``is_first``: no other call of the lane is under way.

        ``to_monotonic_ms``: monotonic time less database time. ``target_ms``: within it a live change is to be done.
        """
        with self._guard:
            if is_first:
                # Those that were given up without an answer.
                self._claimed_ms.clear()
                self._targets_ms.clear()
                self._given_ms.clear()
                self._late.clear()
            for call in calls:
                self._drop(call)
                target = _target_ms(call, target_ms)
                if target is not None and target + to_monotonic_ms - self.call_ms < began_ms:
                    # It waits behind those that can be in time, so its own time says nothing.
                    self._late.add(id(call))
                    continue
                if target is not None:
                    self._targets_ms[id(call)] = target + to_monotonic_ms
                if any(job.kind is JobKind.WRITE for job in call.jobs):
                    self._claimed_ms[id(call)] = began_ms

    def split(self, calls: Sequence[AnyCall], now_ms: int) -> tuple[list[AnyCall], list[AnyCall]]:
        """Part calls that wait for slots into those to be sent and those that were claimed in vain.

        In vain: it could be in time when it was claimed and no longer can. Claimed once more it is sent in its turn.
        """
        with self._guard:
            last_ms = now_ms + self.call_ms
            late = {id(call) for call in calls if self._targets_ms.get(id(call), last_ms) < last_ms}
        return [call for call in calls if id(call) not in late], [call for call in calls if id(call) in late]

    def was_late(self, call: AnyCall) -> bool:
        """Whether a live change could not be in time any more when it was claimed."""
        with self._guard:
            return id(call) in self._late

    def hand_out(self, calls: Iterable[AnyCall], now_ms: int) -> None:
        """Note that calls are given their slots now."""
        with self._guard:
            for call in calls:
                if id(call) in self._claimed_ms:
                    self._given_ms[id(call)] = now_ms

    def forget(self, call: AnyCall) -> None:
        """Forget a call that will not be sent, or whose time says nothing."""
        with self._guard:
            self._drop(call)

    def give_up(self, call: AnyCall, now_ms: int) -> None:
        """Take the time of a call that was claimed in vain: it would have taken longer."""
        with self._guard:
            claimed_ms, _ = self._drop(call)
            if claimed_ms is not None:
                self.ms = follow_send_ms(self.ms, now_ms + self.call_ms - claimed_ms)

    def end(self, call: AnyCall, slot_ms: int, now_ms: int) -> None:
        """Take the time of a call that is answered. ``slot_ms``: when its slot was due."""
        with self._guard:
            claimed_ms, given_ms = self._drop(call)
            if claimed_ms is not None:
                commit_ms = (slot_ms + now_ms) // 2
                self.ms = follow_send_ms(self.ms, commit_ms - claimed_ms)
                self.call_ms = follow_call_ms(self.call_ms, commit_ms - (slot_ms if given_ms is None else given_ms))

    def _drop(self, call: AnyCall) -> tuple[int | None, int | None]:
        """Forget a call; return when it was claimed and when it was given its slot. The guard is held."""
        self._late.discard(id(call))
        self._targets_ms.pop(id(call), None)
        return self._claimed_ms.pop(id(call), None), self._given_ms.pop(id(call), None)


def _target_ms(call: AnyCall, target_ms: int) -> int | None:
    """Return when a single live change is to be done, in database time."""
    if len(call.jobs) != 1 or call.jobs[0].kind is not JobKind.WRITE or call.jobs[0].priority not in LIVE_PRIORITIES:
        return None
    return call.jobs[0].arrived_ms + target_ms
