"""The benchmark of one queue in a process of its own: fill a table, drain it in limited time.

Standard library only: each queue runs in the environment that has it installed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class DrainTimer:
    """Measures the drain of one process, from the start signal until its last job is durably done."""

    began_s: float = 0.0
    ended_s: float = 0.0
    cpu_s: float = 0.0
    done: int = 0
    _cpu_before_s: float = field(default=0.0)

    def go(self) -> None:
        """Report that everything is imported and connected, and wait for the start signal of all processes."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        self.began_s, self._cpu_before_s = time.monotonic(), time.process_time()

    def stop(self, done: int) -> None:
        """Record that all jobs of this process are done."""
        self.ended_s, self.cpu_s = time.monotonic(), time.process_time() - self._cpu_before_s
        self.done = done


class Queue(Protocol):
    """A measured queue. ``url``: a Postgres URL, or the path of an SQLite file."""

    def fill(self, url: str, jobs: int) -> None:
        """Set up the database and insert no-op jobs with different keys in the largest batches of the queue."""
        ...

    def drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        """Run jobs until none is left or the time is up, then finish the started ones."""
        ...


def run_queue(queue: Queue) -> None:
    """Run the command of a queue: ``fill URL JOBS`` or ``drain URL SECONDS``; prints JSON."""
    verb, url, figure = sys.argv[1:]
    if verb == "fill":
        began_s = time.monotonic()
        queue.fill(url, int(figure))
        answer: dict[str, float] = {"fill_s": time.monotonic() - began_s}
    else:
        timer = DrainTimer()
        queue.drain(url, float(figure), timer)
        answer = {
            "began_s": timer.began_s,
            "ended_s": timer.ended_s,
            "cpu_s": timer.cpu_s,
            "done": timer.done,
        }
    sys.stdout.write(json.dumps(answer) + "\n")
