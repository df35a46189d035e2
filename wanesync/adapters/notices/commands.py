"""Notices for a command: the message as JSON on its standard input, without a shell and without our environment."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import orjson

from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alerts import Message
from wanesync.core.operating.recipients import split_command

TIMEOUT_S = 30.0
"""Our choice: time enough for a command that calls a service itself."""
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")
"""The variables that a command gets: the environment of this process holds secrets."""


def run_command(written: str, message: Message) -> None:
    """Run a command; it has taken the notice if it ends with 0. Raises ``DeliveryFailed``."""
    env = {name: os.environ[name] for name in PASSED if name in os.environ}
    try:
        process = subprocess.Popen(  # noqa: S603 - a command that the owner of the configuration wrote, without a shell
            split_command(written),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its quotation marks are not closed"
        raise DeliveryFailed(f"the command cannot be run ({reason})") from None
    try:
        # One that ends without reading its input is judged by its exit status.
        with suppress(BrokenPipeError):
            process.communicate(orjson.dumps(message.as_json()), timeout=TIMEOUT_S)
        code = process.wait(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise DeliveryFailed(f"the command did not end within {TIMEOUT_S:.0f} s") from None
    finally:
        _end(process)
    if code:
        raise DeliveryFailed(f"the command ended with {code}" if code > 0 else f"signal {-code} ended the command")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, and what it started in its group."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
        process.wait()
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()
