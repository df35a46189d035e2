"""The calls a process has claimed and not settled, and whether it may claim more (docs/correctness.md#poison).

A suspect is a job whose process died with it twice in a row. It is the only job its process runs: it is claimed when
nothing else is in flight, and nothing else is claimed until it is settled.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wanesync.core.model import Side
from wanesync.sync.calls import AnyCall


class InFlight:
    """The calls in flight; shared by the lanes, the threads that call, and the committer of one process."""

    def __init__(self) -> None:
        self._calls: dict[int, AnyCall] = {}
        self._suspects: set[Side] = set()
        self._claiming: set[Side] = set()
        self._alone = False
        self._guard = threading.Lock()

    def note_next(self, side: Side, *, suspect: bool) -> None:
        """Note whether the most urgent job of a lane is a suspect."""
        with self._guard:
            if suspect:
                self._suspects.add(side)
            else:
                self._suspects.discard(side)

    def begin_claim(self, side: Side) -> bool:
        """Return whether a lane may claim now; if so, ``end_claim`` must follow."""
        with self._guard:
            busy = bool(self._calls or self._claiming)
            self._alone = self._alone and busy
            if self._alone or (self._suspects and (busy or side not in self._suspects)):
                return False
            self._alone = side in self._suspects
            self._claiming.add(side)
            return True

    def end_claim(self, side: Side, calls: Iterable[AnyCall] = ()) -> None:
        """End a claim; ``calls``: the calls it led to."""
        with self._guard:
            self._claiming.discard(side)
            self._calls |= {id(call): call for call in calls}

    def settle(self, calls: Iterable[AnyCall], follow_ups: Iterable[AnyCall] = ()) -> None:
        """Remove calls that are committed or given up; ``follow_ups`` are further calls for the same jobs."""
        with self._guard:
            self._calls |= {id(call): call for call in follow_ups}
            for call in calls:
                self._calls.pop(id(call), None)

    @property
    def alone(self) -> bool:
        """Whether the last claim was of a suspect."""
        with self._guard:
            return self._alone

    @contextmanager
    def no_claims(self) -> Iterator[set[str] | None]:
        """Keep lanes from claiming inside the context; yields the ids of all jobs in flight, None during a claim."""
        with self._guard:
            if self._claiming:
                yield None
            else:
                yield {job.id for call in self._calls.values() for job in call.jobs}
