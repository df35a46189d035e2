"""The store: opens a database and hands out transactions."""

from __future__ import annotations

import base64
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

from wanesync.core.errors import ConfigError
from wanesync.store.clock import DatabaseClock
from wanesync.store.encryption import Encryption, load_keyring
from wanesync.store.notify import Watch
from wanesync.store.queries import Dialect, load_migrations
from wanesync.store.session import Database, Session, SessionContext, TransactionConflict
from wanesync.store.sqlite import SqliteDatabase
from wanesync.store.tables.conflicts import Conflicts, Tombstones
from wanesync.store.tables.events import Events, Rejected
from wanesync.store.tables.holds import Holds
from wanesync.store.tables.jobs import Jobs
from wanesync.store.tables.journal import Journal
from wanesync.store.tables.links import Links
from wanesync.store.tables.pending_writes import PendingWrites
from wanesync.store.tables.processes import Locks, Processes
from wanesync.store.tables.purchases import Purchases
from wanesync.store.tables.rates import Rates, SlotAssignment
from wanesync.store.tables.records import Records
from wanesync.store.tables.retention import Retention
from wanesync.store.tables.settings import INDEX_KEY, Pauses, Settings

POSTGRES_MISSING = "database: postgresql:// needs psycopg, which is not installed: pip install 'wanesync[postgres]'"

_T = TypeVar("_T")
_TRIES = 5


