"""The state of everything as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.text import Text

from wanesync.terminal import format_counts, format_duration, make_table, pluralize

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from wanesync.ops.lane_status import LaneState
    from wanesync.ops.status import Status


def show(seen: Status) -> RenderableType:
    """The whole state for a person."""
    listing = "done" if seen.first_listing else "missing"
    lines = [
        f"database       {seen.database}",
        f"writes         {seen.writes}, first listing {listing}",
        f"limits         {', '.join(f'{scope} {_limit(seen, scope)}/s' for scope in seen.limits) or 'none'}",
        f"records        {seen.records['hubspot']:,} contacts, {seen.records['stripe']:,} customers",
        f"links          {format_counts(seen.links)}",
        f"left to people {pluralize(seen.conflicts, 'conflict')}, {pluralize(seen.rejected, 'webhook')} set aside",
        f"purchases      {format_counts(seen.purchases)}",
        *(
            f"dead letters   {side}: {format_counts(lane.dead_classes)}"
            for side, lane in seen.lanes.items()
            if lane.dead
        ),
        *(f"process        {p['name']}: {p['lanes']}, up {_span(p['up_s'])}" for p in seen.processes),
    ]
    flows = _show_flows(seen)
    parts: list[RenderableType] = [_show_lanes(seen), *([flows] if flows.row_count else []), Text("\n".join(lines))]
    parts += [f"[red]alarm[/]          {escape(alarm)}" for alarm in seen.alarms]
    return Group(*parts)


def _show_lanes(seen: Status) -> Table:
    made = make_table(
        "Lane", ">Due", ">Waiting", ">Running", ">Retrying", ">Dead", ">Oldest", ">Clears in", ">Limit/s", ">Workers"
    )
    for side, lane in seen.lanes.items():
        made.add_row(
            side,
            f"{lane.due:,}",
            f"{lane.ready - lane.due:,}",
            f"{lane.running:,}",
            f"{lane.retrying:,}",
            f"[red]{lane.dead:,}[/]" if lane.dead else "0",
            format_duration(lane.oldest_s * 1000) if lane.due or lane.running else "–",
            _show_clearing(lane),
            _limit(seen, side),
            str(lane.workers),
        )
    return made


def _show_clearing(lane: LaneState) -> str:
    if lane.clears_in_s is None:
        return lane.stopped
    return format_duration(lane.clears_in_s * 1000) if lane.due or lane.running else "–"


def _show_flows(seen: Status) -> Table:
    """Rates, success and failure of what ended within the hour."""
    made = make_table(
        "Done", ">per min: last", ">of 5 min", ">of 60 min", ">Done in 60 min", ">Failed tries", ">Given up"
    )
    for side, lane in seen.lanes.items():
        for kind, flow in lane.flow.items():
            made.add_row(
                f"{kind} {side}",
                f"{flow.done_per_min_over_1_min:,.0f}",
                f"{flow.done_per_min_over_5_min:,.1f}",
                f"{flow.done_per_min_over_60_min:,.1f}",
                f"{flow.done_in_60_min:,}",
                f"{flow.failed_tries_in_60_min:,}",
                f"{flow.given_up_in_60_min:,}",
            )
    return made


def _limit(seen: Status, scope: str) -> str:
    limit = seen.limits.get(scope, {})
    effective, configured = limit.get("effective_per_s", 0.0), limit.get("configured_per_s", 0.0)
    return f"{effective:g}" if effective == configured else f"{effective:g} of {configured:g}"


def _span(value: object) -> str:
    return format_duration(float(value) * 1000) if isinstance(value, int | float) else "–"
