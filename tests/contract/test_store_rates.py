from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.conftest import Clock
from wanesync.core.errors import NotFound
from wanesync.store import Store, open_store


def set_limit(store: Store, per_s: float, scope: str = "hubspot") -> None:
    with store.transaction() as tx:
        tx.rates.set_limit(scope, per_s)


def spread(slots: list[int]) -> set[int]:
    return {later - earlier for earlier, later in pairwise(slots)}


def test_slots_are_paced_and_never_far_ahead(store: Store) -> None:
    set_limit(store, 15)
    now_ms = store.now_ms()
    slots = store.reserve("hubspot", 100)
    assert len(slots) == 5
    assert now_ms <= slots[0] <= now_ms + 1
    assert slots[-1] <= now_ms + 301
    assert spread(slots) <= {69, 70}, "0.96 of 15 a second"
    assert store.reserve("hubspot", 1) == []
    assert store.reserve("hubspot", 0) == []


def test_a_slot_comes_free_as_time_goes_on(store: Store, clock: Clock) -> None:
    set_limit(store, 100)
    first = store.reserve("hubspot", 100)
    clock.advance(100)
    second = store.reserve("hubspot", 3)
    assert spread(first + second) <= {10, 11}
    clock.advance(60_000)
    assert store.reserve("hubspot", 1)[0] == store.now_ms(), "what was not used is gone"


def test_two_processes_share_one_budget(store: Store, other_store: Store, clock: Clock) -> None:
    set_limit(store, 50)
    # The second process measured its clock a moment later than the first: it is that much ahead.
    slots: list[int] = []
    for _ in range(400):
        slots += store.reserve("hubspot", 2) + other_store.reserve("hubspot", 2)
        clock.advance(20)
    assert min(spread(slots)) >= 20
    assert 0.9 * 48 * 8 < len(slots) < 48 * 8 + 40


def test_limits_change_at_once_and_scopes_are_apart(store: Store, other_store: Store, clock: Clock) -> None:
    set_limit(store, 10)
    set_limit(store, 25, "stripe:create")
    assert len(other_store.reserve("hubspot", 9)) == 3
    set_limit(other_store, 50)
    clock.advance(1_000)
    assert spread(store.reserve("hubspot", 9)) <= {20, 21}
    with store.reading() as tx:
        assert tx.rates.limits() == {"hubspot": (50, 50), "stripe:create": (25, 25)}


def test_a_429_lowers_and_quiet_recovers(store: Store) -> None:
    set_limit(store, 100)
    with store.transaction() as tx:
        assert tx.rates.lower("hubspot", 0.5) == 50
        assert tx.rates.lower("hubspot", 0.01) == 5, "a twentieth is left"
        assert tx.rates.recover("hubspot", 0.2) == 25
        assert tx.rates.limits() == {"hubspot": (100, 25)}
    slots = store.reserve("hubspot", 3)
    assert spread(slots) <= {41, 42}
    with store.transaction() as tx:
        for _ in range(20):
            tx.rates.recover("hubspot")
        assert tx.rates.limits() == {"hubspot": (100, 100)}


def test_a_clock_set_back_does_not_stop_everything(store: Store, clock: Clock) -> None:
    set_limit(store, 10)
    assert store.reserve("hubspot", 9)
    clock.advance(-3_600_000)
    assert len(store.reserve("hubspot", 9)) >= 3


def test_a_scope_without_a_limit_is_told(store: Store) -> None:
    with pytest.raises(NotFound, match="nothing"):
        store.reserve("nothing", 1)
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.rates.lower("nothing", 0.5)


@given(
    limit=st.integers(min_value=1, max_value=500),
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200)), min_size=1, max_size=60),
)
def test_no_second_ever_holds_more_than_the_limit(limit: int, steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    store = open_store("sqlite::memory:", migrate=True, clock=clock)
    set_limit(store, limit)
    slots: list[int] = []
    for wait_ms, wanted in steps:
        clock.advance(wait_ms)
        granted = store.reserve("hubspot", wanted)
        assert len(granted) <= wanted
        assert all(clock.ms <= slot <= clock.ms + 301 for slot in granted)
        slots += granted
    store.close()
    assert slots == sorted(slots)
    # A request that uses its slot up to 20 ms late makes a window of that much less.
    for index, start in enumerate(slots):
        assert sum(1 for slot in slots[index:] if slot < start + 1_000) <= limit
