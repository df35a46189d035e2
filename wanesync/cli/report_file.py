"""A file for one report: readable by its owner only, and whole or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wanesync.core.errors import ConfigError


@contextmanager
def report_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its place under ``path`` when the block ends well, mode 0600.

    Raises ``ConfigError`` when it cannot be made there. If the block fails, an older file of that name stays.
    """
    if path.exists() and not path.is_file():
        raise ConfigError([f"cannot write the report {path}: it is there and is no file; give another name"])
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        problem = f"cannot write the report {path}: {error.strerror}; is its folder there and writable?"
        raise ConfigError([problem]) from error
    try:
        # newline "": the csv module ends lines by itself.
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
