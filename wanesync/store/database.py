"""The store: opens a database and begins transactions."""

from __future__ import annotations

import base64
import random
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

from wanesync.core.errors import ConfigError
from wanesync.core.field_generations import EVERY_FIELD, FieldGenerations
from wanesync.core.jobs import JobReport
from wanesync.store.clock import DatabaseClock, elapsed_s
from wanesync.store.encryption import Encryption, load_keyring
from wanesync.store.event_line import MAX_MESSAGE_S, EventLine
from wanesync.store.figure_counts import FigureCounts
from wanesync.store.key_source import KeySource
from wanesync.store.notify import WorkSubscription
from wanesync.store.patience import Patience
from wanesync.store.queries import Dialect, load_migrations
from wanesync.store.session import (
    Database,
    Session,
    SessionContext,
    Table,
    TransactionConflict,
    TransactionTooLong,
)
from wanesync.store.tables.conflicts import Conflicts, Tombstones
from wanesync.store.tables.erasure import Erasure
from wanesync.store.tables.events import Events, Rejected
from wanesync.store.tables.future_times import FutureTimes
from wanesync.store.tables.holds import Holds
from wanesync.store.tables.jobs import Jobs
from wanesync.store.tables.journal import Journal
from wanesync.store.tables.links import Links
from wanesync.store.tables.operating.access import Guesses, OneTimeLinks, Sessions, Tokens, Users
from wanesync.store.tables.operating.alerts import AlertDeliveries, Alerts
from wanesync.store.tables.operating.api_answers import ApiAnswers
from wanesync.store.tables.operating.audit import Audit
from wanesync.store.tables.operating.bulk_runs import BulkRuns
from wanesync.store.tables.operating.dead_letters import DeadLetters
from wanesync.store.tables.operating.figures import Figures
from wanesync.store.tables.operating.job_lists import JobLists
from wanesync.store.tables.operating.job_traces import JobTraces
from wanesync.store.tables.operating.log_lines import LogLines
from wanesync.store.tables.operating.reconcile_runs import ReconcileRuns
from wanesync.store.tables.operating.samples import Samples
from wanesync.store.tables.operating.source_counts import SourceCounts
from wanesync.store.tables.operating.webhook_counts import WebhookCounts
from wanesync.store.tables.pending_writes import PendingWrites
from wanesync.store.tables.processes import FailedBatches, Locks, Processes
from wanesync.store.tables.purchases import Purchases
from wanesync.store.tables.rates import Rates, SlotAssignment
from wanesync.store.tables.records import Records
from wanesync.store.tables.retention import Retention
from wanesync.store.tables.sealed_rows import SealedRows
from wanesync.store.tables.settings import INDEX_KEY, Pauses, Settings

POSTGRES_MISSING = "database: postgresql:// needs psycopg, which is not installed: pip install 'wanesync[postgres]'"

_T = TypeVar("_T")
_TableT = TypeVar("_TableT", bound=Table)
KEYS_CHECK_S = 1.0
"""Which key is to encrypt is looked up so often, before a transaction (our choice)."""
KEYS_LEASE_S = 3.0
"""What was encrypted is committed for so long after that look; later, only after another one (our choice)."""
_MAX_ATTEMPTS = 3  # of one transaction; a conflict that lasts longer is reported (docs/correctness.md#bad-rows)


def _report_nothing(_reports: Sequence[JobReport]) -> None:
    """Hand on nothing, where no part listens."""


class _TableOf(Generic[_TableT]):
    """A table of a transaction, made on first use: most transactions need two or three of them."""

    def __init__(self, table: type[_TableT]) -> None:
        self._table = table

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tx: Tx, owner: type | None = None) -> _TableT:
        # Kept in the transaction, where later look-ups find it without this descriptor.
        table = tx.__dict__[self._name] = self._table(tx._session)
        return table


