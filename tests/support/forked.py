"""Processes of ``wanesync`` that are forked from one that has loaded its libraries.

Loading them takes three quarters of the time of a short command. A forked process differs from one started with
``python -m`` in nothing else; that the program finds its libraries by itself is covered by the tests that start it so.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from wanesync.child_process import has_input

ROOT = Path(__file__).parents[2]
ANSWER_BYTES = 32


class Forker:
    """The process that forks the others; it ends when our end of the socket is closed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forker", str(theirs.fileno())],
                cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def request(self, message: Mapping[str, object], outputs: Sequence[int] = ()) -> int:
        """Send one message and return its answer."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(message).encode()], outputs)
            answer = self._socket.recv(ANSWER_BYTES)
        assert answer, f"the process that forks others ended with {self._process.wait()}"
        return int(answer)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


@cache
def _forker() -> Forker:
    forker = Forker()
    atexit.register(forker.close)
    return forker


class ForkedProcess:
    """A running ``wanesync`` command that writes to the two given files; a handle like ``subprocess.Popen``.

    ``stdout``: the reading end of its standard output, where that is a pipe.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        out: IO[str],
        errors: IO[str],
        stdout: IO[str] | None = None,
    ) -> None:
        message = {"arguments": arguments, "env": dict(env)}
        self.pid = _forker().request(message, [out.fileno(), errors.fileno()])
        self.stdout = stdout
        self._pidfd = os.pidfd_open(self.pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None and has_input(self._pidfd):
            self._code = _forker().request({"reap": self.pid})
            os.close(self._pidfd)
        return self._code

    def communicate(self, *, timeout: float | None = None) -> None:
        """Wait for its end and discard its output. Raises TimeoutExpired."""
        poller = select.poll()
        if self._code is None:
            poller.register(self._pidfd, select.POLLIN)
            if self.stdout is not None:
                poller.register(self.stdout, select.POLLIN)
        while self.poll() is None:
            ready = poller.poll(None if timeout is None else timeout * 1000)
            if not ready:
                raise subprocess.TimeoutExpired("wanesync", timeout or 0)
            for number, _ in ready:
                if number != self._pidfd and not os.read(number, 1 << 16):
                    poller.unregister(number)
        if self.stdout is not None:
            self.stdout.close()

    def send_signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.Signals(number))


def start_forked(arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> ForkedProcess:
    """Start ``wanesync <arguments>`` with a pipe as its standard output."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as out:
        return ForkedProcess(arguments, env, out, log, os.fdopen(read))


def run_forked(arguments: Sequence[str], env: Mapping[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run ``wanesync <arguments>`` to its end. Raises TimeoutExpired, after SIGKILL."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = ForkedProcess(arguments, env, out, errors)
        try:
            process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=10)
            raise
        code = process.poll()
        assert code is not None
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), errors.read())
