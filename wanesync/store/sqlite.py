"""SQLite: one file, WAL, every commit on the disk before it is believed."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import orjson
from sqlite_utils import Database as Utils

from wanesync.core.errors import ConfigError, DatabaseUnavailable, WanesyncError
from wanesync.store.notify import Notifier, Watch
from wanesync.store.queries import Dialect, Migration, Query, load_queries
from wanesync.store.session import Database, Parameters, Row, Session, SessionContext, run_migrations
from wanesync.store.sqlite_errors import translate
from wanesync.store.sqlite_wal import LONG_PAGES, Turns, begin, move_log, restart_log, turn_wal_on

BUSY_MS = 2_000
_LOOK_S = 0.02
_IDLE_CONNECTIONS = 32
_RESTART_AGAIN_S = 5.0


class SqliteSession(Session):
    """A transaction on one connection."""

    def __init__(self, connection: sqlite3.Connection, label: str, around: SessionContext, *, writing: bool) -> None:
        super().__init__(load_queries(Dialect.SQLITE), around, writing=writing)
        self._connection = connection
        self._label = label

    def _execute(self, query: Query, values: Parameters) -> list[Row]:
        try:
            return self._connection.execute(query.text, _bind(query, values)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._label) from error

    def _execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        try:
            if not query.returns:
                self._connection.executemany(query.text, (_bind(query, values) for values in batch))
                return []
            execute = self._connection.execute
            return [row for values in batch for row in execute(query.text, _bind(query, values)).fetchall()]
        except sqlite3.Error as error:
            raise translate(error, self._label) from error

    def command(self, text: str) -> None:
        """One fixed statement."""
        try:
            self._connection.execute(text)
        except sqlite3.Error as error:
            raise translate(error, self._label) from error


def _bind(query: Query, values: Parameters) -> Parameters:
    if not query.lists:
        return values
    lists = {name: orjson.dumps(list(values[name])).decode() for name in query.lists}  # type: ignore[arg-type] # a query's lists are lists
    return {**values, **lists}


class SqliteDatabase(Database):
    """A file, or ``:memory:`` with one connection for one thread (the simulator)."""

    dialect = Dialect.SQLITE

    def __init__(self, path: str) -> None:
        if sqlite3.sqlite_version_info < (3, 39):
            raise ConfigError([f"SQLite {sqlite3.sqlite_version} is too old: 3.39 or newer is needed"])
        self.in_memory = path == ":memory:"
        self.label = f"sqlite:{path}"
        self.notifier = Notifier()
        self._path = path
        self._idle: dict[bool, list[sqlite3.Connection]] = {False: [], True: []}
        self._all: set[sqlite3.Connection] = set()
        self._connections = threading.Lock()
        self._writer = threading.Lock()
        self._light_lock = threading.Lock()
        self._look_lock = threading.Lock()
        self._light: sqlite3.Connection | None = None
        self._looker: sqlite3.Connection | None = None
        self._version = -1
        self._turns = Turns()
        self._restart_s = 0.0
        self._closed = False

    @contextmanager
    def session(self, around: SessionContext, *, writing: bool) -> Iterator[Session]:
        """A transaction. Writers of this process queue here, so that they do not poll the file's lock."""
        connection = self._take(writing=writing)
        try:
            with self._turn() if writing else nullcontext():
                yield from self._transact(connection, around, writing=writing)
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection, writing=writing)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until it is for this thread to write, among those of its process."""
        if self.in_memory:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_MS / 1000):
            raise DatabaseUnavailable(
                f"the database {self.label} is busy: this process writes too much at once; try again"
            )
        try:
            self._turns.give_way()
            yield
        finally:
            self._turns.end()
            self._writer.release()

    def _transact(self, connection: sqlite3.Connection, around: SessionContext, *, writing: bool) -> Iterator[Session]:
        inner = connection.in_transaction
        if inner and writing:
            raise WanesyncError("a transaction inside another one: use its savepoint")
        if not inner:
            begin(connection, BUSY_MS, writing=writing)
        try:
            yield SqliteSession(connection, self.label, around, writing=writing)
            if not inner:
                connection.execute("COMMIT")
        except BaseException:
            if not inner and connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    @contextmanager
    def light_session(self, around: SessionContext) -> Iterator[Session]:
        """Statements that are not worth a flush of the disk: a lost rate slot row starts anew."""
        if self.in_memory:
            connection = self._take()
            yield SqliteSession(connection, self.label, around, writing=True)
            self._give_back(connection)
            return
        with self._light_lock:
            if self._light is None:
                self._light = self._connect("NORMAL", patience_ms=0)
            try:
                with self._turn():
                    yield from self._transact(self._light, around, writing=True)
            except sqlite3.Error as error:
                raise translate(error, self.label) from error

    def applied(self) -> int | None:
        """The newest migration; None when there is no file or no table of ours in it."""
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
        """Makes the file if need be, readable by its owner only, and runs what is missing in one transaction."""
        self._make_file()
        connection = self._take()
        try:
            turn_wal_on(connection, BUSY_MS)
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
        """Moves the log into the file, beside those who write."""
        connection = self._take()
        try:
            short = self.in_memory or move_log(connection)
            if not short and time.monotonic() > self._restart_s and not restart_log(connection, BUSY_MS):
                # Somebody reads for long: those who write are not to be stopped for it again and again.
                self._restart_s = time.monotonic() + _RESTART_AGAIN_S
        except sqlite3.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._give_back(connection)

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:  # noqa: ARG002 - a database's clock; here it is this machine's
        """The file is on this machine: its time is the clock's."""
        return 0

    def wait(self, watch: Watch, timeout_ms: int) -> bool:
        """Looks every 20 ms whether another connection committed; in memory nobody else can."""
        deadline = time.monotonic() + timeout_ms / 1000
        if self.in_memory:
            return self.notifier.wait(watch, 0)
        while True:
            left_s = deadline - time.monotonic()
            if self.notifier.wait(watch, max(0.0, min(_LOOK_S, left_s))):
                return True
            if self._looks_changed():
                self.notifier.notify()
            elif left_s <= 0:
                return False

    def _looks_changed(self) -> bool:
        with self._look_lock:
            try:
                if self._looker is None:
                    self._looker = self._connect()
                (version,) = self._looker.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise translate(error, self.label) from error
            changed = bool(version != self._version)
            self._version = version
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
                f"the database {self.label} cannot be made: {error.strerror}; check its folder"
            ) from error

    def _take(self, *, writing: bool = False) -> sqlite3.Connection:
        with self._connections:
            if self._closed:
                raise DatabaseUnavailable(f"the database {self.label} is closed: this process is ending")
            idle = self._idle[writing and not self.in_memory]
            if idle:
                return idle[-1] if self.in_memory else idle.pop()
        # Who writes asks for the lock itself (``begin``); SQLite's own waiting is for everything else.
        connection = self._connect(patience_ms=0 if writing and not self.in_memory else BUSY_MS)
        if self.in_memory:
            idle.append(connection)
        return connection

    def _give_back(self, connection: sqlite3.Connection, *, writing: bool = False) -> None:
        if self.in_memory:
            return
        with self._connections:
            idle = self._idle[writing]
            if connection not in self._all:
                return  # Closed with the store.
            if connection.in_transaction or len(idle) >= _IDLE_CONNECTIONS:
                self._all.discard(connection)
                connection.close()
            else:
                idle.append(connection)

    def _connect(self, synchronous: str = "FULL", patience_ms: int = BUSY_MS) -> sqlite3.Connection:
        uri = "file::memory:" if self.in_memory else f"{Path(self._path).absolute().as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(
                uri,
                timeout=BUSY_MS / 1000,
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
            connection.execute(f"PRAGMA wal_autocheckpoint = {LONG_PAGES}")
            connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self.label) from error
        with self._connections:
            self._all.add(connection)
        return connection
