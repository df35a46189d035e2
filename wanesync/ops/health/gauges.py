"""Gauges of the metrics page, under their Prometheus names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.core.change_guard import HoldState
from wanesync.ops.alarms import read_health
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.writes import ON, read_switch

if TYPE_CHECKING:
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.store.database import Store


def read_gauges(store: Store) -> dict[str, float]:
    """Return each gauge, its labels in the name, with its value now."""
    with store.reading() as tx:
        health = read_health(tx)
        gauges: dict[str, float] = {
            "wanesync_conflicts_open": tx.conflicts.count_open(),
            "wanesync_webhooks_set_aside": tx.rejected.count(),
            "wanesync_writes_on": float(read_switch(tx) == ON),
            "wanesync_alarms": len(health.alarms) + len(find_disk_alarms(store)),
            "wanesync_holds_open": sum(hold.state == HoldState.OPEN for hold in health.holds),
        }
        for state, count in tx.purchases.counts().items():
            gauges[f'wanesync_purchases{{state="{state}"}}'] = count
    for side, lane in health.lanes.items():
        gauges |= _lane_gauges(side, lane)
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
