"""What only a SQLite database does."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.store_reads import all_settings
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.store import ConstraintViolated, Tx, make_key, open_store
from wanesync.store.sqlite import _LOCK_RETRY_S, WriterPacing, translate

KEYS = [make_key("k001")]


def test_the_files_belong_to_their_owner_alone(sqlite_url: str, tmp_path: Path) -> None:
    store = open_store(sqlite_url, migrate=True)
    with store.transaction() as tx:
        tx.settings.put("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}, modes
    assert {"wanesync.db", "wanesync.db.keys"} <= modes.keys()


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


@pytest.mark.parametrize("how", ["removed", "replaced", "set up anew"])
def test_what_is_written_after_the_file_was_taken_away_is_refused(sqlite_url: str, how: str) -> None:
    # SQLite would go on to write into the file that has no name any more: answered webhooks would be gone.
    path = Path(sqlite_url.removeprefix("sqlite:"))
    with closing(open_store(sqlite_url, migrate=True)) as store:
        store.run(lambda tx: tx.settings.put("a", "1"))
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.rename(f"{name}.away")
        if how == "replaced":
            shutil.copy(f"{path}.away", path)
        elif how == "set up anew":
            open_store(sqlite_url, migrate=True).close()
        for work in (lambda: store.run(lambda tx: tx.settings.put("a", "2")), lambda: store.reserve("hubspot", 1)):
            with pytest.raises(DatabaseUnavailable, match="restart") as caught:
                work()
            assert caught.value.lasts
        with pytest.raises(DatabaseUnavailable, match="restart"), store.reading():
            pass
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            Path(f"{name}.away").rename(name)
        store.run(lambda tx: tx.settings.put("a", "3"))


def test_a_write_during_which_the_file_is_replaced_is_refused(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:"))
    with closing(open_store(sqlite_url, migrate=True)) as store:

        def replace(tx: Tx) -> None:
            tx.settings.put("a", "2")
            path.rename(f"{path}.away")
            path.touch()

        with pytest.raises(DatabaseUnavailable, match="restart"):
            store.run(replace)


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


def test_errors_of_sqlite_become_errors_of_the_store_without_the_statement(tmp_path: Path) -> None:
    holder, other = (sqlite3.connect(tmp_path / "state.db", isolation_level=None, timeout=0) for _ in range(2))
    holder.execute("CREATE TABLE people (name TEXT UNIQUE)")
    holder.execute("INSERT INTO people VALUES ('secret-value')")

    def translated(connection: sqlite3.Connection, statement: str) -> BaseException:
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute(statement)
        return translate(caught.value, "db")

    refused = translated(holder, "INSERT INTO people VALUES ('secret-value')")
    assert isinstance(refused, ConstraintViolated)
    assert refused.rule == "people.name"
    holder.execute("BEGIN IMMEDIATE")
    assert isinstance(translated(other, "BEGIN IMMEDIATE"), DatabaseUnavailable)
    assert isinstance(translated(other, "SELEC name FROM people"), sqlite3.OperationalError)
    for each in (holder, other):
        each.close()
    closed = translated(other, "SELECT 1")
    assert isinstance(closed, DatabaseUnavailable)
    assert "closed" in str(closed)
    mistake = ValueError("x")
    assert translate(mistake, "db") is mistake
