"""A text file for one report."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wanesync.reconcile.atomic_file import write_atomically


@contextmanager
def report_file(path: Path) -> Iterator[TextIO]:
    """Whole or not there, mode 0600. Raises ``ConfigError`` when it cannot be made there."""
    with write_atomically(path) as raw:
        # newline "": the csv module ends lines by itself.
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes it; the file itself is the other's to close
