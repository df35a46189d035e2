from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.store_fixtures import Clock
from wanesync.core.errors import NotFound
from wanesync.core.rate_limits import Limit
from wanesync.store import Store, open_store
from wanesync.store.clock import DatabaseClock
from wanesync.store.queries import Dialect, load_queries
from wanesync.store.tables.rates import MAX_HOLD_MS, SLOT_HORIZON_MS, QuotaUse


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


def test_a_lowered_limit_spreads_the_slots_and_is_kept_whole(store: Store) -> None:
    set_limit(store, 100)
    kept = Limit("hubspot", 100, 25, 80, 90.5, "refused", 7, 8)
    with store.transaction() as tx:
        tx.rates.put(kept)
        assert tx.rates.lock("hubspot") == kept
    with store.reading() as tx:
        assert tx.rates.all() == {"hubspot": kept}
        assert tx.rates.limits() == {"hubspot": (100, 25)}
    assert spread(store.reserve("hubspot", 3)) <= {41, 42}


def test_a_quota_is_no_rate_and_a_dropped_scope_is_gone(store: Store) -> None:
    set_limit(store, 100, "stripe:bulk")
    set_limit(store, 10_000, "stripe:monthly_reads")
    with store.transaction() as tx:
        assert tx.rates.limits() == {"stripe:bulk": (100, 100)}
        tx.rates.drop("stripe:bulk")
        assert [*tx.rates.all()] == ["stripe:monthly_reads"]


