"""A pool of daemon threads for calls. A process that must end does not wait for them: stored writes settle the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import ParamSpec

_P = ParamSpec("_P")
Work = Callable[[], None]


class ThreadPool:
    """At most ``size`` daemon threads, each started when there is more work than idle threads.

    ``concurrent.futures`` joins its threads when the interpreter ends, however long a call takes.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[_P, None], *args: _P.args, **named: _P.kwargs) -> None:
        """Run ``work`` in the next free thread; it must not raise."""
        self._work.put(partial(work, *args, **named))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
            thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Drop the work that has not begun; threads end after their present work, and nothing waits for them."""
        try:
            while True:
                self._work.get_nowait()
        except Empty:
            pass
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._idle.release()
