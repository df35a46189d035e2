"""Files of ours beside the database: readable by their owner only, and whole or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wanesync.core.errors import ConfigError


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place under ``path`` when the block ends well, mode 0600; else an older one stays.

    Raises ``ConfigError`` when it cannot be made there.
    """
    draft, handle = _begin(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            draft.replace(path)
        except OSError as error:
            raise _refuse(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raises ``ConfigError`` when no file can be made there: better said before long work than after it."""
    draft, handle = _begin(path)
    os.close(handle)
    draft.unlink()


def _begin(path: Path) -> tuple[Path, int]:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError([f"cannot write {path}: it is there and is no file; give another name"])
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _refuse(path, error) from error


def _refuse(path: Path, error: OSError) -> ConfigError:
    return ConfigError([f"cannot write {path}: {error.strerror}; is its folder there and writable?"])