class _Table(Generic[_T]):
    """One of the tables of a transaction, made when it is first asked for: most transactions need two or three."""

    def __init__(self, make: Callable[[Session], _T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tx: Tx, owner: type | None = None) -> _T:
        made = tx.__dict__[self._name] = self._make(tx._session)  # from here on found there
        return made


class Tx:
    """One transaction: every table by its name. ``now_ms``: database time, the same until it ends."""

    conflicts = _Table(Conflicts)
    events = _Table(Events)
    holds = _Table(Holds)
    jobs = _Table(Jobs)
    journal = _Table(Journal)
    links = _Table(Links)
    locks = _Table(Locks)
    pauses = _Table(Pauses)
    processes = _Table(Processes)
    purchases = _Table(Purchases)
    rates = _Table(Rates)
    records = _Table(Records)
    rejected = _Table(Rejected)
    retention = _Table(Retention)
    settings = _Table(Settings)
    tombstones = _Table(Tombstones)
    pending_writes = _Table(PendingWrites)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.now_ms = session.now_ms

    def savepoint(self) -> AbstractContextManager[None]:
        """What fails inside is undone, and the transaction lives on."""
        return self._session.savepoint()

    def make_id(self) -> str:
        """A new time-ordered id."""
        return self._session.make_id()


class Store:
    """An opened database, for any number of threads."""

    def __init__(self, database: Database, encryption: Encryption, clock: DatabaseClock, rng: random.Random) -> None:
        self._database = database
        self.clock = clock
        self._rng = rng
        self._context = SessionContext(encryption, rng, clock.now_ms)
        self._watches = threading.local()

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._database.dialect

    @property
    def url_label(self) -> str:
        """The database's address without its password."""
        return self._database.label

    @property
    def encryption(self) -> Encryption:
        """The seal of this database."""
        return self._context.encryption

    def now_ms(self) -> int:
        """Database time in ms since 1970."""
        return self.clock.now_ms()

    def sync_clock(self) -> None:
        """Measures the offset between the local wall clock and the database's. Raises DatabaseUnavailable."""
        self.clock.offset_ms = self._database.measure_offset_ms(self.clock.wall_ms)

    def hmac(self, address: str) -> str:
        """The keyed hash an address is found by."""
        return self._context.encryption.hmac(address)

    def row_hash(self, text: str) -> str:
        """The keyed hash equal contents are told by."""
        return self._context.encryption.row_hash(text)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Reads and writes; committed on normal exit, rolled back on an exception. Raises DatabaseUnavailable."""
        with self._database.session(self._context, writing=True) as session:
            yield Tx(session)
            session.flush()
        if session.queued:
            self._database.notifier.notify(session.queued)

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Reads one state of the database; a write raises. Raises DatabaseUnavailable."""
        with self._database.session(self._context, writing=False) as session:
            yield Tx(session)

    @contextmanager
    def read_statementwise(self) -> Iterator[Tx]:
        """Reads, each statement for itself: for looks that decide nothing, at the least cost. Raises DatabaseUnavailable."""
        with self._database.read_statementwise(self._context) as session:
            yield Tx(session)

    def run(self, work: Callable[[Tx], _T]) -> _T:
        """A transaction that runs again, five times at most, when it collided with another one. Raises DatabaseUnavailable."""
        for last in [False] * (_TRIES - 1) + [True]:
            try:
                with self.transaction() as tx:
                    return work(tx)
            except TransactionConflict:
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    def reserve(self, scope: str, slots: int) -> list[int]:
        """Due times in ms of up to ``slots`` requests, outside any transaction (see Rates.reserve)."""
        with self._database.light_session(self._context) as session:
            return Rates(session).reserve(scope, slots)

    def assign(self, scope: str, wants: Sequence[Sequence[str]], room: int) -> SlotAssignment:
        """Slots for wants that fall under narrower scopes, outside any transaction (see Rates.assign)."""
        with self._database.light_session(self._context) as session:
            return Rates(session).assign(scope, wants, room)

    def wait_for_work(self, timeout_ms: int, lane: str = "") -> bool:
        """Returns early, and True, when work (of a lane, or any) may have arrived since this thread last waited."""
        watch: Watch | None = getattr(self._watches, "watch", None)
        if watch is None or watch.lane != lane:
            watch = self._watches.watch = Watch(lane)
        return self._database.wait(watch, timeout_ms)

    def wake_workers(self) -> None:
        """Ends the wait of every thread of this process that waits for work."""
        self._database.notifier.notify()

    def checkpoint(self) -> None:
        """What the database has put off, in the background. Raises DatabaseUnavailable."""
        self._database.checkpoint()

    def migrate(self) -> list[str]:
        """Brings the schema up to this program; the names of what ran. Safe to call again, and from two processes."""
        return _migrate(self._database, self.now_ms())

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()

    def load_index_key(self) -> None:
        """Makes the index key at the first start, and seals it anew after a rotation of the sealing keys."""
        simulated = self._database.label == "sqlite::memory:"
        fresh = self._rng.randbytes(32) if simulated else secrets.token_bytes(32)
        with self.reading() as tx:
            stored = tx.settings.get(INDEX_KEY)
        index_key = _open_index_key(self._context.encryption, stored) if stored else None
        # Who only looks does not wait for those who write.
        if index_key is None:
            with self.transaction() as tx:
                index_key = _load_index_key(tx.settings, self._context.encryption, fresh)
        self._context = SessionContext(self._context.encryption.with_index_key(index_key), self._rng, self.clock.now_ms)


def open_store(
    url: str,
    seal_keys: Sequence[str] = (),
    *,
    migrate: bool | None = False,
    clock: DatabaseClock | None = None,
    rng: random.Random | None = None,
) -> Store:
    """Opens ``sqlite:FILE``, ``sqlite::memory:`` (one thread) or ``postgresql://…``.

    ``migrate``: whether it is made or brought up to this program; None: brought up to it, never made.

    Raises ConfigError: an address or key that is none, a schema that is missing or behind (as ``migrate`` says) or
    newer than this program. Raises DatabaseUnavailable: it cannot be reached. Raises DecryptionFailed: it was made with other keys.
    """
    database = _open_database(url)
    try:
        behind = _check_schema(database, migrate=migrate)
        seal = load_keyring(seal_keys, url)
        store = Store(database, seal, clock or DatabaseClock(), rng or random.SystemRandom())
        store.sync_clock()
        # Who finds nothing to do asks for no lock: a look must not wait for those who write.
        if behind:
            store.migrate()
        store.load_index_key()
    except BaseException:
        database.close()
        raise
    return store


def _open_database(url: str) -> Database:
    if url.startswith("sqlite:") and url != "sqlite:":
        return SqliteDatabase(url.removeprefix("sqlite:"))
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from wanesync.store.postgres import PostgresDatabase  # noqa: PLC0415 - psycopg is an extra, not on SQLite
        except ImportError as error:
            raise ConfigError([POSTGRES_MISSING]) from error
        return PostgresDatabase(url)
    raise ConfigError(["database: must be sqlite:FILE or postgresql://USER@HOST/NAME"])


def _check_schema(database: Database, *, migrate: bool | None) -> bool:
    """Whether migrations are missing that may be run. Raises ConfigError where they may not."""
    newest = load_migrations(database.dialect)[-1].number
    applied = database.applied()
    if applied is not None and applied > newest:
        message = (
            f"the database {database.label} has schema {applied}, this program knows {newest}: use a newer wanesync"
        )
        raise ConfigError([message])
    if applied is None and not migrate:
        advice = "run `wanesync init` (or `wanesync db migrate`) once, or is this another configuration or folder?"
        raise ConfigError([f"the database {database.label} is not set up yet: {advice}"])
    behind = applied is None or applied < newest
    if behind and migrate is False:
        state = f"has schema {applied}, this program needs {newest}"
        raise ConfigError([f"the database {database.label} {state}: run `wanesync db migrate`"])
    return behind


def _migrate(database: Database, now_ms: int) -> list[str]:
    return database.migrate(load_migrations(database.dialect), now_ms)


def _open_index_key(seal: Encryption, stored: str) -> bytes | None:
    """The index key; None if it is sealed with a key that is not the newest."""
    blob = base64.b64decode(stored)
    index_key = seal.decrypt(blob, "settings", INDEX_KEY, "value")
    return index_key if seal.is_newest_key(blob) else None


def _load_index_key(settings: Settings, seal: Encryption, fresh: bytes) -> bytes:
    # Of two processes that start together, the second takes the first one's key.
    stored = settings.get(INDEX_KEY) or settings.add(INDEX_KEY, _seal_index_key(seal, fresh))
    blob = base64.b64decode(stored)
    index_key = seal.decrypt(blob, "settings", INDEX_KEY, "value")
    if not seal.is_newest_key(blob):
        settings.put(INDEX_KEY, _seal_index_key(seal, index_key))
    return index_key


def _seal_index_key(seal: Encryption, index_key: bytes) -> str:
    return base64.b64encode(seal.encrypt(index_key, "settings", INDEX_KEY, "value")).decode()
