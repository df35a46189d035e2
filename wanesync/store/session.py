"""What the tables' modules need from a database: one session per transaction, the same on SQLite and Postgres."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.ids import make_id
from wanesync.store.encryption import Encryption
from wanesync.store.notify import Notifier, Watch
from wanesync.store.queries import Dialect, Migration, Query

# A row is whatever its statement selects: the one place where the types of the database are taken on trust.
Row = tuple[Any, ...]
Value = str | int | float | bytes | Collection[str]
Parameters = Mapping[str, Value]


class TransactionConflict(DatabaseUnavailable):
    """Two transactions of Postgres got into each other's way; the whole transaction can simply run again."""


class ConstraintViolated(WanesyncError):
    """A write that a unique rule of the schema refuses; ``rule`` is its index or table."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"the database refused a row that breaks the rule {rule}; plan again from its newest state")


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What a session is handed: the seal, the source of ids and tokens, and ``clock``, database time in ms."""

    encryption: Encryption
    rng: random.Random
    clock: Callable[[], int]


class Session(ABC):
    """One transaction: named queries in, rows out. ``now_ms`` stands still while it lasts."""

    def __init__(self, queries: Mapping[str, Query], around: SessionContext, *, writing: bool) -> None:
        self.queries = queries
        self.seal = around.encryption
        self.rng = around.rng
        self.now_ms = around.clock()
        self.writing = writing
        self.queued: set[str] = set()  # lanes that have new work, to be told when it is committed
        self._sequence = 0
        self._waiting: dict[str, list[Parameters]] = {}

    @abstractmethod
    def _execute(self, query: Query, values: Parameters) -> list[Row]: ...

    @abstractmethod
    def _execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]: ...

    @abstractmethod
    def command(self, text: str) -> None:
        """One fixed statement without parameters and without rows (SAVEPOINT and the like)."""

    def rows(self, name: str, /, **values: Value) -> list[Row]:
        """All rows of a named query."""
        return self._execute(self._next(name), values)

    def row(self, name: str, /, **values: Value) -> Row | None:
        """The first row of a named query."""
        found = self._execute(self._next(name), values)
        return found[0] if found else None

    def number(self, name: str, /, **values: Value) -> int:
        """The first column of the first row as a count; 0 without a row."""
        row = self.row(name, **values)
        return int(row[0] or 0) if row else 0

    def each(self, name: str, batch: Sequence[Parameters]) -> list[Row]:
        """Runs a statement once per set of parameters; the rows they return, in order."""
        return self._execute_each(self._next(name), batch) if batch else []

    def later(self, name: str, /, **values: Value) -> None:
        """A write whose rows nobody wants: runs before any statement that may touch its table, at the commit at last.

        Those of one name go to the database together.
        """
        if name not in self._waiting:
            self._next(name)
        self._waiting.setdefault(name, []).append(values)

    def flush(self) -> None:
        """Runs what waits."""
        for name in list(self._waiting):
            self._execute_each(self.queries[name], self._waiting.pop(name))

    def make_id(self) -> str:
        """A new time-ordered id."""
        return make_id(self.now_ms, self.rng)

    def next_sequence(self) -> int:
        """1, 2, 3 … within this transaction: keeps the order of rows that share its time."""
        self._sequence += 1
        return self._sequence

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What fails inside is undone to here, and the transaction lives on."""
        name = f"point_{self.next_sequence()}"
        self.flush()
        self.command(f"SAVEPOINT {name}")
        try:
            yield
            self.flush()
        except TransactionConflict:
            raise
        except BaseException:
            self._waiting.clear()
            self.command(f"ROLLBACK TO SAVEPOINT {name}")
            self.command(f"RELEASE SAVEPOINT {name}")
            raise
        self.command(f"RELEASE SAVEPOINT {name}")

    def _next(self, name: str) -> Query:
        """A query about to run: what waits and touches it goes first."""
        query = self.queries[name]
        if query.writes and not self.writing:
            raise WanesyncError(f"{name} writes, but this transaction only reads")
        if self._waiting:
            for other in [n for n in self._waiting if self.queries[n].touches(query)]:
                self._execute_each(self.queries[other], self._waiting.pop(other))
        return query


class Database(ABC):
    """One opened database. Every method may raise DatabaseUnavailable."""

    dialect: Dialect
    label: str
    notifier: Notifier

    @abstractmethod
    def session(self, around: SessionContext, *, writing: bool) -> AbstractContextManager[Session]:
        """A transaction: committed on normal exit, rolled back on an exception."""

    def read_statementwise(self, around: SessionContext) -> AbstractContextManager[Session]:
        """Reads, each statement for itself: for looks that decide nothing, at the least cost."""
        return self.session(around, writing=False)

    @abstractmethod
    def light_session(self, around: SessionContext) -> AbstractContextManager[Session]:
        """What is committed may be lost with the machine's power: for rate slots only."""

    @abstractmethod
    def applied(self) -> int | None:
        """The number of the newest migration that ran; None: there is no database of ours yet."""

    @abstractmethod
    def migrate(self, migrations: Sequence[Migration], now_ms: int) -> list[str]:
        """Runs what is missing, one process at a time; the names of what ran."""

    def checkpoint(self) -> None:  # noqa: B027 - most databases put nothing off
        """Does what was put off so that nobody who commits waits for it. Raises DatabaseUnavailable."""

    @abstractmethod
    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """Database time minus ``clock``."""

    @abstractmethod
    def wait(self, watch: Watch, timeout_ms: int) -> bool:
        """Waits until any process may have brought work for the watch's lane, or the time is over; whether it may."""

    @abstractmethod
    def close(self) -> None:
        """Closes every connection; safe to call twice."""


MIGRATIONS_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
    "applied_ms BIGINT NOT NULL)"
)


def run_migrations(execute: Callable[[str], list[Row]], migrations: Sequence[Migration], now_ms: int) -> list[str]:
    """Runs, inside one transaction of the caller's, every migration that is missing."""
    execute(MIGRATIONS_TABLE)
    done = {row[0] for row in execute("SELECT number FROM migrations")}
    ran = []
    for migration in migrations:
        if migration.number in done:
            continue
        for statement in migration.statements:
            execute(statement)
        # Names come from our own schema file: word characters and spaces.
        execute(f"INSERT INTO migrations VALUES ({migration.number}, '{migration.name}', {now_ms:d})")  # noqa: S608
        ran.append(f"{migration.number:04d} {migration.name}")
    return ran
