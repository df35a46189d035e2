"""Secret references: ``env:NAME`` and ``file:PATH`` in the configuration become the values they name.

No message of this module holds a value, only the reference.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from wanesync.core.errors import ConfigError

SCHEMES = ("env:", "file:")
MAX_FILE_BYTES = 64 * 1024
"""Far above any secret: a larger file is a mistake."""


def is_reference(value: str) -> bool:
    """Return whether ``value`` refers to a value kept elsewhere."""
    return value.startswith(SCHEMES)


def resolve(reference: str, env: Mapping[str, str], folder: Path, *, private: bool) -> str:
    """Return the value of a reference; a value that is no reference is returned unchanged.

    ``folder``: where a relative path begins (the configuration's own folder). ``private``: it is a secret, so only its
    owner may be able to read its file. Raises ``ConfigError`` with one problem.
    """
    scheme, _, name = reference.partition(":")
    if not is_reference(reference):
        return reference
    value = _from_env(name, env) if scheme == "env" else _from_file(folder / Path(name).expanduser(), private)
    if not value:
        raise ConfigError([f"{reference} is empty: it must hold the value"])
    return value


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise ConfigError([f"env:{name} is not set: export {name}, or name another variable"])
    return env[name].strip()


def _from_file(path: Path, private: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"file:{path} cannot be read ({error.strerror}): it must exist and be readable"]) from error
    if private and mode & 0o077:
        raise ConfigError([f"file:{path} can be read by others (mode {mode:04o}): chmod 600 {path}"])
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"file:{path} is larger than {MAX_FILE_BYTES} bytes: it must hold one value"])
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        # The cause would hold the bytes of the secret.
        raise ConfigError([f"file:{path} is not UTF-8 text: it must hold one value as text"]) from None
