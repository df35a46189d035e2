"""Encrypts payloads with AES-256-GCM, and makes keyed hashes for look-ups (docs/security.md#what-is-encrypted).

The associated data of a ciphertext is its table, row, purpose and key id, so that it cannot be decrypted in another
place. E-mail addresses are looked up by an HMAC under an index key, which a rotation of encryption keys keeps.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wanesync.core.errors import ConfigError, DatabaseUnavailable, DecryptionFailed
from wanesync.core.model import normalise_email
from wanesync.store.key_source import FileKeys, KeySource, create_key_file, parse_keys

log = structlog.get_logger()
_NO_KEYS = (
    "[security] keys is empty, and Postgres needs an encryption key: 4 letters or digits, a colon, 32 random bytes in "
    "base64 (openssl rand -base64 32); best given as a secret reference (env:NAME, file:PATH) or in a key_file"
)
READER = "encryption keys"
"""Name of the thread that reads keys again."""
_VERSION = b"\x01"
_HEAD = 17  # version (1), key id (4), nonce (12)
_T = TypeVar("_T")
_MAX_REMEMBERED = 2_048
"""Values that are remembered at least before the oldest are dropped (our choice): some seconds of a busy worker."""
_MAX_REMEMBERED_BYTES = 4_096
"""A larger ciphertext is decrypted each time (our choice), so that all remembered ones take some MB."""


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


class _Ring(NamedTuple):
    """The keys of one moment, replaced as a whole. ``names``: id -> id and fingerprint; the first is wanted first."""

    keys: Mapping[str, bytes]
    names: Mapping[str, str]
    boxes: Mapping[bytes, AESGCM]
    sealing: str
    head: bytes
    box: AESGCM


def _make_ring(keys: Mapping[str, bytes], sealing: str = "") -> _Ring:
    if not keys:
        raise ConfigError(["no encryption key: set [security] keys to one or more ID:BASE64 entries, newest first"])
    boxes = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
    names = {key_id: f"{key_id}/{_fingerprint(key)}" for key_id, key in keys.items()}
    chosen = sealing if sealing in keys else next(iter(keys))
    return _Ring(dict(keys), names, boxes, chosen, _VERSION + chosen.encode(), boxes[chosen.encode()])


class Encryption:
    """Decrypts with any of ``keys`` (id of 4 characters -> 32 bytes) and encrypts with one of them.

    That is the first one, unless ``agree`` finds a process that has not read it yet. ``source``: where the keys are
    read again (``refresh``), and when a ciphertext names an unknown key.
    """

    def __init__(self, keys: Mapping[str, bytes], index_key: bytes = b"", source: KeySource | None = None) -> None:
        self._ring = _make_ring(keys)
        self._source = source
        self._reading = threading.Lock()
        self._missing = ""
        self._index_key = index_key
        self._remembered = _Remembered()
        self._row_key = hashlib.blake2b(index_key, person=b"row hash").digest() if index_key else b""
        self._event_key = hashlib.blake2b(index_key, person=b"event keys").digest() if index_key else b""
        self._audit_key = hashlib.blake2b(index_key, person=b"audit log").digest() if index_key else b""

    def with_index_key(self, index_key: bytes) -> Encryption:
        """The same encryption keys with the index key of a database."""
        made = Encryption(self._ring.keys, index_key, self._source)
        made._ring, made._missing = self._ring, self._missing
        return made

    # -- which keys

    @property
    def has_source(self) -> bool:
        """Whether the keys are read again while the program runs."""
        return self._source is not None

    @property
    def newest(self) -> str:
        """The id of the first configured key: the one that is to encrypt."""
        return next(iter(self._ring.keys))

    @property
    def sealing(self) -> str:
        """The id of the key that encrypts now."""
        return self._ring.sealing

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the first configured one first."""
        return tuple(self._ring.keys)

    @property
    def report(self) -> str:
        """What a heartbeat reports: ids with fingerprints, the key that encrypts first."""
        names, sealing = self._ring.names, self._ring.sealing
        return " ".join([names[sealing], *(name for key_id, name in names.items() if key_id != sealing)])

    def name_of(self, key_id: str) -> str:
        """The id of a configured key with its fingerprint, as heartbeats report it."""
        return self._ring.names[key_id]

    def find_unknown(self, reports: Iterable[str]) -> str:
        """The id of a key that another process encrypts with and this one has not, by their heartbeats; "" if none."""
        mine = set(self._ring.names.values())
        used = (report.split()[0] for report in reports if report)
        return next((name.partition("/")[0] for name in used if name not in mine), "")

    def agree(self, reports: Iterable[str]) -> None:
        """Encrypts with the first key that every process has, by their heartbeats; without one, as before.

        So no process meets a ciphertext whose key it has not read yet (docs/security.md#rotation-of-the-keys). A
        process that others did not wait for, because it was stopped, reads the keys again; where that does not give it
        the key with which they encrypt, it encrypts nothing more.
        """
        reports = [*reports]
        source = self._source
        if source is not None:
            if self.find_unknown(reports) and source.is_due(urgent=True):
                self._read_again(source)
            self._missing = self.find_unknown(reports)
        known = [set(report.split()) for report in reports if report]
        ring = self._ring
        for key_id, name in ring.names.items():
            if all(name in one for one in known):
                self._ring = _make_ring(ring.keys, key_id)
                break

    def refresh(self) -> None:
        """Reads the keys again if their source changed or is due; where that fails, the keys stay and it is logged.

        In the background where that may ask a secrets manager: a heartbeat must not wait for it.
        """
        source = self._source
        if source is None or not source.is_due(urgent=False):
            return
        if source.is_slow:
            threading.Thread(target=self._read_again, args=(source,), name=READER, daemon=True).start()
        else:
            self._read_again(source)

    def _read_again(self, source: KeySource) -> None:
        with self._reading:
            self._replace_ring(source)

    def _replace_ring(self, source: KeySource) -> None:
        try:
            keys, ring = source.read(), self._ring
            # What was read once stays readable until the process ends: a long run has it in its snapshot.
            every = {**keys, **{key_id: key for key_id, key in ring.keys.items() if key_id not in keys}}
            if every != ring.keys or [*every] != [*ring.keys]:
                self._ring = _make_ring(every, ring.sealing if ring.sealing in keys else "")
                log.info("encryption keys read again", keys=[*keys], encrypts=self._ring.sealing)
        except ConfigError as error:
            log.warning("encryption keys cannot be read again", reason=str(error))

    def _find_box(self, key_id: bytes) -> AESGCM | None:
        """The cipher of a key; one that is unknown may have been added a moment ago."""
        box = self._ring.boxes.get(key_id)
        source = self._source
        if box is None and source is not None:
            with self._reading:
                if key_id not in self._ring.boxes and source.is_due(urgent=True):
                    self._replace_ring(source)
            box = self._ring.boxes.get(key_id)
        return box

    # -- values

    def check(self) -> None:
        """Raises DatabaseUnavailable if other processes encrypt with a key that this one cannot read."""
        if self._missing:
            text = f"other processes encrypt with key {self._missing}, which this one cannot read"
            raise DatabaseUnavailable(f"{text}: give it the same [security] keys or key_file, then restart it")

    def encrypt(self, value: str | bytes, table: str, row: str, purpose: str) -> bytes:
        """Encrypts a value: version (1 byte) | key id (4) | nonce (12) | ciphertext and tag.

        Raises DatabaseUnavailable: the key may have been removed while this process stood still.
        """
        if self._missing:
            self.check()
        nonce = os.urandom(12)
        text = value.encode() if isinstance(value, str) else value
        ring = self._ring
        return ring.head + nonce + ring.box.encrypt(nonce, text, _bind(table, row, purpose, ring.sealing))

    def decrypt(self, blob: bytes, table: str, row: str, purpose: str) -> bytes:
        """Decrypts a value. Raises DecryptionFailed if it was altered or moved, or if its key is not configured."""
        if len(blob) < _HEAD or blob[:1] != _VERSION:
            raise DecryptionFailed(
                f"the {purpose} of {table} {row} is not an encrypted value; restore it from a backup", table, row
            )
        box = self._ring.boxes.get(blob[1:5]) or self._find_box(blob[1:5])
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
        """Whether a value is encrypted with the key that encrypts now."""
        return blob[:5] == self._ring.head

    @staticmethod
    def key_id_of(blob: bytes) -> str:
        """The id of the key in the header of a value."""
        return blob[1:5].decode("ascii", "replace")

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

    @property
    def audit_key(self) -> bytes:
        """The key of the hashes that chain the audit log. Raises DecryptionFailed."""
        self._need_index_key()
        return self._audit_key

    def _need_index_key(self) -> bytes:
        if not self._index_key:
            raise DecryptionFailed("no index key is loaded yet, so keyed hashes cannot be made: open the store first")
        return self._index_key


