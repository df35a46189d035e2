"""Secret references: ``env:NAME`` and ``file:PATH`` in the configuration become the values they name.

No message of this module holds a value, only the reference.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from wanesync.core.errors import ConfigError
from wanesync.core.private_files import OTHERS, find_exposure

SCHEMES = ("env:", "file:")
LOOKS_LIKE_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:|\$[{(A-Za-z]|[<{!%]|\.{0,2}/|~")
"""How a reference begins that other programs resolve (``aws-sm:…``, ``op://…``, ``arn:…``, ``${NAME}``, ``!secret``),
or a path without ``file:``: no key of HubSpot or Stripe begins so."""
MAX_FILE_BYTES = 64 * 1024
"""Far above any secret: a larger file is a mistake."""
MOUNTS = (Path("/run/secrets"),)
"""Where container runtimes mount secrets for one container alone, by default readable by all users in it."""
QUOTES = frozenset("\"'`\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e")


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


def find_flaw(value: str) -> str:
    """Return what a secret holds that no key of HubSpot or Stripe does, "" if nothing; nothing of it is shown."""
    for character in value:
        if character in "\r\n":
            return "holds a line break: give one line"
        if character.isspace():
            return "holds a blank: a key has none"
        if character in QUOTES:
            return "holds a quotation mark: leave it out"
        if unicodedata.category(character) in {"Cc", "Cf", "Co", "Cn", "Mn"}:
            return f"holds an invisible character (U+{ord(character):04X}): type it anew, or copy it from another place"
        if not character.isascii():
            return "holds a character that no key has: copy it again"
    return ""


def resolve(reference: str, env: Mapping[str, str], folder: Path, *, private: bool) -> str:
    """Return the value of a reference; a value that is no reference is returned unchanged.

    ``folder``: where a relative path begins (the configuration's own folder). ``private``: it is a secret, so only the
    owner of its file and a group of this process may be able to read it. Raises ``ConfigError`` with one problem.
    """
    scheme, _, name = reference.partition(":")
    if not is_reference(reference):
        return reference
    value = _from_env(name, env) if scheme == "env" else _from_file(folder / Path(name).expanduser(), private)
    if not value.strip():
        raise ConfigError([f"{reference} is empty: it must hold the value"])
    return value


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise ConfigError([f"env:{name} is not set: export {name}, or name another variable"])
    return env[name].rstrip("\r\n")


def check_private(path: Path, found: os.stat_result) -> str:
    """Return how others can reach a file that holds a secret, with the way out; "" if they cannot."""
    real = Path(os.path.realpath(path))
    if any(real.is_relative_to(os.path.realpath(mount)) for mount in MOUNTS):
        return f"can be written by others: chmod 444 {path}" if found.st_mode & OTHERS & 0o002 else ""
    groups = {os.getegid(), *os.getgroups()}
    # A link of another user could lead to any file that only this process can read.
    link = path.lstat()
    foreign_link = stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid())
    return find_exposure(path, link if foreign_link else found, os.geteuid(), groups)


def _from_file(path: Path, private: bool) -> str:
    try:
        # Without waiting: a pipe without a writer would block the program.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            content = file.read(MAX_FILE_BYTES + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise ConfigError([f"file:{path} cannot be read ({error.strerror}): it must exist and be readable"]) from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError([f"file:{path} is a device or a pipe: it must be a file"])
    if private and (exposure := check_private(path, found)):
        raise ConfigError([f"file:{path} {exposure}"])
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"file:{path} is larger than {MAX_FILE_BYTES} bytes: it must hold one value"])
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # The cause would hold the bytes of the secret.
        raise ConfigError([f"file:{path} is not UTF-8 text: it must hold one value as text"]) from None
