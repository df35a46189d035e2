"""The overview in the words and numbers that its templates print."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from wanesync.admin.lane_samples import LaneSample, draw_points
from wanesync.admin.ways_out import find_link, find_page
from wanesync.core.jobs import DeadClass
from wanesync.core.model import Side
from wanesync.core.rate_limits import format_value
from wanesync.ops.overview import NAMES, SHARE_WANTED, Chart, Period, Trends, format_share
from wanesync.terminal import format_counts, format_duration, pluralize

if TYPE_CHECKING:
    from wanesync.admin.lane_samples import LaneSamples
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.ops.overview import Overview

Show = Callable[[float], str]
STATES = {"": ("running", "ok"), "away": ("unreachable", "bad"), "paused": ("paused", "warn")}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the address of the page chooses. ``side``: "" for both."""

    period: Period = Period.HOUR
    side: Side | None = None

    @property
    def topic(self) -> str:
        """The name under which live pages with this choice share a reader."""
        return f"overview {self.period} {self.side or 'both'}"

    def query(self, **changed: str) -> str:
        """Return the choice as it stands in an address, with some of it changed; what is the default is left out."""
        values = {"period": str(self.period), "side": str(self.side or "")} | changed
        defaults = {"period": str(Period.HOUR), "side": ""}
        return urlencode({name: value for name, value in values.items() if value != defaults[name]})


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm and the page that mends it."""

    level: str
    what: str
    advice: str
    path: str
    label: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that is seen at once. ``kind``: "warn", "bad" or ""."""

    name: str
    value: str
    note: str
    path: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class LimitView:
    """Requests a second against the limit in effect."""

    used: float
    max: float
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A small chart: points of an SVG, its value now and the highest one."""

    name: str
    points: str
    area: str
    now: str
    highest: str


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane. ``counts``: name, number, and "bad" for one that should be 0."""

    side: str
    name: str
    state: str
    kind: str
    workers: str
    counts: Sequence[tuple[str, str, str]]
    limit: LimitView | None
    sparks: Sequence[Spark]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; its first cell leads to ``path``, if there is one."""

    cells: Sequence[str]
    path: str = ""


@dataclass(frozen=True, slots=True)
class TableView:
    """A table. ``name``: its place on the page. ``empty``: what it says without rows."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str


@dataclass(frozen=True, slots=True)
class ListView:
    """Names with their values."""

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OverviewView:
    """Everything the templates of the overview print."""

    choice: Choice
    trends: Trends
    clock: str
    database: str
    alarms: Sequence[AlarmView]
    tiles: Sequence[Tile]
    lanes: Sequence[LaneView]
    tables: Sequence[TableView]
    lists: Sequence[ListView]

    @property
    def alarm_summary(self) -> str:
        """Return how many alarms there are, for screen readers."""
        critical = sum(alarm.level == "critical" for alarm in self.alarms)
        return f"{pluralize(len(self.alarms), 'alarm')}, {critical} critical" if self.alarms else "no alarm"


def make_view(overview: Overview, samples: LaneSamples, choice: Choice, pages: Collection[str]) -> OverviewView:
    """Return what the templates print. ``pages``: the addresses of the pages that there are, for links."""
    status = overview.status
    return OverviewView(
        choice=choice,
        trends=overview.trends,
        clock=f"{datetime.fromtimestamp(overview.at_ms / 1000, UTC):%H:%M:%S}",
        database=status.database,
        alarms=_list_alarms(overview, pages),
        tiles=[replace(tile, path=find_link(tile.path, pages)) for tile in _list_tiles(overview)],
        lanes=[_show_lane(overview, samples, side, lane) for side, lane in status.lanes.items()],
        tables=[_table_dead(overview, pages), _table_rates(overview), _table_processes(overview)],
        lists=[_list_activity(overview), _list_records(overview)],
    )


def _list_alarms(overview: Overview, pages: Collection[str]) -> list[AlarmView]:
    found = []
    for alarm in overview.alarms:
        path, label = find_page(alarm.code, alarm.subject, pages)
        found.append(AlarmView(alarm.level.label, alarm.what, alarm.advice, path, label))
    return found


