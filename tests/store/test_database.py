from __future__ import annotations

import random
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import all_settings
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.bench.postgres_session import connect
from wanesync.core.errors import ConfigError, DatabaseUnavailable, DecryptionFailed, NotFound
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store import Store, Tx, make_key, open_store, sqlite
from wanesync.store import database as store_module
from wanesync.store.clock import DatabaseClock
from wanesync.store.queries import Dialect, Migration, load_migrations
from wanesync.store.sqlite import _LOCK_RETRY_S, WriterPacing
from wanesync.store.sqlite_wal import RESTART_PAGES, checkpoint_passive, restart_log

KEYS = [make_key("k001")]


def test_a_database_is_set_up_once(database_url: str) -> None:
    with pytest.raises(ConfigError, match="db migrate"):
        open_store(database_url, KEYS)
    first = open_store(database_url, KEYS, migrate=True)
    assert first.migrate() == []
    hashed = first.hmac("ann@example.com")
    first.close()
    second = open_store(database_url, KEYS)
    assert second.hmac(" ANN@example.com") == hashed
    second.close()
    second.close()


def test_two_processes_set_it_up_together(database_url: str) -> None:
    opened: list[Store] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_store(database_url, KEYS, migrate=True))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({store.hmac("ann@example.com") for store in opened}) == 1
    assert len(opened) == 2
    for store in opened:
        store.close()


def test_a_database_of_a_newer_program_is_refused(database_url: str) -> None:
    store = open_store(database_url, KEYS, migrate=True)
    newest = load_migrations(store.dialect)[-1].number
    store.close()
    execute(database_url, f"INSERT INTO migrations VALUES ({newest + 1}, 'from the future', 0)")
    for migrate in (False, True):
        with pytest.raises(ConfigError, match="newer"):
            open_store(database_url, KEYS, migrate=migrate)


def test_a_database_behind_this_program_asks_to_be_migrated(database_url: str) -> None:
    open_store(database_url, KEYS, migrate=True).close()
    execute(database_url, "DELETE FROM migrations")
    with pytest.raises(ConfigError, match="db migrate"):
        open_store(database_url, KEYS)


def test_without_psycopg_postgres_is_refused_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("psycopg", "wanesync.store.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("psycopg", "psycopg_pool"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'wanesync\[postgres\]'"):
        open_store("postgresql://nobody@127.0.0.1:1/none", KEYS)
    with pytest.raises(ConfigError, match=r"pip install 'wanesync\[postgres\]'"), connect("postgresql://nobody@/none"):
        pass


@pytest.mark.slow
def test_a_database_on_sqlite_and_the_commands_load_no_psycopg(sqlite_url: str) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None;"
        "from wanesync.cli.command_table import COMMANDS, load;"
        "[load(name) for name in COMMANDS];"
        "from wanesync.store.database import open_store;"
        f"open_store({sqlite_url!r}, {KEYS!r}, migrate=True).close()"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite:"):
        with sqlite3.connect(url.removeprefix("sqlite:")) as connection:
            connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(url) as session:
        session.execute(statement.encode())


def test_the_wrong_key_is_told(database_url: str) -> None:
    open_store(database_url, KEYS, migrate=True).close()
    with pytest.raises(DecryptionFailed):
        open_store(database_url, [make_key("k002")])
    with pytest.raises(DecryptionFailed):
        open_store(database_url, [make_key("k001")])


def test_a_new_key_takes_over_and_addresses_are_still_found(database_url: str) -> None:
    store = open_store(database_url, KEYS, migrate=True)
    hashed = store.hmac("ann@example.com")
    store.close()
    new = make_key("k002")
    rotated = open_store(database_url, [new, *KEYS])
    assert rotated.hmac("ann@example.com") == hashed
    rotated.close()
    alone = open_store(database_url, [new])
    assert alone.hmac("ann@example.com") == hashed, "the index key was sealed anew"
    alone.close()


