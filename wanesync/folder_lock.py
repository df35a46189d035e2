"""A lock on a folder: of the commands that read its files, change them and write them back, one works at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wanesync.core.errors import ConfigError


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, waiting for the command that holds it; the end of that frees it. Raises ``ConfigError``.

    The folder itself is locked: its files are replaced, and a file for the lock alone would be left behind.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError([f"the folder {folder} cannot be opened ({error.strerror}): run as its owner"]) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
