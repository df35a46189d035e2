"""Files the program writes for an operator: readable by their owner only, and complete or not there at all."""

from __future__ import annotations

import io
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from wanesync.core.errors import ConfigError, OutputFailed
from wanesync.output import OUTPUT_ERRORS

NUMBERED = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,6})")
"""An open file of this process by its number."""
MAX_LINKS = 8
"""Most links that are followed to it (our choice)."""


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 that takes its place under ``path`` when the block succeeds; else an older one stays.

    A device, a pipe and an open file by its number (``/dev/stdout``, ``/dev/fd/3``) is written as it is. Raises
    ``ConfigError`` when the file cannot be made there, and ``OutputFailed`` when it cannot be written to the end.
    """
    if is_stream(path):
        with _output_errors(path), _open_stream(path) as file:
            yield file
        return
    draft, handle = _open_draft(path)
    try:
        with _output_errors(path), os.fdopen(handle, "wb") as file:
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
    if is_stream(path):
        return
    draft, handle = _open_draft(path)
    os.close(handle)
    draft.unlink()


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Raise ``OutputFailed`` where the file cannot be written for want of room, or because a device fails."""
    try:
        yield
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        problem = f"cannot write {path}: {error.strerror}; make room there, or give another place"
        raise OutputFailed(problem) from error


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe or an open file, which is written as it is."""
    try:
        return path.is_char_device() or path.is_fifo() or _find_number(path) is not None
    except OSError:
        return False  # a name no file can have: it is refused where the file is made


def _open_stream(path: Path) -> BinaryIO:
    """Open a stream to write. An open file goes on where it is: anew it would be emptied. Raises ``ConfigError``."""
    number = _find_number(path)
    if number is None:
        return path.open("wb")
    sys.stdout.flush()  # what was printed before stands before it
    try:
        return os.fdopen(os.dup(number), "wb")
    except OSError as error:
        raise _make_error(path, error) from error


def _find_number(path: Path) -> int | None:
    """Return the number of the open file that a path names, also by links such as ``/dev/stdout``; else None.

    Where the output goes into a file, that link must not be replaced as if it were the file.
    """
    for _ in range(MAX_LINKS):
        if found := NUMBERED.fullmatch(str(path)):
            return int(found[1])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


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
