"""A ``wanesync`` command as a child process: started, read and stopped by the demo, the benchmarks and the tests."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, Self

from wanesync.core.errors import WanesyncError

STOP_S = 20.0
"""Seconds from SIGTERM to SIGKILL: a worker has 10 s for its open calls, the rest is margin for a busy machine."""
_LOG_TAIL = 2_000
"""Characters of the log in an error message."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ChildFailed(WanesyncError):
    """A child process did not start, or did not end as expected."""


class ProcessHandle(Protocol):
    """The part of ``subprocess.Popen`` that a child process uses; tests have another way to start one."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    @property
    def stdout(self) -> IO[str] | None:
        """The reading end of its standard output."""
        ...

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Send a signal if it runs."""
        ...

    def communicate(self, *, timeout: float | None = None) -> object:
        """Wait for its end and discard its output. Raises subprocess.TimeoutExpired."""
        ...


Start = Callable[[Sequence[str], Mapping[str, str], IO[str]], ProcessHandle]
"""Starts a command with its arguments, environment and the file for its standard error."""


def clean_environment() -> dict[str, str]:
    """The environment without ``WANESYNC_…``: the settings of a real installation must not reach a child."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WANESYNC_")}


def start_interpreter(arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> ProcessHandle:
    """Start ``wanesync <arguments>`` with this interpreter."""
    return subprocess.Popen(  # noqa: S603 - only this interpreter with our own module
        [sys.executable, "-m", "wanesync.cli.main", *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


def has_input(stream: IO[str] | int) -> bool:
    """Whether something, or the end, can be read without waiting; of a file with any number, unlike select(2)."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(0))


class ChildProcess:
    """``wanesync <arguments>`` with ``env``; standard error goes to the file ``log``.

    A context manager that stops the process by its process id. Exit codes are negative for a signal.
    """

    def __init__(
        self, arguments: Sequence[str], env: Mapping[str, str], log: Path, start: Start = start_interpreter
    ) -> None:
        self.log = log
        self._name = f"wanesync {arguments[0]}"
        with log.open("a") as errors:
            self._process = start(arguments, env, errors)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, suspended or not."""
        return self._process.poll()

    def first_line(self) -> str:
        """Wait for the first line of output, which a command prints when it is ready. Raises ChildFailed at its end."""
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line:
            raise ChildFailed(f"{self._name} did not start, it ended with {self.stop()}: {self.log_tail()}")
        return line

    def is_ready(self) -> bool:
        """Whether the first line can be read without waiting."""
        return bool(self._process.stdout and has_input(self._process.stdout))

    def check(self) -> None:
        """Raise ChildFailed when it has ended."""
        if self.exit_code is not None:
            raise ChildFailed(f"{self._name} ended with {self.exit_code}: {self.log_tail()}")

    def finish(self, timeout_s: float) -> None:
        """Wait for its end. Raises ChildFailed for an exit code other than 0 and after the time-out."""
        try:
            code = self.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise ChildFailed(f"{self._name} did not end within {timeout_s:g} s: {self.log_tail()}") from error
        if code:
            raise ChildFailed(f"{self._name} ended with {code}: {self.log_tail()}")

    def wait(self, timeout_s: float) -> int:
        """Wait for its end, discarding its output: the exit code. Raises subprocess.TimeoutExpired."""
        self._process.communicate(timeout=timeout_s)
        code = self._process.poll()
        if code is None:
            raise ChildFailed(f"{self._name} has no exit code")
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it runs."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL, and wait: the exit code."""
        self.signal(signal.SIGKILL)
        return self.wait(STOP_S)

    def stop(self) -> int:
        """SIGTERM, SIGKILL after 20 s, and wait: the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return self.kill()

    def cpu_s(self) -> float:
        """Seconds of CPU so far, user and system (proc_pid_stat(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def log_tail(self) -> str:
        """The end of its log, for an error message."""
        return self.log.read_text(errors="replace").strip()[-_LOG_TAIL:] or "its log is empty"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
