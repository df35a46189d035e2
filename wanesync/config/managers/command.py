"""``cmd:``: a secret is the output of a command, such as ``op read op://vault/stripe/key``.

No shell. The command runs in the folder of the configuration, with the environment of this process without its own
variables (``WANESYNC_…``), without input, for at most 15 s. What it writes to standard error is not shown: it may
quote a secret.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from wanesync.config.managers.contents import MAX_SECRET_BYTES, read_content
from wanesync.core.errors import ConfigError
from wanesync.output import UNSAFE

COMMAND_TIMEOUT_S = 15.0
"""Time that one command has (our choice): a manager behind it is asked over the network."""
OWN_VARIABLES = "WANESYNC_"
ADVICE = "run the command as the user of this process to see why"


def split_command(written: str) -> list[str]:
    """Return program and arguments, as a POSIX shell quotes them. Raises ``ConfigError``."""
    try:
        arguments = shlex.split(written)
    except ValueError:
        raise ConfigError(["cmd: must be followed by a command whose quotation marks are closed"]) from None
    if not arguments or UNSAFE.search(written):
        raise ConfigError(["cmd: must be followed by a command, such as cmd:op read op://vault/stripe/key"])
    return arguments


def show_command(written: str) -> str:
    """Return a command as messages show it: its arguments may hold what is none of theirs."""
    program = Path(split_command(written)[0]).name
    return f"cmd:{program} …"


def run_command(written: str, env: Mapping[str, str], folder: Path, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Return the output of a command. Raises ``ConfigError`` with one problem, without its output."""
    arguments, shown = split_command(written), show_command(written)
    passed = {name: value for name, value in env.items() if not name.startswith(OWN_VARIABLES)}
    try:
        process = subprocess.Popen(  # noqa: S603 - a command that the owner of the configuration wrote, without a shell
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=passed,
            start_new_session=True,
        )
    except OSError as error:
        advice = "install it, or write its whole path"
        raise ConfigError([f"{shown} cannot be run ({error.strerror}): {advice}"]) from None
    overdue, until_s = threading.Event(), time.monotonic() + timeout_s

    def end() -> None:
        overdue.set()
        _kill_group(process)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    with process:
        try:
            output = _read_output(process.stdout, until_s) if process.stdout else b""
            if output is None:
                overdue.set()
            elif len(output) <= MAX_SECRET_BYTES:
                # Not reaped yet, so that its number still is that of its group.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            timer.cancel()
            timer.join()
            _kill_group(process)
        code = process.wait()
    if output is None or overdue.is_set():
        raise ConfigError([f"{shown} did not end within {timeout_s:g} s: {ADVICE}"])
    if code and len(output) <= MAX_SECRET_BYTES:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        raise ConfigError([f"{shown} {how}: {ADVICE}"])
    return read_content(shown, output)


def _read_output(source: IO[bytes], until_s: float) -> bytes | None:
    """Return what a command writes until it closes its output; None if that takes too long.

    A program that the command left behind may hold its output open, in a group of its own that is not killed.
    """
    number, output = source.fileno(), bytearray()
    waiting = select.poll()
    waiting.register(number, select.POLLIN)
    while len(output) <= MAX_SECRET_BYTES:
        if not waiting.poll(max(0.0, until_s - time.monotonic()) * 1000):
            return None
        part = os.read(number, MAX_SECRET_BYTES)
        if not part:
            break
        output += part
    return bytes(output)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a command that was not reaped yet, and what it left behind in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