def _bind(table: str, row: str, purpose: str, key_id: str) -> bytes:
    return f"{table}|{row}|{purpose}|{key_id}".encode()


def _fingerprint(key: bytes) -> str:
    """8 hex characters that differ for two keys of one id."""
    return hashlib.blake2b(key, digest_size=4, person=b"key name").hexdigest()


def make_key(key_id: str | None = None) -> str:
    """A new ``ID:BASE64`` entry for [security] keys."""
    return f"{key_id or secrets.token_hex(2)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def key_file_of(database_url: str) -> Path | None:
    """The key file that stands beside a SQLite database; None for another one."""
    path = database_url.removeprefix("sqlite:")
    return Path(f"{path}.keys") if database_url.startswith("sqlite:") and path != ":memory:" else None


def load_keyring(keys: Sequence[str] | KeySource, database_url: str) -> Encryption:
    """The encryption of the configured ``ID:BASE64`` keys or of their source; without any, of SQLite's key file.

    The file is created with a new database, readable by its owner only. Raises ConfigError: a malformed key, a file
    that others can read, a database whose key file is missing, Postgres without keys.
    """
    if not isinstance(keys, Sequence):
        return Encryption(keys.read(), source=keys)
    if keys:
        return Encryption(parse_keys(keys, "[security] keys"))
    if database_url == "sqlite::memory:":
        return Encryption({"memo": secrets.token_bytes(32)})
    path = key_file_of(database_url)
    if path is None:
        raise ConfigError([_NO_KEYS])
    database = Path(database_url.removeprefix("sqlite:"))
    # Before the key file, which is created first: another process may be creating both now.
    in_use = database.exists() and database.stat().st_size > 0
    if not path.exists():
        if in_use:
            raise ConfigError([f"{path} is missing: without it the database cannot be read; restore it from a backup"])
        create_key_file(path, make_key())
    source = FileKeys(path)
    return Encryption(source.read(), source=source)
