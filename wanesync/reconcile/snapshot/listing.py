"""The snapshot's file and what a run lists into it: ids, keyed hashes, checkpoints, and copies that differ, sealed.

A run that was killed goes on from its last page.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from wanesync.core.diff.ranges import ListingRange
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.core.model import Record, Side
from wanesync.store.codec import pack_record, unpack_record
from wanesync.store.encryption import Encryption

SIDES = (Side.HUBSPOT, Side.STRIPE)
NUMBERS = {side: number for number, side in enumerate(SIDES)}
MEMORY = ":memory:"
TABLE = "snapshot"
_CACHE_KIB = 32_768
_ROWS = 100
_GONE = 10_000
"""Ids in one statement: each looks through all addresses."""
_MARK = int.from_bytes(b"wane")
"""In the header of every snapshot: no other file is overwritten, whatever was given as its name."""
_MARK_AT = 68


@dataclass(frozen=True, slots=True)
class Copy:
    """A listed record that is not as the database has it.

    ``moved``: how often that one had been stored when the call began, 0: it is new, -1: it moved meanwhile.
    ``from_ms`` .. ``to_ms``: when it was true.
    """

    record: Record
    moved: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One listed record. ``same``: hash of its comparison keys; ``exact``: of its values as they are."""

    id: str
    same: str
    exact: str
    other_id: str
    hmacs: frozenset[str]
    copy: Copy | None = None