class Tx:
    """One transaction with every table by its name. ``now_ms``: database time, constant within it."""

    admin_guesses = _TableOf(Guesses)
    admin_links = _TableOf(OneTimeLinks)
    admin_sessions = _TableOf(Sessions)
    admin_tokens = _TableOf(Tokens)
    admin_users = _TableOf(Users)
    alert_deliveries = _TableOf(AlertDeliveries)
    alerts = _TableOf(Alerts)
    api_answers = _TableOf(ApiAnswers)
    audit = _TableOf(Audit)
    bulk_runs = _TableOf(BulkRuns)
    conflicts = _TableOf(Conflicts)
    dead_letters = _TableOf(DeadLetters)
    erasure = _TableOf(Erasure)
    events = _TableOf(Events)
    failed_batches = _TableOf(FailedBatches)
    figures = _TableOf(Figures)
    future_times = _TableOf(FutureTimes)
    holds = _TableOf(Holds)
    job_lists = _TableOf(JobLists)
    job_traces = _TableOf(JobTraces)
    jobs = _TableOf(Jobs)
    journal = _TableOf(Journal)
    links = _TableOf(Links)
    locks = _TableOf(Locks)
    log_lines = _TableOf(LogLines)
    pauses = _TableOf(Pauses)
    processes = _TableOf(Processes)
    purchases = _TableOf(Purchases)
    rates = _TableOf(Rates)
    reconcile_runs = _TableOf(ReconcileRuns)
    records = _TableOf(Records)
    rejected = _TableOf(Rejected)
    retention = _TableOf(Retention)
    samples = _TableOf(Samples)
    sealed_rows = _TableOf(SealedRows)
    settings = _TableOf(Settings)
    source_counts = _TableOf(SourceCounts)
    tombstones = _TableOf(Tombstones)
    pending_writes = _TableOf(PendingWrites)
    webhook_counts = _TableOf(WebhookCounts)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.now_ms = session.now_ms
        self.part: frozenset[str] | None = None
        """Ids of the jobs that are committed now, while a batch is committed in parts; None: all."""
        self.has_refused = False
        """Whether a job did not count as held any more, so that nothing was committed for it."""

    @property
    def job_reports(self) -> Sequence[JobReport]:
        """How claimed jobs ended in this transaction so far."""
        return self._session.job_reports

    @contextmanager
    def only_jobs(self, job_ids: Collection[str]) -> Iterator[None]:
        """Inside, no other job counts as held: their part of an answer is committed by itself."""
        outer, self.part = self.part, frozenset(job_ids)
        try:
            yield
        finally:
            self.part = outer

    def savepoint(self) -> AbstractContextManager[None]:
        """Rolls back to this point after an error inside; the transaction can continue."""
        return self._session.savepoint()


