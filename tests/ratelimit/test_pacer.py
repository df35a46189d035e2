"""Rate slots: of one process and of two that share a store, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from tests.support.limits import DAY_MS, effective, rate_refusal
from tests.support.operators import ADA
from tests.support.virtual_clock import START_MS, VirtualClock
from wanesync.core.errors import SidePaused
from wanesync.core.model import Side
from wanesync.core.rate_limits import OUTSIDE_TURN, SlotRequest
from wanesync.ops.pauses import pause_sides, resume_sides
from wanesync.ratelimit.pacer import (
    MAX_NETWORK_JITTER_MS,
    MAX_SLOT_DELAY_MS,
    REFRESH_INTERVAL_MS,
    WAIT_REPORT_MS,
    WAIT_SHOWN_MS,
    Pacer,
)
from wanesync.store import Store, make_key, open_store
from wanesync.store.tables.rates import SLOT_HORIZON_MS, SlotAssignment

LIST = SlotRequest("customers.list", bulk=True)
CREATE, UPDATE = SlotRequest("customers.create"), SlotRequest("customers.update")
POLL_MS = 10


@pytest.fixture
def pacers(database_url: str, clock: VirtualClock) -> Iterator[list[Pacer]]:
    """The pacers of two processes on one database and one clock."""
    keys = [make_key("k001")]
    with ExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(open_store(database_url, keys, migrate=True, clock=clock.as_database_clock()))
            stack.callback(stores[-1].close)
            stores[-1].clock.offset_ms = 0  # the database's own clock does not count here
        yield [Pacer(store, clock, Side.STRIPE) for store in stores]


Departures = list[tuple[int, int, SlotRequest]]
"""(time in ms, index of the process, request), in order of time."""


def run_until(
    pacers: list[Pacer], clock: VirtualClock, requests: list[SlotRequest], is_done: Callable[[Departures], bool]
) -> Departures:
    """Let each process send ``requests`` again and again, as soon as it has slots, refreshing every half second."""
    departures: Departures = []
    refreshed_ms = clock.now - 500
    while not is_done(departures):
        if clock.now - refreshed_ms >= 500:
            refreshed_ms = clock.now
            for pacer in pacers:
                pacer.refresh()
        slots = []
        for process, pacer in enumerate(pacers):
            slots += [(slot_ms, process, requests[i]) for i, slot_ms in pacer.assign_slots(requests, 2).slots]
        for slot_ms, process, request in sorted(slots, key=lambda slot: slot[:2]):
            pacers[process].announce(slot_ms, request)
            pacers[process].pass_gate()
            departures.append((clock.now, process, request))
        clock.sleep_until(clock.monotonic_ms() + POLL_MS)
    return departures


def fullest(departures: Departures) -> int:
    """The most requests in any window of one second."""
    times = [time_ms for time_ms, _, _ in departures]
    return max(sum(start <= time_ms < start + 1000 for time_ms in times[at:]) for at, start in enumerate(times))


def set_limit(store: Store, per_s: float, scope: str = "stripe") -> None:
    with store.transaction() as tx:
        tx.rates.set_limit(scope, per_s)


def test_two_processes_share_a_budget_and_a_change_acts_within_two_seconds(
    pacers: list[Pacer], clock: VirtualClock
) -> None:
    def settled(count: int) -> Callable[[Departures], bool]:
        return lambda departures: sum(time_ms >= changed_ms + 2_000 for time_ms, _, _ in departures) >= count

    def run_settled(count: int) -> Departures:
        return [d for d in run_until(pacers, clock, [CREATE] * 4, settled(count)) if d[0] >= changed_ms + 2_000]

    set_limit(pacers[0].store, 40)
    before = run_until(pacers, clock, [CREATE] * 4, lambda departures: len(departures) >= 100)
    assert fullest(before) <= 40
    assert all(sum(process == at for _, process, _ in before) >= 10 for at in range(2)), "neither is left without"

    changed_ms = clock.now
    set_limit(pacers[1].store, 10)
    assert fullest(run_settled(10)) <= 10

    changed_ms = clock.now
    set_limit(pacers[0].store, 60)
    fast = run_settled(60)
    assert (len(fast) - 1) / (fast[-1][0] - fast[0][0]) * 1000 > 20, "more than the old limit let through"
    assert fullest(fast) <= 60


def test_a_narrower_limit_holds_its_own_and_no_other(pacers: list[Pacer], clock: VirtualClock) -> None:
    set_limit(pacers[0].store, 60)
    set_limit(pacers[0].store, 8, "stripe:customers.create")
    requests = [CREATE] * 2 + [UPDATE] * 4
    departures = run_until(
        pacers,
        clock,
        requests,
        lambda sent: sum(d[2] == UPDATE for d in sent) >= 90 and sum(d[2] == CREATE for d in sent) >= 9,
    )
    assert fullest([d for d in departures if d[2] == CREATE]) <= 8
    assert fullest(departures) <= 60
    assert departures[-1][0] - departures[0][0] < 5_000, "updates do not wait for creations"


def test_requests_that_left_are_counted_for_all_processes(pacers: list[Pacer]) -> None:
    set_limit(pacers[0].store, 100)
    for pacer in pacers:
        pacer.refresh()
        for request in (SlotRequest("customers.retrieve", bulk=True), CREATE, CREATE):
            pacer.wait_for_slot(request)
            pacer.pass_gate()
        pacer.refresh()
    with pacers[0].store.reading() as tx:
        assert tx.rates.used_since("day", 0) == {"stripe": (6, 2), "stripe:monthly_reads": (2, 2)}


def test_slots_on_time_are_never_held_up() -> None:
    """The window that is counted is shorter than as many intervals as the limit allows."""
    assert (1_000 + MAX_NETWORK_JITTER_MS) * 0.96 <= 1_000
    assert MAX_SLOT_DELAY_MS < MAX_NETWORK_JITTER_MS


def test_the_first_refusal_of_an_operation_makes_its_own_limit(store: Store, clock: VirtualClock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    assert pacer.limited_scopes(SlotRequest("customers.create")) == ()
    pacer.apply_refusal(rate_refusal(Side.STRIPE, "endpoint-rate"), "customers.create")
    pacer.budget.refresh()
    assert (effective(store, "stripe"), effective(store, "stripe:customers.create")) == (100, 25)
    assert pacer.limited_scopes(SlotRequest("customers.create")) == ("stripe:customers.create",)
    assert pacer.limited_scopes(SlotRequest("customers.update")) == ()


def test_a_listing_waits_until_reads_of_thirty_days_ago_no_longer_count(store: Store, clock: VirtualClock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    for _ in range(1_000):
        pacer.budget.count(SlotRequest("customers.retrieve"))
    pacer.budget.refresh()
    assert pacer.budget.find_obstacle(SlotRequest("customers.create", bulk=True)) == "", "a write is no read"
    pacer.wait_for_slot(SlotRequest("customers.retrieve"))
    assert clock.now == START_MS, "live reads go on"
    clock.oversleep_ms = DAY_MS // 4
    pacer.wait_for_slot(LIST)
    assert 30 * DAY_MS <= clock.now - START_MS < 32 * DAY_MS


@pytest.mark.parametrize("held_up_ms", [20, 60, 150, 400, 900])
def test_what_leaves_late_is_paced_from_when_it_leaves(
    pacers: list[Pacer], clock: VirtualClock, held_up_ms: int
) -> None:
    """A machine holds back the bytes of the requests of both processes for a while, after their slots were taken."""
    set_limit(pacers[0].store, 40)
    for pacer in pacers:
        pacer.refresh()
    left: list[int] = []
    began_ms, stall_ms = clock.now, clock.now + 1_000
    held: list[Pacer] = []
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(40)]

        def release() -> None:
            clock.sleep_until(stall_ms + held_up_ms)
            left.extend([clock.now] * len(held))
            for thread, pacer in zip(threads, held, strict=False):
                thread.submit(pacer.note_sent).result()
            held.clear()

        while clock.now < began_ms + 4_000:
            slots = [(slot_ms, pacer) for pacer in pacers for _, slot_ms in pacer.assign_slots([CREATE] * 3, 3).slots]
            for slot_ms, pacer in sorted(slots, key=lambda slot: slot[0]):
                if held and slot_ms >= stall_ms + held_up_ms:
                    release()
                thread = threads[len(held)]
                thread.submit(pacer.announce, slot_ms, CREATE).result()
                thread.submit(pacer.pass_gate).result()
                if stall_ms <= clock.now < stall_ms + held_up_ms:
                    held.append(pacer)
                else:
                    thread.submit(pacer.note_sent).result()
                    left.append(clock.now)
            clock.sleep_until(clock.monotonic_ms() + POLL_MS)
    assert max(sum(start <= time_ms < start + 1_000 for time_ms in left) for start in left) <= 40
    assert len(left) >= 4 * 38 - 20 - held_up_ms * 38 // 1_000, "only what was late costs slots"


def test_what_a_listing_waits_for_is_shown_while_it_waits(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacer, sleep_until, shown = Pacer(store, clock, Side.STRIPE), clock.sleep_until, list[str]()
    pacer.budget.refresh()
    assert pacer.waits_for == ""
    for _ in range(1_000):
        pacer.budget.count(SlotRequest("customers.retrieve"))
    pacer.budget.refresh()
    reason = pacer.budget.find_obstacle(LIST)

    def look(at_ms: float) -> None:
        sleep_until(at_ms)
        shown.append(pacer.waits_for)
        if len(shown) >= 3:
            clock.now += DAY_MS

    monkeypatch.setattr(clock, "sleep_until", look)
    pacer.wait_for_slot(LIST)
    assert reason != ""
    assert shown[:3] == [reason] * 3
    assert pacer.waits_for == "", "it has its slot, days later"


def test_a_request_that_nothing_announced_may_leave_late(store: Store, clock: VirtualClock) -> None:
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 10)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.refresh()
    pacer.pass_gate()
    clock.sleep_until(clock.monotonic_ms() + 90)
    pacer.note_sent()
    began_ms = clock.now
    pacer.pass_gate()
    assert 90 <= clock.now - began_ms <= 105, "an interval after it left"


def test_after_a_stall_requests_do_not_pile_up(store: Store, clock: VirtualClock) -> None:
    """Slots of a moment ago are held back until the second they would crowd is over, or forfeited."""
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 10)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    left = []
    for slot_ms in (*([START_MS] * 14), START_MS + 1_030):
        pacer.announce(slot_ms)
        pacer.pass_gate()
        left.append(clock.now)
    assert left[:10] == [START_MS] * 10
    for at, time_ms in enumerate(left):
        assert sum(time_ms <= other < time_ms + 1_000 + MAX_NETWORK_JITTER_MS for other in left[at:]) <= 10
    assert left[10] - START_MS > MAX_SLOT_DELAY_MS


@pytest.mark.parametrize("back_ms", [400, 600_000])
def test_a_clock_set_back_holds_nothing_up_and_no_second_is_overfilled(
    store: Store, clock: VirtualClock, back_ms: int
) -> None:
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 10)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    for _ in range(10):
        pacer.announce(clock.monotonic_ms())
        pacer.pass_gate()
    clock.set_back(back_ms)
    began_ms = clock.now
    pacer.announce(clock.monotonic_ms())
    pacer.pass_gate()
    assert 1_000 <= clock.now - began_ms <= 2_000 + back_ms % 1_000, "ten may have left in the second before"


def test_an_operators_pause_stops_calls_outside_the_job_table_within_a_second(
    store: Store, clock: VirtualClock
) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.wait_for_slot(LIST)
    pause_sides(store, [Side.HUBSPOT], ADA)
    clock.sleep_until(clock.monotonic_ms() + REFRESH_INTERVAL_MS)
    pacer.wait_for_slot(LIST)
    pause_sides(store, [Side.STRIPE], ADA)
    clock.sleep_until(clock.monotonic_ms() + REFRESH_INTERVAL_MS)
    with pytest.raises(SidePaused, match="wanesync resume stripe"):
        pacer.wait_for_slot(LIST)
    resume_sides(store, [Side.STRIPE], ADA)
    clock.sleep_until(clock.monotonic_ms() + REFRESH_INTERVAL_MS)
    pacer.wait_for_slot(LIST)


def test_a_clock_set_back_delays_neither_a_slot_nor_a_refresh(store: Store, clock: VirtualClock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    pacer.announce(clock.monotonic_ms() + 100)
    clock.set_back(600_000)
    began_ms = clock.now
    pacer.pass_gate()
    assert clock.now - began_ms <= 1_000
    pacer.wait_for_slot(LIST)
    assert began_ms <= pacer.budget.refreshed_ms <= clock.now, "what was used is written down every second"


@pytest.mark.parametrize("back_ms", [1_000, 3_600_000, 86_400_000, -3_600_000])
@pytest.mark.parametrize("name", ["reserve", "assign"])
def test_a_clock_set_while_a_slot_is_reserved_holds_nothing_up(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, name: str, back_ms: int
) -> None:
    # The store's time of the slot and the time it is converted with are read one after the other.
    real = getattr(store, name)

    def reserve(*args: object) -> object:
        found = real(*args)
        monkeypatch.undo()
        clock.set_back(back_ms)
        return found

    monkeypatch.setattr(store, name, reserve)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.refresh()
    began_ms = clock.monotonic_ms()
    if name == "reserve":
        slot_ms = pacer.reserve_slot()
    else:
        ((_, slot_ms),) = pacer.assign_slots([CREATE], 1).slots
    assert slot_ms is not None
    pacer.announce(slot_ms, CREATE)
    pacer.pass_gate()
    assert clock.monotonic_ms() - began_ms <= 1_000


def test_a_limit_below_one_a_second_lets_something_through(store: Store, clock: VirtualClock) -> None:
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 0.5)
    pacer = Pacer(store, clock, Side.STRIPE)
    left = []
    for _ in range(4):
        pacer.wait_for_slot(SlotRequest("customers.create"))
        pacer.pass_gate()
        left.append(clock.now - START_MS)
    assert left[0] == 0
    assert all(2_000 <= later - earlier <= 2_200 for earlier, later in pairwise(left))


class CrowdedClock(VirtualClock):
    """A clock during whose sleeps other processes take every slot that they may reserve. ``taken``: their slots."""

    def crowd(self, store: Store, latest_ms: int, step_ms: int) -> None:
        self.taken: list[int] = []
        self.step_ms = step_ms
        self._store, self._latest_ms = store, latest_ms

    def sleep_until(self, at_ms: float) -> None:
        while True:
            self.taken += [
                slot_ms for _, slot_ms in self._store.assign("stripe", [("stripe:customers.create",)] * 9, 9).slots
            ]
            left_ms = int(at_ms) - self.monotonic_ms()
            if left_ms <= 0:
                return
            assert self.now <= self._latest_ms, "the call waits for ever"
            self.now += min(left_ms, self.step_ms)


@pytest.mark.parametrize(("per_s", "bulk_per_s"), [(2.0, 0.0), (6.0, 0.0), (6.0, 4.0), (90.0, 0.0), (90.0, 30.0)])
def test_a_listing_has_its_share_beside_workers_that_take_every_slot(
    database_url: str, per_s: float, bulk_per_s: float
) -> None:
    clock, interval_ms = CrowdedClock(), 1_000 / per_s / 0.96
    with (
        closing(open_store(database_url, [make_key("k001")], migrate=True, clock=clock.as_database_clock())) as store,
        capture_logs() as logs,
    ):
        store.clock.offset_ms = 0
        set_limit(store, per_s)
        if bulk_per_s:
            set_limit(store, bulk_per_s, "stripe:bulk")
        clock.crowd(store, START_MS + int(60 * interval_ms) + 4_000, max(2, int(interval_ms / 10)))
        pacer, left = Pacer(store, clock, Side.STRIPE), list[int]()
        for _ in range(3):
            pacer.wait_for_slot(LIST)
            pacer.pass_gate()
            left.append(clock.now)
    turns = [later - earlier for earlier, later in pairwise(left)]
    assert all(turn_ms <= (OUTSIDE_TURN + 2) * interval_ms + 2 * SLOT_HORIZON_MS for turn_ms in turns)
    live = [slot_ms for slot_ms in clock.taken if left[0] <= slot_ms <= left[-1]]
    assert len(live) >= (OUTSIDE_TURN - 2) * len(turns), "the workers keep nearly all of the rest"
    assert max(later - earlier for earlier, later in pairwise(live)) <= 2 * interval_ms + 2 * clock.step_ms, (
        "and wait for one slot more"
    )
    slots = sorted(clock.taken + left)
    assert min(later - earlier for earlier, later in pairwise(slots)) >= int(interval_ms)
    assert f"one in {OUTSIDE_TURN}" in pacer.waits_for
    clock.now += int(2 * OUTSIDE_TURN * interval_ms) + WAIT_SHOWN_MS
    assert pacer.waits_for == ""
    reasons = [line["reason"] for line in logs if line["event"] == "bulk requests wait for others"]
    assert reasons
    assert len(reasons) <= 1 + (left[-1] - START_MS) // WAIT_REPORT_MS
    assert f"one in {OUTSIDE_TURN}" in reasons[0]


def test_a_pause_ends_a_wait_for_a_slot(store: Store, clock: VirtualClock) -> None:
    set_limit(store, 0.1)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.wait_for_slot(LIST)
    began_ms = clock.now
    real = store.assign

    def pause_then_assign(scope: str, requests: Sequence[Sequence[str]], max_slots: int) -> SlotAssignment:
        pause_sides(store, [Side.STRIPE], ADA)
        return real(scope, requests, max_slots)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "assign", pause_then_assign)
        with pytest.raises(SidePaused):
            pacer.wait_for_slot(LIST)
    assert clock.now - began_ms <= 2 * REFRESH_INTERVAL_MS


def test_a_listing_that_missed_its_slot_has_a_turn_again(database_url: str) -> None:
    clock = CrowdedClock()
    with closing(open_store(database_url, [make_key("k001")], migrate=True, clock=clock.as_database_clock())) as store:
        store.clock.offset_ms = 0
        set_limit(store, 6)
        clock.crowd(store, START_MS + 10_000, 10)
        pacer = Pacer(store, clock, Side.STRIPE)
        pacer.wait_for_slot(LIST)
        missed_ms = clock.now
        clock.sleep_until(clock.monotonic_ms() + MAX_SLOT_DELAY_MS + 1)
        pacer.pass_gate()
        assert missed_ms < clock.now <= missed_ms + (OUTSIDE_TURN + 2) * 174 + 2 * SLOT_HORIZON_MS
