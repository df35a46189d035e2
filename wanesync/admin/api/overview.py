"""``/api/v1/trends``: the charts of the overview as numbers; its state at this moment is ``/api/v1/status``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from wanesync.admin.api.models import ApiModel
from wanesync.admin.api.routes import make_router
from wanesync.admin.live_services import Live
from wanesync.admin.overview_view import Choice
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.core.model import Side
from wanesync.ops.overview import Period

router = make_router("trends")


class ChartLine(ApiModel):
    """One line of a chart: a value for each step, null where there was nothing to measure."""

    name: str = Field(examples=["stripe"])
    label: str
    values: list[float | None]
    is_bound: bool = Field(description="Whether it is a limit or a target, with which the others are compared.")


class TrendChart(ApiModel):
    """A chart: webhooks, jobs, retries, requests, latency or share."""

    name: str = Field(examples=["webhooks"])
    title: str
    unit: str
    lines: list[ChartLine]
    summary: str = Field(description="The whole period in a few words.")
    is_share: bool = Field(description="Whether its values are shares from 0 to 1.")


class TrendsOfPeriod(ApiModel):
    """Every chart of one period; all have the same steps."""

    period: Period
    side: Side | None
    at_ms: list[int] = Field(description="Where each step begins, milliseconds since 1970.")
    step_ms: int
    charts: list[TrendChart]
    done: int = Field(description="Attempts of jobs that succeeded in the period.")
    failed: int = Field(description="Attempts of jobs that failed in the period.")
    success_rate: float | None
    latency_s: dict[str, float | None] = Field(
        description="Seconds from webhook to the other side: p50, p95 and p99 of the period."
    )


@router.get("/trends", summary="The charts of a period")
def show_trends(
    _visitor: Annotated[Visitor, require(Permission.SEE)],
    live: Live,
    period: Annotated[Period, Query(description="Up to now.")] = Period.HOUR,
    side: Annotated[Side | None, Query(description="One side only.")] = None,
) -> TrendsOfPeriod:
    """Throughput, failures, retries, requests against the limit, latency, and the share in time."""
    return TrendsOfPeriod.model_validate(live.overview.read_trends(Choice(period, side)))
