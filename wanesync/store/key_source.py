"""Where encryption keys are kept: a key file, which is written here, or the configuration, which is read again."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wanesync.core.errors import ConfigError
from wanesync.core.setup.private_files import find_exposure

URGENT_S = 30.0
"""A configuration is read again at most so often because of an unknown key (our choice): it may ask a manager."""
_KEY = re.compile(r"([A-Za-z0-9]{4}):([A-Za-z0-9+/_=-]+)")


class KeySource(Protocol):
    """Where keys are read, and read again while the program runs."""

    @property
    def is_slow(self) -> bool:
        """Whether reading may take seconds."""
        ...

    def read(self) -> Mapping[str, bytes]:
        """Id -> key, the one that is to encrypt first. Raises ConfigError."""
        ...

    def is_due(self, *, urgent: bool) -> bool:
        """Whether they should be read again now. ``urgent``: a ciphertext names a key that is unknown."""
        ...


@dataclass(slots=True)
class FileKeys:
    """A key file: an entry ``ID:BASE64`` a line, the key that is to encrypt first. Any thread may use it."""

    path: Path
    _seen: tuple[int, ...] = ()
    is_slow: bool = field(default=False, init=False)

    def read(self) -> Mapping[str, bytes]:
        """The keys of the file. Raises ConfigError: missing, malformed, or others can read it."""
        self._seen = self._look()
        return parse_keys(read_entries(self.path), f"the key file {self.path}")

    def is_due(self, *, urgent: bool) -> bool:  # noqa: ARG002 - a look at the file costs a microsecond
        """Whether the file was replaced or changed since it was read."""
        return self._look() != self._seen

    def _look(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size


@dataclass(slots=True)
class ListedKeys:
    """The entries of ``[security] keys``. ``read_entries``: reads them again. ``refresh_s``: how often, 0 for never."""

    entries: Sequence[str]
    read_entries: Callable[[], Sequence[str]]
    refresh_s: float
    monotonic_s: Callable[[], float] = time.monotonic
    is_slow: bool = field(default=True, init=False)
    _read_s: float = field(default=float("-inf"))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> Mapping[str, bytes]:
        """The keys; the first time those that were read with the configuration. Raises ConfigError."""
        first, self._read_s = self._read_s == float("-inf"), self.monotonic_s()
        return parse_keys(self.entries if first else self.read_entries(), "[security] keys")

    def is_due(self, *, urgent: bool) -> bool:
        """Whether they are older than ``refresh_s``, or than URGENT_S. Of several threads one is told so."""
        with self._lock:
            limit = min(URGENT_S, self.refresh_s or URGENT_S) if urgent else self.refresh_s
            now_s = self.monotonic_s()
            due = limit > 0 and now_s - self._read_s >= limit
            if due:
                self._read_s = now_s
            return due


def parse_keys(entries: Sequence[str], where: str) -> dict[str, bytes]:
    """Id -> key of ``ID:BASE64`` entries. Raises ConfigError with every problem; no key is shown."""
    parsed: dict[str, bytes] = {}
    problems = []
    for number, entry in enumerate(entries, 1):
        match = _KEY.fullmatch(entry.strip())
        key = _decode(match[2]) if match else b""
        if not match or len(key) != 32:
            problems.append(f"{where}: entry {number} is not ID:BASE64 with 4 letters or digits and 32 bytes of key")
        elif match[1] in parsed:
            problems.append(f"{where}: entry {number} uses the id {match[1]} again")
        else:
            parsed[match[1]] = key
    if not parsed and not problems:
        problems.append(f"{where} holds no key: it needs one ID:BASE64 at least")
    if problems:
        raise ConfigError(problems)
    return parsed


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return b""


def read_entries(path: Path) -> list[str]:
    """The entries of a key file. Raises ConfigError: it is missing, or others can read it."""
    try:
        found = path.stat()
        exposure = find_exposure(path, found, os.geteuid(), {os.getegid(), *os.getgroups()})
        lines = [] if exposure else path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        advice = "restore it from a backup; for a new database, make it with wanesync keys rotate --to FILE"
        raise ConfigError([f"the key file {path} is missing: {advice}"]) from error
    except OSError as error:
        raise ConfigError([f"the key file {path} cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError:
        # The cause would hold bytes of the file.
        raise ConfigError([f"the key file {path} is not text: it holds an ID:BASE64 a line"]) from None
    if exposure:
        raise ConfigError([f"the key file {exposure}"])
    return [line for line in lines if line.strip() and not line.startswith("#")]


def create_key_file(path: Path, entry: str) -> None:
    """Creates a key file atomically; of two processes that start together, the second uses the first one's."""
    draft = _write_draft(path, [entry], 0o600)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def replace_key_file(path: Path, entries: Iterable[str]) -> None:
    """Replaces a key file atomically, with the owner, group and mode it had. Raises ConfigError."""
    found = path.stat()
    draft = _write_draft(path, entries, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))
    try:
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigError([f"the key file {path} cannot be replaced ({error.strerror}): run as its owner"]) from error


def _write_draft(path: Path, entries: Iterable[str], mode: int, owner: tuple[int, int] | None = None) -> Path:
    """Write a file beside a key file; by its handle alone, because its folder may belong to another user than root."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            [f"cannot create the key file {path}: {error.strerror}; is its folder there and writable?"]
        ) from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.writelines(f"{entry}\n" for entry in entries)
        file.flush()
        os.fsync(file.fileno())
        try:
            _give(file.fileno(), owner)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ConfigError(
                [f"the key file {path} cannot be replaced ({error.strerror}): run as its owner"]
            ) from error
        os.fchmod(file.fileno(), mode)
    return draft


def _give(handle: int, owner: tuple[int, int] | None) -> None:
    made = os.fstat(handle)
    if owner is not None and owner != (made.st_uid, made.st_gid):
        os.fchown(handle, *owner)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
