"""Postgres: psycopg 3 and its pool, read committed, prepared statements, LISTEN to wake."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from psycopg_pool import ConnectionPool

from wanesync.core.errors import ConfigError, DatabaseRefused, DatabaseUnavailable
from wanesync.core.setup.database_address import find_unencoded
from wanesync.store.arrays import make_array, register_arrays
from wanesync.store.notify import Notifier, WorkSubscription
from wanesync.store.postgres_line import SETTINGS, PostgresLine
from wanesync.store.queries import Dialect, Migration, Parameters, Query, load_queries
from wanesync.store.session import (
    FOREIGN_ADVICE,
    ConstraintViolated,
    Database,
    PrivilegeDenied,
    Row,
    Session,
    SessionContext,
    TransactionConflict,
    TransactionTooLong,
    bind,
    run_migrations,
)

Connection = psycopg.Connection[TupleRow]

MAX_CONNECTIONS = 24
"""Of one process (our choice)."""
_POOL_WORKERS = 3  # threads that make connections: the default of psycopg_pool
_POOL_TIMEOUT_S = 2.0  # as BUSY_TIMEOUT_MS of SQLite: the web doors answer 503 after it
AWAIT_OTHERS_S = 40.0
"""How long the end of other transactions is waited for (our choice): a statement of ours takes 30 s at most."""
_AWAIT_POLL_S = 0.05
_LISTEN_POLL_S = 0.5  # longest time until the listener ends after stop()
_LISTEN_REST_S, _MAX_LISTEN_REST_S = 0.02, 0.1
"""What comes so soon after a notification wakes once: others may commit dozens of times in a second (our choice). The
rest doubles with each notification in a row that no waiting thread needed."""
_MIGRATION_LOCK = 7_265_001  # any number that only these migrations use
# In ms. A process that stops inside a transaction keeps its rows locked until the server ends its session.
_TIMEOUTS = "SET statement_timeout = 30000; SET lock_timeout = 3000; SET idle_in_transaction_session_timeout = 3000"
# Rules that hold under read committed only (docs/correctness.md#compare-and-store), whatever the server's default is.
_ISOLATION = "SET default_transaction_isolation = 'read committed'"
# A server that vanishes without a word (a failover) is noticed within about 15 s instead of hours. In s, s, times, ms.
_WAITS = {"keepalives_idle": "5", "keepalives_interval": "3", "keepalives_count": "3", "tcp_user_timeout": "15000"}
# A reader blocks no other transaction, and may work on a snapshot file in between: ten minutes.
_BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 600000"
)
# A prepared plan made while the tables were almost empty scans them whole for ever: only index plans are allowed.
_PLANNER_SETTINGS = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"

# The same for one transaction: a pooler gives each transaction another connection, and keeps no setting of a client.
_LOCAL_SETTINGS = f"{_TIMEOUTS}; {_PLANNER_SETTINGS}".replace("SET ", "SET LOCAL ")
_BEGIN_POOLED = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCAL_SETTINGS}"
_BEGIN_READING_POOLED = f"{_BEGIN_READING}; {_LOCAL_SETTINGS}; SET LOCAL idle_in_transaction_session_timeout = 600000"
_BEGIN_LIGHT_POOLED = f"{_BEGIN_POOLED}; SET LOCAL synchronous_commit = off"
_POOLED_POLL_MS = 250
"""Behind a pooler nothing LISTENs: a wait for work of other processes ends so often (our choice)."""

_CONFLICT_CLASS = "40"
_TOO_LONG = {"25P03", "25P04", "57014"}  # idle in a transaction, transaction time-out, statement time-out
# Connection, resources, and the server or its files; and what no statement of ours can help: no lock, a privilege, the
# login, the database itself, a standby that only reads.
_UNAVAILABLE_CLASSES = {"08", "28", "53", "57", "58", "3D"}
_UNAVAILABLE = {"55P03", "42501", "25006"}
# No table, column, function or schema of that name, or one of another shape: no statement of ours can succeed.
_FOREIGN = {"42P01", "42703", "42883", "42P07", "42804", "3F000"}
_FATAL = re.compile(r"FATAL: +([^\n]{1,200})")
# What libpq says of a setting before it calls a server: it never becomes right by waiting.
_SETTING = re.compile(
    r'invalid (\w+) value: |invalid integer value "[^"]*" for connection option "(\w+)"|'
    r"definition of (service) "
)
_CLIENT_REASONS = (
    ("failed to resolve host", " (the name of its host is not known: check it, and DNS)"),
    ("could not parse network address", " (its hostaddr is no address)"),
    ("certificate", " (TLS: its certificate is not accepted: check sslmode and sslrootcert)"),
    ("SSL", " (TLS: check sslmode)"),
)
_REFUSED_CLASSES = {"22", "54", "XX"}  # a value, a limit of the program, a damaged row


def translate(error: BaseException, label: str) -> BaseException:
    """The store's error for one of Postgres's, without the statement and its values; any other error as it is."""
    return _translate(error, label) if isinstance(error, psycopg.Error) else error


def _translate(error: psycopg.Error, label: str) -> BaseException:  # noqa: PLR0911 - one return per kind
    state = error.sqlstate or ""
    if state in _TOO_LONG:
        return TransactionTooLong(f"a transaction on the database {label} took too long ({state}); try again")
    if state.startswith(_CONFLICT_CLASS):
        return TransactionConflict(f"a transaction on the database {label} conflicted with another one; try again")
    if isinstance(error, errors.IntegrityError):
        return ConstraintViolated(error.diag.constraint_name or error.diag.table_name or "of the schema")
    if state in _FOREIGN:
        return DatabaseUnavailable(
            f"the tables of the database {label} are not this program's ({state}): {FOREIGN_ADVICE}", lasts=True
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return PrivilegeDenied(label)
    lost = not state and isinstance(error, errors.InterfaceError | errors.OperationalError)
    if lost or state in _UNAVAILABLE or state[:2] in _UNAVAILABLE_CLASSES:
        if not state and (setting := _SETTING.search(str(error))):
            name = next(filter(None, setting.groups()))
            return DatabaseUnavailable(
                f"the address of the database {label} holds a value that cannot be right: {name}", lasts=True
            )
        code = f" ({state})" if state else _reason(str(error))
        return DatabaseUnavailable(f"the database {label} cannot be reached or is busy{code}; is it running?")
    if isinstance(error, psycopg.DataError) or state[:2] in _REFUSED_CLASSES:
        return DatabaseRefused(state)
    return error


def _reason(text: str) -> str:
    """Return why a connection failed, where the client or the server says so without a code."""
    if fatal := _FATAL.search(text):
        # It names the user and the database, which the label shows anyway.
        return f" ({fatal[1]})"
    return next((reason for mark, reason in _CLIENT_REASONS if mark in text), "")


class PostgresSession(Session):
    """A transaction on one connection."""

    def __init__(self, connection: Connection, label: str, context: SessionContext, *, writing: bool) -> None:
        self._cursor = connection.cursor()
        self._label = label
        super().__init__(load_queries(Dialect.POSTGRES), self._cursor.execute, context, writing=writing)

    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """Runs one statement for all sets of parameters where it can, else one for each; the rows, in order."""
        form = query.rows_form
        if form is None or len(batch) == 1 or not _agree(form.shared, batch):
            return self._execute_each(query, batch)
        rows: list[Row] = []
        for part in _split_at_repeats(form.keys, batch):
            if len(part) == 1:
                rows += self._execute_each(query, part)
                continue
            arrays: dict[str, object] = {name: make_array([row[name] for row in part]) for name in form.columns}
            arrays |= {name: part[0][name] for name in form.shared}
            self._cursor.execute(form.text, arrays)
            if query.returns:
                rows += self._cursor.fetchall()
        return rows

    def _execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        cursor = self._cursor
        bound = [bind(query, values) for values in batch] if query.lists else batch
        if len(bound) == 1:
            # A pipeline of one statement costs more than the statement.
            cursor.execute(query.text, bound[0])
            return cursor.fetchall() if query.returns else []
        cursor.executemany(query.text, bound, returning=query.returns)
        rows: list[Row] = []
        while query.returns:
            rows += cursor.fetchall()
            if not cursor.nextset():
                break
        return rows

    def translate(self, error: BaseException) -> BaseException:
        """The store's error for one of Postgres's; any other error as it is."""
        return translate(error, self._label)


def _agree(names: Sequence[str], batch: Sequence[Parameters]) -> bool:
    """Whether all sets of parameters have the same values of some."""
    return all(row[name] == batch[0][name] for name in names for row in batch)


def _split_at_repeats(keys: Sequence[str], batch: Sequence[Parameters]) -> Iterator[Sequence[Parameters]]:
    """Cut a batch so that no part has two sets with the same values of ``keys``."""
    seen: set[object] = set()
    start = 0
    for number, row in enumerate(batch):
        key = tuple(row[name] for name in keys)
        if key in seen:
            yield batch[start:number]
            start, seen = number, set()
        seen.add(key)
    yield batch[start:]


@cache
def _end(lanes: frozenset[str]) -> bytes:
    """The end of a transaction that has new work for some lanes: one message to the server."""
    if not lanes:
        return b"COMMIT"
    notify = sql.SQL("SELECT pg_notify('wanesync', {}); COMMIT").format(sql.Literal(",".join(sorted(lanes))))
    return notify.as_bytes()


def _configure(connection: Connection, *, pooled: bool = False) -> None:
    if pooled:
        connection.prepare_threshold = None
    else:
        connection.execute(f"{_TIMEOUTS}; {_ISOLATION}; {_PLANNER_SETTINGS}")
        connection.prepare_threshold = 2
        connection.prepared_max = 400
    # One type per kind of value: otherwise a statement is prepared once per size of its numbers.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, StrDumper)
    register_arrays(connection.adapters)


class PostgresDatabase(Database):
    """A pool of connections in autocommit mode; transactions are begun and ended by name.

    ``pooled``: the address leads through a pooler in transaction mode (PgBouncer, RDS Proxy): no setting and no
    prepared statement outlives a transaction, nothing LISTENs. It is found out where it is not said. ``connections``:
    at most.
    """

    dialect = Dialect.POSTGRES

    def __init__(
        self,
        url: str,
        *,
        pooled: bool = False,
        connections: int = MAX_CONNECTIONS,
        find_url: Callable[[], str] | None = None,
    ) -> None:
        self.label = describe(url)
        self._url, self._find_newest = url, find_url
        self.notifier = Notifier()
        self._light: Connection | None = None
        self._light_lock = threading.Lock()
        self._listener: _Listener | None = None
        self._listener_lock = threading.Lock()
        self._may_be_stale = False
        self._lines: list[PostgresLine] = []
        self.own_pids: set[int] = set()
        # A first connection outside the pool: the pool reports only a time-out.
        self.pooled = self._find_pooler(known=pooled)
        self._begin: LiteralString = _BEGIN_POOLED if self.pooled else "BEGIN"
        self._begin_reading: LiteralString = _BEGIN_READING_POOLED if self.pooled else _BEGIN_READING
        self._pool = ConnectionPool(
            self._find_url,
            kwargs={"autocommit": True, "connect_timeout": 5},
            min_size=1,
            max_size=connections,
            num_workers=min(connections, _POOL_WORKERS),
            timeout=_POOL_TIMEOUT_S,
            configure=self._configure,
            open=True,
            name="wanesync",
        )

    def _find_pooler(self, *, known: bool) -> bool:
        """Whether the address leads through a pooler: that gives its clients other process ids than the server has."""
        with self._connect() as connection:
            if known:
                return True
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            return row is not None and row[0] != connection.info.backend_pid

    def _configure(self, connection: Connection) -> None:
        _configure(connection, pooled=self.pooled)
        self.own_pids.add(connection.info.backend_pid)

    def _find_url(self) -> str:
        return bound_waits(self._find_newest() if self._find_newest else self._url)

    def connect(self, setup: str = "") -> Connection:
        """A connection outside the pool; ``setup``: a statement to run on it first. Raises DatabaseUnavailable."""
        connection = self._connect()
        try:
            _configure(connection, pooled=self.pooled)
            if setup:
                connection.execute(setup)
        except psycopg.Error as error:
            raise translate(error, self.label) from error
        return connection

    def _connect(self) -> Connection:
        try:
            return psycopg.connect(self._find_url(), autocommit=True, connect_timeout=5)
        except psycopg.Error as error:
            raise translate(error, self.label) from error

    @contextmanager
    def session(self, context: SessionContext, *, writing: bool) -> Iterator[Session]:
        """A transaction; a reading one has one snapshot throughout."""
        connection = self._take()
        try:
            try:
                session = PostgresSession(connection, self.label, context, writing=writing)
                session.execute(self._begin if writing else self._begin_reading, prepare=False)
                yield session
                session.execute(_end(frozenset(session.lanes_to_wake)), prepare=False)
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
        except psycopg.Error as error:
            self._leave_standby(error, connection)
            raise translate(error, self.label) from error
        finally:
            self._may_be_stale = self._may_be_stale or connection.closed
            self._pool.putconn(connection)

    @contextmanager
    def read_statementwise(self, context: SessionContext) -> Iterator[Session]:
        """Without a transaction: saves the round trips of BEGIN and COMMIT. Behind a pooler its settings need one."""
        if self.pooled:
            with self.session(context, writing=False) as session:
                yield session
            return
        with self._command() as connection:
            yield PostgresSession(connection, self.label, context, writing=False)

    @contextmanager
    def light_session(self, context: SessionContext) -> Iterator[Session]:
        """Commits without a flush of the disk: a lost row of rate slots starts anew."""
        with self._light_lock:
            if self._light is None or self._light.closed:
                self._light = self.connect("" if self.pooled else "SET synchronous_commit = off")
            try:
                with self._light_transaction(self._light):
                    yield PostgresSession(self._light, self.label, context, writing=True)
            except psycopg.Error as error:
                self._leave_standby(error, self._light)
                raise translate(error, self.label) from error

    @contextmanager
    def _light_transaction(self, connection: Connection) -> Iterator[None]:
        """Behind a pooler the light connection's settings need a transaction; elsewhere each statement is one."""
        if not self.pooled:
            yield
            return
        try:
            connection.execute(_BEGIN_LIGHT_POOLED, prepare=False)
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                connection.rollback()
            raise

    def open_line(self) -> PostgresLine | None:
        """A connection for statements that are prepared once; behind a pooler there is none."""
        if self.pooled:
            return None
        connection = self.connect(SETTINGS)
        try:
            line = PostgresLine(connection)
        except psycopg.Error as error:
            connection.close()
            raise translate(error, self.label) from error
        self._lines = [*(one for one in self._lines if not one.is_closed), line]
        return line

    def applied(self) -> int | None:
        """The number of the newest migration; None without a table of migrations."""
        with self._command() as connection:
            row = connection.execute("SELECT to_regclass('migrations') IS NOT NULL").fetchone()
            if not row or not row[0]:
                return None
            newest = connection.execute("SELECT COALESCE(MAX(number), 0) FROM migrations").fetchone()
            return int(newest[0]) if newest else 0

    def migrate(self, migrations: Sequence[Migration], now_ms: int) -> list[str]:
        """Runs the missing migrations in one transaction, one process at a time."""
        with self._command() as connection, connection.transaction():
            # Another process may be migrating, which may take long.
            connection.execute("SET LOCAL lock_timeout = 60000; SET LOCAL statement_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])

            def execute(text: str) -> list[Row]:
                cursor = connection.execute(text)
                return cursor.fetchall() if cursor.description else []

            return run_migrations(execute, migrations, now_ms)

    def await_others(self, wait: Callable[[float], object]) -> None:
        """Waits until no transaction that had changed something at the start of the call is open any more.

        Those of other databases of the server count as well. Raises DatabaseUnavailable after AWAIT_OTHERS_S.
        """
        deadline_s = time.monotonic() + AWAIT_OTHERS_S
        with self._command() as connection:
            # A number of its own, so that each transaction that had changed something has a lower one.
            own = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
            last = own[0] if own else 0
            while True:
                row = connection.execute(
                    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > %s", [last]
                ).fetchone()
                if row is None or row[0]:
                    return
                if time.monotonic() > deadline_s:
                    raise DatabaseUnavailable(f"a transaction on the database {self.label} does not end; try again")
                wait(_AWAIT_POLL_S)

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """Database time minus ``clock``, by the fastest of three round trips: its error is at most half of it."""
        text = load_queries(Dialect.POSTGRES)["database_time"].text
        found = []
        with self._command() as connection:
            for _ in range(3):
                before = clock()
                row = connection.execute(text).fetchone()
                after = clock()
                found.append((after - before, int(row[0]) - (before + after) // 2 if row else 0))
        return min(found)[1]

    def wait(self, subscription: WorkSubscription, timeout_ms: int) -> bool:
        """Waits for a NOTIFY of any process or a signal of this one; behind a pooler for a signal, and not long."""
        if self.pooled:
            return self.notifier.wait(subscription, min(timeout_ms, _POOLED_POLL_MS) / 1000)
        with self._listener_lock:
            if self._listener is None:
                self._listener = _Listener(self)
                self._listener.start()
        return self.notifier.wait(subscription, timeout_ms / 1000)

    def close(self) -> None:
        """Closes every connection."""
        if self._listener:
            self._listener.stop()
        self._pool.close()
        if self._light:
            self._light.close()
        for line in self._lines:
            line.close()
        self.notifier.notify()

    @contextmanager
    def _command(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            self._leave_standby(error, connection)
            raise translate(error, self.label) from error
        finally:
            self._pool.putconn(connection)

    def _leave_standby(self, error: psycopg.Error, connection: Connection) -> None:
        """Ends the connections to a server that only reads: after a failover, new ones reach the other server."""
        if isinstance(error, errors.ReadOnlySqlTransaction):
            connection.close()
            self._pool.drain()

    def _take(self) -> Connection:
        try:
            if self._may_be_stale:
                # A connection was lost, so the idle ones probably are too: the server was restarted.
                self._may_be_stale = False
                self._pool.check()
            return self._pool.getconn()
        except psycopg.Error as error:
            raise translate(error, self.label) from error


class _Listener(threading.Thread):
    """Turns NOTIFY into signals of this process; reconnects when the database is back."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(name="wanesync-listen", daemon=True)
        self._database = database
        self._stopping = threading.Event()

    def run(self) -> None:
        """Listens until stopped."""
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, DatabaseUnavailable):
                # The workers get and report the same error; meanwhile their waits end by their time-out.
                self._stopping.wait(_LISTEN_POLL_S)

    def _listen(self) -> None:
        connection = self._database.connect()
        try:
            connection.execute("LISTEN wanesync")
            # Notifications sent before LISTEN are not delivered.
            self._database.notifier.notify()
            rest_s = _LISTEN_REST_S
            while not self._stopping.is_set():
                # A process whose threads are all at work reads what was sent meanwhile when one of them waits.
                self._database.notifier.await_waiter(_LISTEN_POLL_S)
                found = list(connection.notifies(timeout=_LISTEN_POLL_S, stop_after=1))
                # Commits of this process have signalled already (``Store.transaction``).
                lanes = {
                    lane
                    for notification in found
                    if notification.pid not in self._database.own_pids
                    for lane in notification.payload.split(",")
                }
                if found:
                    was_needed = bool(lanes) and self._database.notifier.notify(lanes)
                    rest_s = _LISTEN_REST_S if was_needed else min(2 * rest_s, _MAX_LISTEN_REST_S)
                    self._stopping.wait(rest_s)
        finally:
            connection.close()

    def stop(self) -> None:
        """Stops the thread within half a second."""
        self._stopping.set()
        self.join(timeout=5)


def bound_waits(url: str) -> str:
    """The address with bounds for a connection whose other end vanished; those in the address stand."""
    return make_conninfo("", **(_WAITS | conninfo_to_dict(url)))


def describe(url: str) -> str:
    """The address without its password. Raises ConfigError if it is none."""
    if flaw := find_unencoded(url):
        raise ConfigError([f"database: {flaw}"])
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The cause may show a part of the password.
        advice = "database: not a Postgres address: postgresql://USER:PASSWORD@HOST:PORT/NAME"
        raise ConfigError([advice]) from None
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    host = str(parts.get("host") or "")
    # The folder of a Unix socket is left out: it would look like a part of the name.
    return f"postgresql://{user}{'' if host.startswith('/') else host}{port}/{parts.get('dbname') or ''}"
