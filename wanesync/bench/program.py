"""One ``wanesync`` command as a process of its own, and what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from wanesync.core.errors import WanesyncError

STOP_S = 15.0
BEHIND = 5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchFailed(WanesyncError):
    """A program under measurement did not start, or did not end well."""


class Program:
    """``wanesync <arguments>`` with ``env``; what it logs goes to a file in ``folder``.

    A context manager: stopped by its process id at the end. Raises BenchFailed.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *arguments: str) -> None:
        self._name = " ".join(arguments)
        self._log = folder / f"{arguments[0]}-{len(list(folder.glob('*.log')))}.log"
        with self._log.open("wb") as log:
            # Only this interpreter with our own module.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "wanesync.cli.main", *arguments],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        # The stand-ins share this machine and count: a request must not seem to bunch because they got no turn.
        os.setpriority(os.PRIO_PROCESS, self._process.pid, BEHIND)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def read_line(self) -> str:
        """The next line it prints: how a program that keeps running says that it is ready."""
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe above
        line = self._process.stdout.readline().decode().strip()
        if not line:
            self.stop()
            raise BenchFailed(f"wanesync {self._name} did not start: {self._said()}")
        return line

    def finish(self, timeout_s: float) -> None:
        """Wait for its end, which must be exit code 0."""
        try:
            self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise BenchFailed(f"wanesync {self._name} did not end within {timeout_s:g} s: {self._said()}") from error
        if self._process.returncode:
            raise BenchFailed(f"wanesync {self._name} ended with {self._process.returncode}: {self._said()}")

    def check(self) -> None:
        """Raise BenchFailed when it has ended by itself."""
        if self._process.poll() is not None:
            raise BenchFailed(f"wanesync {self._name} ended in the middle: {self._said()}")

    def cpu_s(self) -> float:
        """Seconds of CPU it has used so far, user and system (proc_pid_stat(5), fields 14 and 15)."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not end within 15 s."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _said(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return text[-2000:] or "it said nothing"


def stop_all(programs: Sequence[Program]) -> None:
    """Stop whatever is in a list by then."""
    for program in programs:
        program.stop()
