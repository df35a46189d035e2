"""Secret references: ``env:NAME`` and ``file:PATH`` in the configuration become the values they name.

No message of this module holds a value, only the reference.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from wanesync.core.errors import ConfigError

SCHEMES = ("env:", "file:")
LOOKS_LIKE_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:|\$[{(A-Za-z]|[<{!%]|\.{0,2}/|~")
"""How a reference begins that other programs resolve (``aws-sm:…``, ``op://…``, ``arn:…``, ``${NAME}``, ``!secret``),
or a path without ``file:``: no key of HubSpot or Stripe begins so."""
MAX_FILE_BYTES = 64 * 1024
"""Far above any secret: a larger file is a mistake."""


def is_reference(value: str) -> bool:
    """Return whether ``value`` refers to a value kept elsewhere."""
    return value.startswith(SCHEMES)


def find_foreign(value: str) -> str:
    """Return why a secret is not one but a reference that is not known here, "" if it may be one.

    The reason shows the scheme only: what follows may be part of a secret.
    """
    found = LOOKS_LIKE_REFERENCE.match(value)
    if found is None:
        return ""
    return (
        f"begins with {found[0]}, which no key does and which is not resolved here: give env:NAME, file:PATH or the "
        "value itself"
    )


def resolve(reference: str, env: Mapping[str, str], folder: Path, *, private: bool) -> str:
    """Return the value of a reference; a value that is no reference is returned unchanged.

    ``folder``: where a relative path begins (the configuration's own folder). ``private``: it is a secret, so only the
    owner of its file and a group of this process may be able to read it. Raises ``ConfigError`` with one problem.
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


def _check_mode(path: Path, mode: int, group: int) -> None:
    """Raise ``ConfigError`` if more can reach a secret than its owner, and readers in a group of this process."""
    readers = 0o040 if group in {os.getegid(), *os.getgroups()} else 0
    if mode & 0o077 & ~readers:
        advice = f"chmod 600 {path} (640 if its group is one of this process's)"
        raise ConfigError([f"file:{path} can be read by others (mode {mode:04o}): {advice}"])


def _from_file(path: Path, private: bool) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"file:{path} cannot be read ({error.strerror}): it must exist and be readable"]) from error
    if private:
        _check_mode(path, stat.S_IMODE(found.st_mode), found.st_gid)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"file:{path} is larger than {MAX_FILE_BYTES} bytes: it must hold one value"])
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        # The cause would hold the bytes of the secret.
        raise ConfigError([f"file:{path} is not UTF-8 text: it must hold one value as text"]) from None
