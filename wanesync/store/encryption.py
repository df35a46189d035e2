"""Encrypts payloads with AES-256-GCM, and makes keyed hashes for look-ups (docs/correctness.md#state).

The associated data of a ciphertext is its table, row, purpose and key id, so that it cannot be decrypted in another
place. E-mail addresses are looked up by an HMAC under an index key, which a rotation of encryption keys keeps.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.core.model import normalise_email
from wanesync.core.setup.private_files import find_exposure

_NO_KEYS = (
    "[security] keys is empty, and Postgres needs an encryption key: 4 letters or digits, a colon, 32 random bytes in "
    "base64 (openssl rand -base64 32); best given as a secret reference (env:NAME, file:PATH)"
)
_VERSION = b"\x01"
_HEAD = 17  # version (1), key id (4), nonce (12)
_T = TypeVar("_T")
_MAX_REMEMBERED = 2_048
"""Values that are remembered at least before the oldest are dropped (our choice): some seconds of a busy worker."""
_MAX_REMEMBERED_BYTES = 4_096
"""A larger ciphertext is decrypted each time (our choice), so that all remembered ones take some MB."""
_KEY = re.compile(r"([A-Za-z0-9]{4}):([A-Za-z0-9+/_=-]+)")


class _Remembered:
    """Values by their ciphertext, which is unique: each has a nonce of its own. The newest half is kept, at least.

    A ciphertext counts in the place it was made for only. Threads share it without a lock: each step is one
    operation of a dictionary, and a lost entry is decrypted again.
    """

    def __init__(self) -> None:
        self.newest: dict[bytes, tuple[tuple[str, str, str], Any]] = {}
        self.older = self.newest

    def put(self, blob: bytes, place: tuple[str, str, str], value: object) -> None:
        """Remembers a value."""
        if len(blob) > _MAX_REMEMBERED_BYTES:
            return
        if len(self.newest) >= _MAX_REMEMBERED:
            self.newest, self.older = {}, self.newest
        self.newest[blob] = place, value


class Encryption:
    """Decrypts with any of ``keys`` (id of 4 characters -> 32 bytes) and encrypts with the first one."""

    def __init__(self, keys: Mapping[str, bytes], index_key: bytes = b"") -> None:
        if not keys:
            raise ConfigError(["no encryption key: set [security] keys to one or more ID:BASE64 entries, newest first"])
        self._keys = dict(keys)
        self._boxes = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
        self.newest = next(iter(keys))
        self._head = _VERSION + self.newest.encode()
        self._box = self._boxes[self.newest.encode()]
        self._index_key = index_key
        self._remembered = _Remembered()
        self._row_key = hashlib.blake2b(index_key, person=b"row hash").digest() if index_key else b""
        self._event_key = hashlib.blake2b(index_key, person=b"event keys").digest() if index_key else b""

    def with_index_key(self, index_key: bytes) -> Encryption:
        """The same encryption keys with the index key of a database."""
        return Encryption(self._keys, index_key)

    def encrypt(self, value: str | bytes, table: str, row: str, purpose: str) -> bytes:
        """Encrypts a value: version (1 byte) | key id (4) | nonce (12) | ciphertext and tag."""
        nonce = os.urandom(12)
        text = value.encode() if isinstance(value, str) else value
        return self._head + nonce + self._box.encrypt(nonce, text, _bind(table, row, purpose, self.newest))

    def decrypt(self, blob: bytes, table: str, row: str, purpose: str) -> bytes:
        """Decrypts a value. Raises DecryptionFailed if it was altered or moved, or if its key is not configured."""
        if len(blob) < _HEAD or blob[:1] != _VERSION:
            raise DecryptionFailed(
                f"the {purpose} of {table} {row} is not an encrypted value; restore it from a backup", table, row
            )
        box = self._boxes.get(blob[1:5])
        if box is None:
            raise DecryptionFailed(
                f"the {purpose} of {table} {row} is encrypted with a key that is not in [security] keys; add it again",
                table,
                row,
            )
        try:
            return box.decrypt(blob[5:_HEAD], blob[_HEAD:], _bind(table, row, purpose, blob[1:5].decode()))
        except InvalidTag as error:
            name = f"the {purpose} of {table} {row}"
            message = f"{name} was altered or moved, or its key was replaced; restore it from a backup"
            raise DecryptionFailed(message, table, row) from error

    def open(self, blob: bytes, place: tuple[str, str, str], read: Callable[[bytes], _T]) -> _T:
        """Decrypts and reads a value that nothing changes; one that was opened or sealed before is remembered.

        ``place``: table, row and purpose. Raises DecryptionFailed.
        """
        remembered = self._remembered
        known = remembered.newest.get(blob) or remembered.older.get(blob)
        if known is not None and known[0] == place:
            value: _T = known[1]
            return value
        value = read(self.decrypt(blob, *place))
        self._remembered.put(blob, place, value)
        return value

    def seal(self, packed: bytes, place: tuple[str, str, str], value: object) -> bytes:
        """Encrypts a value that is opened again soon; ``value``: what ``open`` would read from it."""
        blob = self.encrypt(packed, *place)
        self._remembered.put(blob, place, value)
        return blob

    def is_newest_key(self, blob: bytes) -> bool:
        """Whether a value is encrypted with the newest key."""
        return blob[:5] == self._head

    def hmac(self, address: str) -> str:
        """32 hex characters to look an e-mail address up by, equal for all its spellings. Raises DecryptionFailed."""
        key = self._need_index_key()
        return hmac.digest(key, normalise_email(address).encode(), "sha256").hex()[:32]

    def row_hash(self, text: str) -> str:
        """32 hex characters that are equal for equal texts. Raises DecryptionFailed."""
        self._need_index_key()
        return hashlib.blake2b(text.encode(), key=self._row_key, digest_size=16).hexdigest()

    @property
    def event_key(self) -> bytes:
        """The key of the hashes that name events and users. Raises DecryptionFailed."""
        self._need_index_key()
        return self._event_key

    def _need_index_key(self) -> bytes:
        if not self._index_key:
            raise DecryptionFailed("no index key is loaded yet, so keyed hashes cannot be made: open the store first")
        return self._index_key


def _bind(table: str, row: str, purpose: str, key_id: str) -> bytes:
    return f"{table}|{row}|{purpose}|{key_id}".encode()


def make_key(key_id: str | None = None) -> str:
    """A new ``ID:BASE64`` entry for [security] keys."""
    return f"{key_id or secrets.token_hex(2)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def load_keyring(keys: Sequence[str], database_url: str) -> Encryption:
    """The encryption of the configured ``ID:BASE64`` keys, newest first; without any, of SQLite's key file.

    The file is created with a new database, readable by its owner only. Raises ConfigError: a malformed key, a file
    that others can read, a database whose key file is missing, Postgres without keys.
    """
    if keys:
        return Encryption(_parse(keys, "[security] keys"))
    if not database_url.startswith("sqlite:"):
        raise ConfigError([_NO_KEYS])
    path = database_url.removeprefix("sqlite:")
    if path == ":memory:":
        return Encryption({"memo": secrets.token_bytes(32)})
    return Encryption(_parse(_read_key_file(Path(path)), f"the key file {path}.keys"))


def _parse(keys: Sequence[str], where: str) -> dict[str, bytes]:
    parsed: dict[str, bytes] = {}
    problems = []
    for number, entry in enumerate(keys, 1):
        match = _KEY.fullmatch(entry.strip())
        key = _decode(match[2]) if match else b""
        if not match or len(key) != 32:
            problems.append(f"{where}: entry {number} is not ID:BASE64 with 4 letters or digits and 32 bytes of key")
        elif match[1] in parsed:
            problems.append(f"{where}: entry {number} uses the id {match[1]} again")
        else:
            parsed[match[1]] = key
    if problems:
        raise ConfigError(problems)
    return parsed


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return b""


def _read_key_file(database: Path) -> list[str]:
    path = database.with_name(database.name + ".keys")
    # Before the key file, which is created first: another process may be creating both now.
    in_use = database.exists() and database.stat().st_size > 0
    if not path.exists():
        if in_use:
            raise ConfigError([f"{path} is missing: without it the database cannot be read; restore it from a backup"])
        _create_key_file(path)
    if exposure := find_exposure(path, path.stat(), os.geteuid(), {os.getegid(), *os.getgroups()}):
        raise ConfigError([f"the key file {exposure}"])
    lines = path.read_text(encoding="ascii").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _create_key_file(path: Path) -> None:
    """Creates the key file atomically; of two processes that start together, the second uses the first one's."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            [f"cannot create the key file {path}: {error.strerror}; is its folder there and writable?"]
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(make_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
