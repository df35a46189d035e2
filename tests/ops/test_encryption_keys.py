"""The keys of a database that many processes use: rotated, every row rewrapped, the old key removed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.damage import damage
from tests.support.sealed_database import read_each, seed
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.model import Side
from wanesync.ops import encryption_keys
from wanesync.ops.encryption_keys import (
    FIRST_ROWS,
    Rewrap,
    Wait,
    add_key,
    read_report,
    remove_key,
    wait_until_used,
    write_new_key,
)
from wanesync.store import Store, make_key, open_store
from wanesync.store.key_source import FileKeys, create_key_file, read_entries
from wanesync.store.session import PrivilegeDenied
from wanesync.store.tables.sealed_rows import SEALED_TABLES, SealedTable


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
    report = read_report(one, no_wait)
    assert report.removable == []
    with pytest.raises(GuardError, match="in use"):
        remove_key(key_file, new, report)


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
        remove_key(key_file, "old1", before)
    done = Rewrap(store, no_wait).run()
    assert {table.name for table in SEALED_TABLES} | {"settings"} == {name for name, rows in done.rows.items() if rows}
    assert (done.left, done.damaged) == (0, [])
    report = read_report(store, no_wait)
    assert report.removable == ["old1"]
    with pytest.raises(GuardError, match="in use"):
        remove_key(key_file, new, report)
    with pytest.raises(NotFound):
        remove_key(key_file, "none", report)
    remove_key(key_file, "old1", report)
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
        remove_key(key_file, "old1", report)


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

    interrupted = Rewrap(store, stop)
    with pytest.raises(Stopped):
        interrupted.run()
    assert interrupted.done.rows["records"] == FIRST_ROWS
    rest = Rewrap(store, no_wait).run()
    assert rest.rows["records"] == 80 - FIRST_ROWS
    assert read_report(store, no_wait).removable == ["old1"]


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
        remove_key(key_file, "old1", report)
