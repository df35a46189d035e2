"""The program run in this process with streams of its own: any encoding, any width, a full disk, a closed pipe."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from unittest.mock import patch

from wanesync.cli import main as program


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
"""What rich writes of its own: colours, and the moves of the cursor."""


def run_main(
    arguments: Sequence[str],
    *,
    encoding: str = "utf-8",
    columns: int | None = None,
    out: io.TextIOWrapper | None = None,
) -> Ended:
    """Run one command. ``columns``: on a terminal of that width; ``out``: in place of its standard output."""
    raw, raw_error = io.BytesIO(), io.BytesIO()
    kind = io.TextIOWrapper if columns is None else Terminal
    stdout = out or kind(raw, encoding=encoding, write_through=True)
    stderr = kind(raw_error, encoding=encoding, write_through=True)
    env = {"COLUMNS": str(columns or ""), "LINES": "50", "TERM": "xterm", "NO_COLOR": "1"}
    with _streams(stdout, stderr), patch.object(sys, "argv", ["wanesync", *arguments]), patch.dict(os.environ, env):
        try:
            program.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        # As Python does at its end.
        with suppress(ValueError):
            sys.stdout.flush()
    return Ended(code, raw.getvalue().decode(encoding), raw_error.getvalue().decode(encoding))


@contextmanager
def _streams(out: io.TextIOWrapper, error: io.TextIOWrapper) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, error
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def full_disk() -> io.TextIOWrapper:
    """A stream on a disk without room."""
    return open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123 - the caller's stream


def closed_pipe() -> io.TextIOWrapper:
    """A stream whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")
