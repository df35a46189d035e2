"""Postgres: psycopg 3 and its pool, read committed, prepared statements, LISTEN to wake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from psycopg_pool import ConnectionPool

from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.store.notify import Notifier, Watch
from wanesync.store.postgres_errors import translate
from wanesync.store.queries import Dialect, Migration, Query, load_queries
from wanesync.store.session import Database, Parameters, Row, Session, SessionContext, run_migrations

Connection = psycopg.Connection[TupleRow]

_POOL_SIZE = 24
_WAIT_S = 2.0
_LISTEN_S = 0.5
# Any number will do, as long as only our migrations use it.
_MIGRATION_LOCK = 7_265_001
# A process that stands still inside a transaction must not keep the others from its jobs for the ten seconds promised.
_PATIENCE = "SET statement_timeout = 30000; SET lock_timeout = 3000; SET idle_in_transaction_session_timeout = 3000"
# Who only reads keeps nobody from anything, and may work on a snapshot file in between.
_BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 600000"
)
# A plan is kept from a time when its tables were almost empty, and then reads all of them: only plans that stay good.
_PLANS = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"


class PostgresSession(Session):
    """A transaction on one connection."""

    def __init__(self, connection: Connection, label: str, around: SessionContext, *, writing: bool) -> None:
        super().__init__(load_queries(Dialect.POSTGRES), around, writing=writing)
        self._connection = connection
        self._cursor = connection.cursor()
        self._label = label

    def _execute(self, query: Query, values: Parameters) -> list[Row]:
        try:
            self._cursor.execute(query.text, _bind(query, values))
            return self._cursor.fetchall() if query.returns else []
        except psycopg.Error as error:
            raise translate(error, self._label) from error

    def _execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        try:
            cursor = self._cursor
            cursor.executemany(query.text, [_bind(query, values) for values in batch], returning=query.returns)
            rows: list[Row] = []
            while query.returns:
                rows += cursor.fetchall()
                if not cursor.nextset():
                    break
            return rows
        except psycopg.Error as error:
            raise translate(error, self._label) from error

    def command(self, text: str) -> None:
        """One fixed statement."""
        try:
            self._connection.execute(text)
        except psycopg.Error as error:
            raise translate(error, self._label) from error


def _bind(query: Query, values: Parameters) -> Parameters:
    if not query.lists:
        return values
    return {**values, **{name: list(values[name]) for name in query.lists}}  # type: ignore[arg-type] # a query's lists are lists


def _configure(connection: Connection) -> None:
    connection.execute(f"{_PATIENCE}; {_PLANS}")
    connection.prepare_threshold = 2
    connection.prepared_max = 400
    # One type per kind of value: a statement is prepared once, not once per size of its numbers.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, StrDumper)


class PostgresDatabase(Database):
    """A pool of connections in autocommit mode; transactions are begun and ended by name."""

    dialect = Dialect.POSTGRES

    def __init__(self, url: str) -> None:
        self._url = url
        self.label = _label(url)
        self.notifier = Notifier()
        self._light: Connection | None = None
        self._light_lock = threading.Lock()
        self._listener: _Listener | None = None
        self._listener_lock = threading.Lock()
        self._suspicious = False
        self.own_pids: set[int] = set()
        # A first connection of our own: the pool would only say that it timed out.
        self.connect().close()
        self._pool = ConnectionPool(
            url,
            kwargs={"autocommit": True, "connect_timeout": 5},
            min_size=1,
            max_size=_POOL_SIZE,
            timeout=_WAIT_S,
            configure=self._adopt,
            open=True,
            name="wanesync",
        )

    def _adopt(self, connection: Connection) -> None:
        _configure(connection)
        self.own_pids.add(connection.info.backend_pid)

    def connect(self, first: str = "") -> Connection:
        """A connection outside the pool. ``first``: a setting of its own. Raises DatabaseUnavailable."""
        try:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
            _configure(connection)
            if first:
                connection.execute(first)
        except psycopg.Error as error:
            raise translate(error, self.label) from error
        return connection

    @contextmanager
    def session(self, around: SessionContext, *, writing: bool) -> Iterator[Session]:
        """A transaction; what only reads sees one state of the database throughout."""
        connection = self._take()
        try:
            try:
                connection.execute("BEGIN" if writing else _BEGIN_READING, prepare=False)
                session = PostgresSession(connection, self.label, around, writing=writing)
                yield session
                if session.queued:
                    session.row("notify", lanes=",".join(sorted(session.queued)))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
        except psycopg.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._suspicious = self._suspicious or connection.closed
            self._pool.putconn(connection)

    @contextmanager
    def read_statementwise(self, around: SessionContext) -> Iterator[Session]:
        """Without a transaction: neither its beginning nor its end is worth a round trip."""
        with self._command() as connection:
            yield PostgresSession(connection, self.label, around, writing=False)

    @contextmanager
    def light_session(self, around: SessionContext) -> Iterator[Session]:
        """Statements that are not worth a flush of the disk: a lost rate slot row starts anew."""
        with self._light_lock:
            if self._light is None or self._light.closed:
                self._light = self.connect("SET synchronous_commit = off")
            yield PostgresSession(self._light, self.label, around, writing=True)

    def applied(self) -> int | None:
        """The newest migration; None when there is no table of ours."""
        with self._command() as connection:
            row = connection.execute("SELECT to_regclass('migrations') IS NOT NULL").fetchone()
            if not row or not row[0]:
                return None
            newest = connection.execute("SELECT COALESCE(MAX(number), 0) FROM migrations").fetchone()
            return int(newest[0]) if newest else 0

    def migrate(self, migrations: Sequence[Migration], now_ms: int) -> list[str]:
        """Runs what is missing in one transaction, one process at a time."""
        with self._command() as connection, connection.transaction():
            # Another process may be at it: that takes as long as it takes.
            connection.execute("SET LOCAL lock_timeout = 60000; SET LOCAL statement_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])

            def execute(text: str) -> list[Row]:
                cursor = connection.execute(text)
                return cursor.fetchall() if cursor.description else []

            return run_migrations(execute, migrations, now_ms)

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """The best of three: the shorter the question took, the surer the answer."""
        text = load_queries(Dialect.POSTGRES)["now"].text
        found = []
        with self._command() as connection:
            for _ in range(3):
                before = clock()
                row = connection.execute(text).fetchone()
                after = clock()
                found.append((after - before, int(row[0]) - (before + after) // 2 if row else 0))
        return min(found)[1]

    def wait(self, watch: Watch, timeout_ms: int) -> bool:
        """Waits for a notification of any process, or for the bell of this one."""
        with self._listener_lock:
            if self._listener is None:
                self._listener = _Listener(self)
                self._listener.start()
        return self.notifier.wait(watch, timeout_ms / 1000)

    def close(self) -> None:
        """Closes every connection."""
        if self._listener:
            self._listener.stop()
        self._pool.close()
        if self._light:
            self._light.close()
        self.notifier.notify()

    @contextmanager
    def _command(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            raise translate(error, self.label) from error
        finally:
            self._pool.putconn(connection)

    def _take(self) -> Connection:
        try:
            if self._suspicious:
                # One connection was lost, so the idle ones are probably gone too (the server was restarted).
                self._suspicious = False
                self._pool.check()
            return self._pool.getconn()
        except psycopg.Error as error:
            raise translate(error, self.label) from error


class _Listener(threading.Thread):
    """Turns notifications into rings; comes back by itself after the database did."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(name="wanesync-listen", daemon=True)
        self._database = database
        self._ended = threading.Event()

    def run(self) -> None:
        """Listens until stopped."""
        while not self._ended.is_set():
            try:
                self._listen()
            except (psycopg.Error, DatabaseUnavailable):
                # Whoever works meanwhile meets the same trouble and reports it; waits just end by their time-out.
                self._ended.wait(_LISTEN_S)

    def _listen(self) -> None:
        connection = self._database.connect()
        try:
            connection.execute("LISTEN wanesync")
            # What was notified before this moment is not told again.
            self._database.notifier.notify()
            while not self._ended.is_set():
                for told in connection.notifies(timeout=_LISTEN_S, stop_after=1):
                    # This process rang for its own commits already.
                    if told.pid not in self._database.own_pids:
                        self._database.notifier.notify(told.payload.split(","))
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends within half a second."""
        self._ended.set()
        self.join(timeout=5)


def _label(url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ConfigError(["database: is no Postgres address: postgresql://USER:PASSWORD@HOST:PORT/NAME"]) from error
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    host = str(parts.get("host") or "")
    # A folder of a Unix socket would read like a part of the name.
    return f"postgresql://{user}{'' if host.startswith('/') else host}{port}/{parts.get('dbname') or ''}"
