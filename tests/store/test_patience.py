"""A program that runs for long waits for its database at the start, and a bulk run whenever it is away."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import pytest

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store import Store, TransactionConflict, Tx, open_store
from wanesync.store.patience import Patience


class Pauses(threading.Event):
    """Stands for the stop signal: notes the pauses, moves the clock, and calls ``at_third`` in the third."""

    def __init__(self, at_third: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.now_s = 0.0
        self.pauses = 0
        self.at_third = at_third

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses += 1
        self.now_s += timeout or 0
        if self.pauses == 3:
            self.at_third()
        return self.is_set()


def away(*, lasts: bool = False) -> Callable[[], None]:
    def work() -> None:
        raise DatabaseUnavailable("refused", lasts=lasts)

    return work


def patience(pauses: Pauses, max_s: float = float("inf")) -> Patience:
    return Patience(pauses, max_s, monotonic_s=lambda: pauses.now_s)


def test_work_is_done_when_the_database_is_back() -> None:
    tries: list[int] = []

    def work() -> str:
        tries.append(1)
        if len(tries) < 4:
            raise DatabaseUnavailable("refused")
        return "done"

    pauses = Pauses()
    assert (patience(pauses).call(work), pauses.pauses) == ("done", 3)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (DatabaseUnavailable("refused"), 5),
        (DatabaseUnavailable("no such folder", lasts=True), 0),
        (TransactionConflict("again"), 0),
        (ValueError("x"), 0),
    ],
)
def test_a_wait_ends_and_only_what_passes_is_waited_for(error: Exception, waits: int) -> None:
    def work() -> None:
        raise error

    pauses = Pauses()
    with pytest.raises(type(error)):
        patience(pauses, max_s=5).call(work)
    assert pauses.pauses == waits


def test_a_stop_signal_ends_a_wait() -> None:
    pauses = Pauses()
    pauses.at_third = pauses.set
    with pytest.raises(DatabaseUnavailable):
        patience(pauses).call(away())
    assert pauses.pauses == 3


def test_transactions_wait_for_a_lock_that_another_process_holds(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanesync.store.sqlite.BUSY_TIMEOUT_MS", 1)
    store = open_store(sqlite_url, migrate=True)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        store.run(lambda tx: tx.settings.put("a", "1"))

    def let_go() -> None:
        holder.execute("ROLLBACK")

    pauses = Pauses(let_go)
    with store.patient(patience(pauses)):
        store.run(lambda tx: tx.settings.put("a", "1"))
        with store.reading() as tx:
            assert tx.settings.get("a") == "1"
    assert pauses.pauses == 3
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        store.run(lambda tx: tx.settings.put("a", "2"))
    holder.close()
    store.close()


def test_patience_of_one_thread_does_not_hold_up_the_others(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.store.sqlite.BUSY_TIMEOUT_MS", 1)
    store = open_store(sqlite_url, migrate=True)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:"), isolation_level=None)
    errors: list[Exception] = []

    def write() -> None:
        try:
            store.run(lambda tx: tx.settings.put("a", "1"))
        except DatabaseUnavailable as error:
            errors.append(error)

    def in_another_thread() -> None:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        holder.execute("ROLLBACK")

    for all_threads, refused in ((False, 1), (True, 0)):
        errors.clear()
        holder.execute("BEGIN IMMEDIATE")
        pauses = Pauses(in_another_thread)
        ends = Patience(pauses, max_s=0) if all_threads else patience(pauses)
        with store.patient(ends, all_threads=all_threads):
            if all_threads:
                holder.execute("ROLLBACK")
            write()
        assert len(errors) == refused
    holder.close()
    store.close()


def test_a_read_that_the_database_breaks_off_is_made_again(store: Store) -> None:
    failures = [DatabaseUnavailable("gone"), DatabaseUnavailable("gone")]

    def look(tx: Tx) -> int:
        if failures:
            raise failures.pop()
        return tx.now_ms

    with pytest.raises(DatabaseUnavailable):
        store.read(look)
    with store.patient(patience(Pauses())):
        assert store.read(look) > 0
    assert failures == []


def test_the_end_of_an_inner_wait_leaves_the_outer_one(store: Store) -> None:
    failures = [DatabaseUnavailable("gone")]

    def look(tx: Tx) -> int:
        if failures:
            raise failures.pop()
        return tx.now_ms

    with store.patient(patience(Pauses())):
        with store.patient(patience(Pauses())):
            pass
        assert store.read(look) > 0
