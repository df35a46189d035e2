"""One transaction as the table modules use it, and what a database must offer; the same on SQLite and Postgres."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.field_generations import EVERY_FIELD, FieldGenerations
from wanesync.core.ids import make_id
from wanesync.core.jobs import JobReport
from wanesync.store.encryption import Encryption
from wanesync.store.notify import Notifier, WorkSubscription
from wanesync.store.queries import Dialect, Migration, Parameters, Query, Texts, Value

if TYPE_CHECKING:
    from wanesync.store.event_line import Line

# The columns a statement selects: the one place where the types of the database are not checked.
Row = tuple[Any, ...]


class Cursor(Protocol):
    """The part of a driver's cursor that a session uses."""

    def fetchall(self) -> list[Row]:
        """All rows of the statement."""
        ...


class TransactionConflict(DatabaseUnavailable):
    """Two concurrent transactions conflicted; run the whole transaction again."""


class TransactionTooLong(TransactionConflict):
    """A transaction outlived a limit of the database: run it once more, then in smaller pieces."""


class PrivilegeDenied(DatabaseUnavailable):
    """The database role of this process may not do what it tried."""

    def __init__(self, label: str) -> None:
        advice = "run `wanesync db roles --apply` with this version, or give this process the role that is meant for it"
        super().__init__(f"the database {label} denies its user a privilege: {advice}", lasts=True)


class ConstraintViolated(WanesyncError):
    """A unique index or constraint of the schema refused a write; ``rule`` is its name or its table."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"the database refused a row that breaks the rule {rule}; plan again from its newest state")


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What every session of a store shares. ``clock``: database time in ms; ``rng``: the source of ids and tokens.

    ``generations``: the field map through which copies are seen.
    """

    encryption: Encryption
    rng: random.Random
    clock: Callable[[], int]
    generations: FieldGenerations = EVERY_FIELD


