"""A sandbox as a process of its own: what a demo or a bench runs beside the program under test."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

import orjson

from wanesync.core.errors import SideDown
from wanesync.sandbox.control_client import Doors

_STOP_S = 10.0


class SandboxProcess:
    """``wanesync sandbox`` with the given options, started and stopped by its process id.

    Use it as a context manager, or call ``stop``. Ports left out of ``arguments`` are free ones.
    Raises SideDown, with what the process said, when it does not come up.
    """

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "wanesync.cli.commands.sandbox", "--hubspot-port", "0", "--stripe-port", "0"]
        # Only this interpreter with our own module and the caller's options.
        self._process = subprocess.Popen(  # noqa: S603
            [*command, "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self._process.stdout is None:
            raise SideDown("the sandbox was started without an output")
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            raise SideDown(f"the sandbox did not start: {said.decode(errors='replace').strip()}")
        started = orjson.loads(line)
        self.hubspot_url: str = started["hubspot_url"]
        self.stripe_url: str = started["stripe_url"]
        self.hubspot_key: str = started["hubspot_key"]
        self.stripe_key: str = started["stripe_key"]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def doors(self) -> Doors:
        """Its control doors."""
        return Doors(self.hubspot_url, self.stripe_url)

    def stop(self) -> int:
        """Ask it to stop and wait: its exit code. Killed when it does not end within 10 s."""
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
