"""SQLite: one file in WAL mode, every commit flushed to the disk."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from sqlite_utils import Database as Utils

from wanesync.core.errors import ConfigError, DatabaseRefused, DatabaseUnavailable, WanesyncError
from wanesync.store.notify import Notifier, WorkSubscription
from wanesync.store.queries import Dialect, Migration, Parameters, Query, load_queries
from wanesync.store.session import (
    FOREIGN_ADVICE,
    ConstraintViolated,
    Database,
    Row,
    Session,
    SessionContext,
    bind,
    run_migrations,
)
from wanesync.store.sqlite_wal import (
    AUTO_CHECKPOINT_PAGES,
    checkpoint_passive,
    enable_wal,
    execute_when_free,
    restart_log,
)

BUSY_TIMEOUT_MS = 2_000
"""How long a writer waits for the file's lock; the web doors answer 503 after it."""
_MIN_VERSION = (3, 39)
_LOCK_RETRY_S = 0.002  # SQLite's own busy handler waits longer each time, and other processes take the free lock
_DATA_VERSION_POLL_S = 0.02  # PRAGMA data_version costs microseconds
_MAX_IDLE_CONNECTIONS = 32
"""Connections of each kind that are kept open for the next transaction (our choice)."""
_LOG_RESTART_INTERVAL_S = 5.0  # after a restart that a long reader prevented
_MAX_WRITES_IN_A_ROW = 5  # of the threads of one process, without a rest of _LOCK_RETRY_S

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "is busy: another process holds its lock; try again",
    sqlite3.SQLITE_LOCKED: "is busy: another connection holds its lock; try again",
    sqlite3.SQLITE_NOMEM: "ran out of memory",
    sqlite3.SQLITE_READONLY: "cannot be written: check its owner, its folder and the disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written: check the disk",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup",
    sqlite3.SQLITE_FULL: "is on a full disk: make room",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check its folder and its owner",
    sqlite3.SQLITE_PROTOCOL: "is busy: its lock could not be taken; try again",
    sqlite3.SQLITE_NOTADB: "is no SQLite database: check the key database",
}

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}
# SQLite has one code for these and for a statement that it cannot read.
_FOREIGN = re.compile(r"no such (table|column)|has no column named|already exists")
_REFUSED = {"SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE"}


def translate(error: BaseException, label: str) -> BaseException:
    """The store's error for one of SQLite's, without the statement and its values; any other error as it is."""
    if not isinstance(error, sqlite3.Error):
        return error
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintViolated(str(error).rpartition(": ")[2])
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return DatabaseUnavailable(f"the database {label} is closed: this process is ending")
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    reason = _UNAVAILABLE.get(code)
    if reason:
        return DatabaseUnavailable(f"the database {label} {reason}", lasts=code not in _PASSING)
    if code == sqlite3.SQLITE_ERROR and _FOREIGN.search(str(error)):
        return DatabaseUnavailable(
            f"the tables of the database {label} are not this program's: {FOREIGN_ADVICE}", lasts=True
        )
    name = getattr(error, "sqlite_errorname", None) or ""
    return DatabaseRefused(name) if name in _REFUSED or isinstance(error, sqlite3.DataError) else error


class SqliteSession(Session):
    """A transaction on one connection."""

    def __init__(self, connection: sqlite3.Connection, label: str, context: SessionContext, *, writing: bool) -> None:
        super().__init__(load_queries(Dialect.SQLITE), connection.execute, context, writing=writing)
        self._connection = connection
        self._label = label

    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """Runs a statement once per set of parameters; the rows they return, in order."""
        bound = [bind(query, values) for values in batch] if query.lists else batch
        if not query.returns:
            self._connection.executemany(query.text, bound)
            return []
        execute, text = self._connection.cursor().execute, query.text
        return [row for values in bound for row in execute(text, values).fetchall()]

    def translate(self, error: BaseException) -> BaseException:
        """The store's error for one of SQLite's; any other error as it is."""
        return translate(error, self._label)


class WriterPacing:
    """Lets other processes write: threads of one process hand the lock on faster than others can poll for it."""

    def __init__(
        self, monotonic_s: Callable[[], float] = time.monotonic, sleep_s: Callable[[float], None] = time.sleep
    ) -> None:
        self._monotonic_s, self._sleep_s = monotonic_s, sleep_s
        self._ended_s, self._in_a_row = 0.0, 0

    def before_write(self) -> None:
        """Rests before a write that follows several others without a pause."""
        rested = self._monotonic_s() - self._ended_s > _LOCK_RETRY_S
        self._in_a_row = 0 if rested else self._in_a_row + 1
        if self._in_a_row >= _MAX_WRITES_IN_A_ROW:
            self._sleep_s(2 * _LOCK_RETRY_S)
            self._in_a_row = 0

    def after_write(self) -> None:
        """The transaction has ended."""
        self._ended_s = self._monotonic_s()


