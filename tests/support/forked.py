"""Real processes of the program that need not load its libraries: three quarters of what a short command costs.

One process loads them (``forker``) and forks all others. They differ from one begun with ``python -m`` in nothing
else; that the program finds its libraries by itself, the tests show which begin it so.
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
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
ANSWER = 32


class Forker:
    """The process that forks all others; it ends when our end of the socket is closed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forker", str(theirs.fileno())],
                cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def ask(self, wish: Mapping[str, object], outputs: Sequence[int] = ()) -> int:
        """One message, one answer."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(wish).encode()], outputs)
            answer = self._socket.recv(ANSWER)
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


class Forked:
    """A running ``wanesync`` command that writes to the two files it is given."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], out: IO[str], errors: IO[str]) -> None:
        wish = {"arguments": arguments, "env": dict(env)}
        self.pid = _forker().ask(wish, [out.fileno(), errors.fileno()])
        self._over = os.pidfd_open(self.pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        if self._code is None and select.select([self._over], [], [], 0)[0]:
            self._code = _forker().ask({"reap": self.pid})
            os.close(self._over)
        return self._code

    def wait(self, timeout_s: float, unread: IO[str] | None = None) -> int:
        """Its exit code when it is over; what it still says in ``unread`` is thrown away. Raises TimeoutExpired."""
        poller = select.poll()
        if self._code is None:
            poller.register(self._over, select.POLLIN)
        if self._code is None and unread is not None:
            poller.register(unread, select.POLLIN)
        while (code := self.poll()) is None:
            ready = poller.poll(timeout_s * 1000)
            if not ready:
                raise subprocess.TimeoutExpired("wanesync", timeout_s)
            for number, _ in ready:
                if number != self._over and not os.read(number, 1 << 16):
                    poller.unregister(number)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Sent if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)
