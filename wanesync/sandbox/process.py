"""A sandbox as a child process, beside the program under test."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

import orjson

from wanesync.sandbox.__main__ import write_options
from wanesync.sandbox.control_client import ControlClient
from wanesync.sandbox.errors import SandboxUnreachable
from wanesync.sandbox.server import Options

_STOP_S = 10.0
"""The server gives open requests one second; the rest is margin for a busy machine."""


class SandboxProcess:
    """A sandbox with the given options in a process of its own, started and stopped by its process id.

    Use it as a context manager, or call ``stop``. Raises SandboxUnreachable with the process's error output when it
    does not start.
    """

    def __init__(self, options: Options | None = None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - only this interpreter, our package and the caller's options
            [sys.executable, "-m", "wanesync.sandbox", write_options(options or Options())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if self._process.stdout is None:
            raise SandboxUnreachable("the sandbox was started without standard output")
        line = self._process.stdout.readline()
        if not line:
            _, output = self._process.communicate()
            raise SandboxUnreachable(f"the sandbox did not start: {output.decode(errors='replace').strip()}")
        started = orjson.loads(line)
        self.hubspot_url: str = started["hubspot_url"]
        self.stripe_url: str = started["stripe_url"]
        self.hubspot_key: str = started["hubspot_key"]
        self.stripe_key: str = started["stripe_key"]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def control(self) -> ControlClient:
        """A client of its control endpoints."""
        return ControlClient(self.hubspot_url, self.stripe_url)

    def stop(self) -> int:
        """Send SIGTERM and wait: the exit code. SIGKILL follows after 10 s."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
