"""Processes and their locks in the store."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from tests.support.store_fixtures import Clock
from tests.support.store_reads import held_locks
from tests.support.threads import together
from wanesync.store import Store, make_key, open_store
from wanesync.store.tables.processes import LEASE_MS
from wanesync.store.tables.retention import DAY_MS


def test_locks_are_held_by_one(store: Store, other_store: Store, clock: Clock) -> None:
    def take(of: Store, key: str, token: str, owner: str) -> bool:
        with of.transaction() as tx:
            tx.processes.beat(owner, "all", 1)
            return tx.locks.take_all([key], token, owner, tx.now_ms + 30_000)

    assert take(store, "contact:1", "t1", "w1")
    assert take(store, "contact:1", "t1", "w1"), "ours already"
    assert not take(other_store, "contact:1", "t2", "w2")
    with store.transaction() as tx:
        assert held_locks(tx, "t1") == {"contact:1"}
        tx.locks.drop("t1")
    assert take(other_store, "contact:1", "t2", "w2")
    clock.advance(7_000)
    assert take(store, "contact:1", "t3", "w1"), "its holder's process is gone"
    clock.advance(3_000)
    assert not take(other_store, "contact:1", "t4", "w2")
    for _ in range(10):
        clock.advance(3_000)
        with store.transaction() as tx:
            tx.processes.beat("w1", "all", 1)
    assert take(other_store, "contact:1", "t4", "w2"), "it expired"


def test_all_locks_or_none(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        until_ms = tx.now_ms + 9_000
        assert tx.locks.take_all(["b"], "t1", "w", until_ms)
        assert not tx.locks.take_all(["a", "b", "c"], "t2", "w", until_ms)
        assert tx.locks.take_all(["a", "c", "a"], "t3", "w", until_ms)
        assert tx.locks.take_all([], "t4", "w", until_ms)
        tx.locks.drop_many(["t1", "t3"])
        assert tx.locks.take_all(["a", "b", "c"], "t2", "w", until_ms)


def test_locks_of_killed_processes_go_when_another_one_ends(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        assert tx.locks.take_all(["contact:1"], "killed", "w1", tx.now_ms + 60_000)
    clock.advance(2 * DAY_MS)
    with store.transaction() as tx:
        assert tx.locks.take_all(["contact:2"], "living", "w2", tx.now_ms + 60_000)
        tx.processes.remove("w3")
        tx.processes.remove_obsolete()
        held = {token: held_locks(tx, token) for token in ("killed", "living")}
    assert held == {"killed": set(), "living": {"contact:2"}}


def test_locks_of_a_batch_are_whole_or_gone(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        until_ms = tx.now_ms + 9_000
        assert tx.locks.take_all(["b"], "t0", "w", until_ms)
        assert tx.locks.take_all(["x"], "t1", "w", until_ms)
        assert tx.locks.take_each({"t1": ["a", "b"], "t2": ["c"], "t3": ["c", "d"]}, "w", until_ms) == {"t2"}
        assert held_locks(tx, "t1") == set(), "its job stands back with nothing"
        assert held_locks(tx, "t2") == {"c"}
        assert tx.locks.take_each({"t2": ["c", "d"], "t4": ["a"]}, "w", until_ms) == {"t2", "t4"}


def test_a_lock_goes_to_one(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)

    def take(of: Store, token: str) -> bool:
        return of.run(lambda tx: tx.locks.take_all(["contact:2", "contact:1"], token, "w", tx.now_ms + 60_000))

    stores = [store, other_store] * 4
    taken = together([partial(take, of, f"t{number}") for number, of in enumerate(stores)])
    assert taken.count(True) == 1


def test_no_process_waits_for_a_lock_that_is_just_being_taken_or_dropped(postgres_url: str) -> None:
    # On SQLite one transaction writes at a time: there is nothing to wait for.
    keys = [make_key("k001")]
    with (
        closing(open_store(postgres_url, keys, migrate=True)) as here,
        closing(open_store(postgres_url, keys)) as there,
    ):

        def is_free() -> bool:
            with there.transaction() as tx:
                return tx.locks.take_all(["contact:1"], "two", "b", tx.now_ms + 60_000)

        here.run(lambda tx: tx.processes.beat("a", "all", 1))
        with here.transaction() as tx:
            tx.locks.take_all(["contact:1"], "one", "a", tx.now_ms + 60_000)
            assert not is_free()
        with here.transaction() as tx:
            tx.locks.drop("one")
            assert not is_free()
        assert is_free()


def test_a_process_is_alive_until_its_lease_expires(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        assert tx.processes.beat("w1", "hubspot", 1)
        tx.processes.beat("w2", "stripe", 2)
    clock.advance(LEASE_MS - 1)
    with store.transaction() as tx:
        assert tx.processes.beat("w2", "stripe", 2)
    clock.advance(2)
    with store.transaction() as tx:
        assert [row.name for row in tx.processes.alive()] == ["w2"]
        assert [row.name for row in tx.processes.alive(10 * LEASE_MS)] == ["w1", "w2"]
        assert not tx.processes.beat("w1", "hubspot", 1), "its lease had expired: it must take a new name"
        tx.processes.remove("w2")
        assert [row.name for row in tx.processes.alive()] == ["w1"]
