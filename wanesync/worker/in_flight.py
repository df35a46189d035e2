"""Custody: the calls a process has claimed and not settled, and whether it may claim more (CORRECTNESS section 7).

A job whose processes died with it twice is the only one its process runs: it is let in when nothing
else is open, and nothing else is let in until it is settled.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wanesync.core.model import Side
from wanesync.sync.calls import AnyCall


class InFlight:
    """Shared by the lanes, the callers and the committer of one process."""

    def __init__(self) -> None:
        self._calls: dict[int, AnyCall] = {}
        self._suspects: set[Side] = set()
        self._claiming: set[Side] = set()
        self._alone = False
        self._guard = threading.Lock()

    def see(self, side: Side, *, suspect: bool) -> None:
        """Whether the most urgent job of a lane is a suspect."""
        with self._guard:
            if suspect:
                self._suspects.add(side)
            else:
                self._suspects.discard(side)

    def enter(self, side: Side) -> bool:
        """Whether a lane may claim now; then ``leave`` must follow."""
        with self._guard:
            busy = bool(self._calls or self._claiming)
            self._alone = self._alone and busy
            if self._alone or (self._suspects and (busy or side not in self._suspects)):
                return False
            self._alone = side in self._suspects
            self._claiming.add(side)
            return True

    def leave(self, side: Side, calls: Iterable[AnyCall] = ()) -> None:
        """A lane has claimed, and this came of it."""
        with self._guard:
            self._claiming.discard(side)
            self._calls |= {id(call): call for call in calls}

    def settle(self, calls: Iterable[AnyCall], follow_ups: Iterable[AnyCall] = ()) -> None:
        """Calls are committed or given up; others may follow for the same jobs."""
        with self._guard:
            self._calls |= {id(call): call for call in follow_ups}
            for call in calls:
                self._calls.pop(id(call), None)

    @property
    def alone(self) -> bool:
        """Whether what was let in last is a suspect."""
        with self._guard:
            return self._alone

    @contextmanager
    def standstill(self) -> Iterator[set[str] | None]:
        """While it lasts nobody claims: the ids of all jobs in hand; None if somebody is just claiming."""
        with self._guard:
            if self._claiming:
                yield None
            else:
                yield {job.id for call in self._calls.values() for job in call.jobs}
