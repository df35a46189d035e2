"""SQLite's write-ahead log."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from unittest.mock import patch

import pytest

from wanesync.store import open_store, sqlite
from wanesync.store.sqlite_wal import RESTART_PAGES, checkpoint_passive, enable_wal, execute_when_free, restart_log


def test_the_log_is_restarted_and_does_not_grow_for_ever(sqlite_url: str) -> None:
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


def test_a_log_that_is_being_read_is_not_restarted_and_not_waited_for(sqlite_url: str) -> None:
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


def test_a_statement_that_needs_a_lock_is_repeated_until_the_lock_is_free(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    holder, waiter = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        execute_when_free(waiter, "BEGIN IMMEDIATE", -1, 0)
    holder.execute("COMMIT")
    execute_when_free(waiter, "BEGIN IMMEDIATE", -1, 0)
    for each in (holder, waiter):
        each.close()


def test_an_error_that_is_no_lock_is_raised_at_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        execute_when_free(connection, "DELETE FROM absent", 600_000, 600)
    connection.close()


def test_a_file_is_switched_to_the_log_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    for _ in range(2):
        enable_wal(connection, 1_000)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
