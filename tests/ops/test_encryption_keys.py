"""The keys of a database that many processes use: rotated, every row rewrapped, the old key removed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.damage import damage
from tests.support.sealed_database import read_each, seed
from wanesync.core.errors import ConfigError, DatabaseUnavailable, GuardError, NotFound
from wanesync.core.model import Side
from wanesync.ops import encryption_keys
from wanesync.ops.encryption_keys import (
    FIRST_ROWS,
    SLICE_ROWS,
    TARGET_S,
    Rewrap,
    Wait,
    add_key,
    count_keys,
    read_report,
    remove_key,
    wait_until_used,
    write_new_key,
)
from wanesync.store import Store, make_key, open_store
from wanesync.store.key_source import FileKeys, ListedKeys, create_key_file, read_entries
from wanesync.store.queries import Dialect, Value
from wanesync.store.session import PrivilegeDenied, TransactionTooLong
from wanesync.store.tables.processes import LEASE_MS
from wanesync.store.tables.sealed_rows import SEALED_TABLES, SealedRows, SealedTable

ROOT = Path(__file__).parents[2]


def no_wait(_: float) -> None:
    """Go on at once."""


Opener = Callable[[], Store]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "wanesync.keys"
    create_key_file(path, make_key("old1"))
    return path


@pytest.fixture
def opened(database_url: str, key_file: Path) -> Iterator[Opener]:
    """Opens the database as another process would, with the same key file."""
    with ExitStack() as stack:

        def opener() -> Store:
            store = open_store(database_url, FileKeys(key_file), migrate=True)
            stack.callback(store.close)
            return store

        yield opener


def beat(store: Store, name: str) -> None:
    store.refresh_keys()
    store.run(lambda tx: tx.processes.beat(name, "stripe", tx.now_ms))


def test_no_process_encrypts_with_a_key_before_all_have_it(opened: Opener, key_file: Path) -> None:
    one, two = opened(), opened()
    beat(one, "one")
    beat(two, "two")
    new = add_key(key_file)
    beat(one, "one")
    assert one.encryption.key_ids == (new, "old1")
    assert one.encryption.sealing == "old1", "the other process has not read it yet"
    beat(two, "two")
    assert two.encryption.sealing == "old1", "the heartbeat that says so is committed only now"
    beat(one, "one")
    assert one.encryption.sealing == new
    found = wait_until_used(opened(), no_wait, 0)
    assert (found.key_id, found.processes, found.encrypting, found.complete) == (new, 2, 1, False)
    for _ in range(2):
        beat(two, "two")
        beat(one, "one")
    assert wait_until_used(opened(), no_wait, 0).complete
    assert opened().encryption.sealing == new


def test_a_key_that_is_still_to_encrypt_is_not_removed(opened: Opener, key_file: Path) -> None:
    """A process may begin to encrypt with it right after the rows were counted."""
    one, two = opened(), opened()
    beat(one, "one")
    beat(two, "two")
    new = add_key(key_file)
    beat(one, "one")
    assert read_report(one, no_wait).removable == []
    with pytest.raises(GuardError, match="in use"):
        remove_key(one, key_file, new, no_wait)


def test_of_two_rotations_at_once_both_keys_stay(key_file: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: add_key(key_file), range(12)))
    assert {entry[:4] for entry in read_entries(key_file)} == {"old1", *added}


def test_a_ciphertext_of_an_unknown_key_makes_a_process_read_the_keys_again(opened: Opener, key_file: Path) -> None:
    behind = opened()
    add_key(key_file)
    seed(opened(), 1)
    with behind.reading() as tx:
        assert tx.records.get(Side.HUBSPOT, "hubspot000001") is not None


def test_a_key_file_that_became_unreadable_changes_nothing(opened: Opener, key_file: Path) -> None:
    store = opened()
    seed(store, 1)
    key_file.write_text("nonsense\n")
    beat(store, "one")
    assert [error for *_, error in read_each(store) if error] == []
    assert store.encryption.sealing == "old1"


def test_every_row_is_rewrapped_and_the_old_key_removed(opened: Opener, key_file: Path) -> None:
    store = opened()
    for number in range(3):
        seed(store, number)
    new = add_key(key_file)
    assert wait_until_used(store, no_wait, 0).complete, "no process runs"
    before = read_report(store, no_wait)
    assert {key.id: sum(key.rows.values()) for key in before.keys} == {new: 0, "old1": 40}
    with pytest.raises(GuardError, match="records"):
        remove_key(store, key_file, "old1", no_wait)
    done = Rewrap(store, no_wait).run()
    assert {table.name for table in SEALED_TABLES} | {"settings"} == {name for name, rows in done.rows.items() if rows}
    assert (done.left, done.damaged) == (0, [])
    report = read_report(store, no_wait)
    assert report.removable == ["old1"]
    with pytest.raises(GuardError, match="in use"):
        remove_key(store, key_file, new, no_wait)
    with pytest.raises(NotFound):
        remove_key(store, key_file, "none", no_wait)
    remove_key(store, key_file, "old1", no_wait)
    assert "old1" not in key_file.read_text()
    later = opened()
    assert later.encryption.key_ids == (new,)
    assert [error for *_, error in read_each(later) if error] == []
    assert later.hmac("a@example.com") == store.hmac("a@example.com"), "the index key is the same"


def test_damaged_rows_are_named_and_stop_nothing(opened: Opener, key_file: Path) -> None:
    store = opened()
    for number in range(5):
        seed(store, number)
    damage(store, "records", "content", "id = 'hubspot000003'")
    damage(store, "links", "parked", "id = 'link000001'")
    add_key(key_file)
    store.refresh_keys()
    done = Rewrap(store, no_wait).run()
    assert done.damaged == [("records", "hubspot:hubspot000003"), ("links", "link000001")]
    report = read_report(store, no_wait)
    old = report.find("old1")
    assert old is not None
    assert {table: rows for table, rows in old.rows.items() if rows} == {"records": 1, "links": 1}
    with pytest.raises(GuardError, match="1 in records, 1 in links"):
        remove_key(store, key_file, "old1", no_wait)


def test_an_interrupted_rewrap_goes_on_where_it_was(opened: Opener, key_file: Path) -> None:
    store = opened()
    for number in range(40):
        seed(store, number)
    add_key(key_file)
    store.refresh_keys()

    class Stopped(Exception):
        """As Ctrl-C would."""

    def stop(_: float) -> None:
        raise Stopped

    interrupted = Rewrap(store, stop, monotonic_s=lambda: 0.0)
    with pytest.raises(Stopped):
        interrupted.run()
    assert interrupted.done.rows["records"] == FIRST_ROWS
    rest = Rewrap(store, no_wait).run()
    assert rest.rows["records"] == 80 - FIRST_ROWS
    assert read_report(store, no_wait).removable == ["old1"]


def test_a_transaction_of_a_rewrap_ends_early_where_the_machine_is_slow(
    opened: Opener, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds locks that every other process waits for, so its time is measured while it runs."""
    store = opened()
    for number in range(40):
        seed(store, number)
    add_key(key_file)
    store.refresh_keys()
    now_s, swap = 0.0, SealedRows.swap

    def swap_slowly(rows: SealedRows, table: SealedTable, swaps: Sequence[dict[str, Value]]) -> int:
        nonlocal now_s
        now_s += 0.004 * len(swaps)
        return swap(rows, table, swaps)

    monkeypatch.setattr(SealedRows, "swap", swap_slowly)
    done = Rewrap(store, no_wait, monotonic_s=lambda: now_s).run()
    assert done.slowest_ms <= 1000 * (TARGET_S + 0.004 * SLICE_ROWS)
    assert (done.left, done.damaged) == (0, [])
    assert read_report(store, no_wait).removable == ["old1"]


