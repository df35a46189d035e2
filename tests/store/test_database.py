"""Opening a database, and its keys and migrations."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, DatabaseUnavailable, DecryptionFailed
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store import Store, Tx, make_key, open_store
from wanesync.store import database as store_module
from wanesync.store.clock import DatabaseClock
from wanesync.store.key_source import FileKeys, create_key_file, replace_key_file
from wanesync.store.queries import Dialect, Migration, load_migrations
from wanesync.store.session import MIGRATIONS_TABLE

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


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE migrations (id INTEGER PRIMARY KEY, migration TEXT, batch INTEGER)",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, foo TEXT)",
        f"{MIGRATIONS_TABLE}; CREATE TABLE records (a INTEGER)",
        f"{MIGRATIONS_TABLE}; INSERT INTO migrations VALUES (1, 'first', 0)",
    ],
    ids=["migrations", "events", "half migrated", "no tables"],
)
@pytest.mark.parametrize("migrate", [True, False, None])
def test_a_database_with_other_tables_is_refused(database_url: str, tables: str, migrate: bool | None) -> None:
    for statement in tables.split("; "):
        execute(database_url, statement)
    with pytest.raises((DatabaseUnavailable, ConfigError), match=r"not set up|db migrate|this program's") as caught:
        open_store(database_url, KEYS, migrate=migrate)
    waits = isinstance(caught.value, DatabaseUnavailable) and not caught.value.lasts
    assert not waits


def test_a_table_that_vanished_is_no_fault_of_a_row(store: Store, database_url: str) -> None:
    met = []
    with store.transaction() as tx:
        tx.settings.put("a", "b")

    def work(tx: Tx) -> None:
        try:
            with tx.savepoint():
                tx.settings.get("a")
        except Exception as error:
            met.append(type(error))
            raise

    execute(database_url, "ALTER TABLE settings RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailable):
        store.run(work)
    execute(database_url, "ALTER TABLE elsewhere RENAME TO settings")
    assert met == [DatabaseUnavailable]
    with store.transaction() as tx:
        assert tx.settings.get("a") == "b"


def test_the_wrong_key_is_reported(database_url: str) -> None:
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
    assert (rotated.rewrap_index_key(), rotated.rewrap_index_key()) == (True, False)
    rotated.close()
    alone = open_store(database_url, [new])
    assert alone.hmac("ann@example.com") == hashed, "the index key was sealed anew"
    alone.close()


def test_a_store_without_heartbeats_looks_which_key_is_to_encrypt(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create_key_file(path, *KEYS)
    with closing(open_store(database_url, FileKeys(path), migrate=True)) as store:
        replace_key_file(path, [make_key("k002"), *KEYS])
        store._keys_checked_s = float("-inf")
        with store.transaction():
            assert store.encryption.sealing == "k002"


def test_a_process_without_the_key_that_others_use_does_not_begin(database_url: str) -> None:
    with (
        closing(open_store(database_url, KEYS, migrate=True)) as behind,
        closing(open_store(database_url, [make_key("k002"), *KEYS])) as ahead,
    ):
        behind.check_keys()
        ahead.run(lambda tx: tx.processes.beat("ahead", "stripe", tx.now_ms))
        ahead.check_keys()
        with pytest.raises(ConfigError, match="key k002"):
            behind.check_keys()


@pytest.mark.parametrize("url", ["", "sqlite:", "mysql://h/d", "wanesync.db", "postgresql://h:port/d"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises((ConfigError, DatabaseUnavailable)):
        open_store(url, KEYS, migrate=True)


def test_the_label_has_no_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        open_store("postgresql://ann:s3cret@127.0.0.1:1/state", KEYS, migrate=True)
    assert "postgresql://ann@127.0.0.1:1/state" in str(caught.value)
    assert "s3cret" not in str(caught.value)


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


def test_without_leave_to_create_a_database_it_is_only_brought_up_to_date(sqlite_url: str, tmp_path: Path) -> None:
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


def test_a_checkpoint_loses_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.settings.put("kept", "yes")
    store.checkpoint()
    with store.reading() as tx:
        assert tx.settings.get("kept") == "yes"


def test_a_closed_store_is_down(store: Store) -> None:
    store.close()
    with pytest.raises(DatabaseUnavailable), store.transaction():
        pass
