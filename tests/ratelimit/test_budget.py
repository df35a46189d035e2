"""A process's view of the limits: counted, lowered by refusals, raised when quiet, quotas that are used up."""

from __future__ import annotations

import pytest

from tests.support.limits import DAY_MS, effective, journalled, rate_refusal
from tests.support.virtual_clock import START_MS, VirtualClock
from wanesync.core.errors import CallError, DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.core.ports import Limits
from wanesync.core.rate_limits import DAILY, Limit, SlotRequest
from wanesync.ratelimit.budget import Budget, lower_refused_limits
from wanesync.ratelimit.limit_settings import read_limits
from wanesync.ratelimit.quotas import find_alarms
from wanesync.store import Store

LIST = SlotRequest("customers.list", bulk=True)
PAGE = SlotRequest("contacts.list", bulk=True)


def test_refusals_that_come_together_lower_a_limit_once_and_quiet_raises_it(store: Store, clock: VirtualClock) -> None:
    budget = Budget(store, Side.STRIPE, monotonic_ms=clock.monotonic_ms)
    budget.refresh()
    store.run(lambda tx: lower_refused_limits(tx, [("customers.create", rate_refusal(Side.STRIPE, "global-rate"))] * 5))
    store.run(lambda tx: lower_refused_limits(tx, [("customers.update", rate_refusal(Side.STRIPE, "global-rate"))]))
    assert effective(store, "stripe") == 95
    for _ in range(13):
        clock.now += 1_000
        budget.refresh()
    assert effective(store, "stripe") == budget.limits["stripe"].effective == 100
    assert journalled(store) == [("limit lowered", "stripe", 95), ("limit recovered", "stripe", 100)]


def test_old_counts_are_removed_once_a_minute(store: Store, clock: VirtualClock) -> None:
    budget, kept = Budget(store, Side.STRIPE, monotonic_ms=clock.monotonic_ms), list[int]()
    for after_ms in (0, 1_000, 59_000, 2_000, 58_000):
        clock.now += after_ms
        budget.count(LIST)
        budget.refresh()
        with store.reading() as tx:
            kept.append(tx.rates.used_since("second", 0)["stripe"][0])
    assert kept == [1, 2, 3, 4, 3], "those of the first two seconds two minutes later"


@pytest.mark.parametrize(
    ("scope", "held", "free"),
    [("global-rate", "stripe", None), ("endpoint-rate", "stripe:customers.create", "stripe")],
)
def test_retry_after_holds_the_whole_scope_that_was_refused(
    store: Store, clock: VirtualClock, scope: str, held: str, free: str | None
) -> None:
    refusal = replace_wait(rate_refusal(Side.STRIPE, scope), 7_000)
    store.run(lambda tx: lower_refused_limits(tx, [("customers.create", refusal)] * 3))
    assert store.reserve(held, 1) == []
    assert free is None or store.reserve(free, 1)
    assert ("limit held", held) in [row[:2] for row in journalled(store)]
    assert "asked to wait for 7 s" in {row.scope: row for row in read_all(store)}[held].reason
    clock.now += 7_001
    assert store.reserve(held, 1)


def replace_wait(refusal: CallError, wait_ms: int) -> CallError:
    return CallError(
        refusal.side, refusal.failure, refusal.reason, refusal.status, scope=refusal.scope, retry_after_ms=wait_ms
    )


def read_all(store: Store) -> list[Limit]:
    with store.reading() as tx:
        return [*tx.rates.all().values()]


def test_headers_of_hubspot_lower_its_limit_and_size_its_day(store: Store, clock: VirtualClock) -> None:
    said = Limits(100, 10_000, 90, 40_000, 250_000)
    budget = Budget(store, Side.HUBSPOT, lambda: said, clock.monotonic_ms)
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


def test_bulk_work_waits_for_the_next_day_and_live_work_goes_on(store: Store, clock: VirtualClock) -> None:
    budget = Budget(store, Side.HUBSPOT, lambda: Limits(daily=1_000), clock.monotonic_ms)
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
        assert alarm.text.startswith("hubspot:daily: ")
    clock.now += DAY_MS
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""
    with store.reading() as tx:
        assert find_alarms(tx) == []


def test_what_was_left_of_yesterday_says_nothing_about_today(store: Store, clock: VirtualClock) -> None:
    budget = Budget(store, Side.HUBSPOT, lambda: Limits(190, 10_000, 3, 10, 1_000), clock.monotonic_ms)
    budget.refresh()
    assert "only 10" in budget.find_obstacle(PAGE)
    clock.now += DAY_MS
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""


MIDNIGHT_MS = START_MS // DAY_MS * DAY_MS + DAY_MS


def test_an_answer_of_the_last_moment_of_a_day_says_nothing_about_the_next(store: Store, clock: VirtualClock) -> None:
    said = Limits(190, 10_000, 3, 900, 1_000)
    clock.now = MIDNIGHT_MS - 900
    budget = Budget(store, Side.HUBSPOT, lambda: said, clock.monotonic_ms)
    budget.refresh()
    said = Limits(190, 10_000, 3, 10, 1_000)
    clock.now = MIDNIGHT_MS + 100
    budget.refresh()
    assert budget.find_obstacle(PAGE) == ""
    said = Limits(190, 10_000, 3, 9, 1_000)
    clock.now += 1_000
    budget.refresh()
    assert "only 9" in budget.find_obstacle(PAGE)


def test_what_was_left_is_asked_again_and_seen_by_everybody(store: Store, clock: VirtualClock) -> None:
    said = Limits(190, 10_000, 3, 10, 1_000)
    budget = Budget(store, Side.HUBSPOT, lambda: said, clock.monotonic_ms)

    def alarms() -> list[str]:
        with store.reading() as tx:
            return [alarm.text for alarm in find_alarms(tx)]

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


def test_reads_count_for_all_of_thirty_days(store: Store, clock: VirtualClock) -> None:
    budget = Budget(store, Side.STRIPE, monotonic_ms=clock.monotonic_ms)
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


def fail_unavailable(*_: object) -> None:
    raise DatabaseUnavailable("away")


def test_counts_survive_a_database_that_is_away(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(store, Side.STRIPE, monotonic_ms=clock.monotonic_ms)
    budget.refresh()
    budget.count(LIST)
    run = Store.run
    monkeypatch.setattr(Store, "run", fail_unavailable)
    with pytest.raises(DatabaseUnavailable):
        budget.refresh()
    monkeypatch.setattr(Store, "run", run)
    budget.refresh()
    with store.reading() as tx:
        assert tx.rates.used_since("day", 0)["stripe"] == (1, 1)
