"""References in the configuration: ``env:NAME`` and ``file:PATH`` anywhere; for secrets also ``cmd:COMMAND`` and those
into secrets managers (``aws-sm:``, ``gcp-sm:``, ``azure-kv:``, ``vault:``).

No message of this module holds a value, only the reference.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from wanesync.config.managers.command import run_command, split_command
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import ManagerReference, Scheme, parse_reference
from wanesync.core.errors import ConfigError
from wanesync.core.setup.private_files import OTHERS, find_exposure
from wanesync.output import UNSAFE

SCHEMES = ("env:", "file:")
"""References that any text may be."""
COMMAND = "cmd:"
MANAGER_SCHEMES = tuple(f"{scheme}:" for scheme in Scheme)
SECRET_SCHEMES = (*SCHEMES, COMMAND, *MANAGER_SCHEMES)
"""References that a secret may be."""
LOOKS_LIKE_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:|\$[{(A-Za-z]|[<{!%]|\.{0,2}/|~")
"""How a reference begins that other programs resolve (``op://…``, ``arn:…``, ``${NAME}``, ``!secret``),
or a path without ``file:``: no key of HubSpot or Stripe begins so."""
KEY_BEGINNING = re.compile(r"(?:pat-[a-z0-9]|[srp]k_(?:test|live|org)_|whsec_)", re.IGNORECASE)
"""How the keys of both sides begin, so that one that stands in the wrong place is not shown."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_KEY_CHARACTER = re.compile(r"[^A-Za-z0-9._~+/:=-]|=(?!=*\Z)")
"""What no key has: anything but the characters of a bearer token (RFC 6750), and the colon of an encryption key."""
MAX_FILE_BYTES = 64 * 1024
"""Far above any secret: a larger file is a mistake."""
MOUNTS = (Path("/run/secrets"),)
"""Where container runtimes mount secrets for one container alone, by default readable by all users in it."""
QUOTES = frozenset("\"'`\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e")


def is_reference(value: str) -> bool:
    """Return whether a secret of the configuration refers to a value kept elsewhere."""
    return value.startswith(SECRET_SCHEMES)


def is_renewable(value: str) -> bool:
    """Return whether what a secret refers to may change while the program runs: its environment never does."""
    return is_reference(value) and not value.startswith("env:")


def find_manager(value: str) -> ManagerReference | None:
    """Return the parts of a reference into a secrets manager, None for anything else. Raises ``ConfigError``."""
    scheme, _, written = value.partition(":")
    return parse_reference(Scheme(scheme), written) if value.startswith(MANAGER_SCHEMES) else None


def find_foreign(value: str) -> str:
    """Return why a secret is not one but a reference that is not known here, "" if it may be one.

    The reason shows the scheme only: what follows may be part of a secret.
    """
    found = LOOKS_LIKE_REFERENCE.match(value)
    if found is None:
        return ""
    return (
        f"begins with {found[0]}, which no key does and which is not resolved here: give one of "
        f"{' '.join(SECRET_SCHEMES)} or the value itself"
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
    wrong = NO_KEY_CHARACTER.search(value)
    return f"holds {wrong[0]} where no key does: give the key alone, several as a list" if wrong else ""


def resolve_secret(reference: str, env: Mapping[str, str], folder: Path, managers: ManagerReader) -> str:
    """Return the value of a secret's reference; a value that is no reference is returned unchanged.

    Raises ``ConfigError`` with one problem.
    """
    scheme, _, written = reference.partition(":")
    if reference.startswith(SCHEMES) or not is_reference(reference):
        return resolve(reference, env, folder, private=True)
    if KEY_BEGINNING.match(written):
        raise ConfigError([f"{scheme}: is followed by a key itself: leave {scheme}: out, or name where the key stands"])
    if reference.startswith(COMMAND):
        return run_command(written, env, folder)
    return managers.read(Scheme(scheme), written)


def check_reference(reference: str) -> None:
    """Raise ``ConfigError`` for a reference that can name nothing, without resolving it."""
    if reference.startswith(COMMAND):
        split_command(reference.removeprefix(COMMAND))
    find_manager(reference)


def resolve(reference: str, env: Mapping[str, str], folder: Path, *, private: bool) -> str:
    """Return the value of ``env:NAME`` or ``file:PATH``; any other text is returned unchanged.

    ``folder``: where a relative path begins (the configuration's own folder). ``private``: it is a secret, so only the
    owner of its file and a group of this process may be able to read it. Raises ``ConfigError`` with one problem.
    """
    scheme, _, name = reference.partition(":")
    if not reference.startswith(SCHEMES):
        return reference
    if KEY_BEGINNING.match(name) and name not in env and not (folder / name).exists():
        raise ConfigError([f"{scheme}: is followed by a key itself: leave {scheme}: out, or name where the key stands"])
    value = _from_env(name, env) if scheme == "env" else _from_file(folder / expand_home(name, "file:"), private)
    if not value.strip():
        raise ConfigError([f"{reference} is empty: it must hold the value"])
    return value


def expand_home(name: str, scheme: str) -> Path:
    """Return the path of a name that may begin with ``~``. Raises ``ConfigError`` where it can be none."""
    if UNSAFE.search(name) or {"\t", "\n"} & set(name):
        raise ConfigError([f"{scheme} must be followed by a path without invisible characters"])
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise ConfigError([f"{scheme}{name} begins with ~, but no such folder is known: give the whole path"]) from None


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env and not VARIABLE.fullmatch(name):
        raise ConfigError(["env: must be followed by the name of a variable, such as env:STRIPE_API_KEY"])
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
    if foreign_link:
        return f"is a link of user {link.st_uid}, who could lead it to any file: name the file itself"
    return find_exposure(path, found, os.geteuid(), groups)


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