class Store:
    """An opened database, for any number of threads."""

    def __init__(self, database: Database, encryption: Encryption, clock: DatabaseClock, rng: random.Random) -> None:
        self._database = database
        self._rng = rng
        self._subscriptions = threading.local()
        self._patience_of_thread = threading.local()
        self._patience: Patience | None = None
        self._generations = EVERY_FIELD
        self._keys_checked_s = float("-inf")
        self.elapsed_s: Callable[[], float] = elapsed_s
        """Seconds that go on while this process is stopped."""
        self.report: Callable[[Sequence[JobReport]], None] = _report_nothing
        """Called with how jobs ended, after each commit that ended some; it must not raise."""
        self.clock = clock
        self.dialect: Dialect = database.dialect
        self.url_label: str = database.label
        """The database's address without its password."""
        self.now_ms: Callable[[], int] = clock.now_ms
        """Database time in ms since 1970."""
        self.figures = FigureCounts(clock.now_ms)
        """What this process counts until it is stored (``figure_counts.storing_figures``)."""
        self._set_encryption(encryption)

    def _set_encryption(self, encryption: Encryption) -> None:
        self.encryption = encryption
        self.hmac: Callable[[str], str] = encryption.hmac
        """The keyed hash of an address, by which it is looked up."""
        self.row_hash: Callable[[str], str] = encryption.row_hash
        """The keyed hash of a text, by which equal contents are recognised."""
        self._context = SessionContext(encryption, self._rng, self.clock.now_ms, self._generations)

    @property
    def generations(self) -> FieldGenerations:
        """The field map through which copies are seen."""
        return self._generations

    def use_fields(self, generations: FieldGenerations) -> None:
        """Sets the field map through which later transactions see copies, and which they stamp on what they store."""
        self._generations = generations
        self._set_encryption(self.encryption)

    def sync_clock(self) -> None:
        """Measures the offset between the local wall clock and the database's. Raises DatabaseUnavailable."""
        self.clock.offset_ms = self._patiently(lambda: self._database.measure_offset_ms(self.clock.wall_ms))

    def refresh_keys(self) -> None:
        """Reads the encryption keys again if that is due, and finds out which of them encrypts: at each heartbeat.

        Raises DatabaseUnavailable.
        """
        checked_s, encryption = self.elapsed_s(), self.encryption
        encryption.refresh()
        if encryption.has_source or encryption.sealing != encryption.newest:
            with self._database.session(self._context, writing=False) as session:
                encryption.agree(Processes(session).key_reports())
        # Only now: until then no other thread may encrypt by an older look.
        self._keys_checked_s = checked_s

    def check_keys(self) -> None:
        """Raises ConfigError if another process encrypts with a key that this one has not."""
        with self.reading() as tx:
            unknown = self.encryption.find_unknown(tx.processes.key_reports())
        if unknown:
            text = f"another process encrypts with key {unknown}, which this one has not, or with another content"
            raise ConfigError([f"{text}: give both the same [security] keys or key_file (wanesync keys status)"])

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Reads and writes; committed on normal exit, rolled back on an exception. Raises DatabaseUnavailable."""
        if self.elapsed_s() - self._keys_checked_s > KEYS_CHECK_S:
            self.refresh_keys()
        checked_s, sealing = self._keys_checked_s, self.encryption.sealing
        with self._database.session(self._context, writing=True) as session:
            yield Tx(session)
            session.flush()
            if self.elapsed_s() - checked_s > KEYS_LEASE_S:
                self._check_sealing(session, sealing)
        if session.lanes_to_wake:
            self._database.notifier.notify(session.lanes_to_wake)
        if session.job_reports:
            self.figures.count_endings(session.job_reports)
            self.report(session.job_reports)

    def _check_sealing(self, session: Session, sealing: str) -> None:
        """Raises TransactionTooLong where another key is to encrypt than when a long transaction began.

        This process may have been stopped meanwhile, and the key removed (docs/security.md#rotation-of-the-keys).
        """
        encryption = self.encryption
        encryption.refresh()
        encryption.agree(Processes(session).key_reports())
        if encryption.sealing != sealing:
            raise TransactionTooLong("the encryption key was changed while a transaction took too long; try again")
        encryption.check()

    def await_others(self, wait: Callable[[float], object]) -> None:
        """Waits until every transaction that writes now has ended. Raises DatabaseUnavailable: one does not end."""
        self._patiently(lambda: self._database.await_others(wait))

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Reads one snapshot of the database; a write raises WanesyncError. Raises DatabaseUnavailable."""
        with ExitStack() as stack:
            session = self._patiently(lambda: stack.enter_context(self._database.session(self._context, writing=False)))
            yield Tx(session)

    def read(self, work: Callable[[Tx], _T]) -> _T:
        """Reads in one snapshot, again if the database goes away meanwhile and is waited for (``patient``)."""
        return self._patiently(lambda: self._read(work))

    def _read(self, work: Callable[[Tx], _T]) -> _T:
        with self._database.session(self._context, writing=False) as session:
            return work(Tx(session))

    @contextmanager
    def read_statementwise(self) -> Iterator[Tx]:
        """Reads without a common snapshot, at the least cost; decide nothing by it. Raises DatabaseUnavailable."""
        with self._database.read_statementwise(self._context) as session:
            yield Tx(session)

    def run(self, work: Callable[[Tx], _T]) -> _T:
        """Runs a transaction, and repeats it after a conflict, twice at most. Raises DatabaseUnavailable.

        One that took too long is repeated once: its process may have been stopped meanwhile.
        """
        return self._patiently(lambda: self._run(work))

    @contextmanager
    def patient(self, patience: Patience, *, all_threads: bool = False) -> Iterator[None]:
        """Inside, transactions of this thread, or of all, wait for a database that is unavailable."""
        before = self._patience, getattr(self._patience_of_thread, "value", None)
        if all_threads:
            self._patience = patience
        else:
            self._patience_of_thread.value = patience
        try:
            yield
        finally:
            self._patience, self._patience_of_thread.value = before

    def _patiently(self, work: Callable[[], _T]) -> _T:
        patience: Patience | None = getattr(self._patience_of_thread, "value", None) or self._patience
        return work() if patience is None else patience.call(work)

    def _run(self, work: Callable[[Tx], _T]) -> _T:
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                with self.transaction() as tx:
                    return work(tx)
            except TransactionTooLong:
                if attempt > 1:
                    raise
            except TransactionConflict:
                if attempt == _MAX_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def reserve(self, scope: str, slots: int) -> list[int]:
        """Reserves slots in a transaction of its own: their due times in ms (``Rates.reserve``)."""

        def reserve() -> list[int]:
            with self._database.light_session(self._context) as session:
                return Rates(session).reserve(scope, slots)

        return self._patiently(reserve)

    def assign(self, scope: str, requests: Sequence[Sequence[str]], max_slots: int) -> SlotAssignment:
        """Reserves slots for requests under narrower scopes in a transaction of its own (``Rates.assign``)."""

        def assign() -> SlotAssignment:
            with self._database.light_session(self._context) as session:
                return Rates(session).assign(scope, requests, max_slots)

        return self._patiently(assign)

    def assign_overdue(self, scope: str, request: Sequence[str]) -> SlotAssignment:
        """Reserves a slot for a request that waited for its turn (``Rates.assign_overdue``)."""

        def assign() -> SlotAssignment:
            with self._database.light_session(self._context) as session:
                return Rates(session).assign_overdue(scope, request)

        return self._patiently(assign)

    def delay_slots(self, delays_us: Mapping[str, int]) -> None:
        """Moves the slots that are free in a transaction of its own (``Rates.delay_slots``)."""

        def delay() -> None:
            with self._database.light_session(self._context) as session:
                Rates(session).delay_slots(delays_us)

        self._patiently(delay)

    def open_event_line(self) -> EventLine | None:
        """Opens what stores events in one message each; None where there is none. Raises DatabaseUnavailable."""
        line = self._database.open_line()
        return None if line is None else EventLine(line)

    @property
    def context(self) -> SessionContext:
        """What its sessions share."""
        return self._context

    @property
    def keys_age_s(self) -> float:
        """Seconds since it was found out which key encrypts (``refresh_keys``); KEYS_CHECK_S at most."""
        return self.elapsed_s() - self._keys_checked_s

    def check_keys_lease(self) -> None:
        """Raises TransactionTooLong where a message that is sent now could be stored later than KEYS_LEASE_S allows."""
        if self.keys_age_s > KEYS_LEASE_S - MAX_MESSAGE_S:
            raise TransactionTooLong("a message was encrypted too long ago; try again")

    def wait_for_work(self, timeout_ms: int, lane: str = "") -> bool:
        """Waits until work of a lane (or of any) may have arrived since the last wait; False after the time-out."""
        subscription: WorkSubscription | None = getattr(self._subscriptions, "current", None)
        if subscription is None or subscription.lane != lane:
            subscription = self._subscriptions.current = WorkSubscription(lane)
        return self._database.wait(subscription, timeout_ms)

    def wake_workers(self) -> None:
        """Ends the wait of every thread of this process that is in ``wait_for_work``."""
        self._database.notifier.notify()

    def checkpoint(self) -> None:
        """Does, in the background, the work that commits put off. Raises DatabaseUnavailable."""
        self._database.checkpoint()

    def migrate(self) -> list[str]:
        """Runs the missing migrations; the names of those that ran. Safe to repeat, and from two processes at once."""
        return _migrate(self._database, self.now_ms())

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()

    def load_index_key(self) -> None:
        """Loads the index key, which is created at the first start."""
        simulated = self._database.label == "sqlite::memory:"
        fresh = self._rng.randbytes(32) if simulated else secrets.token_bytes(32)
        with self.reading() as tx:
            stored = tx.settings.get(INDEX_KEY)
        # Where there is one, no lock: a command that only reads does not wait for writers.
        if not stored:
            with self.transaction() as tx:
                # Of two processes that start together, the second uses the first one's key.
                stored = tx.settings.add(INDEX_KEY, _encrypt_index_key(self.encryption, fresh))
        self._set_encryption(self.encryption.with_index_key(_decrypt_index_key(self.encryption, stored)))

    def index_key_id(self) -> str:
        """The id of the key that the index key is encrypted with."""
        with self.reading() as tx:
            return self.encryption.key_id_of(base64.b64decode(tx.settings.get(INDEX_KEY) or ""))

    def rewrap_index_key(self) -> bool:
        """Encrypts the index key with the key that encrypts now; whether another one did. The key itself stays."""
        with self.transaction() as tx:
            stored = tx.settings.get(INDEX_KEY) or ""
            if self.encryption.is_newest_key(base64.b64decode(stored)):
                return False
            index_key = _decrypt_index_key(self.encryption, stored)
            return tx.settings.swap(INDEX_KEY, stored, _encrypt_index_key(self.encryption, index_key))


def open_store(  # noqa: PLR0913 - a clock, a source of chance and the kind of connection, each with its default
    url: str,
    keys: Sequence[str] | KeySource = (),
    *,
    migrate: bool | None = False,
    clock: DatabaseClock | None = None,
    rng: random.Random | None = None,
    pooled: bool = False,
    connections: int = 0,
    find_url: Callable[[], str] | None = None,
) -> Store:
    """Opens ``sqlite:FILE``, ``sqlite::memory:`` (one thread) or ``postgresql://…``.

    ``keys``: ``ID:BASE64`` entries, or where they are read; none for the key file beside a SQLite database.
    ``migrate``: True creates it or runs its missing migrations; None only migrates; False does neither. ``pooled``: the
    address of Postgres leads through a pooler in transaction mode, which is found out otherwise. ``connections`` to
    Postgres at most, 0 for the usual number.
    ``find_url``: returns the address for each new connection to Postgres, whose password may have been replaced.

    Raises ConfigError: a malformed address or key, a schema that is missing or behind (where ``migrate`` forbids to
    change it) or newer than this program. Raises DatabaseUnavailable. Raises DecryptionFailed: other keys encrypted it.
    """
    database = _open_database(url, pooled=pooled, connections=connections, find_url=find_url)
    try:
        behind = _check_schema(database, migrate=migrate)
        encryption = load_keyring(keys, url)
        store = Store(database, encryption, clock or DatabaseClock(), rng or random.SystemRandom())
        store.sync_clock()
        # Without a missing migration, no lock: a command that only reads must not wait for writers.
        if behind:
            store.migrate()
        store.refresh_keys()
        store.load_index_key()
    except BaseException:
        database.close()
        raise
    return store


def _open_database(url: str, *, pooled: bool, connections: int, find_url: Callable[[], str] | None) -> Database:
    if url.startswith("sqlite:") and url != "sqlite:":
        from wanesync.store.sqlite import SqliteDatabase  # noqa: PLC0415 - of no use to a process on Postgres

        return SqliteDatabase(url.removeprefix("sqlite:"))
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from wanesync.store.postgres import MAX_CONNECTIONS, PostgresDatabase  # noqa: PLC0415 - psycopg is an extra
        except ImportError as error:
            raise ConfigError([POSTGRES_MISSING]) from error
        return PostgresDatabase(url, pooled=pooled, connections=connections or MAX_CONNECTIONS, find_url=find_url)
    raise ConfigError(["database: must be sqlite:FILE or postgresql://USER@HOST/NAME"])


def _check_schema(database: Database, *, migrate: bool | None) -> bool:
    """Whether migrations are missing and may be run. Raises ConfigError if they are missing and may not be run."""
    newest = load_migrations(database.dialect)[-1].number
    applied = database.applied()
    if applied is not None and applied > newest:
        message = (
            f"the database {database.label} has schema {applied}, this program supports {newest}: use a newer wanesync"
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


def _decrypt_index_key(encryption: Encryption, stored: str) -> bytes:
    return encryption.decrypt(base64.b64decode(stored), "settings", INDEX_KEY, "value")


def _encrypt_index_key(encryption: Encryption, index_key: bytes) -> str:
    return base64.b64encode(encryption.encrypt(index_key, "settings", INDEX_KEY, "value")).decode()
