"""The state of everything at one moment, for ``status``, its alarms and the metrics page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from wanesync.core.job import JobKind
from wanesync.core.model import LinkState, Side
from wanesync.engine.apply import WRITES
from wanesync.engine.scene import LISTED

if TYPE_CHECKING:
    from wanesync.store.store import Store, Tx

OLD_MS = 60_000
BATCH = 100
DEAD_SHOWN = 10_000


@dataclass(frozen=True, slots=True)
class LaneState:
    """One lane. ``due``: ready and not waiting. ``clears_in_s``: how long the due work takes at the limit."""

    ready: int
    due: int
    running: int
    dead: int
    oldest_s: float
    clears_in_s: float
    workers: int
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overview:
    """What ``status --json`` prints."""

    database: str
    writes: str
    first_listing: bool
    lanes: Mapping[str, LaneState]
    limits: Mapping[str, Mapping[str, float]]
    pauses: Sequence[Mapping[str, object]]
    records: Mapping[str, int]
    links: Mapping[str, int]
    conflicts: int
    rejected: int
    open_writes: int
    purchases: Mapping[str, int]
    processes: Sequence[Mapping[str, object]]
    alarms: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """As one JSON document."""
        return asdict(self)

    @property
    def busy(self) -> bool:
        """Whether anything is due or running now."""
        return any(lane.due or lane.running for lane in self.lanes.values())


def read_overview(store: Store) -> Overview:
    """One consistent reading."""
    with store.reading() as tx:
        lanes = {str(side): _read_lane(tx, side) for side in Side}
        pauses = [
            {"name": p.name, "reason": p.reason, "away": p.away, "for_s": _age_s(tx, p.since_ms)}
            for p in tx.pauses.get_all().values()
        ]
        listed = tx.settings.get(LISTED) is not None
        return Overview(
            database=store.url_label,
            writes=tx.settings.get(WRITES) or "off",
            first_listing=listed,
            lanes=lanes,
            limits={
                scope: {"configured_per_s": configured, "effective_per_s": effective}
                for scope, (configured, effective) in sorted(tx.rates.limits().items())
            },
            pauses=pauses,
            records={str(side): tx.records.count(side) for side in Side},
            links=_count_links(tx),
            conflicts=tx.conflicts.count_open(),
            rejected=tx.rejected.count(),
            open_writes=tx.writes.count_open(),
            purchases=tx.purchases.counts(),
            processes=[
                {
                    "name": row.name,
                    "lanes": row.lanes,
                    "up_s": _age_s(tx, row.started_ms),
                    "heartbeat_s": _age_s(tx, row.heartbeat_ms),
                }
                for row in tx.processes.alive()
            ],
            alarms=_find_alarms(lanes, pauses, listed=listed),
        )


def live_workers(tx: Tx, side: Side) -> int:
    """Processes that run a side's lane and have a fresh heartbeat."""
    return sum(str(side) in row.lanes.split(",") for row in tx.processes.alive())


def read_gauges(store: Store) -> dict[str, float]:
    """The metrics page's gauges."""
    seen = read_overview(store)
    gauges: dict[str, float] = {
        "wanesync_conflicts_open": seen.conflicts,
        "wanesync_webhooks_set_aside": seen.rejected,
        "wanesync_writes_on": float(seen.writes == "on"),
        "wanesync_alarms": len(seen.alarms),
    }
    for side, lane in seen.lanes.items():
        label = f'{{lane="{side}"}}'
        gauges |= {
            f"wanesync_jobs_ready{label}": lane.ready,
            f"wanesync_jobs_running{label}": lane.running,
            f"wanesync_jobs_dead{label}": lane.dead,
            f"wanesync_jobs_oldest_seconds{label}": lane.oldest_s,
            f"wanesync_workers{label}": lane.workers,
        }
    for state, count in seen.purchases.items():
        gauges[f'wanesync_purchases{{state="{state}"}}'] = count
    return gauges


def _age_s(tx: Tx, at_ms: int) -> float:
    return round(max(0, tx.now_ms - at_ms) / 1000, 1)


def _read_lane(tx: Tx, side: Side) -> LaneState:
    rows = [row for row in tx.jobs.depth() if row["lane"] == side]
    due = sum(row["due"] for row in rows)
    oldest = [row["oldest_arrived_ms"] for row in rows if row["due"]]
    configured, effective = tx.rates.limits().get(str(side), (0.0, 0.0))
    per_s = effective or configured
    # Stripe takes one record per request, HubSpot a hundred.
    requests = due if side is Side.STRIPE else math.ceil(due / BATCH)
    return LaneState(
        ready=sum(row["ready"] for row in rows),
        due=due,
        running=sum(row["running"] for row in rows),
        dead=len(tx.jobs.dead(lane=side, limit=DEAD_SHOWN)),
        oldest_s=_age_s(tx, min(oldest)) if oldest else 0.0,
        clears_in_s=round(requests / per_s, 1) if per_s else 0.0,
        workers=live_workers(tx, side),
        kinds={
            str(kind): sum(row["ready"] + row["running"] for row in rows if row["kind"] == kind) for kind in JobKind
        },
    )


def _count_links(tx: Tx) -> dict[str, int]:
    counts = {str(state): 0 for state in LinkState} | {"parked_fields": 0}
    after = ""
    while page := tx.links.page(after, 1000):
        for link in page:
            counts[str(link.state)] += 1
            counts["parked_fields"] += len(link.parked)
        after = page[-1].id
    return counts


def _find_alarms(lanes: Mapping[str, LaneState], pauses: Sequence[Mapping[str, object]], *, listed: bool) -> list[str]:
    alarms = []
    if not listed:
        alarms.append("first listing missing: nobody is created until wanesync reconcile (or up) has run once")
    for side, lane in lanes.items():
        if lane.due and not lane.workers:
            alarms.append(f"{side}: {lane.due} jobs are due and no worker runs this lane: start wanesync worker")
        if lane.dead:
            alarms.append(f"{side}: {lane.dead} dead letters: look at wanesync jobs --dead, then wanesync retry")
        if lane.oldest_s * 1000 > OLD_MS:
            alarms.append(f"{side}: the oldest due job waits for {lane.oldest_s:.0f} s")
    for pause in pauses:
        what = "does not answer" if pause["away"] else "is paused"
        alarms.append(f"{pause['name']} {what}: {pause['reason']}")
    return alarms