class Stopped:
    """A process that stands still: its time goes on, as that of the others does."""

    def __init__(self, opened: Opener) -> None:
        self.passed_s = 0.0
        self.store = opened()
        self.store.elapsed_s = lambda: self.passed_s
        beat(self.store, "stopped")

    def stand_still(self, others: Store, key_file: Path) -> str:
        """Let it stand still until its key is removed, and return the key."""
        self.passed_s += 60
        others.clock.offset_ms += LEASE_MS + 1_000
        add_key(key_file)
        wait_until_used(others, no_wait, 0)
        Rewrap(others, no_wait).run()
        old = others.encryption.key_ids[1]
        remove_key(others, key_file, old, no_wait, ended=True)
        return old


def test_a_process_that_stood_still_commits_nothing_under_a_removed_key(
    opened: Opener, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its look at the keys was the last thing before it was stopped, and the transaction the first one afterwards."""
    others, stopped = opened(), Stopped(opened)
    store, look = stopped.store, Store.refresh_keys

    def look_and_stand_still(self: Store) -> None:
        look(self)
        if self is store and not stopped.passed_s > 10:
            stopped.stand_still(others, key_file)

    monkeypatch.setattr(Store, "refresh_keys", look_and_stand_still)
    stopped.passed_s += 2
    with pytest.raises(TransactionTooLong), store.transaction() as tx:
        tx.journal.add("test", None, "", "", {"city": "Ulm"})
    monkeypatch.undo()
    store.run(lambda tx: tx.journal.add("test", None, "", "", {"city": "Ulm"}))
    assert {key.id: sum(key.rows.values()) for key in read_report(opened(), no_wait).keys} == {
        store.encryption.sealing: 2  # the index key's, and that one
    }


def test_a_process_that_stood_still_looks_before_it_encrypts(opened: Opener, key_file: Path) -> None:
    others, stopped = opened(), Stopped(opened)
    removed = stopped.stand_still(others, key_file)
    seed(stopped.store, 1)
    report = read_report(opened(), no_wait)
    assert report.find(removed) is None
    assert [error for *_, error in read_each(opened()) if error] == []


def test_a_process_that_may_come_back_keeps_its_key(opened: Opener, key_file: Path) -> None:
    """A machine that was suspended as a whole does not show it to the process: the operator must know."""
    others, stopped = opened(), Stopped(opened)
    others.clock.offset_ms += LEASE_MS + 1_000
    new = add_key(key_file)
    assert wait_until_used(others, no_wait, 0).complete
    Rewrap(others, no_wait).run()
    report = read_report(others, no_wait)
    assert (report.removable, [process.name for process in report.silent]) == ([], ["stopped"])
    with pytest.raises(GuardError, match=r"1 processes .* stopped \(last at 20.* --ended"):
        remove_key(others, key_file, "old1", no_wait)
    remove_key(others, key_file, "old1", no_wait, ended=True)
    assert [entry[:4] for entry in read_entries(key_file)] == [new]
    assert read_report(others, no_wait).silent == []
    del stopped


def test_a_process_that_cannot_read_the_key_of_the_others_encrypts_nothing_more(
    opened: Opener, key_file: Path, database_url: str
) -> None:
    """The others did not wait for it while it reported nothing."""
    others = opened()
    entries = read_entries(key_file)
    with closing(open_store(database_url, ListedKeys(entries, lambda: entries, 300.0))) as behind:
        others.clock.offset_ms += LEASE_MS + 1_000
        add_key(key_file)
        beat(others, "others")
        behind.clock.offset_ms = others.clock.offset_ms
        behind.refresh_keys()
        with pytest.raises(DatabaseUnavailable, match="which this one cannot read"):
            seed(behind, 1)
        # As soon as it is given the key, it goes on.
        entries[:] = read_entries(key_file)
        behind.encryption._source._read_s = float("-inf")  # type: ignore[union-attr] # the time of the last reading
        behind.refresh_keys()
        seed(behind, 1)
    assert read_report(others, no_wait).find("old1").rows.get("records", 0) == 0  # type: ignore[union-attr] # it is in the report


def test_the_end_of_open_transactions_is_waited_for(opened: Opener) -> None:
    store, writer = opened(), opened()
    waits = []

    def end(_: float) -> None:
        waits.append(1)
        open_one.close()

    open_one = ExitStack()
    tx = open_one.enter_context(writer.transaction())
    tx.settings.put("a", "b")
    if store.dialect is Dialect.SQLITE:
        with pytest.raises(DatabaseUnavailable, match="busy"):
            store.await_others(end)
        open_one.close()
    store.await_others(end)
    # Transactions of other databases of the server are waited for as well.
    assert bool(waits) == (store.dialect is Dialect.POSTGRES)


def test_a_process_that_was_stopped_encrypts_nothing_with_the_removed_key(
    opened: Opener, key_file: Path, database_url: str
) -> None:
    store = opened()

    def count() -> int:
        return count_keys(store, next(table for table in SEALED_TABLES if table.name == "journal"), no_wait).total()

    def await_rows(number: int) -> None:
        wanted = count() + number
        deadline_s = time.monotonic() + 60
        while count() < wanted and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert count() >= wanted

    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.endless_writer", database_url, str(key_file)], cwd=ROOT
    ) as writer:
        try:
            await_rows(3)
            add_key(key_file)
            done = False
            while not done:
                writer.send_signal(signal.SIGSTOP)
                try:
                    wait_until_used(store, no_wait, 0)
                    Rewrap(store, no_wait).run()
                    remove_key(store, key_file, "old1", time.sleep)
                    done = True
                except (DatabaseUnavailable, GuardError):
                    # It was stopped inside a transaction, whose lock it holds, or which is committed only now.
                    writer.send_signal(signal.SIGCONT)
                    await_rows(1)
            writer.send_signal(signal.SIGCONT)
            await_rows(5)
        finally:
            writer.kill()
    report = read_report(opened(), no_wait)
    assert [key.id for key in report.keys] == [read_entries(key_file)[0][:4]]
    assert "old1" not in key_file.read_text()


def test_a_new_key_file_is_not_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "new.keys"
    key_id = write_new_key(path)
    assert path.read_text().startswith(f"{key_id}:")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="exists"):
        write_new_key(path)


def test_random_rewraps_and_writes_lose_nothing(opened: Opener, key_file: Path) -> None:
    store, rng = opened(), random.Random(7)
    written: dict[int, str] = {}
    for step in range(60):
        number = rng.randrange(8)
        values = {"email": f"{number}@example.com", "name": f"n{step}", "phone": f"+1{step}", "city": f"c{step}"}
        if number not in written:
            seed(store, number, values)
        else:
            with store.transaction() as tx:
                stored = tx.records.get(Side.HUBSPOT, f"hubspot{number:06d}")
                assert stored is not None
                stored.record.values["name"] = values["name"]  # type: ignore[index] # a dictionary of this test
                tx.records.put_many([stored])
        written[number] = values["name"]
        if step % 10 == 9:
            add_key(key_file)
            store.refresh_keys()
            Rewrap(store, no_wait).run()
    with store.reading() as tx:
        for number, name in written.items():
            found = tx.records.get(Side.HUBSPOT, f"hubspot{number:06d}")
            assert found is not None
            assert found.record.values["name"] == name
    assert len(read_report(store, no_wait).removable) == 6


def test_a_table_that_a_login_may_not_read_keeps_every_key(
    opened: Opener, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    add_key(key_file)
    wait_until_used(store, no_wait, 0)
    Rewrap(store, no_wait).run()
    count = encryption_keys.count_keys

    def deny(store: Store, table: SealedTable, wait: Wait, *more: Callable[..., None]) -> Counter[str]:
        if table.name == "admin_users":
            raise PrivilegeDenied("postgresql://")
        return count(store, table, wait, *more)

    assert read_report(store, no_wait).removable == ["old1"]
    monkeypatch.setattr(encryption_keys, "count_keys", deny)
    report = read_report(store, no_wait)
    assert (report.unseen, report.removable) == (("admin_users",), [])
    with pytest.raises(GuardError, match="may not read admin_users"):
        remove_key(store, key_file, "old1", no_wait)
