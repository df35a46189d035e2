"""Quotas: what is stored about them, and the alarms."""

from __future__ import annotations

from datetime import UTC

from tests.support.limits import DAY_MS
from tests.support.virtual_clock import VirtualClock
from wanesync.core.rate_limits import DAILY, MONTHLY_READS
from wanesync.ratelimit.quotas import (
    DAILY_REMAINING_VALID_MS,
    TIME_ZONE,
    find_alarms,
    is_daily_remaining_valid,
    read_quota_uses,
    read_time_zone,
    write_daily_remaining,
)
from wanesync.store import Store
from wanesync.store.tables.rates import QuotaUse


def test_an_unknown_time_zone_counts_as_utc(store: Store) -> None:
    for name, expected in (
        ("", "UTC"),
        ("Mars/Olympus", "UTC"),
        ("America", "UTC"),
        ("x" * 999, "UTC"),
        ("Europe/Paris", "Europe/Paris"),
    ):
        with store.transaction() as tx:
            tx.settings.put(TIME_ZONE, name)
            zone = read_time_zone(tx)
        assert str(zone) == expected or zone is UTC


def test_a_remaining_number_is_valid_for_a_while_within_its_day(store: Store, clock: VirtualClock) -> None:
    noon_ms = clock.now // DAY_MS * DAY_MS + DAY_MS // 2
    midnight_ms = noon_ms + DAY_MS // 2
    for now_ms, at_ms, valid in (
        (noon_ms, noon_ms - DAILY_REMAINING_VALID_MS, True),
        (noon_ms, noon_ms - DAILY_REMAINING_VALID_MS - 1, False),
        (noon_ms, noon_ms + 1, False),
        (midnight_ms, midnight_ms - 1, False),
    ):
        clock.now = now_ms
        with store.reading() as tx:
            assert is_daily_remaining_valid(tx, at_ms) is valid


def test_alarms_name_each_quota_that_is_used_up(store: Store, clock: VirtualClock) -> None:
    day_ms = clock.now // DAY_MS * DAY_MS
    with store.transaction() as tx:
        tx.rates.add_uses([QuotaUse(MONTHLY_READS, "day", day_ms - 3 * DAY_MS, 1_000, 0)])
        write_daily_remaining(tx, 10, tx.now_ms)
    with store.reading() as tx:
        assert read_quota_uses(tx) == {DAILY: 0, MONTHLY_READS: 1_000}
        daily, reads = sorted(alarm.text for alarm in find_alarms(tx))
    assert daily.startswith("hubspot:daily: only 10 of HubSpot's")
    assert "limits set" not in daily
    assert reads.startswith("stripe:monthly_reads: ")
    assert "limits set" in reads
    with store.transaction() as tx:
        write_daily_remaining(tx, None, tx.now_ms)
        assert len(find_alarms(tx)) == 1
