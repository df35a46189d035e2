"""What is written of an unexpected error: where it happened and of which kind it is, never what it says.

Messages of Python and of libraries quote values: those of people would stand in a log or in a crash report.
"""

from __future__ import annotations

import sys
import threading
import traceback

from wanesync.core.errors import CallError, WanesyncError
from wanesync.output import UNSAFE

MAX_CAUSES = 20
"""Errors of one chain that are written (our choice)."""


def withhold_messages() -> None:
    """Let an error that ends the program, or one of its threads, be written by ``format_crash``."""

    def write(error: BaseException) -> None:
        sys.stderr.write(UNSAFE.sub("", format_crash(error)) + "\n")

    sys.excepthook = lambda _kind, error, _trace: write(error)
    threading.excepthook = lambda failed: write(failed.exc_value) if failed.exc_value else None


def format_crash(error: BaseException) -> str:
    """Return the traceback of an error and of its causes; only messages of our own errors, which hold no value."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < MAX_CAUSES:
        kind = f"{type(current).__module__}.{type(current).__qualname__}"
        told = str(current) if isinstance(current, WanesyncError | CallError) else "its message may hold data"
        inner = [format_crash(one) for one in getattr(current, "exceptions", ())]
        trace = "".join(traceback.format_tb(current.__traceback__))
        parts.append("\n".join([f"Traceback:\n{trace}{kind}: {told}", *inner]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nThis led to:\n\n".join(reversed(parts))
