"""A process's view of the limits: counted, lowered by answers, raised by quiet, shut by quotas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.model import Side
from wanesync.core.ports import Limits
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, SlotRequest
from wanesync.ratelimit.budget import Budget, lower_refused_limits
from wanesync.ratelimit.limit_settings import read_limits
from wanesync.ratelimit.pacer import JITTER_MS, LATE_MS, Pacer
from wanesync.ratelimit.quotas import find_alarms
from wanesync.store import Store, open_store
from wanesync.store.clock import DatabaseClock

START_MS = 1_800_000_000_000
DAY_MS = 86_400_000
LIST = SlotRequest("customers.list", bulk=True)
PAGE = SlotRequest("contacts.list", bulk=True)


@dataclass
class Clock:
    """Time that passes when somebody sleeps; ``stride_ms``: how much longer than asked."""

    now: int = START_MS
    stride_ms: int = 0

    def __call__(self) -> int:
        return self.now

    def now_ms(self) -> int:
        return self.now

    def monotonic_ms(self) -> int:
        return self.now

    def sleep_until(self, at_ms: float) -> None:
        self.now = max(self.now, int(at_ms)) + self.stride_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True, clock=DatabaseClock(clock, clock))
    with opened.transaction() as tx:
        for scope, value in (("hubspot", 15.0), (DAILY, 0.5), ("stripe", 100.0), (MONTHLY_READS, 1000.0)):
            tx.rates.set_limit(scope, value)
    yield opened
    opened.close()


def refused(side: Side, scope: str) -> CallError:
    return CallError(side, Failure.RATE_LIMITED, "rate_limit", status=429, scope=scope)


def effective(store: Store, scope: str) -> float:
    with store.reading() as tx:
        return tx.rates.all()[scope].effective


def journalled(store: Store) -> list[tuple[str, object, object]]:
    with store.reading() as tx:
        return [(row.kind, row.data["scope"], row.data["to"]) for row in reversed(tx.journal.latest(100))]


def test_refusals_that_come_together_lower_a_limit_once_and_quiet_raises_it(store: Store, clock: Clock) -> None:
    budget = Budget(store, Side.STRIPE)
    budget.refresh()
    store.run(lambda tx: lower_refused_limits(tx, [("customers.create", refused(Side.STRIPE, "global-rate"))] * 5))
    store.run(lambda tx: lower_refused_limits(tx, [("customers.update", refused(Side.STRIPE, "global-rate"))]))
    assert effective(store, "stripe") == 50
    for _ in range(130):
        clock.now += 1_000
        budget.refresh()
    assert effective(store, "stripe") == budget.limits["stripe"].effective == 100
    assert journalled(store) == [("limit lowered", "stripe", 50), ("limit recovered", "stripe", 100)]


def test_the_first_refusal_of_an_operation_makes_its_own_limit(store: Store, clock: Clock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    assert pacer.narrow(SlotRequest("customers.create")) == ()
    pacer.heed(refused(Side.STRIPE, "endpoint-rate"), "customers.create")
    pacer.budget.refresh()
    assert (effective(store, "stripe"), effective(store, "stripe:customers.create")) == (100, 25)
    assert pacer.narrow(SlotRequest("customers.create")) == ("stripe:customers.create",)
    assert pacer.narrow(SlotRequest("customers.update")) == ()


def test_headers_of_hubspot_lower_its_limit_and_size_its_day(store: Store, clock: Clock) -> None:
    said = Limits(100, 10_000, 90, 40_000, 250_000)
    budget = Budget(store, Side.HUBSPOT, lambda: said)
    budget.refresh()
    budget.refresh()
    assert effective(store, "hubspot") == 9
    clock.now += 600_000
    budget.refresh()
    assert effective(store, "hubspot") == 9, "never above what the answers allow"
    said = Limits(190, 10_000, 90, 40_000, 500_000)
    for _ in range(20):
        clock.now += 20_000
        budget.refresh()
    assert effective(store, "hubspot") == 15, "never above what is configured"
    with store.reading() as tx:
        daily = next(state for state in read_limits(tx) if state.limit.scope == DAILY)
    assert daily.of == 250_000


def test_bulk_work_waits_for_the_next_day_and_live_work_goes_on(store: Store, clock: Clock) -> None:
    budget = Budget(store, Side.HUBSPOT, lambda: Limits(daily=1_000))
    budget.refresh()
    for _ in range(499):
        budget.count(PAGE)
    for _ in range(300):
        budget.count(SlotRequest("contacts.batch_read"))
    budget.refresh()
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""
    budget.count(PAGE)
    budget.refresh()
    assert "50% of 1,000" in budget.find_obstacle(PAGE)
    assert budget.find_obstacle(SlotRequest("contacts.batch_read")) == ""
    with store.reading() as tx:
        (alarm,) = find_alarms(tx)
        assert alarm.startswith("hubspot:daily: ")
    clock.now += DAY_MS
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""
    with store.reading() as tx:
        assert find_alarms(tx) == []


def test_what_was_left_of_yesterday_says_nothing_about_today(store: Store, clock: Clock) -> None:
    budget = Budget(store, Side.HUBSPOT, lambda: Limits(190, 10_000, 3, 10, 1_000))
    budget.refresh()
    assert "only 10" in budget.find_obstacle(PAGE)
    clock.now += DAY_MS
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""


MIDNIGHT_MS = START_MS // DAY_MS * DAY_MS + DAY_MS


def test_an_answer_of_the_last_moment_of_a_day_says_nothing_about_the_next(store: Store, clock: Clock) -> None:
    said = Limits(190, 10_000, 3, 900, 1_000)
    clock.now = MIDNIGHT_MS - 900
    budget = Budget(store, Side.HUBSPOT, lambda: said)
    budget.refresh()
    said = Limits(190, 10_000, 3, 10, 1_000)
    clock.now = MIDNIGHT_MS + 100
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""
    said = Limits(190, 10_000, 3, 9, 1_000)
    clock.now += 1_000
    budget.refresh()
    assert "only 9" in budget.find_obstacle(PAGE)


def test_what_was_left_is_asked_again_and_seen_by_everybody(store: Store, clock: Clock) -> None:
    said = Limits(190, 10_000, 3, 10, 1_000)
    budget = Budget(store, Side.HUBSPOT, lambda: said)

    def alarms() -> list[str]:
        with store.reading() as tx:
            return find_alarms(tx)

    for _ in range(2):
        budget.refresh()
        clock.now += 1_000
    (alarm,) = alarms()
    assert alarm.startswith("hubspot:daily: only 10 of HubSpot's 1,000 requests of the day are left: bulk work waits ")
    assert "limits set" not in alarm, "a larger share of what is gone helps nobody"
    for _ in range(9 * 60):
        clock.now += 1_000
        budget.refresh()
    assert (bool(budget.find_obstacle(PAGE)), len(alarms())) == (True, 1)
    clock.now += 60_000
    budget.refresh()
    assert (budget.find_obstacle(PAGE), alarms()) == ("", []), "the next bulk request asks"
    said = Limits(190, 10_000, 3, 9, 1_000)
    budget.refresh()
    assert (bool(budget.find_obstacle(PAGE)), len(alarms())) == (True, 1)
    said = Limits(190, 10_000, 3, 800, 1_000)
    clock.now += 1_000
    budget.refresh()
    assert (budget.find_obstacle(PAGE), alarms()) == ("", [])


def test_a_listing_waits_until_reads_of_thirty_days_ago_no_longer_count(store: Store, clock: Clock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    for _ in range(1_000):
        pacer.budget.count(SlotRequest("customers.retrieve"))
    pacer.budget.refresh()
    assert pacer.budget.find_obstacle(SlotRequest("customers.create", bulk=True)) == "", "a write is no read"
    pacer.wait(SlotRequest("customers.retrieve"))
    assert clock.now == START_MS, "live reads go on"
    clock.stride_ms = DAY_MS // 4
    pacer.wait(LIST)
    assert 30 * DAY_MS <= clock.now - START_MS < 32 * DAY_MS


def test_reads_count_for_all_of_thirty_days(store: Store, clock: Clock) -> None:
    budget = Budget(store, Side.STRIPE)
    budget.refresh()
    for _ in range(1_000):
        budget.count(LIST)
    budget.refresh()
    clock.now += 30 * DAY_MS - 1_000
    budget.refresh()
    assert budget.find_obstacle(LIST)
    clock.now += DAY_MS
    budget.refresh()
    assert budget.find_obstacle(LIST) == ""


def _is_away(*_: object) -> None:
    raise DatabaseUnavailable("away")


def test_counts_survive_a_database_that_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(store, Side.STRIPE)
    budget.refresh()
    budget.count(LIST)
    run = Store.run
    monkeypatch.setattr(Store, "run", _is_away)
    with pytest.raises(DatabaseUnavailable):
        budget.refresh()
    monkeypatch.setattr(Store, "run", run)
    budget.refresh()
    with store.reading() as tx:
        assert tx.rates.used_since("day", 0)["stripe"] == (1, 1)


def test_what_was_used_is_the_mean_of_ten_seconds(store: Store, clock: Clock) -> None:
    budget = Budget(store, Side.STRIPE)
    with store.transaction() as tx:
        tx.rates.set_limit(BULK, 50)
    budget.refresh()
    for second in range(20):
        for _ in range(10):
            budget.count(SlotRequest("customers.create"))
        for _ in range(2 * (second % 2)):
            budget.count(LIST)
        clock.now += 1_000
        budget.refresh()
    with store.reading() as tx:
        used = {state.limit.scope: state.used for state in read_limits(tx)}
    assert used == {"hubspot": 0, DAILY: 0, "stripe": 11, BULK: 1, MONTHLY_READS: 20}


def test_after_a_stall_requests_do_not_pile_up(store: Store, clock: Clock) -> None:
    """Slots of a moment ago are held back until the second they would crowd is over, or forfeited."""
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 10)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    left = []
    for slot_ms in (*([START_MS] * 14), START_MS + 1_030):
        pacer.arm(slot_ms)
        pacer.pass_gate()
        left.append(clock.now)
    assert left[:10] == [START_MS] * 10
    for at, time_ms in enumerate(left):
        assert sum(time_ms <= other < time_ms + 1_000 + JITTER_MS for other in left[at:]) <= 10
    assert left[10] - START_MS > LATE_MS


@pytest.mark.parametrize("back_ms", [400, 600_000])
def test_a_clock_set_back_holds_nothing_up_and_no_second_is_overfilled(
    store: Store, clock: Clock, back_ms: int
) -> None:
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 10)
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    for _ in range(10):
        pacer.arm(clock.now)
        pacer.pass_gate()
    clock.now -= back_ms
    began_ms = clock.now
    pacer.arm(clock.now)
    pacer.pass_gate()
    assert 1_000 <= clock.now - began_ms <= 2_000 + back_ms % 1_000, "ten may have left in the second before"


def test_a_slot_or_a_look_from_before_a_clock_was_set_back_is_not_waited_for(store: Store, clock: Clock) -> None:
    pacer = Pacer(store, clock, Side.STRIPE)
    pacer.budget.refresh()
    pacer.arm(clock.now + 100)
    clock.now -= 600_000
    began_ms = clock.now
    pacer.pass_gate()
    assert clock.now - began_ms <= 1_000
    pacer.wait(LIST)
    assert began_ms <= pacer.budget.refreshed_ms <= clock.now, "what was used is written down every second"


def test_a_limit_below_one_a_second_lets_something_through(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 0.5)
    pacer = Pacer(store, clock, Side.STRIPE)
    left = []
    for _ in range(4):
        pacer.wait(SlotRequest("customers.create"))
        pacer.pass_gate()
        left.append(clock.now - START_MS)
    assert left[0] == 0
    assert all(2_000 <= later - earlier <= 2_200 for earlier, later in pairwise(left))
