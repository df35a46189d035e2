"""The store of a simulated installation: one SQLite database in memory, seen by each process through its own clock.

The database outlives a seed: its tables are emptied, so that no seed pays for the schema and for preparing
statements again. A process may lose it for a while, also in the middle of a commit.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.simulation.snapshots import UNSAFE_SETTINGS
from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.clock import DatabaseClock
from wanesync.store.database import Store, Tx
from wanesync.store.encryption import Encryption, load_keyring
from wanesync.store.queries import Dialect, load_migrations
from wanesync.store.session import Session, SessionContext
from wanesync.store.sqlite import SqliteDatabase, SqliteSession, translate

MEMORY = ":memory:"
TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
INSERT = re.compile(r"\s*INSERT\b")

Trouble = Callable[[str], bool]
"""Whether the database is gone at this moment of a writing transaction: ``begin``, ``commit`` or ``committed``."""


class SimDatabase(SqliteDatabase):
    """SQLite in memory whose own time is the simulation's, whatever a process takes for the time."""

    def __init__(self) -> None:
        super().__init__(MEMORY)
        self.seal = load_keyring([], f"sqlite:{MEMORY}")
        self.true_ms: Callable[[], int] = lambda: 0
        migrations = load_migrations(Dialect.SQLITE)
        self.migrate(migrations, 0)
        self._take().execute(UNSAFE_SETTINGS)
        # What forbids to remove rows of the audit log; between two runs every table is emptied.
        self._take().execute("DROP TRIGGER audit_log_kept")
        statements = [statement for migration in migrations for statement in migration.statements]
        self._tables = [found[1] for statement in statements if (found := TABLE.match(statement))]
        self._inserts = [statement for statement in statements if INSERT.match(statement)]

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """Database time minus ``clock``."""
        return self.true_ms() - clock()

    @contextmanager
    def session(self, context: SessionContext, *, writing: bool) -> Iterator[Session]:
        """As every SQLite database's, without its queue of writers: here is one thread."""
        try:
            yield from self._transact(self._take(), context, writing=writing)
        except sqlite3.Error as error:
            raise translate(error, self.label) from error

    def open_reader(self) -> Tx:
        """Sees the queue as it is now, without the cost of a transaction; its own time is none."""
        return Tx(
            SqliteSession(self._take(), self.label, SessionContext(self.seal, random.Random(), int), writing=False)
        )

    @property
    def connection(self) -> sqlite3.Connection:
        """Its one connection."""
        return self._take()

    def wipe(self) -> None:
        """As new."""
        connection = self._take()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for table in reversed(self._tables):
            connection.execute(f"DELETE FROM {table}")
        for statement in self._inserts:
            connection.execute(statement)


class SimStore(Store):
    """A store as one process has it. ``changes`` counts the writing transactions of all of them."""

    def __init__(  # noqa: PLR0917 - what a store is made of, and what may happen to it
        self, database: SimDatabase, encryption: Encryption, clock: DatabaseClock, rng: random.Random, trouble: Trouble,
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(database, encryption, clock, rng)
        self._trouble, self._changed = trouble, changed
        self.sync_clock()

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """As every store's; its commit may fail, or be done without an acknowledgement."""
        if self._trouble("begin"):
            raise DatabaseUnavailable("the database is away")
        told: list[Callable[[], None]] = []
        with super().transaction() as tx:
            tx._session.after_commit = told  # type: ignore[attr-defined] # what ``observed`` has to say once it is done
            self._changed()
            yield tx
            if self._trouble("commit"):
                raise DatabaseUnavailable("the database went away before the commit")
        for tell in told:
            tell()
        if self._trouble("committed"):
            raise DatabaseUnavailable("the database went away after the commit")

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """As every store's."""
        if self._trouble("read"):
            raise DatabaseUnavailable("the database is away")
        with super().reading() as tx:
            yield tx


_spare: list[SimDatabase] = []


def lend_database(true_ms: Callable[[], int]) -> SimDatabase:
    """An empty database."""
    database = _spare.pop() if _spare else SimDatabase()
    database.true_ms = true_ms
    return database


def take_back(database: SimDatabase) -> None:
    """Emptied for the next seed."""
    database.wipe()
    _spare.append(database)