class SqliteDatabase(Database):
    """A file, or ``:memory:`` with one connection for one thread (the simulator)."""

    dialect = Dialect.SQLITE

    def __init__(self, path: str) -> None:
        if sqlite3.sqlite_version_info < _MIN_VERSION:
            raise ConfigError([f"SQLite {sqlite3.sqlite_version} is too old: 3.39 or newer is needed"])
        self.in_memory = path == ":memory:"
        self.label = f"sqlite:{path}"
        self.notifier = Notifier()
        self._path = path
        self._idle: dict[bool, list[sqlite3.Connection]] = {False: [], True: []}
        self._all: set[sqlite3.Connection] = set()
        self._connections = threading.Lock()
        self._writer = threading.Lock()
        self._pacing = WriterPacing()
        self._light_lock = threading.Lock()
        self._light: sqlite3.Connection | None = None
        self._watcher_lock = threading.Lock()
        self._watcher: sqlite3.Connection | None = None
        self._data_version = -1
        self._next_restart_s = 0.0
        self._closed = False
        self._file: tuple[int, int] | None = None

    @contextmanager
    def session(self, context: SessionContext, *, writing: bool) -> Iterator[Session]:
        """A transaction. Writers of one process queue here instead of polling the file's lock."""
        connection = self._take(writing=writing)
        try:
            with self._writer_lock() if writing else nullcontext():
                yield from self._transact(connection, context, writing=writing)
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection, writing=writing)

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        """One writing thread of this process at a time."""
        if self.in_memory:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise DatabaseUnavailable(
                f"the database {self.label} is busy: too many threads of this process write at once; try again"
            )
        try:
            self._pacing.before_write()
            yield
        finally:
            self._pacing.after_write()
            self._writer.release()

    def _transact(self, connection: sqlite3.Connection, context: SessionContext, *, writing: bool) -> Iterator[Session]:
        inner = connection.in_transaction
        if inner and writing:
            raise WanesyncError("a transaction inside another one: use a savepoint of the outer one")
        if not inner:
            # A writer takes the file's lock at once: to take it later fails where another one has written meanwhile.
            execute_when_free(connection, "BEGIN IMMEDIATE" if writing else "BEGIN", BUSY_TIMEOUT_MS, _LOCK_RETRY_S)
        try:
            yield SqliteSession(connection, self.label, context, writing=writing)
            if not inner:
                connection.execute("COMMIT")
                if writing:
                    self._check_file()
        except BaseException:
            if not inner and connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    @contextmanager
    def light_session(self, context: SessionContext) -> Iterator[Session]:
        """Commits without a flush of the disk: a lost row of rate slots starts anew."""
        try:
            if self.in_memory:
                yield SqliteSession(self._take(), self.label, context, writing=True)
                return
            with self._light_lock:
                self._check_file()
                if self._light is None:
                    self._light = self._connect("NORMAL", busy_timeout_ms=0)
                with self._writer_lock():
                    yield from self._transact(self._light, context, writing=True)
        except sqlite3.Error as error:
            raise translate(error, self.label) from error

    def applied(self) -> int | None:
        """The number of the newest migration; None without a file or without a table of migrations in it."""
        if not self.in_memory and not Path(self._path).exists():
            return None
        connection = self._take()
        try:
            tables = Utils(connection)
            if "migrations" not in tables.table_names():
                return None
            return int(connection.execute("SELECT COALESCE(MAX(number), 0) FROM migrations").fetchone()[0])
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection)

    def migrate(self, migrations: Sequence[Migration], now_ms: int) -> list[str]:
        """Creates a missing file, readable by its owner only, and runs the missing migrations in one transaction."""
        self._make_file()
        connection = self._take()
        try:
            enable_wal(connection, BUSY_TIMEOUT_MS)
            connection.execute("BEGIN IMMEDIATE")
            try:
                tables = Utils(connection)
                ran = run_migrations(lambda text: tables.execute(text).fetchall(), migrations, now_ms)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return ran
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection)

    def checkpoint(self) -> None:
        """Copies the write-ahead log into the file while others write."""
        connection = self._take()
        try:
            short = self.in_memory or checkpoint_passive(connection)
            if not short and time.monotonic() > self._next_restart_s and not restart_log(connection, BUSY_TIMEOUT_MS):
                # A long reader prevents the restart: each attempt stops the writers, so attempts are rare.
                self._next_restart_s = time.monotonic() + _LOG_RESTART_INTERVAL_S
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection)

    def await_others(self, wait: Callable[[float], object]) -> None:  # noqa: ARG002 - the lock itself is waited for
        """Takes the file's lock, which a transaction that writes holds until it ends."""
        connection = self._take(writing=True)
        try:
            with self._writer_lock():
                if not self.in_memory:
                    execute_when_free(connection, "BEGIN IMMEDIATE", BUSY_TIMEOUT_MS, _LOCK_RETRY_S)
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection, writing=True)

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:  # noqa: ARG002 - the file is on this machine
        """0: the file is on this machine, so its time is the local clock's."""
        return 0

    def wait(self, subscription: WorkSubscription, timeout_ms: int) -> bool:
        """Polls every 20 ms for commits of other processes; a database in memory has no other process."""
        if self.in_memory:
            return self.notifier.wait(subscription, 0)
        deadline_s = time.monotonic() + timeout_ms / 1000
        while True:
            left_s = deadline_s - time.monotonic()
            if self.notifier.wait(subscription, max(0.0, min(_DATA_VERSION_POLL_S, left_s))):
                return True
            if self._has_changed():
                self.notifier.notify()
            elif left_s <= 0:
                return False

    def _has_changed(self) -> bool:
        """Whether another connection has committed since the last call."""
        with self._watcher_lock:
            try:
                if self._watcher is None:
                    self._watcher = self._connect()
                (version,) = self._watcher.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise translate(error, self.label) from error
            changed = bool(version != self._data_version)
            self._data_version = version
            return changed

    def close(self) -> None:
        """Closes every connection."""
        with self._connections:
            self._closed = True
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._idle = {False: [], True: []}
        self.notifier.notify()

    def _make_file(self) -> None:
        if self.in_memory or Path(self._path).exists():
            return
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as error:
            raise DatabaseUnavailable(
                f"the database {self.label} cannot be created: {error.strerror}; check its folder", lasts=True
            ) from error

    def _check_file(self) -> None:
        """Raises DatabaseUnavailable if the file was removed or replaced: SQLite would go on to use the old one."""
        if self._file is not None and self._file != _identify(self._path):
            raise DatabaseUnavailable(
                f"the database {self.label} was removed or replaced while this process used it: restart this process",
                lasts=True,
            )

    def _take(self, *, writing: bool = False) -> sqlite3.Connection:
        self._check_file()
        with self._connections:
            if self._closed:
                raise DatabaseUnavailable(f"the database {self.label} is closed: this process is ending")
            idle = self._idle[writing and not self.in_memory]
            if idle:
                return idle[-1] if self.in_memory else idle.pop()
        # A writer polls for the lock itself (``_transact``); SQLite's busy time-out is for everything else.
        connection = self._connect(busy_timeout_ms=0 if writing and not self.in_memory else BUSY_TIMEOUT_MS)
        if self.in_memory:
            idle.append(connection)
        return connection

    def _give_back(self, connection: sqlite3.Connection, *, writing: bool = False) -> None:
        if self.in_memory:
            return
        with self._connections:
            idle = self._idle[writing]
            if connection not in self._all:
                return  # closed with the store
            if connection.in_transaction or len(idle) >= _MAX_IDLE_CONNECTIONS:
                self._all.discard(connection)
                connection.close()
            else:
                idle.append(connection)

    def _connect(self, synchronous: str = "FULL", busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> sqlite3.Connection:
        uri = "file::memory:" if self.in_memory else f"{Path(self._path).absolute().as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(
                uri,
                timeout=BUSY_TIMEOUT_MS / 1000,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                uri=True,
            )
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        try:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {AUTO_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self.label) from error
        with self._connections:
            self._all.add(connection)
            if self._file is None and not self.in_memory:
                self._file = _identify(self._path)
        return connection


def _identify(path: str) -> tuple[int, int] | None:
    """What stays the same while the file is the same; None without a file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - at every transaction, and three times as fast
    except OSError:
        return None
    return found.st_dev, found.st_ino