@pytest.mark.parametrize("url", ["", "sqlite:", "mysql://h/d", "wanesync.db", "postgresql://h:port/d"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises((ConfigError, DatabaseUnavailable)):
        open_store(url, KEYS, migrate=True)


def test_the_label_has_no_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        open_store("postgresql://ann:s3cret@127.0.0.1:1/state", KEYS, migrate=True)
    assert "postgresql://ann@127.0.0.1:1/state" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_files_belong_to_their_owner_alone(sqlite_url: str, tmp_path: Path) -> None:
    store = open_store(sqlite_url, migrate=True)
    with store.transaction() as tx:
        tx.settings.put("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}, modes
    assert {"wanesync.db", "wanesync.db.keys"} <= modes.keys()


def test_in_memory_is_the_same_program(clock: Clock) -> None:
    hashes = []
    for _ in range(2):
        store = open_store("sqlite::memory:", migrate=True, clock=DatabaseClock(clock, clock), rng=random.Random(3))
        hashes.append(store.hmac("ann@example.com"))
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, "k"))
            assert tx.now_ms == clock.ms
            tx.rates.set_limit("hubspot", 10)
            with store.reading() as inner:
                assert inner.jobs.next_claimable(Side.HUBSPOT)
        assert store.wait_for_work(60_000)
        assert not store.wait_for_work(60_000), "no other process can write, so it does not wait"
        assert store.reserve("hubspot", 2)[0] == clock.ms
        store.close()
    assert hashes[0] == hashes[1], "the same seed, the same trace"


def test_what_fails_leaves_nothing(store: Store) -> None:
    def fail(tx: Tx) -> None:
        tx.settings.put("a", "1")
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        store.run(fail)
    with store.transaction() as tx:
        tx.settings.put("b", "1")
        with suppress(NotFound), tx.savepoint():
            tx.settings.put("c", "1")
            raise NotFound("on purpose")
        with tx.savepoint():
            tx.settings.put("d", "1")
    with store.reading() as tx:
        assert all_settings(tx) == {"b": "1", "d": "1"}


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
        assert store.reserve("hubspot", 1)
        store.close()


def test_an_sqlite_database_that_cannot_be_opened_is_down(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("no/state.db", "folder"):
        with pytest.raises((DatabaseUnavailable, ConfigError)):
            open_store(f"sqlite:{tmp_path / name}", KEYS, migrate=True)
    (tmp_path / "text").write_text("this is no database, but it is long enough to look like one" * 20)
    with pytest.raises(DatabaseUnavailable, match=r"no SQLite database: check the key database$"):
        open_store(f"sqlite:{tmp_path / 'text'}", KEYS, migrate=True)


@pytest.mark.slow
def test_a_writer_of_another_process_is_waited_for_and_then_told(sqlite_url: str) -> None:
    store = open_store(sqlite_url, migrate=True)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="busy") as caught, store.transaction():
        pass
    assert caught.value.__cause__ is not None
    with store.reading() as tx:
        assert all_settings(tx) == {}, "readers are not held up"
    holder.execute("COMMIT")
    holder.close()
    with store.transaction() as tx:
        tx.settings.put("a", "b")
    store.close()


@pytest.mark.parametrize("migrate", [True, False, None])
def test_what_is_up_to_date_is_opened_while_another_process_writes(sqlite_url: str, migrate: bool | None) -> None:
    open_store(sqlite_url, migrate=True).close()
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    store = open_store(sqlite_url, migrate=migrate)
    with store.reading() as tx:
        assert tx.settings.get("writes") is None
    store.close()
    holder.close()


def test_who_may_not_make_it_brings_it_up_to_date(sqlite_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not set up yet"):
        open_store(sqlite_url, migrate=None)
    assert list(tmp_path.iterdir()) == []
    open_store(sqlite_url, migrate=True).close()
    known = load_migrations(Dialect.SQLITE)
    newest = Migration(len(known) + 1, "of the next program", ("CREATE TABLE later (name TEXT)",))
    with patch.object(store_module, "load_migrations", lambda _dialect: (*known, newest)):
        store = open_store(sqlite_url, migrate=None)
    assert store._database.applied() == newest.number
    store.close()


def test_writes_without_a_pause_rest_so_that_another_process_gets_the_lock() -> None:
    now_s, rests_s = [100.0], list[float]()
    pacing = WriterPacing(lambda: now_s[0], rests_s.append)

    def write(pause_s: float) -> None:
        now_s[0] += pause_s
        pacing.before_write()
        pacing.after_write()

    for _ in range(11):
        write(0.0)
    assert len(rests_s) == 2, "every fifth write that follows another one at once rests first"
    assert min(rests_s) > _LOCK_RETRY_S, "long enough for another process to poll for the lock"
    for _ in range(20):
        write(2 * _LOCK_RETRY_S)
    assert len(rests_s) == 2, "a pause between two writes is rest enough"


def test_a_full_disk_is_down_and_keeps_what_was_there(sqlite_url: str) -> None:
    store = open_store(sqlite_url, migrate=True)
    with store.transaction() as tx:
        tx.settings.put("kept", "yes")
    path = sqlite_url.removeprefix("sqlite:")
    with store._database.session(store._context, writing=True) as session:
        pages = session._connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined] # SQLite's session has it
        session._connection.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined] # SQLite's session has it

    def fill(tx: Tx) -> None:
        for number in range(10_000):
            tx.settings.put(f"name {number}", "x" * 100)

    with pytest.raises(DatabaseUnavailable, match="full disk"):
        store.run(fill)
    with store.reading() as tx:
        assert all_settings(tx) == {"kept": "yes"}
    store.close()
    assert Path(path).exists()


def test_the_log_does_not_grow_for_ever(sqlite_url: str) -> None:
    store = open_store(sqlite_url, migrate=True)
    log = Path(sqlite_url.removeprefix("sqlite:") + "-wal")
    sizes = []
    for number in range(4):
        with store.transaction() as tx:
            tx.settings.put("large", str(number) * (RESTART_PAGES * 4096))
        store.checkpoint()
        sizes.append(log.stat().st_size)
    assert sizes[-1] < 2 * sizes[0]
    store.close()


def test_a_log_that_is_read_is_left_alone_and_nobody_waits_for_it(sqlite_url: str) -> None:
    store = open_store(sqlite_url, migrate=True)
    reader = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM settings").fetchone()
    with store.transaction() as tx:
        tx.settings.put("large", "x" * (RESTART_PAGES * 4096))
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    assert not checkpoint_passive(connection)
    with patch.object(sqlite, "restart_log", wraps=restart_log) as restart:
        store.checkpoint()
        store.checkpoint()
    assert restart.call_count == 1, "not again and again"
    assert not restart_log(connection, 1_234)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (1_234,), "it waits again for everything else"
    store.run(lambda tx: tx.settings.put("small", "y"))
    reader.execute("COMMIT")
    assert restart_log(connection, 1_234)
    for each in (reader, connection):
        each.close()
    store.close()


def test_tidying_up_loses_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.settings.put("kept", "yes")
    store.checkpoint()
    with store.reading() as tx:
        assert tx.settings.get("kept") == "yes"


def test_a_closed_store_is_down(store: Store) -> None:
    store.close()
    with pytest.raises(DatabaseUnavailable), store.transaction():
        pass
