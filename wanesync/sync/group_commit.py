"""Group commit of webhooks: those that arrive while a commit is under way share the next one.

A commit costs a flush of the disk, and what a statement costs is paid once for all of them
(docs/correctness.md#group-commit).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

_T = TypeVar("_T")
log = structlog.get_logger()

BUSY_S = 0.05
"""An item that comes so soon after a commit is one of many: 20 in a second (our choice)."""
MAX_VAIN = 8
"""Waits in a row that brought no other item: after each, twice as many commits do not wait, 255 at most."""
MAX_SHARED_WEIGHT = 400
"""Weight of one commit of several items, so that it stays short; a single POST has at most 100 events."""
IDLE_S = 10.0
"""A thread without work ends after so long (our choice): an intake that is of no use any more leaves none."""


@dataclass(slots=True)
class GroupCommit(Generic[_T]):
    """Commits items in threads of its own, which begin with the first item.

    ``commit`` commits some items and hands their outcomes on; it must not raise. ``weigh``: the weight of one.
    ``threads``: commits at once. ``sleep`` waits some seconds; None: no commit waits for others. ``gather_s``: how long
    an item waits for others to share its commit, while commits follow one another. ``enough``: items that wait for no
    more.
    """

    commit: Callable[[Sequence[_T]], None]
    weigh: Callable[[_T], int]
    threads: int = 1
    sleep: Callable[[float], None] | None = None
    monotonic_s: Callable[[], float] = time.monotonic
    idle_s: float = IDLE_S
    gather_s: float = 0.03
    enough: int = 2
    _ended_s: float = float("-inf")
    _queue: list[_T] = field(default_factory=list)
    _gathers: bool = False
    _running: int = 0
    _idle: int = 0
    _vain: int = 0
    _skips: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, items: Sequence[_T]) -> None:
        """Have items committed; returns at once. Raises ``RuntimeError`` where no thread can be started."""
        with self._changed:
            if not self._idle and self._running < self.threads:
                threading.Thread(target=self._run, name="intake", daemon=True).start()
                self._running += 1
            self._queue += items
            # What arrives while a thread gathers is part of its commit.
            if not self._gathers:
                self._changed.notify()

    def count_waiting(self) -> int:
        """Return how many items wait for a commit."""
        return len(self._queue)

    def _run(self) -> None:
        while self._wait():
            self._gather()
            items = self._take()
            if items:
                self.commit(items)
                self._ended_s = self.monotonic_s()

    def _wait(self) -> bool:
        """Wait for an item; False if none came for a while, and this thread is to end."""
        with self._changed:
            if not self._has_work():
                self._idle += 1
                came = self._changed.wait_for(self._has_work, self.idle_s)
                self._idle -= 1
                if not came:
                    self._running -= 1
                    return False
            self._gathers = True
            return True

    def _has_work(self) -> bool:
        """Return whether an item waits that no thread gathers others for."""
        return bool(self._queue) and not self._gathers

    def _gather(self) -> None:
        """Wait for other items where more of them are likely than this one: not where one comes after the other."""
        is_busy = self.monotonic_s() - self._ended_s < BUSY_S
        if self.sleep is None or not is_busy or len(self._queue) >= self.enough:
            return
        if self._skips:
            self._skips -= 1
            return
        try:
            self.sleep(self.gather_s)
        except Exception as error:  # noqa: BLE001 - what waits is committed at once, and nothing would commit it later
            log.warning("webhooks are committed without a wait for others", error=str(error))
        self._vain = 0 if len(self._queue) > 1 else min(self._vain + 1, MAX_VAIN)
        self._skips = (1 << self._vain) - 1

    def _take(self) -> Sequence[_T]:
        """Take the items of the next commit, those that wait longest; none if another thread took them."""
        with self._changed:
            weight, count = 0, 0
            for item in self._queue:
                weight += self.weigh(item)
                if count and weight > MAX_SHARED_WEIGHT:
                    break
                count += 1
            taken, self._queue = self._queue[:count], self._queue[count:]
            self._gathers = False
            if self._queue:
                self._changed.notify()
            return taken
