"""The status as tables for a terminal of 80 to 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from wanesync.ops.writes import OFF
from wanesync.terminal import format_counts, format_duration, make_table, pluralize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from wanesync.ops.figures import Timeliness
    from wanesync.ops.health.api_versions import ApiVersionState
    from wanesync.ops.health.lane_status import LaneState
    from wanesync.ops.status import Status

LANE_COLUMNS = (
    "Lane",
    ">Due",
    ">Waiting",
    ">Running",
    ">Retrying",
    ">Dead",
    ">Oldest",
    ">Clears in",
    ">Limit/s",
    ">Workers",
)
FLOW_COLUMNS = ("Done", ">1 min", ">5 min", ">60 min", ">In 60 min", ">Failed", ">Given up")
FLOW_TITLE = "Done per minute over 1, 5 and 60 minutes; tries and jobs of 60 minutes"
LABEL_COLUMNS = 17
STOPPED = {"away": "unreachable"}
"""How the table names why a lane is stopped, where the JSON document has another word."""


def render_status(status: Status) -> RenderableType:
    """Return the whole status, alarms last."""
    listing = "done" if status.first_listing else "missing"
    writes = "off until wanesync writes on" if status.writes == OFF else status.writes
    kept = f", {pluralize(status.kept_values, 'value')} kept" if status.kept_values else ""
    parked = f"{pluralize(status.conflicts, 'conflict')}{kept}, {pluralize(status.rejected, 'webhook')} set aside"
    lines = [
        ("database", status.database),
        ("writes", f"{writes}, first listing {listing}"),
        ("limits", ", ".join(_list_limits(status)) or "none"),
        (
            "records",
            f"{pluralize(status.records['hubspot'], 'contact')}, {pluralize(status.records['stripe'], 'customer')}",
        ),
        *(
            [("missing", f"{pluralize(status.missing.count, 'record')} not found: {', '.join(status.missing.first)}")]
            if status.missing.count
            else []
        ),
        *([("still held", f"of erased people: {', '.join(status.still_held)}")] if status.still_held else []),
        ("links", format_counts(status.links)),
        ("needs a decision", parked),
        ("in time", describe_timeliness(status.timeliness)),
        ("last webhook", _join_ages({side: state.last_s for side, state in status.webhooks.items()})),
        ("last catch-up", _join_ages(status.last_catch_up_s)),
        ("last reconcile", _format_age(status.last_reconcile_s)),
        ("purchases", format_counts(status.purchases)),
        *(
            [("", f"{status.account_purchases:,} of the unmatched paid by accounts (Accounts v2), not supported yet")]
            if status.account_purchases
            else []
        ),
        *([("HubSpot's API", _describe_version(status.api_version))] if status.api_version.hubspot else []),
        *(
            ("dead letters", f"{side}: {format_counts(lane.dead_classes)}")
            for side, lane in status.lanes.items()
            if lane.dead
        ),
        *(
            ("process", f"{process.name}: {process.lanes}, up {format_duration(process.up_s * 1000)}")
            for process in status.processes
        ),
    ]
    flows = _make_flow_table(status)
    lines += [("alarm", alarm) for alarm in status.alarms]
    return Group(_make_lane_table(status), *([flows] if flows.row_count else []), _LabelledLines(lines))


def describe_timeliness(found: Timeliness) -> str:
    """Return the share of people within the target in words, and who is beyond it by now."""
    target = format_duration(found.target_s * 1000)
    shares = [("hour", found.last_hour.share), ("day", found.last_day.share)]
    known = [f"{_format_share(share)} in the last {window}" for window, share in shares if share is not None]
    said = f"{', '.join(known)} (within {target})" if known else f"no change in the last day (target {target})"
    if not found.waiting:
        return said
    waiting = "1 person" if found.waiting == 1 else f"{found.waiting:,} people"
    return (
        f"{said}; {waiting} beyond it, the first {_shorten(found.oldest)} for {format_duration(found.oldest_s * 1000)}"
    )


def _format_share(share: float) -> str:
    """Return a share in percent; only all is 100 %."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.9):.1f} %"


def _shorten(subject: str) -> str:
    """Return ``lane:key`` without the whole keyed hash of a guest's address."""
    lane, _, key = subject.partition(":")
    return f"{lane} {key[:14]}…" if key.startswith("guest:") else f"{lane} {key}"


class _LabelledLines:
    """A line for each label and value. On a terminal a value that is longer continues below itself."""

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as lines, or in a terminal as two columns."""
        room = options.max_width - LABEL_COLUMNS
        for label, value in self._lines:
            name = Text(f"{label:<{LABEL_COLUMNS}}", style="red" if label == "alarm" else "")
            if not console.is_terminal or max(map(len, value.split()), default=0) > room:
                yield name + Text(value)
                continue
            made = Table.grid()
            made.add_column(width=LABEL_COLUMNS, no_wrap=True)
            made.add_row(name, Text(value))
            yield made


def _list_limits(status: Status) -> list[str]:
    """Return each limit; those of the kinds of call as one where they are the same."""
    shown = {scope: f"{_format_limit(status, scope)}/s" for scope in status.limits}
    kinds = {scope: limit for scope, limit in shown.items() if "." in scope}
    if len(kinds) > 1 and len(set(kinds.values())) == 1:
        side, limit = next(iter(kinds)).partition(":")[0], next(iter(kinds.values()))
        shown = {scope: value for scope, value in shown.items() if scope not in kinds} | {
            f"each kind of call to {side}": limit
        }
    return [f"{scope} {limit}" for scope, limit in shown.items()]


def _describe_version(state: ApiVersionState) -> str:
    part = "" if state.of == state.hubspot else f"; its {state.of} paths (purchases as notes)"
    return f"{state.hubspot}{part} supported until {state.ends}" if state.ends else state.hubspot


def _join_ages(ages: Mapping[str, float | None]) -> str:
    return ", ".join(f"{side} {_format_age(age)}" for side, age in ages.items())


def _format_age(age_s: float | None) -> str:
    return "never" if age_s is None else f"{format_duration(age_s * 1000)} ago"


def _make_lane_table(status: Status) -> Table:
    made = make_table(*LANE_COLUMNS)
    for side, lane in status.lanes.items():
        made.add_row(
            side,
            f"{lane.due:,}",
            f"{lane.ready - lane.due:,}",
            f"{lane.running:,}",
            f"{lane.retrying:,}",
            f"[red]{lane.dead:,}[/]" if lane.dead else "0",
            format_duration(lane.oldest_s * 1000) if lane.due or lane.running else "–",
            _format_clearing(lane),
            _format_limit(status, side),
            str(lane.workers),
        )
    return made


def _format_clearing(lane: LaneState) -> str:
    if lane.clears_in_s is None:
        return STOPPED.get(lane.stopped, lane.stopped)
    return format_duration(lane.clears_in_s * 1000) if lane.due or lane.running else "–"


def _make_flow_table(status: Status) -> Table:
    """Return rates, successes and failures of the jobs that ended within the hour."""
    made = make_table(*FLOW_COLUMNS, title=FLOW_TITLE)
    for side, lane in status.lanes.items():
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


def _format_limit(status: Status, scope: str) -> str:
    limit = status.limits.get(scope, {})
    effective, configured = limit.get("effective_per_s", 0.0), limit.get("configured_per_s", 0.0)
    return f"{effective:g}" if effective == configured else f"{effective:g} of {configured:g}"
