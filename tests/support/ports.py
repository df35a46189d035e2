"""Ports of 127.0.0.1 that stay free until a test's program takes them."""

from __future__ import annotations

import os
import random
import socket

FIRST, LAST = 12_000, 32_000
"""Below the ports the system gives to outgoing connections (32768 and up on Linux)."""
_chosen = random.Random(os.getpid())


def free_port() -> int:
    """A port that nothing listens on, and that no outgoing connection of another program takes meanwhile."""
    while True:
        port = _chosen.randrange(FIRST, LAST)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
