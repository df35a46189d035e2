"""What every queue in the race is asked: fill a table, drain it against the clock.

Standard library only: each queue runs in whichever environment it is installed in.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class MeasuredStandIn:
    """One process's drain: from the starting signal until its last job is durably done."""

    began_s: float = 0.0
    ended_s: float = 0.0
    cpu_s: float = 0.0
    done: int = 0
    _cpu_before_s: float = field(default=0.0)

    def go(self) -> None:
        """Say that everything is imported and connected, and wait for the signal that starts all processes."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        self.began_s, self._cpu_before_s = time.monotonic(), time.process_time()

    def stop(self, done: int) -> None:
        """Everything this process took is done."""
        self.ended_s, self.cpu_s = time.monotonic(), time.process_time() - self._cpu_before_s
        self.done = done


class Queue(Protocol):
    """A queue in the race. ``url``: a Postgres address, or the path of an SQLite file."""

    def fill(self, url: str, jobs: int) -> None:
        """Set the database up and put so many no-op jobs of different keys into it, in the largest batches it has."""
        ...

    def drain(self, url: str, seconds: float, stand_in: MeasuredStandIn) -> None:
        """Run jobs until none is left or the time is up, then finish what was begun."""
        ...


def race(queue: Queue) -> None:
    """The command of a queue: ``fill URL JOBS`` or ``drain URL SECONDS``; answers in JSON."""
    verb, url, figure = sys.argv[1:]
    if verb == "fill":
        began_s = time.monotonic()
        queue.fill(url, int(figure))
        answer: dict[str, float] = {"fill_s": time.monotonic() - began_s}
    else:
        stand_in = MeasuredStandIn()
        queue.drain(url, float(figure), stand_in)
        answer = {
            "began_s": stand_in.began_s,
            "ended_s": stand_in.ended_s,
            "cpu_s": stand_in.cpu_s,
            "done": stand_in.done,
        }
    sys.stdout.write(json.dumps(answer) + "\n")
