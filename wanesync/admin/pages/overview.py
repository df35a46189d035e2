"""The overview: what an operator keeps open, live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, StreamingResponse

from wanesync.admin.live_services import Live, pages_of
from wanesync.admin.overview_view import Choice, charts_as_json
from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.core.errors import NotFound
from wanesync.core.model import Side
from wanesync.ops.overview import NAMES, Chart, Period, Trends, format_share

router = APIRouter(include_in_schema=False)
NAV = NavEntry("/", "Overview", 10)
SIDES = (("", "Both sides"), *((str(side), NAMES[side]) for side in Side))
SEEING = require(Permission.SEE)
Seeing = Annotated[Visitor, SEEING]


def read_choice(period: str = "", side: str = "") -> Choice:
    """Return what an address chooses; what it does not know is the default, so that an old link works."""
    return Choice(Period(period) if period in {*Period} else Period.HOUR, Side(side) if side in {*Side} else None)


Chosen = Annotated[Choice, Depends(read_choice)]


@router.get("/", dependencies=[SEEING])
def show(request: Request, live: Live, choice: Chosen) -> HTMLResponse:
    """Show the overview of a period."""
    view = live.overview.view(choice, pages_of(request))
    return render(
        request,
        "overview/index.html",
        view=view,
        choice=choice,
        periods=[*Period],
        sides=SIDES,
        charts=charts_as_json(view.trends),
    )


@router.get("/overview/charts/{name}", dependencies=[SEEING])
def show_chart(request: Request, live: Live, choice: Chosen, name: str) -> HTMLResponse:
    """Show one chart as a table, newest first. Raises NotFound."""
    trends = live.overview.read_trends(choice)
    chart = next((chart for chart in trends.charts if chart.name == name), None)
    if chart is None:
        raise NotFound("there is no such chart")
    columns = ["Time (UTC)", *(f">{line.label}" for line in chart.lines)]
    return render(
        request,
        "overview/chart.html",
        chart=chart,
        period=choice.period,
        query=choice.query(),
        columns=columns,
        rows=list_rows(chart, trends),
    )


def list_rows(chart: Chart, trends: Trends) -> Sequence[Sequence[str]]:
    """Return a chart as rows of text, the newest first."""
    rows = zip(trends.at_ms, *(line.values for line in chart.lines), strict=True)
    return [[format_step(at_ms), *(_format(chart, value) for value in values)] for at_ms, *values in rows][::-1]


@router.get("/overview/live", response_class=StreamingResponse)
async def stream(request: Request, visitor: Seeing, live: Live, choice: Chosen) -> StreamingResponse:
    """Send what changes, as server-sent events. Raises TooManyListeners."""
    return live.stream(choice.topic, live.overview.topic(choice, pages_of(request)), visitor)


def format_step(at_ms: int) -> str:
    """Return when a step begins, as UTC text."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _format(chart: Chart, value: float | None) -> str:
    if value is None:
        return "–"
    return format_share(value) if chart.is_share else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
