"""The snapshot of one comparison: a SQLite file of its own, so that memory does not grow with the number of records.

It holds what was listed (ids, keyed hashes, checkpoints, and encrypted copies of records that differ from the stored
ones), what else the database holds of them, and what the comparison found. A killed run continues from the last stored
page.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from wanesync.core.diff.difference import Difference, DifferenceClass
from wanesync.core.diff.ranges import ListingRange
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.core.model import Side, contact_key, customer_key
from wanesync.reconcile.snapshot.codec import (
    ChangedRecord,
    pack_changed,
    pack_difference,
    unpack_changed,
    unpack_difference,
)
from wanesync.store.encryption import Encryption
from wanesync.store.tables.links import Outline

SIDES = (Side.HUBSPOT, Side.STRIPE)
SIDE_NUMBERS = {side: number for number, side in enumerate(SIDES)}
MEMORY = ":memory:"
TABLE = "snapshot"
"""The table name that is authenticated with every encrypted value."""
_LISTING_CACHE_KIB = 32_768
"""Page cache while rows are inserted in order: 32 MiB, our choice."""
_COMPARISON_CACHE_KIB = 147_456
"""Page cache while rows are looked up in no order: 144 MiB, our choice, so that indexes stay in memory."""
_ROWS_PER_INSERT = 100
"""Rows in one INSERT: 8 values each stay far below SQLite's 32,766 parameters."""
_IDS_PER_DELETE = 10_000
"""Ids in one DELETE, below SQLite's 32,766 parameters; each statement scans all addresses, so there are few."""
_ROWS_PER_PAGE = 1000
"""Rows read at once while others are inserted."""
_KEYS_PER_CHUNK = 200
"""Keys planned together: their records are loaded by one statement each."""
_APPLICATION_ID = int.from_bytes(b"wane")
"""Stands in the header of every snapshot: no other file is overwritten, whatever its name is."""
_APPLICATION_ID_AT = 68
"""Byte offset of the application id in a SQLite header (sqlite.org/fileformat.html, 1.3)."""
_COUNT_LINKED = """
SELECT COUNT(*),
    COUNT(COALESCE(c.id, (SELECT a.id FROM set_aside a WHERE a.side = 0 AND a.id = k.hubspot_id))),
    COUNT(COALESCE(s.id, (SELECT a.id FROM set_aside a WHERE a.side = 1 AND a.id = k.stripe_id))),
    SUM(k.plain AND c.id IS NOT NULL AND s.id IS NOT NULL) FROM links k
LEFT JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
LEFT JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE k.active
"""
_ADD_UNLINKED = """
INSERT OR IGNORE INTO to_plan SELECT r.side, r.id FROM listed r WHERE r.side = ? AND r.id = ?
AND NOT EXISTS (SELECT 1 FROM links k WHERE r.side = 0 AND k.hubspot_id = r.id)
AND NOT EXISTS (SELECT 1 FROM links k WHERE r.side = 1 AND k.stripe_id = r.id)
"""
_COUNT_SAME_PAIRS = """
SELECT COUNT(*) FROM links k
JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE k.hubspot_id = ? AND k.active AND k.plain
"""


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One listed record. ``same``: hash of its comparison keys; ``exact``: hash of its values as they are.

    ``changed``: the record itself, where it differs from the stored one.
    """

    id: str
    same: str
    exact: str
    other_id: str
    hmacs: frozenset[str]
    changed: ChangedRecord | None = None


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """Active links, how many have their record of a side listed or set aside, and how many plain ones have both."""

    links: int
    listed: Mapping[Side, int]
    plain: int


class Snapshot:
    """The file of one run. Used by one thread at a time; the run lock keeps a second process away.

    Raises ``ConfigError`` when the file cannot be made.
    """

    def __init__(self, path: str, encryption: Encryption) -> None:
        self.path, self._encryption = path, encryption
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
            # Before WAL mode is set: the id is then in the file itself from the first moment, not only in the log.
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        # synchronous OFF: a killed process loses nothing; after a crash of the machine the run begins again.
        settings = "journal_mode = WAL", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{_LISTING_CACHE_KIB}"
        for setting in settings:
            self._db.execute(f"PRAGMA {setting}")

    # -- the file

    @classmethod
    def resume(cls, path: str, encryption: Encryption, identity: Mapping[str, str], oldest_ms: int) -> Snapshot:
        """The snapshot of the interrupted run, if it has this identity and began after ``oldest_ms``; else a new one.

        Raises ``ConfigError`` for a file that is no snapshot.
        """
        if path != MEMORY:
            _check_application_id(path)
            resumed = cls._reopen(path, encryption, identity, oldest_ms)
            if resumed is not None:
                return resumed
        return cls._begin(path, encryption, identity)

    @classmethod
    def _reopen(cls, path: str, encryption: Encryption, identity: Mapping[str, str], oldest_ms: int) -> Snapshot | None:
        """The interrupted run's snapshot; None where there is none, or it is another run's, too old, or damaged."""
        if not Path(path).exists():
            return None
        opened = None
        with suppress(sqlite3.DatabaseError):
            opened = cls(path, encryption)
            metadata = opened.metadata()
            fits = identity.items() <= metadata.items() and int(metadata.get("began_ms", "0")) >= oldest_ms
            if fits and opened.is_intact():
                opened.clear_results()
                return opened
        if opened is not None:
            opened.close()
        return None

    @classmethod
    def _begin(cls, path: str, encryption: Encryption, identity: Mapping[str, str]) -> Snapshot:
        _erase_files(path)
        made = cls(path, encryption)
        made._db.executescript(files("wanesync.reconcile.snapshot").joinpath("snapshot.sql").read_text())
        made.put_metadata(identity)
        return made

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block are stored, or none. Raises ``DatabaseUnavailable`` when the disk is full."""
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

    def is_intact(self) -> bool:
        """Whether SQLite finds no damaged page; after a crash of the machine there may be some."""
        return [row[0] for row in self._db.execute("PRAGMA quick_check(1)")] == ["ok"]

    def close(self) -> None:
        """Close the file and keep it for the next run."""
        self._db.close()

    def erase(self) -> None:
        """Close, overwrite and remove the file."""
        self._db.close()
        if self.path != MEMORY:
            _erase_files(self.path)

    def metadata(self) -> dict[str, str]:
        """Facts about the run, by name: its identity, when it began (``began_ms``), how far it came."""
        return dict(self._db.execute("SELECT name, value FROM metadata"))

    def put_metadata(self, values: Mapping[str, str]) -> None:
        """Add or replace facts about the run."""
        self._db.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", list(values.items()))

    # -- the listing

    def spans(self, side: Side) -> list[ListingRange]:
        """How far the listing of a side came."""
        query = "SELECT number, low, high, next, reached, done FROM spans WHERE side = ? ORDER BY number"
        rows = self._db.execute(query, (SIDE_NUMBERS[side],))
        return [
            ListingRange(number, low, high, at, reached, bool(done)) for number, low, high, at, reached, done in rows
        ]

    def put_spans(self, side: Side, spans: Iterable[ListingRange]) -> None:
        """Store checkpoints."""
        rows = [(SIDE_NUMBERS[side], s.number, s.low, s.high, s.next, s.reached, int(s.done)) for s in spans]
        self._db.executemany("INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def put_rows(self, side: Side, rows: Sequence[ListedRow]) -> None:
        """Store one page of listed records."""
        number = SIDE_NUMBERS[side]
        listed = [
            (
                number,
                r.id,
                _to_bytes(r.same),
                _to_bytes(r.exact),
                r.other_id,
                _address(r),
                _state(r),
                self._pack(side, r),
            )
            for r in rows
        ]
        self._insert("INSERT OR REPLACE INTO listed", listed)
        addresses = [(_to_bytes(hmac), number, row.id) for row in rows for hmac in row.hmacs]
        self._insert("INSERT OR IGNORE INTO addresses", addresses)

    def put_merges(self, merges: Mapping[str, str]) -> None:
        """Contacts stored as alive that the listing shows as merged away: id -> id of the surviving contact."""
        self._db.executemany("INSERT OR REPLACE INTO merges VALUES (?, ?)", list(merges.items()))

    def put_aside(self, side: Side, records: Iterable[tuple[str, str]]) -> None:
        """Records that cannot be used: (id, reason)."""
        rows = [(SIDE_NUMBERS[side], record_id, reason) for record_id, reason in records]
        self._db.executemany("INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?)", rows)

    def set_aside(self) -> list[tuple[Side, str, str]]:
        """What cannot be used: (side, id, reason), in order."""
        rows = self._db.execute("SELECT side, id, reason FROM set_aside ORDER BY side, id, reason")
        return [(SIDES[side], record_id, reason) for side, record_id, reason in rows]

    def survivors_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Those of some contacts that were merged away: id -> id of the surviving contact."""
        query = f"SELECT id, survivor FROM merges WHERE id IN ({_marks(ids)})"  # noqa: S608 - only question marks
        return dict(self._db.execute(query, list(ids)))

    def put_overlaps(self, ids: Iterable[str]) -> None:
        """Contacts that one span read beyond its end."""
        self._db.executemany("INSERT OR IGNORE INTO overlaps VALUES (?)", [(i,) for i in ids])

    def count_unlisted_overlaps(self) -> int:
        """How many contacts read beyond a span's end no span listed."""
        return self.count_by(
            "SELECT COUNT(*) FROM overlaps o WHERE NOT EXISTS (SELECT 1 FROM listed WHERE side = 0 AND id = o.id)"
        )

    def clear_listing(self, side: Side) -> None:
        """Forget what a side listed, so that it is listed again."""
        with self.transaction():
            for table in ("spans", "listed", "addresses", "set_aside"):
                self._db.execute(f"DELETE FROM {table} WHERE side = ?", (SIDE_NUMBERS[side],))  # noqa: S608 - names from the line above
            if side is Side.HUBSPOT:
                self._db.execute("DELETE FROM overlaps")
                self._db.execute("DELETE FROM merges")

    def remove_rows(self, side: Side, ids: Sequence[str]) -> None:
        """Remove listed records that were deleted meanwhile."""
        with self.transaction():
            for some in (ids[at : at + _IDS_PER_DELETE] for at in range(0, len(ids), _IDS_PER_DELETE)):
                for table in ("listed", "addresses"):
                    delete = f"DELETE FROM {table} WHERE side = ? AND id IN ({_marks(some)})"  # noqa: S608 - names from the line above
                    self._db.execute(delete, (SIDE_NUMBERS[side], *some))

    def count(self, side: Side) -> int:
        """How many records of a side are listed."""
        return self.count_by("SELECT COUNT(*) FROM listed WHERE side = ?", SIDE_NUMBERS[side])

    def count_shown(self, side: Side) -> int:
        """How many records of a side are listed or set aside."""
        aside = "SELECT COUNT(DISTINCT a.id) FROM set_aside a LEFT JOIN listed r ON r.side = a.side AND r.id = a.id"
        return self.count(side) + self.count_by(f"{aside} WHERE r.id IS NULL AND a.side = ?", SIDE_NUMBERS[side])

    def find_unlisted(self, side: Side, after: str, ids: Sequence[str]) -> list[str]:
        """Those of all ids above ``after``, in order, that were not listed, set aside or merged into one that was."""
        query = "SELECT id FROM listed WHERE side = ? AND id > ? AND id <= ?"
        found = {row[0] for row in self._db.execute(query, (SIDE_NUMBERS[side], after, ids[-1]))}
        aside = "SELECT id FROM set_aside WHERE side = ? AND id > ? AND id <= ?"
        found |= {row[0] for row in self._db.execute(aside, (SIDE_NUMBERS[side], after, ids[-1]))}
        left = [i for i in ids if i not in found]
        merged = self.survivors_of(left) if left and side is Side.HUBSPOT else {}
        return [i for i in left if i not in merged]

    def changed_after(self, side: Side, after: str, limit: int) -> dict[str, ChangedRecord]:
        """Records that differ from the stored ones, by id, in order, above ``after``."""
        query = "SELECT id, changed FROM listed WHERE side = ? AND id > ? AND state > 0 ORDER BY id LIMIT ?"
        rows = self._db.execute(query, (SIDE_NUMBERS[side], after, limit))
        return {record_id: self._unpack(side, record_id, blob) for record_id, blob in rows}

    def changed_of(self, side: Side, ids: Sequence[str]) -> dict[str, ChangedRecord]:
        """Those of some records that differ from the stored ones, by id."""
        query = f"SELECT id, changed FROM listed WHERE side = ? AND state > 0 AND id IN ({_marks(ids)})"  # noqa: S608 - only question marks
        rows = self._db.execute(query, (SIDE_NUMBERS[side], *ids))
        return {record_id: self._unpack(side, record_id, blob) for record_id, blob in rows}

    def with_addresses(self, hmacs: Sequence[str]) -> dict[str, set[tuple[Side, str]]]:
        """Address hash -> the listed records that carry the address."""
        query = f"SELECT hmac, side, id FROM addresses WHERE hmac IN ({_marks(hmacs)})"  # noqa: S608 - only question marks
        found: dict[str, set[tuple[Side, str]]] = {}
        for hmac, side, record_id in self._db.execute(query, [_to_bytes(h) for h in hmacs]):
            found.setdefault(hmac.hex(), set()).add((SIDES[side], record_id))
        return found

    def with_other_ids(self, side: Side, ids: Sequence[str]) -> set[tuple[Side, str]]:
        """Listed records of a side that carry one of these ids of the opposite side."""
        query = f"SELECT id FROM listed WHERE side = ? AND other_id <> '' AND other_id IN ({_marks(ids)})"  # noqa: S608 - only question marks
        return {(side, row[0]) for row in self._db.execute(query, (SIDE_NUMBERS[side], *ids))}

    # -- what else is stored in the database

    def put_links(self, links: Iterable[Outline], held: Collection[str] = ()) -> None:
        """Links as stored; ``held``: ids of links with changes held back. ``index_links`` follows the last call."""
        rows = [
            (contact, customer, plain and link_id not in held, active, _to_bytes(here), _to_bytes(there))
            for link_id, contact, customer, plain, active, here, there in links
        ]
        self._insert("INSERT INTO links", rows)

    def index_links(self) -> None:
        """Index the links by both records, and enlarge the cache: from here on rows are looked up in no order."""
        self._db.execute(f"PRAGMA cache_size = -{_COMPARISON_CACHE_KIB}")
        self._db.execute("CREATE INDEX IF NOT EXISTS links_contact ON links (hubspot_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS links_customer ON links (stripe_id)")

    def put_unlisted_addresses(self, side: Side, addresses: Iterable[tuple[str, str]]) -> None:
        """(address hash, id) of stored records that were not listed and may still be the person's record."""
        rows = [(_to_bytes(hmac), SIDE_NUMBERS[side], i) for hmac, i in addresses]
        self._db.executemany("INSERT OR IGNORE INTO addresses VALUES (?, ?, ?)", rows)

    def put_tombstones(self, hmacs: Iterable[str]) -> None:
        """Addresses for which a deletion forbids a creation."""
        self._db.executemany("INSERT OR IGNORE INTO tombstones VALUES (?)", [(_to_bytes(h),) for h in hmacs])

    def count_linked(self) -> LinkCounts:
        """How many active links there are, and how many of their records were listed."""
        row = self._db.execute(_COUNT_LINKED).fetchone()
        return LinkCounts(row[0], {Side.HUBSPOT: row[1], Side.STRIPE: row[2]}, row[3] or 0)

    # -- the comparison

    def execute(self, statement: str) -> None:
        """Run one statement of the comparison."""
        self._db.execute(statement)

    def count_by(self, query: str, *values: object) -> int:
        """The number a query returns."""
        return int(self._db.execute(query, values).fetchone()[0] or 0)

    def plan_records(self, side: Side, ids: Iterable[str]) -> None:
        """Have the planner compare these records, whatever their hashes are."""
        self._db.executemany("INSERT OR IGNORE INTO to_plan VALUES (?, ?)", [(SIDE_NUMBERS[side], i) for i in ids])

    def plan_listed(self, side: Side, ids: Iterable[str]) -> None:
        """Have the planner compare those of these records that were listed."""
        query = "INSERT OR IGNORE INTO to_plan SELECT side, id FROM listed WHERE side = ? AND id = ?"
        self._db.executemany(query, [(SIDE_NUMBERS[side], i) for i in ids])

    def unlisted_contacts_of_links(self) -> list[str]:
        """Contacts with an active link that were not listed: most were merged away."""
        query = (
            "SELECT DISTINCT k.hubspot_id FROM links k WHERE k.active"
            " AND NOT EXISTS (SELECT 1 FROM listed c WHERE c.side = 0 AND c.id = k.hubspot_id)"
        )
        return [row[0] for row in self._db.execute(query)]

    def plan_unlinked(self, side: Side, ids: Iterable[str]) -> None:
        """Have the planner compare those of these records that were listed and have no link."""
        self._db.executemany(_ADD_UNLINKED, [(SIDE_NUMBERS[side], i) for i in ids])

    def is_planned(self, side: Side, record_id: str) -> bool:
        """Whether the planner compares a record."""
        query = "SELECT COUNT(*) FROM to_plan WHERE side = ? AND id = ?"
        return bool(self.count_by(query, SIDE_NUMBERS[side], record_id))

    def keys_to_plan(self) -> Iterator[list[str]]:
        """Keys the planner compares, in chunks: contacts first."""
        for side, key in ((Side.HUBSPOT, contact_key), (Side.STRIPE, customer_key)):
            after = ""
            query = f"SELECT id FROM to_plan WHERE side = ? AND id > ? ORDER BY id LIMIT {_KEYS_PER_CHUNK}"  # noqa: S608 - a constant
            while ids := [row[0] for row in self._db.execute(query, (SIDE_NUMBERS[side], after))]:
                yield [key(i) for i in ids]
                after = ids[-1]

    def is_same_pair(self, contact_id: str) -> bool:
        """Whether a contact was counted as part of a linked pair that is in sync."""
        return bool(self.count_by(_COUNT_SAME_PAIRS, contact_id))

    def claim_addresses(self, hmacs: Iterable[str]) -> bool:
        """Reserve addresses for a creation; False: this run creates another record with one of them."""
        rows = [(_to_bytes(h),) for h in hmacs]
        query = "SELECT 1 FROM claimed_addresses WHERE hmac = ?"
        taken = any(self._db.execute(query, row).fetchone() for row in rows)
        self._db.executemany("INSERT OR IGNORE INTO claimed_addresses VALUES (?)", rows)
        return not taken

    # -- results

    def put_unlisted(self, side: Side, ids: Iterable[str]) -> None:
        """Records stored as alive that the side no longer lists."""
        rows = [(SIDE_NUMBERS[side], i) for i in ids]
        self._db.executemany("INSERT INTO unlisted (side, id) VALUES (?, ?)", rows)

    def is_unlisted(self, hubspot_id: str, stripe_id: str) -> bool:
        """Whether one record of a pair is no longer listed."""
        query = "SELECT EXISTS (SELECT 1 FROM unlisted WHERE (side = 0 AND id = ?) OR (side = 1 AND id = ?))"
        return bool(self.count_by(query, hubspot_id, stripe_id))

    def unlisted(self) -> Iterator[tuple[Side, str]]:
        """Records stored as alive that their side no longer lists."""
        for side, record_id in self._pages("SELECT number, side, id FROM unlisted"):
            yield SIDES[side], record_id

    def put_jobs(self, jobs: Iterable[tuple[str, str, str]]) -> None:
        """(key, lane, classes) of jobs to be queued; classes are separated by commas."""
        self._db.executemany("INSERT INTO jobs (key, lane, classes) VALUES (?, ?, ?)", jobs)

    def remove_jobs(self, key: str) -> bool:
        """Remove the jobs of a key; False: there were none."""
        return self._db.execute("DELETE FROM jobs WHERE key = ?", (key,)).rowcount > 0

    def jobs(self) -> Iterator[tuple[str, Side, str]]:
        """(key, lane, classes) of the jobs to be queued, in order."""
        for key, lane, classes in self._pages("SELECT number, key, lane, classes FROM jobs"):
            yield key, Side(lane), classes

    def job_classes_of(self, key: str) -> set[str]:
        """The classes of each job of a key."""
        return {row[0] for row in self._db.execute("SELECT classes FROM jobs WHERE key = ?", (key,))}

    def put_differences(self, differences: Iterable[Difference]) -> None:
        """Store differences, encrypted."""
        rows = [
            (d.kind, d.key, self._encryption.encrypt(pack_difference(d), TABLE, d.kind, "found")) for d in differences
        ]
        self._db.executemany("INSERT INTO differences (class, key, detail) VALUES (?, ?, ?)", rows)

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        """Differences of one class or all, in order; ``limit`` -1: no limit."""
        where = "WHERE class = ?" if kind else "WHERE ? IS NULL"
        left = limit
        for of, detail in self._pages(f"SELECT number, class, detail FROM differences {where}", kind):  # noqa: S608 - one of two fixed texts
            if not left:
                return
            left -= 1
            yield self._unpack_difference(of, detail)

    def differences_of(self, key: str) -> list[Difference]:
        """Differences of one key, in order."""
        rows = self._db.execute("SELECT class, detail FROM differences WHERE key = ? ORDER BY number", (key,))
        return [self._unpack_difference(kind, detail) for kind, detail in rows]

    def clear_results(self) -> None:
        """Forget what an interrupted comparison found: all is compared again."""
        with self.transaction():
            for table in ("links", "tombstones", "to_plan", "jobs", "unlisted", "claimed_addresses", "differences"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above

    # -- parts

    def _insert(self, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert many rows with few statements: each statement releases the interpreter lock and waits for it again."""
        for some in (rows[at : at + _ROWS_PER_INSERT] for at in range(0, len(rows), _ROWS_PER_INSERT)):
            values = ",".join([f"({_marks(some[0])})"] * len(some))
            self._db.execute(f"{insert} VALUES {values}", list(chain.from_iterable(some)))

    def _pages(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """All rows of a query whose first column numbers them, a page at a time: rows may be added in between."""
        after, bind = 0, "AND" if "WHERE" in query else "WHERE"
        text = f"{query} {bind} number > ? ORDER BY 1 LIMIT {_ROWS_PER_PAGE}"
        while rows := self._db.execute(text, (*values, after)).fetchall():
            for row in rows:
                yield tuple(row[1:])
            after = rows[-1][0]

    def _pack(self, side: Side, row: ListedRow) -> bytes | None:
        if row.changed is None:
            return None
        return self._encryption.encrypt(pack_changed(row.changed), TABLE, f"{side}:{row.id}", "copy")

    def _unpack(self, side: Side, record_id: str, blob: bytes) -> ChangedRecord:
        return unpack_changed(self._encryption.decrypt(blob, TABLE, f"{side}:{record_id}", "copy"), side, record_id)

    def _unpack_difference(self, kind: str, detail: bytes) -> Difference:
        return unpack_difference(self._encryption.decrypt(detail, TABLE, kind, "found"))


def _address(row: ListedRow) -> bytes | None:
    return _to_bytes(next(iter(row.hmacs))) if len(row.hmacs) == 1 else None


def _state(row: ListedRow) -> int:
    return 0 if row.changed is None else 1 if row.changed.base_revision else 2


def _to_bytes(hexadecimal: str) -> bytes:
    """A hash as it is stored: half as long as its text."""
    return bytes.fromhex(hexadecimal)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _check_application_id(path: str) -> None:
    """Raises ``ConfigError`` for a file that is no snapshot: it would be overwritten."""
    with suppress(FileNotFoundError), Path(path).open("rb") as file:
        head = file.read(_APPLICATION_ID_AT + 4)
        if head and int.from_bytes(head[_APPLICATION_ID_AT:]) != _APPLICATION_ID:
            raise ConfigError([f"{path} is no snapshot of a run: name another file for it, or remove that one"])


def _erase_files(path: str) -> None:
    """Overwrite and remove the file and the files SQLite keeps beside it."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            size = Path(name).stat().st_size
            with Path(name).open("r+b") as file:
                file.writelines(bytes(1 << 20) for _ in range(0, size, 1 << 20))
                file.truncate(size)
                os.fsync(file.fileno())
            Path(name).unlink()
