"""The state of everything at one moment, for ``status``, its alarms and the metrics page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wanesync.core.change_guard import HoldKind, show_source
from wanesync.core.jobs import DeadClass
from wanesync.core.model import Side
from wanesync.ops.lane_status import LaneState, age_s, read_lanes
from wanesync.ratelimit.quotas import find_alarms as find_limit_alarms
from wanesync.store.tables.settings import OPERATOR
from wanesync.sync.loader import LISTED
from wanesync.sync.writer import WRITES
from wanesync.terminal import pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.holds import HoldRow

OLD_MS = 60_000
WEB = "web"
"""The lanes of a process that takes webhooks."""


@dataclass(frozen=True, slots=True)
class Status:
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
    holds: Sequence[Mapping[str, object]]
    alarms: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """As one JSON document."""
        return asdict(self)

    @property
    def busy(self) -> bool:
        """Whether anything is due or running now."""
        return any(lane.due or lane.running for lane in self.lanes.values())


@dataclass(frozen=True, slots=True)
class Pulse:
    """What alarms and gauges are drawn from: cheap enough to be asked every second, whatever has piled up."""

    lanes: Mapping[str, LaneState]
    pauses: Sequence[Mapping[str, object]]
    holds: Sequence[Mapping[str, object]]
    first_listing: bool
    alarms: Sequence[str]


def read_status(store: Store) -> Status:
    """One consistent reading."""
    with store.reading() as tx:
        pulse = _read_pulse(tx)
        return Status(
            database=store.url_label,
            writes=tx.settings.get(WRITES) or "off",
            first_listing=pulse.first_listing,
            lanes=pulse.lanes,
            limits={
                scope: {"configured_per_s": configured, "effective_per_s": effective}
                for scope, (configured, effective) in sorted(tx.rates.limits().items())
            },
            pauses=pulse.pauses,
            records={str(side): tx.records.count(side) for side in Side},
            links=tx.links.counts(),
            conflicts=tx.conflicts.count_open(),
            rejected=tx.rejected.count(),
            open_writes=tx.pending_writes.count_open(),
            purchases=tx.purchases.counts(),
            processes=[
                {
                    "name": row.name,
                    "lanes": row.lanes,
                    "up_s": age_s(tx, row.started_ms),
                    "heartbeat_s": age_s(tx, row.heartbeat_ms),
                }
                for row in tx.processes.alive()
            ],
            holds=pulse.holds,
            alarms=pulse.alarms,
        )


def read_alarms(store: Store) -> list[str]:
    """A line for each thing that is wrong."""
    with store.reading() as tx:
        return list(_read_pulse(tx).alarms)


def read_gauges(store: Store) -> dict[str, float]:
    """The metrics page's gauges."""
    with store.reading() as tx:
        pulse = _read_pulse(tx)
        gauges: dict[str, float] = {
            "wanesync_conflicts_open": tx.conflicts.count_open(),
            "wanesync_webhooks_set_aside": tx.rejected.count(),
            "wanesync_writes_on": float(tx.settings.get(WRITES) == "on"),
            "wanesync_alarms": len(pulse.alarms),
            "wanesync_holds_open": sum(hold["state"] == "open" for hold in pulse.holds),
        }
        for state, count in tx.purchases.counts().items():
            gauges[f'wanesync_purchases{{state="{state}"}}'] = count
    for side, lane in pulse.lanes.items():
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


def _read_pulse(tx: Tx) -> Pulse:
    lanes = read_lanes(tx)
    pauses = [
        {"name": p.name, "reason": p.reason, "away": p.away, "for_s": age_s(tx, p.since_ms)}
        for p in tx.pauses.get_all().values()
    ]
    holds = [_read_hold(tx, row) for row in tx.holds.all()]
    listed = tx.settings.get(LISTED) is not None
    served = any(row.lanes == WEB for row in tx.processes.alive())
    alarms = [
        *_find_missing(lanes, listed=listed, served=served),
        *_find_troubles(lanes),
        *_find_pauses(pauses),
        *_find_holds(holds),
        *find_limit_alarms(tx),
    ]
    return Pulse(lanes, pauses, holds, listed, alarms)


def _read_hold(tx: Tx, row: HoldRow) -> dict[str, object]:
    return {
        "id": row.id,
        "source": show_source(row.source),
        "kind": str(row.kind),
        "state": str(row.state),
        "people": row.people,
        "fields": row.fields,
        "for_s": age_s(tx, row.since_ms),
    }


def _find_missing(lanes: Mapping[str, LaneState], *, listed: bool, served: bool) -> list[str]:
    """What does not run that should: before the first listing it may not have been started yet."""
    alarms = []
    if not listed:
        alarms.append("first listing missing: nobody is created until wanesync reconcile (or up) has run once")
    for side, lane in lanes.items():
        if lane.due and not lane.workers:
            are = "is" if lane.due == 1 else "are"
            alarms.append(
                f"{side}: {pluralize(lane.due, 'job')} {are} due and no worker runs this lane: start wanesync worker"
            )
        elif listed and not lane.workers:
            alarms.append(f"{side}: no worker runs this lane: start wanesync worker")
    if listed and not served:
        alarms.append("no web process runs, so webhooks are not taken: start wanesync serve (or up)")
    return alarms


def _find_troubles(lanes: Mapping[str, LaneState]) -> list[str]:
    alarms = []
    for side, lane in lanes.items():
        # A purchase nobody can be found for is listed, and no error.
        dead = {name: count for name, count in lane.dead_classes.items() if name != DeadClass.UNMATCHED}
        if dead:
            classes = ", ".join(f"{count:,} {name}" for name, count in dead.items())
            letters = pluralize(sum(dead.values()), "dead letter")
            alarms.append(f"{side}: {letters} ({classes}): see wanesync jobs --dead, then wanesync retry")
        if lane.oldest_s * 1000 > OLD_MS:
            alarms.append(f"{side}: the oldest job that is due or running waits for {lane.oldest_s:.0f} s")
    return alarms


def _find_pauses(pauses: Sequence[Mapping[str, object]]) -> list[str]:
    alarms = []
    for pause in pauses:
        name = str(pause["name"])
        if name.startswith(OPERATOR):
            alarms.append(f"{name.removeprefix(OPERATOR)} is {pause['reason']}, for {pause['for_s']:.0f} s")
            continue
        what = "does not answer" if pause["away"] else "is paused"
        alarms.append(f"{name} {what}: {pause['reason']}")
    return alarms


def _find_holds(holds: Sequence[Mapping[str, object]]) -> list[str]:
    alarms = []
    for hold in holds:
        if hold["state"] != "open":
            continue
        by_hand = "paused by an operator" if hold["kind"] == HoldKind.FIELD else ""
        values, people = int(str(hold["fields"])), int(str(hold["people"]))
        who = "1 person" if people == 1 else f"{people:,} people"
        are = "is" if values == 1 else "are"
        held = f"{pluralize(values, 'value')} of {who} {are} held: see wanesync hold list" if values else ""
        said = ", ".join(part for part in (by_hand, held) if part) or "held: see wanesync hold list"
        alarms.append(f"{hold['source']}: {said}")
    return alarms
