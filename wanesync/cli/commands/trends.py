"""``trends``: the charts of the overview in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.core.model import Side
from wanesync.ops.overview import Chart, Line, Period, Trends, format_share, read_trends
from wanesync.output import print_line
from wanesync.terminal import print_json

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 32
"""Characters of one line of a chart: it fits into 80 columns beside its name and numbers."""


def trends(
    *,
    period: Annotated[Period, typer.Option("--period", help="hour, day or week, up to now.")] = Period.HOUR,
    side: Annotated[Side | None, typer.Option("--side", help="Only this side.")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show the last hour, day or week: throughput, failures, latency. These are the charts of the overview."""
    with open_configured(config_file) as (config, store):
        found = read_trends(store, period, side, config.sync.target_s)
    if as_json:
        print_json(trends_as_json(found))
        return
    for chart in found.charts:
        print_line(f"{chart.title} ({chart.unit}): {chart.summary}")
        for line in chart.lines:
            print_line(format_line(chart, line))


def trends_as_json(found: Trends) -> dict[str, object]:
    """Return what ``trends --json`` prints: the same document as ``GET /api/v1/trends``."""
    return {**asdict(found), "at_ms": [*found.at_ms], "success_rate": found.success_rate}


def format_line(chart: Chart, line: Line) -> str:
    """Return one line of a chart: its name, the newest and the highest value, and its course."""
    known = [value for value in line.values if value is not None]
    newest = next((value for value in reversed(line.values) if value is not None), None)
    highest = max(known, default=None)
    course = "" if line.is_bound else draw(line.values, 1.0 if chart.is_share else highest)
    return f"  {line.label:16} {_show(chart, newest):>8}  max {_show(chart, highest):>8}  {course}".rstrip()


def draw(values: Sequence[float | None], highest: float | None) -> str:
    """Return values as a row of blocks, a space where there is none; neighbours are joined where they are too many."""
    top = highest or 1.0
    return "".join(
        " " if value is None else BLOCKS[min(len(BLOCKS) - 1, int(value / top * (len(BLOCKS) - 1) + 0.5))]
        for value in _join(values)
    )


def _join(values: Sequence[float | None]) -> Iterator[float | None]:
    """Yield the mean of each of at most ``WIDTH`` equal parts."""
    size = max(1, -(-len(values) // WIDTH))
    for first in range(0, len(values), size):
        known = [value for value in values[first : first + size] if value is not None]
        yield sum(known) / len(known) if known else None


def _show(chart: Chart, value: float | None) -> str:
    if value is None:
        return "–"
    if chart.is_share:
        return format_share(value)
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
