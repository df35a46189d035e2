"""``/api/v1/alerts``: the state of every rule, the history, deliveries, silences, and the test of the recipients."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.core.operating.alarms import AlarmCode
from wanesync.core.operating.alerts import NoticeKind
from wanesync.ops.alerts.changes import MAX_SILENCE_MS, MIN_SILENCE_MS, SilenceRequest, end_silence, silence
from wanesync.ops.alerts.listing import (
    EVERY_STATE,
    list_deliveries,
    list_history,
    show_change,
    show_delivery,
    show_silence,
)
from wanesync.store.tables.operating.alerts import DeliveryState

router = make_router("alerts")
LevelName = Literal["ok", "warn", "critical"]
Seeing = Annotated[Visitor, require(Permission.SEE)]
Code = Annotated[AlarmCode | Literal[""], Query(description="Of one rule.")]


class Alert(ApiModel):
    """One alert of a rule. `pending`: another level that is seen, not long enough yet."""

    code: str
    subject: str = Field(description="A side, a lane, an id, or empty.")
    level: LevelName
    pending: LevelName
    since_ms: int | None
    told: LevelName = Field(description="What recipients were told last.")
    told_ms: int | None
    what: str
    way_out: str


class Rule(ApiModel):
    """A rule and its alerts."""

    code: str = Field(examples=["no_worker"])
    title: str
    level: Literal["off", "warn", "critical"] = Field(description="Its level when it is raised.")
    state: LevelName
    silenced: bool
    alerts: list[Alert]


class AlertRecipient(ApiModel):
    """A recipient: its place in the configuration, and what it is; no address of a webhook."""

    place: str = Field(examples=["warn 1"])
    label: str = Field(examples=["slack hooks.slack.com"])


class AlertSilence(ApiModel):
    """Notices that are not sent for a while."""

    id: str
    code: str = Field(description="Empty: of every rule.")
    subject: str = Field(description="Empty: about anything.")
    until_ms: int
    reason: str
    operator: str
    at_ms: int


class Alerts(ApiModel):
    """All rules, the worst first."""

    evaluated_s: float | None = Field(description="Seconds since the last evaluation by any process; null: never.")
    heartbeat_error: str
    heartbeat_at_ms: int | None
    waiting: int = Field(description="Notices that wait for an attempt.")
    recipients: list[AlertRecipient]
    rules: list[Rule]
    silences: list[AlertSilence]


class AlertChange(ApiModel):
    """A change of an alert's level."""

    id: str
    at_ms: int
    code: str
    subject: str
    before: LevelName
    level: LevelName
    what: str
    way_out: str


class AlertDelivery(ApiModel):
    """A notice on its way to one recipient."""

    id: str
    at_ms: int
    kind: NoticeKind
    level: LevelName
    code: str
    subject: str
    title: str
    recipient: str
    label: str
    state: DeliveryState
    attempts: int
    due_ms: int | None = Field(description="The next attempt; null if there is none.")
    error: str
    ended_ms: int | None


class NewSilence(ApiModel):
    """A silence that is wanted."""

    code: AlarmCode | Literal[""] = Field(default="", description="Empty: every rule.", examples=["dead_letters"])
    subject: str = Field(default="", max_length=200)
    for_ms: int = Field(ge=MIN_SILENCE_MS, le=MAX_SILENCE_MS, examples=[7_200_000])
    reason: str = Field(default="", max_length=200)


class SilenceMade(ApiModel):
    """A silence that was made."""

    id: str


class NewTest(ApiModel):
    """A test of every recipient, or of one."""

    recipient: str = Field(default="", max_length=64, description="Its place; empty: all.", examples=["warn 1"])


class TestResult(ApiModel):
    """How the test of one recipient went."""

    place: str
    label: str
    error: str = Field(description="Empty: it was delivered.")


class TestResults(ApiModel):
    """How the test went."""

    results: list[TestResult]


class SilenceEnded(ApiModel):
    """A silence that was ended."""

    id: str


@router.get("/alerts", summary="List every rule with its alerts")
def show_alerts(_visitor: Seeing, services: Services) -> Alerts:
    """The state of every rule, recipients and silences."""
    return Alerts.model_validate(services.alerts.read().as_json())


@router.get("/alerts/history", summary="List changes of alerts")
def show_history(_visitor: Seeing, services: Services, paging: PagingQuery, code: Code = "") -> Page[AlertChange]:
    """Changes of levels, the newest first."""
    listing = f"alerts/history?{code}"
    after = decode_cursor(services.store, listing, paging.cursor)
    rows = list_history(services.store, paging.limit + 1, str(after[0]) if after else "", code)
    shown = rows[: paging.limit]
    following = encode_cursor(services.store, listing, [shown[-1].id]) if len(rows) > len(shown) else None
    return Page(items=[AlertChange.model_validate(show_change(row)) for row in shown], next=following)


@router.get("/alerts/deliveries", summary="List notices and their deliveries")
def show_deliveries(
    _visitor: Seeing,
    services: Services,
    paging: PagingQuery,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
) -> Page[AlertDelivery]:
    """Notices and their recipients, what failed and why; the newest first."""
    listing = f"alerts/deliveries?{state or ''}"
    after = decode_cursor(services.store, listing, paging.cursor)
    states = (state,) if state else EVERY_STATE
    rows = list_deliveries(services.store, paging.limit + 1, str(after[0]) if after else "", states)
    shown = rows[: paging.limit]
    following = encode_cursor(services.store, listing, [shown[-1].id]) if len(rows) > len(shown) else None
    return Page(items=[AlertDelivery.model_validate(show_delivery(one)) for one in shown], next=following)


@router.get("/alerts/silences", summary="List silences")
def show_silences(_visitor: Seeing, services: Services) -> Page[AlertSilence]:
    """Silences that last; they are never many."""
    found = services.alerts.read().silences
    return Page(items=[AlertSilence.model_validate(show_silence(one)) for one in found])


@router.post("/alerts/silences", summary="Silence a rule", status_code=201)
def make_silence(
    visitor: Annotated[Visitor, require(Permission.CHANGE_ALERTS)], services: Services, wanted: NewSilence
) -> SilenceMade:
    """Send no notice of a rule for a while; what still stands at the end is told then."""
    request = SilenceRequest(wanted.code, wanted.subject, wanted.for_ms, wanted.reason)
    return SilenceMade(id=silence(services.store, request, visitor.operator))


@router.delete("/alerts/silences/{silence_id}", summary="End a silence")
def drop_silence(
    visitor: Annotated[Visitor, require(Permission.CHANGE_ALERTS)],
    services: Services,
    silence_id: Annotated[str, Path(max_length=64)],
) -> SilenceEnded:
    """End a silence; what stands is told in the next round."""
    end_silence(services.store, silence_id, visitor.operator)
    return SilenceEnded(id=silence_id)


@router.post("/alerts/test", summary="Test the recipients")
def run_test(
    visitor: Annotated[Visitor, require(Permission.TEST_ALERTS)], services: Services, wanted: NewTest
) -> TestResults:
    """Send a test notice now, and say how each delivery went."""
    found = services.alerts.test(visitor.operator, wanted.recipient)
    return TestResults(results=[TestResult.model_validate(one) for one in found])