class Listed:
    """One run's file and its listing. By one thread at a time, and not by two processes: the run lock sees to that."""

    def __init__(self, path: str, seal: Encryption) -> None:
        self.path, self._seal = path, seal
        try:
            if path != MEMORY:
                Path(path).touch(mode=0o600)
                Path(path).chmod(0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            why = error.strerror if isinstance(error, OSError) else "it cannot be opened"
            raise ConfigError(
                [f"the snapshot {path} cannot be made ({why}): name another place with --snapshot"]
            ) from error
        if path == MEMORY or not Path(path).stat().st_size:
            # Before the journal is another one: it is in the file itself from the first moment.
            self._db.execute(f"PRAGMA application_id = {_MARK}")
        # A killed process loses nothing by this; after a crash of the machine the run begins anew.
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is put inside is there together or not at all."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise DatabaseUnavailable(
                    f"the snapshot {self.path} cannot be written ({error}): is the disk full?"
                ) from error
            raise

    def is_sound(self) -> bool:
        """Whether its pages are as they were written: after a crash of the machine they may not be."""
        return [row[0] for row in self._db.execute("PRAGMA quick_check(1)")] == ["ok"]

    def close(self) -> None:
        """Keep it for the next run."""
        self._db.close()

    def shred(self) -> None:
        """Overwrite it, and remove it."""
        self._db.close()
        if self.path != MEMORY:
            remove(self.path)

    # -- what is known of the run

    def about(self) -> dict[str, str]:
        """Names and values."""
        return dict(self._db.execute("SELECT name, value FROM about"))

    def put_about(self, values: Mapping[str, str]) -> None:
        """Add or replace."""
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", list(values.items()))

    # -- the listing

    def spans(self, side: Side) -> list[ListingRange]:
        """How far the listing of a side came."""
        query = "SELECT number, low, high, next, reached, done FROM spans WHERE side = ? ORDER BY number"
        rows = self._db.execute(query, (NUMBERS[side],))
        return [
            ListingRange(number, low, high, at, reached, bool(done)) for number, low, high, at, reached, done in rows
        ]

    def put_spans(self, side: Side, spans: Iterable[ListingRange]) -> None:
        """Checkpoints."""
        rows = [(NUMBERS[side], s.number, s.low, s.high, s.next, s.reached, int(s.done)) for s in spans]
        self._db.executemany("INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def put_rows(self, side: Side, rows: Sequence[ListedRow]) -> None:
        """One page."""
        number = NUMBERS[side]
        kept = [
            (number, r.id, shorten(r.same), shorten(r.exact), r.other_id, _address(r), _state(r), self._pack(side, r))
            for r in rows
        ]
        self._put("INSERT OR REPLACE INTO listed", kept)
        self._put("INSERT OR IGNORE INTO addresses", [(shorten(h), number, row.id) for row in rows for h in row.hmacs])

    def put_merges(self, merges: Mapping[str, str]) -> None:
        """Contacts that live for us and were merged away by what was listed: id -> the contact they live on in."""
        self._db.executemany("INSERT OR REPLACE INTO merges VALUES (?, ?)", list(merges.items()))

    def survivors_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Those of some contacts that were merged away by what was listed, and where they live on."""
        marks = ",".join("?" * len(ids))
        return dict(self._db.execute(f"SELECT id, survivor FROM merges WHERE id IN ({marks})", list(ids)))  # noqa: S608 - only question marks

    def put_overlaps(self, ids: Iterable[str]) -> None:
        """Contacts that one span saw beyond its end."""
        self._db.executemany("INSERT OR IGNORE INTO overlaps VALUES (?)", [(i,) for i in ids])

    def unseen_overlaps(self) -> int:
        """How many of them no span listed."""
        query = "SELECT COUNT(*) FROM overlaps o WHERE NOT EXISTS (SELECT 1 FROM listed WHERE side = 0 AND id = o.id)"
        return self._number(query)

    def forget_listing(self, side: Side) -> None:
        """List a side anew."""
        with self.writing():
            for table in ("spans", "listed", "addresses"):
                self._db.execute(f"DELETE FROM {table} WHERE side = ?", (NUMBERS[side],))  # noqa: S608 - names from this line
            if side is Side.HUBSPOT:
                self._db.execute("DELETE FROM overlaps")
                self._db.execute("DELETE FROM merges")

    def forget(self, side: Side, ids: Sequence[str]) -> None:
        """These are not there any more."""
        with self.writing():
            for some in (ids[at : at + _GONE] for at in range(0, len(ids), _GONE)):
                marks = ",".join("?" * len(some))
                for table in ("listed", "addresses"):
                    self._db.execute(f"DELETE FROM {table} WHERE side = ? AND id IN ({marks})", (NUMBERS[side], *some))  # noqa: S608 - names from this line

    def count(self, side: Side) -> int:
        """How many records were listed."""
        return self._number("SELECT COUNT(*) FROM listed WHERE side = ?", NUMBERS[side])

    def missing(self, side: Side, after: str, ids: Sequence[str]) -> list[str]:
        """Those of all ids known above ``after``, in order, that were not listed, nor merged into one that was."""
        query = "SELECT id FROM listed WHERE side = ? AND id > ? AND id <= ?"
        found = {row[0] for row in self._db.execute(query, (NUMBERS[side], after, ids[-1]))}
        left = [i for i in ids if i not in found]
        merged = self.survivors_of(left) if left and side is Side.HUBSPOT else {}
        return [i for i in left if i not in merged]

    def copies(self, side: Side, after: str, limit: int) -> dict[str, Copy]:
        """Copies that differ, by id, above ``after``."""
        query = "SELECT id, copy FROM listed WHERE side = ? AND id > ? AND state > 0 ORDER BY id LIMIT ?"
        rows = self._db.execute(query, (NUMBERS[side], after, limit))
        return {record_id: self._unpack(side, record_id, blob) for record_id, blob in rows}

    def copies_of(self, side: Side, ids: Sequence[str]) -> dict[str, Copy]:
        """Copies that differ, of some ids."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT id, copy FROM listed WHERE side = ? AND state > 0 AND id IN ({marks})"  # noqa: S608 - only question marks
        rows = self._db.execute(query, (NUMBERS[side], *ids))
        return {record_id: self._unpack(side, record_id, blob) for record_id, blob in rows}

    def carriers(self, hmacs: Sequence[str]) -> dict[str, set[tuple[Side, str]]]:
        """Hash -> the listed records that carry the address."""
        marks = ",".join("?" * len(hmacs))
        query = f"SELECT hmac, side, id FROM addresses WHERE hmac IN ({marks})"  # noqa: S608 - only question marks
        found: dict[str, set[tuple[Side, str]]] = {}
        for hmac, side, record_id in self._db.execute(query, [shorten(h) for h in hmacs]):
            found.setdefault(hmac.hex(), set()).add((SIDES[side], record_id))
        return found

    def carriers_of_ids(self, side: Side, ids: Sequence[str]) -> set[tuple[Side, str]]:
        """Listed records of a side on which one of our ids of the opposite side is written."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT id FROM listed WHERE side = ? AND other_id <> '' AND other_id IN ({marks})"  # noqa: S608 - only question marks
        return {(side, row[0]) for row in self._db.execute(query, (NUMBERS[side], *ids))}

    # -- parts

    def _put(self, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
        """All rows in few statements: each one lets other threads of Python run, and waits for its turn again."""
        for some in (rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS)):
            marks = f"({','.join('?' * len(some[0]))})"
            self._db.execute(f"{insert} VALUES {','.join([marks] * len(some))}", list(chain.from_iterable(some)))

    def _number(self, query: str, *values: object) -> int:
        return int(self._db.execute(query, values).fetchone()[0] or 0)

    def _pack(self, side: Side, row: ListedRow) -> bytes | None:
        if row.copy is None:
            return None
        head = f"{row.copy.moved} {row.copy.from_ms} {row.copy.to_ms}\n".encode()
        return self._seal.encrypt(head + pack_record(row.copy.record), TABLE, f"{side}:{row.id}", "copy")

    def _unpack(self, side: Side, record_id: str, blob: bytes) -> Copy:
        head, _, packed = self._seal.decrypt(blob, TABLE, f"{side}:{record_id}", "copy").partition(b"\n")
        moved, from_ms, to_ms = (int(part) for part in head.split())
        return Copy(unpack_record(packed, side, record_id), moved, from_ms, to_ms)


def _address(row: ListedRow) -> bytes | None:
    return shorten(next(iter(row.hmacs))) if len(row.hmacs) == 1 else None


def _state(row: ListedRow) -> int:
    return 0 if row.copy is None else 1 if row.copy.moved else 2


def shorten(hexadecimal: str) -> bytes:
    """A hash as it is kept: half as long."""
    return bytes.fromhex(hexadecimal)


def check_mark(path: str) -> None:
    """Raises ``ConfigError`` for a file that is something else: it would be overwritten."""
    with suppress(FileNotFoundError), Path(path).open("rb") as file:
        head = file.read(_MARK_AT + 4)
        if head and int.from_bytes(head[_MARK_AT:]) != _MARK:
            raise ConfigError([f"{path} is no snapshot of a run: name another file for it, or remove that one"])


def remove(path: str) -> None:
    """Overwrite and unlink the file and what SQLite keeps beside it."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            size = Path(name).stat().st_size
            with Path(name).open("r+b") as file:
                file.writelines(bytes(1 << 20) for _ in range(0, size, 1 << 20))
                file.truncate(size)
                os.fsync(file.fileno())
            Path(name).unlink()
