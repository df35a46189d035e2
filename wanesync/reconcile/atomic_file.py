"""Files the program writes for an operator: readable by their owner only, and complete or not there at all."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from wanesync.core.errors import ConfigError


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 that takes its place under ``path`` when the block succeeds; else an older one stays.

    Raises ``ConfigError`` when it cannot be made there.
    """
    draft, handle = _open_draft(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            draft.replace(path)
        except OSError as error:
            raise _make_error(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def write_text_atomically(path: Path) -> Iterator[TextIO]:
    """As ``write_atomically``, for UTF-8 text whose line ends are written as they are."""
    with write_atomically(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes the text; write_atomically closes the file


def check_place(path: Path) -> None:
    """Raises ``ConfigError`` when no file can be made there: better before long work than after it."""
    draft, handle = _open_draft(path)
    os.close(handle)
    draft.unlink()


def _open_draft(path: Path) -> tuple[Path, int]:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError([f"cannot write {path}: it is there and is no file; give another name"])
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _make_error(path, error) from error


def _make_error(path: Path, error: OSError) -> ConfigError:
    return ConfigError([f"cannot write {path}: {error.strerror}; is its folder there and writable?"])
