"""Gauges of the metrics page, under their Prometheus names."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wanesync.core.change_guard import HoldState
from wanesync.ops.alarms import read_health
from wanesync.ops.figures import TARGET_MS, read_timeliness
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.writes import ON, read_switch

if TYPE_CHECKING:
    from wanesync.ops.figures import Timeliness
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.store.database import Store


def read_gauges(store: Store, target_ms: int = TARGET_MS) -> dict[str, float]:
    """Return each gauge, its labels in the name, with its value now. ``target_ms``: of ``[sync] target_s``."""
    with store.reading() as tx:
        health = read_health(tx)
        alarms = [*health.alarms, *find_disk_alarms(store)]
        gauges: dict[str, float] = {
            "wanesync_conflicts_open": tx.conflicts.count_open(),
            "wanesync_webhooks_set_aside": tx.rejected.count(),
            "wanesync_writes_on": float(read_switch(tx) == ON),
            "wanesync_alarms": len(alarms),
            "wanesync_holds_open": sum(hold.state == HoldState.OPEN for hold in health.holds),
        }
        for state, count in tx.purchases.counts().items():
            gauges[f'wanesync_purchases{{state="{state}"}}'] = count
        gauges |= _timeliness_gauges(read_timeliness(tx, target_ms))
    for (code, level), count in Counter((alarm.code, alarm.level.label) for alarm in alarms).items():
        gauges[f'wanesync_alarm{{code="{code}",level="{level}"}}'] = count
    for side, lane in health.lanes.items():
        gauges |= _lane_gauges(side, lane)
    return gauges


def _timeliness_gauges(found: Timeliness) -> dict[str, float]:
    gauges = {
        "wanesync_target_seconds": found.target_s,
        "wanesync_people_late": float(found.waiting),
        "wanesync_people_late_seconds": found.oldest_s,
    }
    for window, share in (("hour", found.last_hour.share), ("day", found.last_day.share)):
        if share is not None:
            gauges[f'wanesync_in_target_share{{window="{window}"}}'] = share
    return gauges


def _lane_gauges(side: str, lane: LaneState) -> dict[str, float]:
    label = f'lane="{side}"'
    gauges: dict[str, float] = {
        f"wanesync_jobs_ready{{{label}}}": lane.ready,
        f"wanesync_jobs_running{{{label}}}": lane.running,
        f"wanesync_jobs_retrying{{{label}}}": lane.retrying,
        f"wanesync_jobs_dead{{{label}}}": lane.dead,
        f"wanesync_jobs_oldest_seconds{{{label}}}": lane.oldest_s,
        f"wanesync_workers{{{label}}}": lane.workers,
    }
    if lane.clears_in_s is not None:
        gauges[f"wanesync_jobs_clear_in_seconds{{{label}}}"] = lane.clears_in_s
    for name, count in lane.dead_classes.items():
        gauges[f'wanesync_dead_letters{{{label},class="{name}"}}'] = count
    for kind, flow in lane.flow.items():
        gauges[f'wanesync_jobs_done_last_minute{{{label},kind="{kind}"}}'] = flow.done_per_min_over_1_min
    return gauges