def _list_tiles(overview: Overview) -> list[Tile]:
    status, trends, share = overview.status, overview.trends, overview.status.timeliness.last_hour.share
    lanes = status.lanes.values()
    due, dead = sum(lane.due + lane.running for lane in lanes), sum(lane.dead for lane in lanes)
    clears = [lane.clears_in_s for lane in lanes if lane.due or lane.running]
    waits = [lane for lane in lanes if lane.stopped and (lane.due or lane.running)]
    clearing = "waits for a side" if waits else f"clears in {_seconds(max(filter(None, clears), default=0))}"
    p95 = trends.latency_s["p95"]
    wanted = f"last hour; wanted {SHARE_WANTED:.0%}"
    rate = trends.success_rate
    workers = sum(lane.workers for lane in lanes)
    return [
        Tile(
            f"Synced within {overview.status.timeliness.target_s:g} s",
            "–" if share is None else format_share(share),
            wanted if share is not None else "no change in the last hour",
            "#share",
            "bad" if share is not None and share < SHARE_WANTED else "",
        ),
        Tile("Latency p95", _seconds(p95) if p95 is not None else "–", f"last {trends.period}", "#latency"),
        Tile("Due or running", f"{due:,}", clearing if due else "the queue is empty", "/queue?state=due"),
        Tile(
            "Attempts that succeed",
            "–" if rate is None else format_share(rate),
            f"{pluralize(trends.failed, 'failure')}, last {trends.period}",
            "#jobs",
            "warn" if rate is not None and rate < SHARE_WANTED else "",
        ),
        Tile(
            "Dead letters",
            f"{dead:,}",
            _dead_note(overview),
            "/queue?state=dead",
            "bad" if _count_errors(overview) else "",
        ),
        Tile(
            "Conflicts",
            f"{status.conflicts:,}",
            f"{pluralize(status.kept_values, 'value')} kept",
            "/conflicts",
            "warn" if status.conflicts else "",
        ),
        Tile(
            "Workers alive",
            f"{workers:,}",
            ", ".join(f"{NAMES[Side(side)]} {lane.workers}" for side, lane in status.lanes.items()),
            "#processes",
            "bad" if any(not lane.workers for lane in lanes) else "",
        ),
    ]


def _count_errors(overview: Overview) -> int:
    """Return the dead letters but those without a person, which are no error."""
    classes = [(name, count) for lane in overview.status.lanes.values() for name, count in lane.dead_classes.items()]
    return sum(count for name, count in classes if name != DeadClass.UNMATCHED)


def _dead_note(overview: Overview) -> str:
    unmatched = sum(lane.dead_classes.get(DeadClass.UNMATCHED, 0) for lane in overview.status.lanes.values())
    return f"{unmatched:,} of them unmatched" if unmatched else "given up, and kept"


def _show_lane(overview: Overview, samples: LaneSamples, side: str, lane: LaneState) -> LaneView:
    state, kind = STATES[lane.stopped] if lane.workers or lane.stopped else ("no worker", "bad")
    found = samples.of(side)
    busy = lane.due or lane.running
    clears = "–" if not busy else "stopped" if lane.clears_in_s is None else _seconds(lane.clears_in_s)
    return LaneView(
        side=side,
        name=NAMES[Side(side)],
        state=state,
        kind=kind,
        workers=pluralize(lane.workers, "worker"),
        counts=[
            ("due", f"{lane.due:,}", ""),
            ("waiting", f"{lane.ready - lane.due:,}", ""),
            ("running", f"{lane.running:,}", ""),
            ("retrying", f"{lane.retrying:,}", ""),
            ("dead", f"{lane.dead:,}", "bad" if lane.dead else ""),
            ("oldest", _seconds(lane.oldest_s) if busy else "–", ""),
            ("clears in", clears, ""),
        ],
        limit=_show_limit(overview, side),
        sparks=[
            _draw_spark(
                "Due or running", found, overview.at_ms, [sample.size for sample in found], lambda v: f"{v:,.0f}"
            ),
            _draw_spark("Oldest", found, overview.at_ms, [sample.oldest_s for sample in found], _seconds),
        ],
    )


def _draw_spark(name: str, samples: Sequence[LaneSample], now_ms: int, values: Sequence[float], show: Show) -> Spark:
    points, area = draw_points(zip((sample.at_ms for sample in samples), values, strict=True), now_ms)
    return Spark(name, points, area, show(values[-1] if values else 0), show(max(values, default=0)))


def _show_limit(overview: Overview, side: str) -> LimitView | None:
    state = next((state for state in overview.limits if state.limit.scope == side), None)
    if state is None:
        return None
    limit = state.limit
    text = f"{state.used:.1f} of {format_value(side, limit.effective)}"
    if limit.effective < limit.configured:
        text += f" (configured {format_value(side, limit.configured)})"
    return LimitView(
        round(state.used, 2), limit.effective, text, limit.reason if limit.effective < limit.configured else ""
    )


