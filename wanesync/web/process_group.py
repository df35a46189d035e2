"""Several processes behind the same listening sockets: one that crashes is started again, and all end together."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

RESTART_S = 1.0
"""Pause before a process that crashed is started again (our choice)."""
POLL_S = 0.1
STOP_S = 20.0
"""Seconds from SIGTERM to SIGKILL: open requests have 5, the rest is margin for a busy machine."""

log = structlog.get_logger()


@dataclass(slots=True)
class ProcessGroup:
    """Runs ``number`` processes until ``stopping`` is set.

    ``start`` starts one, with a pipe as its standard input: the end of that pipe shows it that this process is gone. A
    process that a signal ended, or an error of ours (1), is started again; one that ends otherwise by itself ends all,
    because the next one would end as well: its configuration is wrong, or other processes work with another one.
    """

    number: int
    start: Callable[[], subprocess.Popen[bytes]]
    stopping: threading.Event
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self) -> int:
        """Return the exit code: 0 after ``stopping``, else that of the process that ended."""
        try:
            self._processes = [self.start() for _ in range(self.number)]
            while not self.stopping.wait(POLL_S):
                for place, process in enumerate(self._processes):
                    code = process.poll()
                    if code is None or self.stopping.is_set():
                        continue
                    if code > 1:
                        return code
                    log.error("process ended and is started again", code=code)
                    process.communicate()
                    if not self.stopping.wait(RESTART_S):
                        self._processes[place] = self.start()
            return 0
        finally:
            self._stop()

    def _stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                # It closes the pipe, too.
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def read_numbers(text: str) -> Sequence[int]:
    """Return the file numbers of a list like ``5,6``."""
    return [int(number) for number in text.split(",")]
