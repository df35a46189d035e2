"""A command that keeps running, as the acceptance tests begin it, listen to it and end it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.forked import Forked

DEADLINE_S = 40.0


class Program:
    """A running ``wanesync`` command; ended by its process id."""

    def __init__(self, config: Path, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        self.said = config.with_name(f"{arguments[0]}-{time.monotonic_ns()}.log")
        read, write = os.pipe()
        self._out = os.fdopen(read)
        with os.fdopen(write, "w") as out, self.said.open("w") as errors:
            self._process = Forked((*arguments, "--config", str(config)), env, out, errors)

    def first_line(self) -> str:
        """What it says when it is up."""
        line = self._out.readline()
        assert line, f"it ended with {self.wait()}: {self.said.read_text()}"
        return line

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended, negative for a signal; None while it lives, stopped or not."""
        return self._process.poll()

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it (proc_pid_stat(5), field 3)."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except FileNotFoundError:
            return False

    def is_up(self) -> bool:
        """Whether its first line can be read at once."""
        return bool(select.select([self._out], [], [], 0)[0])

    def signal(self, number: signal.Signals) -> None:
        """Sent if it lives."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Until it ends by itself: its exit code, negative for a signal."""
        code = self._process.wait(timeout_s, None if self._out.closed else self._out)
        self._out.close()
        return code

    def stop(self) -> int:
        """SIGTERM: its exit code; it has 10 s, and a little more where cores are shared."""
        self.signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Until it ends as it was asked to, or must be killed: its exit code."""
        try:
            return self.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
