"""A real ``wanesync`` process beside the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from wanesync.core.errors import WanesyncError

STOP_S = 10.0


class Child:
    """A real ``wanesync`` process, ended by its process id."""

    def __init__(self, arguments: list[str], said: Path) -> None:
        # What the environment says of a real installation must not reach the demo.
        env = {name: value for name, value in os.environ.items() if not name.startswith("WANESYNC_")}
        with said.open("ab") as errors:
            # Only this interpreter with our own module.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "wanesync.cli.main", *arguments],
                env=env, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def first_line(self) -> str:
        """What it says when it is up. Raises WanesyncError when it ends instead."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise WanesyncError(f"a wanesync process ended at once (exit {self._process.wait()})")
        return line

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.communicate()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not end within 10 s."""
        self.ask_to_stop()
        try:
            self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
