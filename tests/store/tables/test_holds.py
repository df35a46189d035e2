"""Holds, what they hold, and the count of each source, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.core_builders import link
from tests.support.store_fixtures import Clock
from wanesync.core.change_guard import HeldValue, HoldKind, HoldState
from wanesync.core.model import Event, Side
from wanesync.store import Store, TransactionConflict

IMPORT = "hubspot:IMPORT/7"


def held(hold_id: str, value: str = "Ulm") -> HeldValue:
    return HeldValue(Side.HUBSPOT, value, "Bonn", hold_id)


def opened(store: Store, source: str = IMPORT, kind: HoldKind = HoldKind.BRAKE) -> str:
    return store.run(lambda tx: tx.holds.open(source, kind))[0]


def test_a_source_has_one_open_hold(store: Store) -> None:
    hold_id = opened(store)
    with store.transaction() as tx:
        assert tx.holds.open(IMPORT, HoldKind.BRAKE) == (hold_id, False)
        ((found,), any_held) = tx.holds.list_open()
        assert (found.id, found.source, found.kind, any_held) == (hold_id, IMPORT, HoldKind.BRAKE, False)


def test_a_closed_hold_is_listed_until_nothing_is_left_in_it(store: Store) -> None:
    hold_id = opened(store)
    with store.transaction() as tx:
        for name in ("a", "b"):
            tx.links.put(link(name, f"cus_{name}"))
            tx.holds.put(link(name, f"cus_{name}").id, "city", held(hold_id))
        assert tx.holds.close(hold_id, HoldState.RELEASED) == IMPORT
        assert tx.holds.close(hold_id, HoldState.DISCARDED) is None
        (row,) = tx.holds.all()
        assert (row.state, row.people, row.fields) == (HoldState.RELEASED, 2, 2)
        assert tx.holds.list_open() == ([], True)
        (first,) = tx.holds.page(row, ("", ""), 1)
        (second,) = tx.holds.page(row, (first.link_id, first.field), 10)
        assert [(r.hubspot_id, r.stripe_id, r.held.value) for r in (first, second)] == [
            ("a", "cus_a", "Ulm"),
            ("b", "cus_b", "Ulm"),
        ]
        tx.holds.drop(first.link_id, "city")
        tx.holds.drop(second.link_id, "city")
        assert tx.holds.all() == []
        assert tx.holds.open(IMPORT, HoldKind.BRAKE)[1]


def test_what_is_held_is_sealed_and_the_newest_value_counts(store: Store) -> None:
    hold_id = opened(store)
    with store.transaction() as tx:
        tx.holds.put("l1", "city", held(hold_id))
        tx.holds.put("l1", "city", held(hold_id, "Rom"))
        tx.holds.put("l2", "city", held(hold_id))
    with store.reading() as tx:
        assert tx.holds.of_links(["l1", "l3"]) == {"l1": {"city": held(hold_id, "Rom")}}
        blobs = [row[3] for row in tx.holds._session.rows("held_of_links", ids=["l1", "l2"])]
    assert not any(b"Rom" in bytes(blob) or b"Ulm" in bytes(blob) for blob in blobs)


def test_people_are_counted_once_each_within_the_window(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        assert tx.holds.count(IMPORT, tx.now_ms - 1000, ["a"]) == (0, set())
        tx.holds.record_overwrites(IMPORT, ["a", "b"])
    clock.advance(600)
    with store.transaction() as tx:
        tx.holds.record_overwrites(IMPORT, ["b", "c"])
        tx.holds.record_overwrites("other", ["a"])
        assert tx.holds.count(IMPORT, tx.now_ms - 1000, ["b", "x"]) == (3, {"b"})
    clock.advance(600)
    with store.transaction() as tx:
        assert tx.holds.count(IMPORT, tx.now_ms - 1000, ["a"]) == (2, set())
        assert tx.holds.count("other", tx.now_ms - 1000, []) == (1, set())


@pytest.mark.parametrize(("state", "counted"), [(HoldState.RELEASED, set()), (HoldState.DISCARDED, {"a"})])
def test_only_a_released_source_is_counted_anew(store: Store, state: HoldState, counted: set[str]) -> None:
    hold_id = opened(store)
    with store.transaction() as tx:
        tx.holds.record_overwrites(IMPORT, ["a"])
        tx.holds.close(hold_id, state)
        assert tx.holds.count(IMPORT, 0, ["a"]) == (len(counted), counted)


@pytest.mark.slow
def test_two_processes_never_count_one_source_at_once(store: Store, other_store: Store) -> None:
    """Each takes what is left of ten: together they take ten, not twenty."""
    begun, ahead = threading.Event(), threading.Event()
    taken: list[int] = []

    def take(at: Store, names: str, first: bool) -> None:
        with at.transaction() as tx:
            total, _ = tx.holds.count(IMPORT, 0, [])
            people = [f"{names}{n}" for n in range(10 - total)]
            begun.set()
            if first:
                ahead.wait(1)  # for the other one to count, if it could
            else:
                ahead.set()
            tx.holds.record_overwrites(IMPORT, people)
            taken.append(len(people))

    one = threading.Thread(target=take, args=(store, "a", True))
    one.start()
    assert begun.wait(10)
    other = threading.Thread(target=take, args=(other_store, "b", False))
    other.start()
    one.join()
    other.join()
    assert sorted(taken) == [0, 10]


def test_a_hold_is_not_closed_under_what_is_being_put_into_it(store: Store, other_store: Store) -> None:
    hold_id = opened(store)
    started, order = threading.Event(), list[str]()

    def close() -> str | None:
        started.set()
        source = other_store.run(lambda tx: tx.holds.close(hold_id, HoldState.RELEASED))
        order.append("closed")
        return source

    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as tx:
            tx.holds.lock_open([hold_id])
            closed = pool.submit(close)
            assert started.wait(20)
            tx.holds.put("l1", "city", held(hold_id))
            order.append("put")
        assert closed.result(20) == IMPORT
    assert order == ["put", "closed"]
    with store.transaction() as tx:
        with pytest.raises(TransactionConflict):
            tx.holds.lock_open([hold_id])
        tx.holds.lock_open([])


def test_events_come_newest_first_and_from_a_time_on(store: Store) -> None:
    def event(key: str, at_ms: int) -> Event:
        return Event(key, Side.HUBSPOT, "updated", "1", at_ms, {"city": key})

    with store.transaction() as tx:
        tx.events.put_many([event("a", 1), event("b", 3), event("c", 2)])
        found = tx.events.newest_first(Side.HUBSPOT, ["1", "2"], 2)
        assert {record_id: [e.key for e in events] for record_id, events in found.items()} == {"1": ["b", "c"]}
