"""Heartbeats of processes and locks of links (docs/correctness.md#leases, docs/correctness.md#locks)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wanesync.store.queries import Value
from wanesync.store.session import Table
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS

LEASE_MS = 6_000
"""A process without a heartbeat for this long loses its jobs and locks."""
FAILED_BATCH_MS = 120_000
"""A batch that did not fail again within this time was committed or given up: a killed process cannot say so."""
MAX_LOCK_MS = 120_000
"""Longest time for which a lock is taken; one that ends later dates from a wrong clock."""
_OBSOLETE_MS = 86_400_000  # a day: far beyond every lease


def lease_bounds(now_ms: int, lease_ms: int = LEASE_MS) -> dict[str, int]:
    """Between which times the heartbeat of a living process lies: one in the future dates from a wrong clock."""
    return {"fresh_ms": now_ms - lease_ms, "ahead_ms": now_ms + CLOCK_TOLERANCE_MS}


def _lock_bounds(now_ms: int) -> dict[str, int]:
    return {**lease_bounds(now_ms), "latest_ms": now_ms + MAX_LOCK_MS + CLOCK_TOLERANCE_MS}


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process with a fresh heartbeat."""

    name: str
    lanes: str
    started_ms: int
    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class SilentProcess:
    """A process that neither reports any more nor said that it ended: it was killed, or may come back."""

    name: str
    heartbeat_ms: int
    keys: str


class Processes(Table):
    """The table ``processes``: one heartbeat row per process."""

    __slots__ = ()

    def beat(self, name: str, lanes: str, started_ms: int, *, has_keys: bool = True) -> bool:
        """Stores a heartbeat; False if the lease had expired before: the process must take a new name.

        ``has_keys``: whether the process has encryption keys, those of this one.
        """
        now_ms, generation = self._session.now_ms, self._session.generations.generation
        row = self._session.row("heartbeat_of", name=name)
        values: dict[str, Value] = {"name": name, "lanes": lanes, "started_ms": started_ms, "now": now_ms}
        encryption = self._session.encryption
        report: dict[str, Value] = {"map_generation": generation, "key_ids": encryption.report if has_keys else ""}
        self._session.rows("put_heartbeat", **report, **values)
        bounds = lease_bounds(now_ms)
        return row is None or bounds["fresh_ms"] < row[0] <= bounds["ahead_ms"]

    def alive(self, lease_ms: int = LEASE_MS) -> list[ProcessRow]:
        """Processes with a heartbeat younger than the lease, the oldest first."""
        rows = self._session.rows("alive_processes", **lease_bounds(self._session.now_ms, lease_ms))
        return [ProcessRow(*row) for row in rows]

    def key_reports(self) -> list[str]:
        """The encryption keys that each process with a fresh heartbeat has, as ``Encryption.report``."""
        return [row[0] for row in self._session.rows("key_reports", **lease_bounds(self._session.now_ms)) if row[0]]

    def silent(self) -> list[SilentProcess]:
        """Processes with encryption keys that reported within the last day, but not within a lease, and did not end."""
        rows = self._session.rows("silent_processes", **lease_bounds(self._session.now_ms))
        oldest_ms = self._session.now_ms - _OBSOLETE_MS
        return [SilentProcess(*row) for row in rows if row[1] > oldest_ms]

    def count_on_map(self, generation: int) -> int:
        """Number of processes with a fresh heartbeat that work with a generation of the field map."""
        bounds = lease_bounds(self._session.now_ms)
        return self._session.number("count_on_map", map_generation=generation, **bounds)

    def remove_on_other_maps(self, generation: int) -> None:
        """Ends the leases of all processes that work with another generation of the field map."""
        self._session.rows("remove_on_other_maps", map_generation=generation)

    def remove(self, name: str) -> None:
        """Removes the row of a process that ends."""
        self._session.rows("remove_process", name=name)

    def remove_obsolete(self) -> None:
        """Removes rows and locks that expired a day ago."""
        self._session.rows("drop_old_processes", before_ms=self._session.now_ms - _OBSOLETE_MS)
        self._session.rows("drop_old_locks", before_ms=self._session.now_ms - _OBSOLETE_MS)
        self._session.rows("drop_old_failed_batches", before_ms=self._session.now_ms - _OBSOLETE_MS)


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch that fails over and over. ``place``: the commit that fails; ``times``: how often since ``first_ms``."""

    place: str
    reason: str
    times: int
    first_ms: int
    last_ms: int


class FailedBatches(Table):
    """The table ``failed_batches``: what ``status`` shows of batches that no process can commit."""

    __slots__ = ()

    def note(self, place: str, process: str, reason: str) -> None:
        """Counts one more failure of a batch of a process."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"place": place, "process": process, "reason": reason, "now": now_ms}
        self._session.rows("note_failed_batch", stale_ms=now_ms - FAILED_BATCH_MS, **values)

    def clear(self, place: str, process: str) -> None:
        """Forgets the failures: a batch of this place was committed."""
        self._session.rows("drop_failed_batch", place=place, process=process)

    def all(self) -> list[FailedBatch]:
        """Batches that failed within the last FAILED_BATCH_MS."""
        now_ms = self._session.now_ms
        rows = self._session.rows("failed_batches", stale_ms=now_ms - FAILED_BATCH_MS, now=now_ms)
        return [FailedBatch(*row) for row in rows]


class Locks(Table):
    """The table ``locks``: one writer per link. They are rows because two lanes work on one link."""

    __slots__ = ()

    def take_all(self, keys: Collection[str], token: str, owner: str, until_ms: int) -> bool:
        """Takes all locks or none; whether it took them."""
        wanted = sorted(set(keys))
        if len(wanted) == 1:
            return self._take(wanted[0], token, owner, until_ms)
        try:
            with self._session.savepoint():
                for key in wanted:
                    if not self._take(key, token, owner, until_ms):
                        raise _LockHeld
        except _LockHeld:
            return False
        return True

    def _take(self, key: str, token: str, owner: str, until_ms: int) -> bool:
        """Takes a lock that is free, expired, held by the token already, or held by a dead process; whether it did."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"until_ms": until_ms, "now": now_ms, **_lock_bounds(now_ms)}
        return self._session.row("take_lock", key=key, token=token, owner=owner, **values) is not None

    def take_each(self, wanted: Mapping[str, Collection[str]], owner: str, until_ms: int) -> set[str]:
        """Takes the locks of several tokens (token -> keys); the tokens that hold all of theirs now.

        The others lose every lock of theirs.
        """
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"owner": owner, "until_ms": until_ms, "now": now_ms, **_lock_bounds(now_ms)}
        pairs = sorted((key, token) for token, keys in wanted.items() for key in set(keys))
        rows = self._session.each("take_lock", [{"key": key, "token": token, **values} for key, token in pairs])
        missing = set(pairs) - {(row[0], row[1]) for row in rows}
        losers = {token for _, token in missing}
        self.drop_many(sorted(losers))
        return set(wanted) - losers

    def drop(self, token: str) -> None:
        """Releases every lock of a token."""
        self.drop_many([token])

    def drop_many(self, tokens: Collection[str]) -> None:
        """Releases every lock of several tokens."""
        if tokens:
            self._session.rows("drop_locks", tokens=tokens)


class _LockHeld(Exception):
    """Leaves the savepoint of ``take_all``."""
