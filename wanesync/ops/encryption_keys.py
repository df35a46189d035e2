"""Rotation of the encryption keys while everything runs (docs/security.md#rotation-of-the-keys).

A new key is put first where the keys are kept; every process reads it and, once all have it, encrypts with it. Then
``rewrap`` encrypts every row of an older key again, and the older key can be removed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.operating.times import format_time
from wanesync.folder_lock import lock_folder
from wanesync.store.database import KEYS_LEASE_S, Store, Tx
from wanesync.store.encryption import make_key
from wanesync.store.key_source import create_key_file, parse_keys, read_entries, replace_key_file
from wanesync.store.queries import Value
from wanesync.store.session import PrivilegeDenied
from wanesync.store.tables.processes import SilentProcess
from wanesync.store.tables.sealed_rows import SEALED_TABLES, RowKey, SealedTable, reseal

Progress = Callable[[str, int, int | None], None]
"""Called with a table, how many of its rows are done, and how many there are (None: not known)."""
Wait = Callable[[float], object]
"""Waits some seconds."""
SCAN_ROWS = 2_000
"""Rows whose key ids are read at once (our choice): some milliseconds."""
FIRST_ROWS, MIN_ROWS, MAX_ROWS = 25, 5, 250
"""Rows of the first transaction of a rewrap, and the least and the most of a later one (our choices)."""
TARGET_S = 0.01
"""How long a transaction of a rewrap may replace rows (our choice).