def _table_dead(overview: Overview, pages: Collection[str]) -> TableView:
    rows = [
        Row(
            [name.replace("_", " "), NAMES[Side(side)], f"{count:,}"],
            find_link(f"/queue?{urlencode(_dead_filter(side, name))}", pages),
        )
        for side, lane in overview.status.lanes.items()
        for name, count in lane.dead_classes.items()
    ]
    return TableView("dead", "Dead letters by class", ["Class", "Lane", ">Jobs"], rows, "No dead letter.")


def _dead_filter(side: str, name: str) -> Mapping[str, str]:
    return {"state": "dead", "side": side, "code": name}


def _table_rates(overview: Overview) -> TableView:
    rows = []
    for side, lane in overview.status.lanes.items():
        for kind, flow in lane.flow.items():
            attempts = flow.done_in_60_min + flow.failed_tries_in_60_min + flow.given_up_in_60_min
            rows.append(
                Row(
                    [
                        f"{kind} {NAMES[Side(side)]}",
                        f"{flow.done_per_min_over_1_min:,.0f}",
                        f"{flow.done_per_min_over_5_min:,.1f}",
                        f"{flow.done_per_min_over_60_min:,.1f}",
                        f"{flow.failed_tries_in_60_min:,}",
                        f"{flow.given_up_in_60_min:,}",
                        format_share(flow.done_in_60_min / attempts) if attempts else "–",
                    ]
                )
            )
    columns = ["Jobs", ">1 min", ">5 min", ">60 min", ">Failed", ">Given up", ">Success"]
    return TableView(
        "rates", "Done a minute, and failures of the last hour", columns, rows, "No job ended in the last hour."
    )


def _table_processes(overview: Overview) -> TableView:
    rows = [
        Row([process.name, process.lanes, _ago(process.heartbeat_s), format_duration(process.up_s * 1000)])
        for process in overview.status.processes
    ]
    return TableView(
        "processes", "Processes alive", ["Process", "Runs", ">Heartbeat", ">Up"], rows, "No process is alive."
    )


def _list_activity(overview: Overview) -> ListView:
    status = overview.status
    rows = []
    for side, webhooks in status.webhooks.items():
        refused = sum(webhooks.refused.values())
        lately = f"{webhooks.accepted:,} accepted, {refused:,} refused in 10 min"
        rows.append((f"Last {NAMES[Side(side)]} webhook", f"{_ago(webhooks.last_s)} ({lately})"))
    rows += [(f"Last {NAMES[Side(side)]} catch-up", _ago(age)) for side, age in status.last_catch_up_s.items()]
    rows += [
        ("Last reconcile", _ago(status.last_reconcile_s)),
        ("First listing", "done" if status.first_listing else "missing"),
        ("Writes", status.writes),
        ("Purchases", format_counts(status.purchases)),
    ]
    return ListView("Activity", rows)


def _list_records(overview: Overview) -> ListView:
    status = overview.status
    rows = [
        ("Contacts", f"{status.records.get('hubspot', 0):,}"),
        ("Customers", f"{status.records.get('stripe', 0):,}"),
        ("Links", format_counts(status.links)),
        ("Not found", f"{status.missing.count:,}"),
        ("Webhooks set aside", f"{status.rejected:,}"),
        ("Writes without an answer", f"{status.open_writes:,}"),
        ("Holds", f"{len(status.holds):,}"),
    ]
    return ListView("Records", rows)


def charts_as_json(trends: Trends) -> str:
    """Return the charts as the script of the page reads them, safe inside of a ``script`` element."""
    found = {
        "x": [at_ms // 1000 for at_ms in trends.at_ms],
        "step": trends.step_ms // 1000,
        "charts": [_chart_as_json(chart) for chart in trends.charts],
    }
    return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def _chart_as_json(chart: Chart) -> Mapping[str, object]:
    lines = [
        {"name": line.name, "label": line.label, "bound": line.is_bound, "values": line.values} for line in chart.lines
    ]
    values = {"name": chart.name, "title": chart.title, "unit": chart.unit, "summary": chart.summary}
    return {**values, "share": chart.is_share, "lines": lines}


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else format_duration(value * 1000)


def _ago(age_s: float | None) -> str:
    return "never" if age_s is None else f"{format_duration(age_s * 1000)} ago"
