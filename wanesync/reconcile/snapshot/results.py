"""The snapshot: one comparison of both sides in a SQLite file of its own, so that memory does not grow with it.

``Listed`` is the file with what was listed; here is what the database knows besides, and what the comparison found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from wanesync.core.model import Side, contact_key, customer_key
from wanesync.reconcile.snapshot.listing import (
    MEMORY,
    NUMBERS,
    SIDES,
    TABLE,
    Copy,
    Listed,
    ListedRow,
    check_mark,
    remove,
    shorten,
)
from wanesync.store.encryption import Encryption
from wanesync.store.tables.links import Outline

__all__ = ["MEMORY", "Copy", "ListedRow", "Snapshot"]

_CHUNK = 1000
_COMPARING_KIB = 147_456
_COUNT_LINKED = """
SELECT COUNT(*), COUNT(c.id), COUNT(s.id), SUM(k.plain AND c.id IS NOT NULL AND s.id IS NOT NULL) FROM links k
LEFT JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
LEFT JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE k.active
"""


_OPEN_UNLINKED = """
INSERT OR IGNORE INTO opened SELECT r.side, r.id FROM listed r WHERE r.side = ? AND r.id = ?
AND NOT EXISTS (SELECT 1 FROM links k WHERE r.side = 0 AND k.hubspot_id = r.id)
AND NOT EXISTS (SELECT 1 FROM links k WHERE r.side = 1 AND k.stripe_id = r.id)
"""
_SETTLED = """
SELECT COUNT(*) FROM links k
JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE k.hubspot_id = ? AND k.active AND k.plain
"""


@dataclass(frozen=True, slots=True)
class Linked:
    """Active links, how many of them have their end of a side listed, and how many plain ones have both."""

    links: int
    listed: Mapping[Side, int]
    plain: int


class Snapshot(Listed):
    """One run's file. Used by one thread at a time; not by two processes (the run lock sees to that)."""

    @classmethod
    def resume(cls, path: str, seal: Encryption, identity: Mapping[str, str], oldest_ms: int) -> Snapshot:
        """The run that was broken off, if it has this identity and began after ``oldest_ms``; else a new one.

        Raises ``ConfigError`` for a file that is something else.
        """
        if path != MEMORY:
            check_mark(path)
            kept = cls._reopen(path, seal, identity, oldest_ms)
            if kept is not None:
                return kept
        return cls._begin(path, seal, identity)

    @classmethod
    def _reopen(cls, path: str, seal: Encryption, identity: Mapping[str, str], oldest_ms: int) -> Snapshot | None:
        """The run that was broken off, if there is one that can be gone on with."""
        if not Path(path).exists():
            return None
        kept = None
        with suppress(sqlite3.DatabaseError):
            kept = cls(path, seal)
            about = kept.about()
            fits = identity.items() <= about.items() and int(about.get("began_ms", "0")) >= oldest_ms
            if fits and kept.is_sound():
                kept.forget_results()
                return kept
        if kept is not None:
            kept.close()
        return None

    @classmethod
    def _begin(cls, path: str, seal: Encryption, identity: Mapping[str, str]) -> Snapshot:
        remove(path)
        made = cls(path, seal)
        made._db.executescript(files("wanesync.reconcile.snapshot").joinpath("snapshot.sql").read_text())
        made.put_about(identity)
        return made

    # -- what the database knows besides

    def put_links(self, links: Iterable[Outline], held: Collection[str] = ()) -> None:
        """Links as they stood, ``held`` the ids of those of which something is held; ``index_links`` after the last."""
        rows = [
            (contact, customer, plain and link_id not in held, active, shorten(here), shorten(there))
            for link_id, contact, customer, plain, active, here, there in links
        ]
        self._put("INSERT INTO links", rows)

    def index_links(self) -> None:
        """Make them found by either end; from here on everything is looked up in no order."""
        self._db.execute(f"PRAGMA cache_size = -{_COMPARING_KIB}")
        self._db.execute("CREATE INDEX IF NOT EXISTS links_contact ON links (hubspot_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS links_customer ON links (stripe_id)")

    def put_strangers(self, side: Side, carried: Iterable[tuple[str, str]]) -> None:
        """(address hash, id) of records that were not listed, and yet may be the one that is meant."""
        rows = [(shorten(hmac), NUMBERS[side], i) for hmac, i in carried]
        self._db.executemany("INSERT OR IGNORE INTO addresses VALUES (?, ?, ?)", rows)

    def put_graves(self, hmacs: Iterable[str]) -> None:
        """Addresses that a deletion keeps from being created again."""
        self._db.executemany("INSERT OR IGNORE INTO graves VALUES (?)", [(shorten(h),) for h in hmacs])

    def count_linked(self) -> Linked:
        """How many active links there are, and how many of their ends were listed."""
        row = self._db.execute(_COUNT_LINKED).fetchone()
        return Linked(row[0], {Side.HUBSPOT: row[1], Side.STRIPE: row[2]}, row[3] or 0)

    # -- results

    def run(self, query: str) -> None:
        """One of the statements of the comparison."""
        self._db.execute(query)

    def number(self, query: str) -> int:
        """The count a statement of the comparison ends in."""
        return self._number(query)

    def put_vanished(self, side: Side, ids: Iterable[str]) -> None:
        """Known, but not listed any more."""
        self._db.executemany("INSERT INTO vanished (side, id) VALUES (?, ?)", [(NUMBERS[side], i) for i in ids])

    def is_vanished(self, hubspot_id: str, stripe_id: str) -> bool:
        """Whether one of the two was not listed any more."""
        query = "SELECT EXISTS (SELECT 1 FROM vanished WHERE (side = 0 AND id = ?) OR (side = 1 AND id = ?))"
        return bool(self._number(query, hubspot_id, stripe_id))

    def vanished(self) -> Iterator[tuple[Side, str]]:
        """Known, but not listed any more."""
        for side, record_id in self._pages("SELECT number, side, id FROM vanished"):
            yield SIDES[side], record_id

    def opened(self) -> Iterator[list[str]]:
        """Keys to be planned, in chunks: contacts first."""
        for side, key in ((Side.HUBSPOT, contact_key), (Side.STRIPE, customer_key)):
            after = ""
            query = "SELECT id FROM opened WHERE side = ? AND id > ? ORDER BY id LIMIT 200"
            while ids := [row[0] for row in self._db.execute(query, (NUMBERS[side], after))]:
                yield [key(i) for i in ids]
                after = ids[-1]

    def open(self, side: Side, ids: Iterable[str]) -> None:
        """These are to be planned, whatever their hashes say."""
        self._db.executemany("INSERT OR IGNORE INTO opened VALUES (?, ?)", [(NUMBERS[side], i) for i in ids])

    def open_unlinked(self, side: Side, ids: Iterable[str]) -> None:
        """Those of them that were listed and have no link are to be planned."""
        self._db.executemany(_OPEN_UNLINKED, [(NUMBERS[side], i) for i in ids])

    def is_opened(self, side: Side, record_id: str) -> bool:
        """Whether it is to be planned."""
        return bool(self._number("SELECT COUNT(*) FROM opened WHERE side = ? AND id = ?", NUMBERS[side], record_id))

    def is_settled(self, contact_id: str) -> bool:
        """Whether a contact is counted as one end of a linked pair that is the same."""
        return bool(self._number(_SETTLED, contact_id))

    def drop_work(self, key: str) -> bool:
        """Take back the pass of a key, if there is one."""
        return self._db.execute("DELETE FROM work WHERE key = ?", (key,)).rowcount > 0

    def put_work(self, work: Iterable[tuple[str, str, str]]) -> None:
        """(key, lane, kind) of jobs to be queued."""
        self._db.executemany("INSERT INTO work (key, lane, kind) VALUES (?, ?, ?)", work)

    def work(self) -> Iterator[tuple[str, Side, str]]:
        """(key, lane, kind), in order."""
        for key, lane, kind in self._pages("SELECT number, key, lane, kind FROM work"):
            yield key, Side(lane), kind

    def claim_addresses(self, hmacs: Iterable[str]) -> bool:
        """Whether nobody with one of the addresses is to be created yet; from now on somebody is."""
        rows = [(shorten(h),) for h in hmacs]
        taken = any(self._db.execute("SELECT 1 FROM creating WHERE hmac = ?", row).fetchone() for row in rows)
        self._db.executemany("INSERT OR IGNORE INTO creating VALUES (?)", rows)
        return not taken

    def put_found(self, found: Iterable[tuple[str, str, bytes]]) -> None:
        """(class, key, packed difference)."""
        seal = self._seal.encrypt
        rows = [(kind, key, seal(detail, TABLE, kind, "found")) for kind, key, detail in found]
        self._db.executemany("INSERT INTO found (kind, key, detail) VALUES (?, ?, ?)", rows)

    def found(self, kind: str | None = None, limit: int = -1) -> Iterator[bytes]:
        """Packed differences, of one class or all, in order."""
        where = "WHERE kind = ?" if kind else "WHERE ? IS NULL"
        left = limit
        for of, detail in self._pages(f"SELECT number, kind, detail FROM found {where}", kind):  # noqa: S608 - one of two fixed texts
            if not left:
                return
            left -= 1
            yield self._seal.decrypt(detail, TABLE, of, "found")

    def found_of(self, key: str) -> list[bytes]:
        """Packed differences of one key, in order."""
        rows = self._db.execute("SELECT kind, detail FROM found WHERE key = ? ORDER BY number", (key,))
        return [self._seal.decrypt(detail, TABLE, kind, "found") for kind, detail in rows]

    def work_of(self, key: str) -> set[str]:
        """The classes of the passes one key needs."""
        return {row[0] for row in self._db.execute("SELECT kind FROM work WHERE key = ?", (key,))}

    def forget_results(self) -> None:
        """What a run that was killed while comparing left: it is compared anew."""
        with self.writing():
            for table in ("links", "graves", "opened", "work", "vanished", "creating", "found"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from this line

    # -- parts

    def _pages(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """All rows of a query whose first column numbers them, a page at a time: others may write in between."""
        after, bind = 0, "AND" if "WHERE" in query else "WHERE"
        text = f"{query} {bind} number > ? ORDER BY 1 LIMIT {_CHUNK}"
        while rows := self._db.execute(text, (*values, after)).fetchall():
            for row in rows:
                yield tuple(row[1:])
            after = rows[-1][0]
