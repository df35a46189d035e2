"""What only a Postgres database does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.store_fixtures import Clock
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.bench.postgres_session import connect
from wanesync.core.errors import ConfigError, DatabaseRefused, DatabaseUnavailable
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store import (
    ConstraintViolated,
    TransactionConflict,
    TransactionTooLong,
    Tx,
    make_key,
    open_store,
)
from wanesync.store.clock import DatabaseClock
from wanesync.store.postgres import MAX_CONNECTIONS, Connection, bound_waits, translate
from wanesync.store.session import PrivilegeDenied


def test_a_transaction_that_stood_still_for_too_long_is_rolled_back_and_runs_again(postgres_url: str) -> None:
    with (
        closing(open_store(postgres_url, [make_key("k001")], migrate=True)) as store,
        psycopg.connect(postgres_url, autocommit=True) as watcher,
    ):
        tries: list[Tx] = []

        def stand_still(tx: Tx) -> None:
            tx.settings.put("mark", str(len(tries)))
            tries.append(tx)
            if len(tries) == 1:
                tx.settings._session.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
                here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                idle = f"{here} AND state = 'idle in transaction'"
                while watcher.execute(idle).fetchone() != (0,):
                    pass

        try:
            store.run(stand_still)
        except DatabaseUnavailable:
            # The error of the server may be lost with the connection, which then reads as an unreachable database.
            store.run(stand_still)
        with store.reading() as tx:
            assert (len(tries), tx.settings.get("mark")) == (2, "1")


KEYS = [make_key("k001")]


def test_without_psycopg_postgres_is_refused_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("psycopg", "wanesync.store.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("psycopg", "psycopg_pool"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'wanesync\[postgres\]'"):
        open_store("postgresql://nobody@127.0.0.1:1/none", KEYS)
    with pytest.raises(ConfigError, match=r"pip install 'wanesync\[postgres\]'"), connect("postgresql://nobody@/none"):
        pass


def test_time_is_the_databases(postgres_url: str, clock: Clock) -> None:
    store = open_store(postgres_url, KEYS, migrate=True, clock=DatabaseClock(clock, clock))
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000").fetchone()
    assert row
    assert abs(store.now_ms() - int(row[0])) < 5_000
    before_ms = store.now_ms()
    clock.advance(1_234)
    assert store.now_ms() == before_ms + 1_234
    store.sync_clock()
    assert abs(store.now_ms() - before_ms) < 5_000
    store.close()


@pytest.mark.slow
def test_a_killed_postgres_is_down_and_comes_back() -> None:
    """A server of its own, so that the other tests keep theirs."""
    with temporary_cluster(UNSAFE_SETTINGS) as cluster:
        store = open_store(cluster.url, KEYS, migrate=True)
        with store.transaction() as tx:
            tx.settings.put("kept", "yes")
            tx.rates.set_limit("hubspot", 10)
        store.wait_for_work(1)
        cluster.crash()
        for use in (
            lambda: store.run(lambda tx: tx.settings.put("secret-value", "x")),
            lambda: store.reserve("hubspot", 1),
            store.sync_clock,
            lambda: open_store(cluster.url, KEYS),
        ):
            with pytest.raises(DatabaseUnavailable) as caught:
                use()
            assert caught.value.__cause__ is not None
            assert "secret-value" not in str(caught.value)
            assert "INSERT" not in str(caught.value)
        cluster.start()
        with store.reading() as tx:
            assert tx.settings.get("kept") == "yes"
        store.reserve("hubspot", 1)
        store.close()


@pytest.mark.parametrize(
    "error", [errors.SerializationFailure, errors.DeadlockDetected, errors.IdleInTransactionSessionTimeout]
)
def test_a_transaction_that_conflicted_is_to_run_again(error: type[psycopg.Error]) -> None:
    assert isinstance(translate(error("secret-value"), "db"), TransactionConflict)


def test_errors_of_the_server_become_errors_of_the_store_without_their_text() -> None:
    for error, expected in (
        (errors.UniqueViolation("secret-value"), ConstraintViolated),
        (errors.ProgramLimitExceeded("secret-value"), DatabaseRefused),
        (errors.NumericValueOutOfRange("secret-value"), DatabaseRefused),
        (errors.CharacterNotInRepertoire("secret-value"), DatabaseRefused),
        (errors.DataCorrupted("secret-value"), DatabaseRefused),
        (psycopg.DataError("secret-value"), DatabaseRefused),
        (errors.DiskFull("secret-value"), DatabaseUnavailable),
        (errors.OutOfMemory("secret-value"), DatabaseUnavailable),
        (errors.LockNotAvailable("secret-value"), DatabaseUnavailable),
        (errors.ReadOnlySqlTransaction("secret-value"), DatabaseUnavailable),
        (errors.QueryCanceled("secret-value"), TransactionTooLong),
        (errors.IdleInTransactionSessionTimeout("secret-value"), TransactionTooLong),
        (errors.InsufficientPrivilege("secret-value"), PrivilegeDenied),
        (errors.AdminShutdown("secret-value"), DatabaseUnavailable),
        (psycopg.OperationalError("secret-value"), DatabaseUnavailable),
    ):
        translated = translate(error, "db")
        assert type(translated) is expected
        assert "secret-value" not in str(translated)


@pytest.mark.parametrize(
    ("address", "expected", "lasts"),
    [
        ("postgresql://ann@127.0.0.1:1/n?sslmode=secret-value", "cannot be right: sslmode", True),
        ("postgresql://ann@127.0.0.1:1/n?keepalives=secret-value", "cannot be right: keepalives", True),
        ("postgresql://ann@127.0.0.1:1/n?service=secret-value", "cannot be right: service", True),
        ("postgresql://ann@127.0.0.1:1/n?hostaddr=300.1.1.1", "hostaddr is no address", False),
        ("postgresql://ann@host.invalid/n", "the name of its host is not known", False),
        ("postgresql://ann@127.0.0.1:1/n", "is it running?", False),
    ],
)
def test_a_mistake_in_an_address_is_told_from_a_server_that_does_not_run(
    address: str, expected: str, lasts: bool
) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        open_store(address, KEYS)
    assert expected in str(caught.value)
    assert caught.value.lasts is lasts
    assert "secret-value" not in str(caught.value)


def test_any_other_error_stays_as_it_is() -> None:
    for error in (ValueError("x"), errors.SyntaxError("x")):
        assert translate(error, "db") is error


@pytest.mark.parametrize("when", ["before", "inside"])
def test_a_connection_that_ends_is_no_fault_of_the_rows_of_a_savepoint(postgres_url: str, when: str) -> None:
    with closing(open_store(postgres_url, KEYS, migrate=True)) as store:

        def end(tx: Tx) -> None:
            with psycopg.connect(postgres_url, autocommit=True) as admin:
                (pid,) = tx.settings._session.execute("SELECT pg_backend_pid()").fetchall()[0]
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        def work(tx: Tx) -> None:
            if when == "before":
                end(tx)
            with tx.savepoint():
                if when == "inside":
                    end(tx)
                tx.settings.put("mark", "1")

        met: list[type[BaseException]] = []

        def run(tx: Tx) -> None:
            try:
                work(tx)
            except Exception as error:
                met.append(type(error))
                raise

        with pytest.raises(DatabaseUnavailable):
            store.run(run)
        assert met == [DatabaseUnavailable]
        store.run(lambda tx: tx.settings.put("mark", "2"))


def test_after_a_failover_no_connection_stays_with_a_server_that_only_reads(postgres_url: str) -> None:
    # A process that connects during a failover may reach the old server, which is a standby by then: its connections
    # would last for an hour, the one for rate slots for ever.
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with (
        closing(open_store(postgres_url, KEYS, migrate=True)) as store,
        psycopg.connect(postgres_url, autocommit=True) as admin,
    ):
        name = sql.Identifier(admin.info.dbname)
        store.run(lambda tx: tx.rates.set_limit("hubspot", 10.0))
        store.reserve("hubspot", 1)
        admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        admin.execute(others, [admin.info.backend_pid])
        attempts: list[Callable[[], object]] = [
            lambda: store.run(lambda tx: tx.settings.put("a", "1")),
            lambda: store.reserve("hubspot", 1),
        ]
        for attempt in attempts * 2:
            with pytest.raises(DatabaseUnavailable):
                attempt()
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
        for attempt in attempts:
            # Each attempt gives one connection up that was made meanwhile.
            for _ in range(MAX_CONNECTIONS):
                with suppress(DatabaseUnavailable):
                    attempt()
            attempt()


def test_a_default_isolation_of_the_server_changes_no_transaction(postgres_url: str) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-cdefault_transaction_isolation%3Dserializable"
    with closing(open_store(url, KEYS, migrate=True)) as store:
        with store.transaction() as tx:
            assert tx.settings._session.execute("SHOW transaction_isolation").fetchall() == [("read committed",)]
        with store.read_statementwise() as tx:
            assert tx.settings._session.execute("SHOW transaction_isolation").fetchall() == [("read committed",)]


def test_a_server_that_vanished_is_noticed_within_seconds_unless_the_address_says_otherwise() -> None:
    found = conninfo_to_dict(bound_waits("postgresql://u@h/d?tcp_user_timeout=7"))
    assert (found["tcp_user_timeout"], found["keepalives_idle"], found["host"]) == ("7", "5", "h")


def test_a_refused_connection_is_reported_with_the_reason_of_the_server(postgres_url: str) -> None:
    absent = urlsplit(postgres_url)._replace(path="/not_there").geturl()
    with pytest.raises(DatabaseUnavailable, match=r'database "not_there" does not exist'):
        open_store(absent, KEYS)


def test_each_new_connection_asks_for_the_address_whose_password_may_have_changed(postgres_url: str) -> None:
    asked: list[str] = []

    def find() -> str:
        asked.append(postgres_url)
        return postgres_url

    with closing(open_store(postgres_url, KEYS, migrate=True, find_url=find)) as store:
        before = len(asked)
        assert before
        # Connections of the pool while others are in use.
        with store.reading(), store.reading(), store.reading() as tx:
            assert tx.settings.get("absent") is None
        assert len(asked) > before


def test_what_others_sent_while_no_thread_waited_is_read_at_once_when_one_does(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float | None] = []
    notifies = psycopg.Connection.notifies

    def read(connection: Connection, *, timeout: float | None, stop_after: int | None) -> Iterator[psycopg.Notify]:
        reads.append(timeout)
        return notifies(connection, timeout=timeout, stop_after=stop_after)

    monkeypatch.setattr(psycopg.Connection, "notifies", read)
    with (
        closing(open_store(postgres_url, KEYS, migrate=True)) as store,
        closing(open_store(postgres_url, KEYS)) as other,
    ):
        with monkeypatch.context() as patched:
            # Longer than this test.
            patched.setattr("wanesync.store.postgres._LISTEN_POLL_S", 60.0)
            store.wait_for_work(0)
            while not store.wait_for_work(0):
                # It signals once when it listens.
                pass
            for key in "abc":
                other.run(lambda tx, key=key: tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, key)))  # type: ignore[misc] # binds the loop's value
            assert store.wait_for_work(20_000)
        assert reads == [60.0], "three commits, one look"
        store.wait_for_work(1)