class Session(ABC):
    """One transaction: named queries in, rows out. ``now_ms`` is constant within it.

    ``execute`` is the driver's own. Its errors leave a session untranslated: a savepoint and ``Database.session``
    translate them, once each.
    """

    def __init__(
        self,
        queries: Mapping[str, Query],
        execute: Callable[..., Cursor],
        context: SessionContext,
        *,
        writing: bool,
    ) -> None:
        self.queries = queries
        self.execute = execute
        self.encryption = context.encryption
        self.rng = context.rng
        self.generations = context.generations
        self.now_ms = context.clock()
        self.writing = writing
        self.lanes_to_wake: set[str] = set()  # lanes that have new work, notified after the commit
        self.job_reports: list[JobReport] = []  # how claimed jobs ended, handed on after the commit
        self.none_dead = False  # whether this transaction found no dead job, and made none since
        self._sequence = 0
        self._deferred: dict[str, list[Parameters]] = {}

    @abstractmethod
    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """Runs a statement for each set of parameters, or one for all; the rows they return, in order."""

    @abstractmethod
    def translate(self, error: BaseException) -> BaseException:
        """The store's error for one of the driver's; any other error as it is."""

    def rows(self, name: str, /, **values: Value) -> list[Row]:
        """All rows of a named query; [] for a statement that returns none."""
        query = self._prepare(name)
        cursor = self.execute(query.text, bind(query, values) if query.lists else values)
        return cursor.fetchall() if query.returns else []

    def row(self, name: str, /, **values: Value) -> Row | None:
        """The first row of a named query, which must be one that returns rows; None without one."""
        query = self._prepare(name)
        # All rows are fetched: SQLite completes a write with RETURNING only then.
        found = self.execute(query.text, bind(query, values) if query.lists else values).fetchall()
        return found[0] if found else None

    def number(self, name: str, /, **values: Value) -> int:
        """The first column of the first row as a count; 0 without a row."""
        found = self.row(name, **values)
        return int(found[0] or 0) if found else 0

    def each(self, name: str, batch: Sequence[Parameters]) -> list[Row]:
        """Runs a named query once per set of parameters; the rows they return, in order."""
        return self.execute_each(self._prepare(name), batch) if batch else []

    def defer(self, name: str, /, **values: Value) -> None:
        """Defers a write whose rows are not needed. Writes of one name are sent as one batch.

        It runs before any statement that may touch its table, at the latest before the commit.
        """
        if name not in self._deferred:
            self._prepare(name)
        self._deferred.setdefault(name, []).append(values)

    def flush(self) -> None:
        """Runs every deferred write."""
        for name in list(self._deferred):
            self.execute_each(self.queries[name], self._deferred.pop(name))

    def make_id(self) -> str:
        """A new time-ordered id."""
        return make_id(self.now_ms, self.rng)

    def next_sequence(self) -> int:
        """1, 2, 3 … within this transaction: keeps the order of rows that share its time."""
        self._sequence += 1
        return self._sequence

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Rolls back to this point after an error inside, which is raised, translated; the transaction can continue.

        After a TransactionConflict the transaction cannot go on.
        """
        name, reports = f"point_{self.next_sequence()}", len(self.job_reports)
        self._translated(lambda: self._begin_savepoint(name))
        try:
            yield
            self.flush()
        except BaseException as error:
            translated = self.translate(error)
            if not isinstance(translated, TransactionConflict):
                self._deferred.clear()
                del self.job_reports[reports:]
                # Over a lost connection this fails as well: then the loss is the error, not the row that met it.
                self._translated(lambda: self._roll_back(name))
            if translated is error:
                raise
            raise translated from error
        self._translated(lambda: self.execute(f"RELEASE SAVEPOINT {name}"))

    def _begin_savepoint(self, name: str) -> None:
        self.flush()
        self.execute(f"SAVEPOINT {name}")

    def _roll_back(self, name: str) -> None:
        self.execute(f"ROLLBACK TO SAVEPOINT {name}")
        self.execute(f"RELEASE SAVEPOINT {name}")

    def _translated(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            translated = self.translate(error)
            if translated is error:
                raise
            raise translated from error

    def _prepare(self, name: str) -> Query:
        """The query that is to run now, after the deferred writes that touch its tables."""
        query = self.queries[name]
        if query.writes and not self.writing:
            raise WanesyncError(f"{name} writes, but this transaction only reads")
        if self._deferred:
            for other in [self.queries[waiting] for waiting in self._deferred]:
                # In doubt the order is kept: a table counts as touched where its name stands in the statement.
                if other.target in query.words or (query.writes and query.target in other.words):
                    self.execute_each(other, self._deferred.pop(other.name))
        return query


def bind(query: Query, values: Parameters) -> Parameters:
    """The parameters of a query with lists, as the driver takes them."""
    bound = dict(values)
    for name in query.lists:
        items = cast("Collection[str]", values[name])
        bound[name] = orjson.dumps([*items]).decode() if query.json_lists else Texts(items)
    return bound


@dataclass(slots=True, eq=False)
class Table:
    """Base of the table modules: the named queries of one table, in one transaction."""

    _session: Session


class Database(ABC):
    """One opened database. Every method may raise DatabaseUnavailable."""

    dialect: Dialect
    label: str
    notifier: Notifier

    @abstractmethod
    def session(self, context: SessionContext, *, writing: bool) -> AbstractContextManager[Session]:
        """A transaction: committed on normal exit, rolled back on an exception."""

    def read_statementwise(self, context: SessionContext) -> AbstractContextManager[Session]:
        """Reads without a common snapshot, each statement for itself, at the least cost."""
        return self.session(context, writing=False)

    @abstractmethod
    def light_session(self, context: SessionContext) -> AbstractContextManager[Session]:
        """A transaction that a power failure may undo after its commit: for rate slots only."""

    def open_line(self) -> Line | None:
        """Opens a connection for statements that are sent without a wait; None: this database has none."""
        return None

    @abstractmethod
    def applied(self) -> int | None:
        """The number of the newest migration that ran; None if there is no database of this program yet."""

    @abstractmethod
    def migrate(self, migrations: Sequence[Migration], now_ms: int) -> list[str]:
        """Runs the migrations that are missing, one process at a time; the names of those that ran."""

    def checkpoint(self) -> None:  # noqa: B027 - only SQLite puts work off
        """Does work that commits put off. Raises DatabaseUnavailable."""

    @abstractmethod
    def await_others(self, wait: Callable[[float], object]) -> None:
        """Waits until every transaction that writes now has ended. Raises DatabaseUnavailable: one does not end."""

    @abstractmethod
    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """Database time minus ``clock``, in ms."""

    @abstractmethod
    def wait(self, subscription: WorkSubscription, timeout_ms: int) -> bool:
        """Waits until any process may have queued work for the subscribed lane; False after the time-out."""

    @abstractmethod
    def close(self) -> None:
        """Closes every connection; safe to call twice."""


FOREIGN_ADVICE = "use an empty one, or restore it from a backup; is it another configuration or folder?"

MIGRATIONS_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
    "applied_ms BIGINT NOT NULL)"
)


def run_migrations(execute: Callable[[str], list[Row]], migrations: Sequence[Migration], now_ms: int) -> list[str]:
    """Runs every missing migration inside one transaction of the caller; the names of those that ran."""
    execute(MIGRATIONS_TABLE)
    done = {row[0] for row in execute("SELECT number FROM migrations")}
    ran = []
    for migration in migrations:
        if migration.number in done:
            continue
        for statement in migration.statements:
            execute(statement)
        execute(f"INSERT INTO migrations VALUES ({migration.number}, '{migration.name}', {now_ms:d})")  # noqa: S608 - names of our own schema file: word characters and spaces
        ran.append(f"{migration.number:04d} {migration.name}")
    return ran
