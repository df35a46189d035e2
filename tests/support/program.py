"""A ``wanesync`` command that keeps running, as the acceptance tests start, read and stop it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.forked import start_forked
from wanesync.child_process import STOP_S, ChildProcess

DEADLINE_S = 40.0


class Program(ChildProcess):
    """A child process whose start is fast, because it is forked from one that has loaded the libraries."""

    def __init__(self, config: Path, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        log = config.with_name(f"{arguments[0]}-{time.monotonic_ns()}.log")
        super().__init__((*arguments, "--config", str(config)), env, log, start_forked)

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it (proc_pid_stat(5), field 3)."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except FileNotFoundError:
            return False

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for its end: the exit code. Raises TimeoutExpired."""
        return super().wait(timeout_s)

    def end(self) -> int:
        """Wait for its end after a signal: the exit code. A process that must be killed raises TimeoutExpired."""
        try:
            return self.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