def test_uses_add_up_per_span_and_old_ones_are_dropped(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.rates.add_uses([QuotaUse("stripe", "day", 1000, 5, 2), QuotaUse("hubspot", "day", 1000, 1, 0)])
        tx.rates.add_uses([QuotaUse("stripe", "day", 2000, 1, 0), QuotaUse("stripe", "second", 1000, 9, 9)])
    with other_store.transaction() as tx:
        tx.rates.add_uses([QuotaUse("stripe", "day", 1000, 3, 3)])
        assert tx.rates.used_since("day", 1000) == {"stripe": (9, 5), "hubspot": (1, 0)}
        assert tx.rates.used_since("day", 1001) == {"stripe": (1, 0)}
        tx.rates.drop_uses("day", 2000)
        assert tx.rates.used_since("day", 0) == {"stripe": (1, 0)}
        assert tx.rates.used_since("second", 0) == {"stripe": (9, 9)}
    assert load_queries(Dialect.POSTGRES)["add_quota_use"].rows_form, "a worker adds several each second"


def test_one_without_a_slot_of_its_own_is_passed_over(store: Store, clock: Clock) -> None:
    set_limit(store, 100, "stripe")
    set_limit(store, 25, "stripe:customers.create")
    create, update = ("stripe:customers.create",), ("stripe:customers.update",)
    given = store.assign("stripe", [create, create, create, update, update], 5)
    assert [index for index, _ in given.slots] == [0, 3, 4, 1]
    slots = [slot_ms - store.now_ms() for _, slot_ms in given.slots]
    assert slots[0] <= 1
    assert spread(slots) <= {10, 11}
    assert slots[3] >= 31, "a creation 40 ms after the other one, or a little earlier: then the side has a slot"
    assert 73 <= given.next_ms - store.now_ms() <= 84, "when the third creation may go"
    assert not store.assign("stripe", [create], 1).slots
    clock.advance(55)
    ((_, slot_ms),) = store.assign("stripe", [create, create], 2).slots
    assert 0 < slot_ms - store.now_ms() <= 34, "handed out a little before it is due"


def test_what_a_narrower_scope_cannot_use_is_left_to_others(store: Store, other_store: Store, clock: Clock) -> None:
    set_limit(store, 100, "stripe")
    set_limit(store, 25, "stripe:bulk")
    wants: list[tuple[str, ...]] = [("stripe:bulk",)] * 20 + [()] * 30
    bulk = 0
    slots: list[int] = []
    for step in range(1_000):
        given = (store, other_store)[step % 2].assign("stripe", wants, 30)
        bulk += sum(index < 20 for index, _ in given.slots)
        slots += [slot_ms for _, slot_ms in given.slots]
        clock.advance(10)
    # Everything handed out so far, 300 ms ahead.
    assert 0.97 * 240 <= bulk <= 240 + 16
    # Postgres measured the second process's clock a little later.
    assert 0.98 * 960 <= len(slots) <= 960 + 60
    assert min(spread(sorted(slots))) >= 10


def test_a_narrower_scope_alone_is_used_up_although_the_side_is_idle(store: Store, clock: Clock) -> None:
    set_limit(store, 100, "stripe")
    set_limit(store, 25, "stripe:bulk")
    asked, slots, next_ms = 0, [], 0
    for _ in range(10_000):
        clock.advance(1)
        if store.now_ms() >= next_ms - 30:
            given = store.assign("stripe", [("stripe:bulk",)] * 20, 20)
            slots += [slot_ms for _, slot_ms in given.slots]
            asked, next_ms = asked + 1, given.next_ms
    assert 0.98 * 240 <= len(slots) <= 241
    assert asked <= len(slots) + 2, "one attempt for each slot, if each waits until the time it was given"


def test_an_operation_that_is_allowed_as_much_as_its_side_gets_every_slot_as_it_comes(
    store: Store, other_store: Store, clock: Clock
) -> None:
    """Two rows of one pace drifted a millisecond apart, and then one process got the slots of 300 ms at once."""
    set_limit(store, 100, "stripe")
    set_limit(store, 100, "stripe:customers.update")
    wants = [("stripe:customers.update",)] * 40
    store.assign("stripe", wants, 40)
    given: dict[Store, list[int]] = {store: [], other_store: []}
    for step in range(200):
        clock.advance(50)
        asked = (store, other_store)[step % 2]
        given[asked].append(len(asked.assign("stripe", wants, 40).slots))
    assert all(3 <= slots <= 6 for counts in given.values() for slots in counts), "what 50 ms hold"
    assert abs(sum(given[store]) - sum(given[other_store])) <= 10
    with store.transaction() as tx:
        tx.rates.hold("stripe:customers.update", 5_000)
    clock.advance(1_000)
    assert not store.assign("stripe", wants, 40).slots, "an operation that the vendor holds gets none all the same"
    assert store.assign("stripe", [()], 1).slots


def test_two_narrower_scopes_hold_together(store: Store, clock: Clock) -> None:
    set_limit(store, 100, "stripe")
    set_limit(store, 50, "stripe:customers.create")
    set_limit(store, 10, "stripe:bulk")
    both, one = ("stripe:customers.create", "stripe:bulk"), ("stripe:customers.create",)
    counts = {both: 0, one: 0}
    for _ in range(1_000):
        wants = [both] * 5 + [one] * 5
        for index, _ in store.assign("stripe", wants, 10).slots:
            counts[wants[index]] += 1
        clock.advance(10)
    assert 90 <= counts[both] <= 98
    assert 0.93 * 480 <= counts[both] + counts[one] <= 482


def test_a_clock_set_back_does_not_stop_a_narrower_scope(store: Store, clock: Clock) -> None:
    set_limit(store, 100, "stripe")
    set_limit(store, 10, "stripe:bulk")
    assert len(store.assign("stripe", [("stripe:bulk",)] * 3, 3).slots) == 1
    clock.advance(-3_600_000)
    assert len(store.assign("stripe", [("stripe:bulk",)] * 3, 3).slots) == 1


def test_a_clock_set_back_does_not_stop_everything(store: Store, clock: Clock) -> None:
    set_limit(store, 10)
    assert store.reserve("hubspot", 9)
    clock.advance(-3_600_000)
    assert len(store.reserve("hubspot", 9)) >= 3


def test_a_scope_without_a_limit_is_told(store: Store) -> None:
    with pytest.raises(NotFound, match="nothing"):
        store.reserve("nothing", 1)
    with pytest.raises(NotFound, match="nothing"):
        store.assign("nothing", [("stripe:bulk",)], 1)


@given(
    limit=st.integers(min_value=1, max_value=500),
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200)), min_size=1, max_size=60),
)
def test_no_second_ever_holds_more_than_the_limit(limit: int, steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    store = open_store("sqlite::memory:", migrate=True, clock=DatabaseClock(clock, clock))
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


@given(
    limit=st.integers(min_value=1, max_value=60),
    steps=st.lists(st.tuples(st.integers(0, 150), st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=60),
)
def test_no_second_holds_more_of_a_narrower_scope_than_its_limit(limit: int, steps: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    store = open_store("sqlite::memory:", migrate=True, clock=DatabaseClock(clock, clock))
    set_limit(store, 60, "stripe")
    set_limit(store, limit, "stripe:bulk")
    bulk: list[int] = []
    everything: list[int] = []
    for wait_ms, narrow, wide in steps:
        clock.advance(wait_ms)
        wants: list[tuple[str, ...]] = [("stripe:bulk",)] * narrow + [()] * wide
        given = store.assign("stripe", wants, 20)
        assert len({index for index, _ in given.slots}) == len(given.slots)
        bulk += [slot_ms for index, slot_ms in given.slots if index < narrow]
        everything += [slot_ms for _, slot_ms in given.slots]
    store.close()
    for slots, most in ((bulk, limit), (everything, 60)):
        for index, start in enumerate(slots):
            assert sum(1 for slot in slots[index:] if slot < start + 1_000) <= most


def test_a_held_scope_gives_no_slots_to_any_process_until_the_time_is_over(
    store: Store, other_store: Store, clock: Clock
) -> None:
    set_limit(store, 100)
    with store.transaction() as tx:
        assert tx.rates.hold("hubspot", 5_000)
        assert not tx.rates.hold("hubspot", 1_000), "the longer one stays"
    held_ms = store.now_ms() + 5_000
    assert store.reserve("hubspot", 1) == other_store.reserve("hubspot", 1) == []
    assert other_store.assign("hubspot", [("hubspot:search",)], 1).next_ms in {0, held_ms}
    set_limit(store, 100)
    assert store.reserve("hubspot", 1) == [], "a new limit ends no hold"
    clock.advance(5_001)
    assert store.reserve("hubspot", 1)


def test_a_held_narrower_scope_lets_all_others_pass(store: Store, clock: Clock) -> None:
    set_limit(store, 100)
    set_limit(store, 50, "hubspot:search")
    with store.transaction() as tx:
        tx.rates.hold("hubspot:search", 5_000)
    requests: list[tuple[str, ...]] = [("hubspot:search",), (), ("hubspot:search",), ()]
    assert [index for index, _ in store.assign("hubspot", requests, 4).slots] == [1, 3]
    clock.advance(5_000 + 2 * SLOT_HORIZON_MS)
    assert {index for index, _ in store.assign("hubspot", requests, 4).slots} == {0, 1, 2, 3}


def test_no_hold_lasts_longer_than_a_quarter_of_an_hour_nor_does_one_of_a_wrong_clock(
    store: Store, clock: Clock
) -> None:
    set_limit(store, 100)
    clock.advance(86_400_000)
    with store.transaction() as tx:
        tx.rates.hold("hubspot", 86_400_000)
    clock.advance(MAX_HOLD_MS + 1)
    assert store.reserve("hubspot", 1)
    with store.transaction() as tx:
        tx.rates.hold("hubspot", MAX_HOLD_MS)
    clock.advance(-86_400_000)
    assert store.reserve("hubspot", 1)
    with store.transaction() as tx:
        assert tx.rates.hold("hubspot", 2_000), "what a wrong clock stored does not count"
    assert store.reserve("hubspot", 1) == []


def test_a_late_request_moves_the_free_slots_of_its_scopes_by_a_second_and_some_at_most(
    store: Store, other_store: Store, clock: Clock
) -> None:
    set_limit(store, 100)
    set_limit(store, 25, "stripe:create")
    now_ms = store.now_ms()
    assert store.reserve("hubspot", 1) == [now_ms]
    store.delay_slots({"hubspot": 30_000, "unlimited": 1_000})
    assert other_store.reserve("hubspot", 1) == [now_ms + 41], "behind the interval of the slot that was given"
    assert other_store.reserve("stripe:create", 1) == [now_ms]
    store.delay_slots({"hubspot": 60_000_000})
    assert store.reserve("hubspot", 1) == []
    clock.advance(1_010)
    (slot_ms,) = store.reserve("hubspot", 1)
    assert slot_ms == now_ms + SLOT_HORIZON_MS + 1_000, "which is no time of a wrong clock, and counts"
    clock.advance(60_000)
    store.delay_slots({"hubspot": 10_000})
    assert store.reserve("hubspot", 1) == [store.now_ms()], "slots that nobody used make up for it"
