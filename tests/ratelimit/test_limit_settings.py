"""Limits as the configuration and an operator set them, and what is used of them."""

from __future__ import annotations

from tests.support.limits import effective
from tests.support.virtual_clock import VirtualClock
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, SlotRequest
from wanesync.ops.limits import set_limit
from wanesync.ratelimit.budget import Budget
from wanesync.ratelimit.limit_settings import apply_configured_limits, read_limits
from wanesync.store import Store

LIST = SlotRequest("customers.list", bulk=True)


def test_what_was_used_is_the_mean_of_ten_seconds(store: Store, clock: VirtualClock) -> None:
    budget = Budget(store, Side.STRIPE, monotonic_ms=clock.monotonic_ms)
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


def test_an_operator_s_setting_stays_until_the_configured_value_changes(store: Store) -> None:
    apply_configured_limits(store, {"stripe": 80.0, BULK: 20.0})
    store.run(lambda tx: set_limit(tx, "stripe", 12))
    apply_configured_limits(store, {"stripe": 80.0, BULK: None})
    with store.reading() as tx:
        assert (tx.rates.all()["stripe"].configured, BULK in tx.rates.all()) == (12, False)
    apply_configured_limits(store, {"stripe": 90.0}, missing_only=True)
    assert effective(store, "stripe") == 12
    apply_configured_limits(store, {"stripe": 90.0})
    assert effective(store, "stripe") == 90
