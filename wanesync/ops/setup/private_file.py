"""Files of secrets: made with mode 0600 before anything is written into them, and never over another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wanesync.core.errors import ConfigError


@contextmanager
def open_new(path: Path) -> Iterator[TextIO]:
    """Yield a new file that only its owner can read; it is removed again if the block fails.

    Raises ``ConfigError``: it exists, or its folder cannot be written.
    """
    unwritable = f"{path} cannot be written ({{}}): name another file"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError([unwritable.format(error.strerror)]) from error
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError([f"{path} exists: move it away, or name another file"]) from error
    except OSError as error:
        raise ConfigError([unwritable.format(error.strerror)]) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_secret(path: Path, value: str) -> None:
    """Write a secret into a new file of mode 0600. Raises ``ConfigError``."""
    with open_new(path) as file:
        file.write(value + "\n")
