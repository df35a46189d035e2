"""Quotas of the vendors: how much of them is used, which are used up, and the alarms about it."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.core.rate_limits import (
    DAILY,
    DAY_MS,
    MONTH_DAYS,
    MONTHLY_READS,
    day_began_ms,
    day_ends_ms,
    find_exhausted_quotas,
)

if TYPE_CHECKING:
    from wanesync.store.database import Tx

TIME_ZONE = "hubspot_time_zone"
"""Setting: the time zone of the HubSpot account, in which its days begin."""
DAILY_REMAINING = "hubspot_daily_left"
"""Setting: "REMAINING AT_MS" as a process last read it from HubSpot's headers, "" while enough is left."""
DAILY_REMAINING_VALID_MS = 600_000
"""Age up to which the remaining number is used (our choice): later the next bulk request brings a new one."""


def read_time_zone(tx: Tx) -> tzinfo:
    """Return the time zone of the HubSpot account; UTC while unknown."""
    try:
        return ZoneInfo(tx.settings.get(TIME_ZONE) or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, or a name too long for a file
        return UTC


def read_quota_uses(tx: Tx) -> dict[str, int]:
    """Return the stored uses: bulk requests of HubSpot's day, and reads of Stripe's last 30 days."""
    today = tx.rates.used_since("day", day_began_ms(tx.now_ms, read_time_zone(tx))).get(Side.HUBSPOT, (0, 0))
    # Counted by days: the whole of the day in which the 30 days began.
    month = tx.rates.used_since("day", day_began_ms(tx.now_ms - MONTH_DAYS * DAY_MS, UTC)).get(MONTHLY_READS, (0, 0))
    return {DAILY: today[1], MONTHLY_READS: month[0]}


def is_daily_remaining_valid(tx: Tx, at_ms: int) -> bool:
    """Return whether a number of remaining requests read at ``at_ms`` is of HubSpot's present day, and recent."""
    return max(day_began_ms(tx.now_ms, read_time_zone(tx)), tx.now_ms - DAILY_REMAINING_VALID_MS) <= at_ms <= tx.now_ms


def write_daily_remaining(tx: Tx, remaining: int | None, at_ms: int) -> None:
    """Store the remaining number for all processes; None: there is enough."""
    tx.settings.put(DAILY_REMAINING, "" if remaining is None else f"{remaining} {at_ms}")


def find_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for every quota that is used up."""
    limits, used = tx.rates.all(), read_quota_uses(tx)
    by_own_limit, shut = (
        find_exhausted_quotas(limits, used, None),
        find_exhausted_quotas(limits, used, _read_daily_remaining(tx)),
    )
    hours = (day_ends_ms(tx.now_ms, read_time_zone(tx)) - tx.now_ms) / 3_600_000
    until = {DAILY: f"for {hours:.1f} h, until its next day", MONTHLY_READS: "until older reads no longer count"}
    return [
        Alarm(
            AlarmCode.QUOTA_USED_UP,
            f"{scope}: {reason}",
            f"bulk work waits {until[scope]}{', or set more: wanesync limits set' * (scope in by_own_limit)}",
            scope,
        )
        for scope, reason in shut.items()
    ]


def _read_daily_remaining(tx: Tx) -> int | None:
    remaining, _, at_ms = (tx.settings.get(DAILY_REMAINING) or "").partition(" ")
    return int(remaining) if at_ms and is_daily_remaining_valid(tx, int(at_ms)) else None