With the commit, and on a machine where the process waits for a core, its slowest stays below 100 ms.
"""
SLICE_ROWS = 5
"""Rows that are replaced between two looks at the time (our choice): below 1 ms, so the looks bound a transaction."""
MAX_PASSES = 5
"""Walks over a table, for rows that another transaction held or stored meanwhile (our choice)."""
POLL_S = 0.25
"""How often the heartbeats are read while a process has not read a new key yet (our choice)."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key: whether it is configured, how many processes have it and encrypt with it, and its rows by table.

    ``is_next``: it stands before the key that encrypts, and takes its place once every process has it. ``silent``: how
    many processes encrypted with it when they reported last, and neither report nor said that they ended.
    """

    id: str
    configured: bool
    encrypts: bool
    is_next: bool
    known_to: int
    encrypting: int
    silent: int
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KeysReport:
    """All keys, the configured ones first. ``processes``: how many run and report their keys.

    ``unseen``: tables that the login of this process may not read, so that a key may be used there. ``silent``:
    processes that do not report any more: they were killed, or are stopped and may come back.
    """

    keys: list[KeyState]
    processes: int
    unseen: tuple[str, ...] = ()
    silent: Sequence[SilentProcess] = ()

    def find(self, key_id: str) -> KeyState | None:
        """The state of a key; None if it is neither configured nor in a row."""
        return next((key for key in self.keys if key.id == key_id), None)

    @property
    def removable(self) -> list[str]:
        """Configured keys that neither a row nor a process uses any more."""
        return [key.id for key in self.keys if _is_unused(key) and not self.unseen]


def _is_unused(key: KeyState) -> bool:
    is_used = key.encrypts or key.is_next or key.encrypting or key.silent or any(key.rows.values())
    return key.configured and not is_used


def _ignore(*_: object) -> None:
    """Show no progress."""


def read_report(store: Store, wait: Wait, progress: Progress = _ignore) -> KeysReport:
    """Count the rows of each key, in small reads. Raises ``DatabaseUnavailable``."""
    encryption = store.encryption
    rows: dict[str, dict[str, int]] = {key_id: {} for key_id in encryption.key_ids}
    unseen = []
    for table in SEALED_TABLES:
        try:
            counted = count_keys(store, table, wait, progress)
        except PrivilegeDenied:
            unseen.append(table.name)
            continue
        for key_id, count in counted.items():
            rows.setdefault(key_id, {})[table.name] = count
    index_key = store.index_key_id()
    rows.setdefault(index_key, {})["settings"] = 1
    reports = _read_reports(store)
    silent = store.read(lambda tx: tx.processes.silent())
    keys = [_describe_key(store, key_id, rows[key_id], reports, silent) for key_id in rows]
    return KeysReport(keys, len(reports), tuple(unseen), silent)


def _encrypts_with(process: SilentProcess, key_id: str) -> bool:
    return process.keys.startswith(f"{key_id}/")


def _describe_key(
    store: Store, key_id: str, rows: Mapping[str, int], reports: list[list[str]], silent: Sequence[SilentProcess]
) -> KeyState:
    encryption = store.encryption
    configured = key_id in encryption.key_ids
    name = encryption.name_of(key_id) if configured else ""
    known, encrypting = sum(name in one for one in reports), sum(one[0] == name for one in reports)
    earlier = encryption.key_ids[: encryption.key_ids.index(encryption.sealing)]
    encrypts, is_next = key_id == encryption.sealing, key_id in earlier
    of_silent = sum(_encrypts_with(process, key_id) for process in silent)
    return KeyState(key_id, configured, encrypts, is_next, known, encrypting, of_silent, rows)


def count_keys(store: Store, table: SealedTable, wait: Wait, progress: Progress = _ignore) -> Counter[str]:
    """Key id -> rows of a table that carry it; nothing is decrypted."""
    found: Counter[str] = Counter()
    after: RowKey = ()
    done = 0
    while True:
        began_s = time.monotonic()
        with store.reading() as tx:
            marks = tx.sealed_rows.marks(table, after, SCAN_ROWS)
        for mark in marks:
            found.update(mark.key_ids)
        done += len(marks)
        progress(table.name, done, None)
        if len(marks) < SCAN_ROWS:
            return found
        after = marks[-1].key
        wait(time.monotonic() - began_s)


def _read_reports(store: Store) -> list[list[str]]:
    with store.reading() as tx:
        return [report.split() for report in tx.processes.key_reports()]


# -- rotation


@dataclass(frozen=True, slots=True)
class InUse:
    """How many processes run, and how many of them encrypt with the newest key."""

    key_id: str
    processes: int
    encrypting: int

    @property
    def complete(self) -> bool:
        """Whether all of them do."""
        return self.encrypting == self.processes


def wait_until_used(store: Store, wait: Wait, max_s: float) -> InUse:
    """Wait until every process that runs encrypts with the first configured key, at most ``max_s`` seconds."""
    end_s = time.monotonic() + max_s
    while True:
        store.refresh_keys()
        newest = store.encryption.newest
        name, reports = store.encryption.name_of(newest), _read_reports(store)
        found = InUse(newest, len(reports), sum(one[0] == name for one in reports))
        if (found.complete and store.encryption.sealing == newest) or time.monotonic() >= end_s:
            return found
        wait(POLL_S)


def add_key(path: Path) -> str:
    """Put a new key first into a key file, and return its id. Raises ``ConfigError``."""
    with lock_folder(path.parent):
        entries = read_entries(path)
        taken = parse_keys(entries, f"the key file {path}")
        entry = _make_entry(taken)
        replace_key_file(path, [entry, *entries])
    return entry[:4]


def write_new_key(path: Path, taken: Mapping[str, bytes] | None = None) -> str:
    """Write a new key into a new file of mode 0600, and return its id. Raises ``ConfigError``: the file exists."""
    if path.exists():
        raise ConfigError([f"{path} exists: move it away, or name another file"])
    entry = _make_entry(taken or {})
    create_key_file(path, entry)
    return entry[:4]


def _make_entry(taken: Mapping[str, bytes]) -> str:
    entry = make_key()
    while entry[:4] in taken:
        entry = make_key()
    return entry


def remove_key(store: Store, path: Path | None, key_id: str, wait: Wait, *, ended: bool = False) -> None:
    """Take a key out of a key file, if there is one, which takes KEYS_LEASE_S and a little.

    ``ended``: processes that do not report any more did end. Raises ``GuardError`` while the key is used, ``NotFound``,
    ``DatabaseUnavailable``.
    """
    silent = _check_removal(read_report(store, wait), key_id, ended=ended)
    # A command without heartbeats may still encrypt with it, by a look at the heartbeats of before.
    wait(KEYS_LEASE_S)
    store.await_others(wait)
    _check_removal(read_report(store, wait), key_id, ended=ended)
    store.run(lambda tx: _remove_processes(tx, silent))
    if path is not None:
        with lock_folder(path.parent):
            replace_key_file(path, [entry for entry in read_entries(path) if not entry.startswith(f"{key_id}:")])


def _remove_processes(tx: Tx, silent: Sequence[SilentProcess]) -> None:
    for process in silent:
        tx.processes.remove(process.name)


def _check_removal(report: KeysReport, key_id: str, *, ended: bool) -> list[SilentProcess]:
    """Return the silent processes that encrypted with a key. Raises ``GuardError`` while it is used, ``NotFound``."""
    key = report.find(key_id)
    if key is None or not key.configured:
        raise NotFound(f"there is no key {key_id}: wanesync keys status lists them")
    if key.encrypts or key.is_next or key.encrypting:
        raise GuardError(f"key {key_id} is in use: make a new one first (wanesync keys rotate)")
    if report.unseen:
        raise GuardError(f"this login may not read {', '.join(report.unseen)}: use that of wanesync_migrate")
    left = {table: count for table, count in key.rows.items() if count}
    if left:
        rows = ", ".join(f"{count:,} in {table}" for table, count in left.items())
        raise GuardError(f"key {key_id} is still needed ({rows}): run wanesync keys rewrap first")
    silent = [process for process in report.silent if _encrypts_with(process, key_id)]
    if silent and not ended:
        shown = ", ".join(f"{process.name} (last at {format_time(process.heartbeat_ms)})" for process in silent[:3])
        text = f"{len(silent)} processes that encrypted with key {key_id} do not report any more, and did not say that"
        advice = "end those that are stopped or on a machine that is suspended; if all are gone: keys remove --ended"
        raise GuardError(f"{text} they ended, such as {shown}: {advice}")
    return silent


# -- rewrap


@dataclass(slots=True)
class Rewrapped:
    """What a rewrap did. ``rows``: by table. ``damaged``: rows that cannot be decrypted. ``left``: held by others.

    ``slowest_ms``: the longest for which one of its transactions held its locks.
    """

    rows: Counter[str] = field(default_factory=Counter)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    left: int = 0
    slowest_ms: float = 0.0


@dataclass(slots=True)
class Rewrap:
    """Encrypts every row of an older key with the newest one, in small transactions with pauses between them.

    Each row is replaced only if it still is what was read, so no write of another process is lost. A rewrap that was
    interrupted is run again: rows that carry the newest key are passed over.
    """

    store: Store
    wait: Wait
    progress: Progress = _ignore
    monotonic_s: Callable[[], float] = time.monotonic
    done: Rewrapped = field(default_factory=Rewrapped)
    _size: int = FIRST_ROWS

    def run(self, totals: Mapping[str, int] | None = None) -> Rewrapped:
        """Rewrap every table. ``totals``: rows by table that are expected, for the progress. Raises as a store does."""
        self.done.rows["settings"] += self.store.rewrap_index_key()
        for table in SEALED_TABLES:
            self.progress(table.name, 0, (totals or {}).get(table.name))
            damaged: list[str] = []
            left = self._walk(table, damaged)
            for _ in range(MAX_PASSES - 1):
                if not left:
                    break
                damaged.clear()
                left = self._walk(table, damaged)
            self.done.left += left
            self.done.damaged += [(table.name, row) for row in damaged]
        return self.done

    def _walk(self, table: SealedTable, damaged: list[str]) -> int:
        """Rewrap the rows of a table once; how many others changed or held meanwhile."""
        after: RowKey = ()
        left = 0
        while True:
            with self.store.reading() as tx:
                marks = tx.sealed_rows.marks(table, after, SCAN_ROWS)
            newest = {self.store.encryption.sealing}
            old = [mark.key for mark in marks if mark.key_ids - newest]
            while old:
                chunk, old = old[: self._size], old[self._size :]
                left += self._rewrap(table, chunk, damaged)
            if len(marks) < SCAN_ROWS:
                return left
            after = marks[-1].key

    def _rewrap(self, table: SealedTable, keys: list[RowKey], damaged: list[str]) -> int:
        with self.store.reading() as tx:
            rows = tx.sealed_rows.read(table, keys)
        made = reseal(self.store.encryption, table, rows)
        damaged += made.damaged
        swaps, left = made.swaps, 0
        while swaps:
            tried, swapped, held_s = self._swap(table, swaps)
            swaps, left = swaps[tried:], left + tried - swapped
            self.done.rows[table.name] += swapped
            self.done.slowest_ms = max(self.done.slowest_ms, held_s * 1000)
            # Half as many where it was slow, by a quarter more where it was quick.
            grown = self._size // 2 if held_s > TARGET_S else self._size * 5 // 4
            self._size = min(max(grown, MIN_ROWS), MAX_ROWS)
            self.progress(table.name, self.done.rows[table.name], None)
            self.wait(held_s)
        return left

    def _swap(self, table: SealedTable, swaps: Sequence[dict[str, Value]]) -> tuple[int, int, float]:
        """Replace rows in one transaction, the first ones if it takes too long.

        Returns how many it came to, how many of them it replaced, and for how many seconds it held its locks.
        """
        began_s = 0.0

        def swap(tx: Tx) -> tuple[int, int]:
            nonlocal began_s
            # Not before: until here it may have waited for SQLite's lock.
            began_s = self.monotonic_s()
            tried = swapped = 0
            while tried < len(swaps) and self.monotonic_s() - began_s < TARGET_S:
                part = swaps[tried : tried + SLICE_ROWS]
                swapped += tx.sealed_rows.swap(table, part)
                tried += len(part)
            return tried, swapped

        tried, swapped = self.store.run(swap)
        return tried, swapped, self.monotonic_s() - began_s
