"""Alerts: the state of every rule, silences, tests of the recipients, deliveries with their failures, the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.times import parse_span
from wanesync.ops.alerts.changes import SilenceRequest, end_silence, silence
from wanesync.ops.alerts.deliverer import TestResult
from wanesync.ops.alerts.listing import EVERY_STATE, list_deliveries, list_history
from wanesync.store.tables.operating.alerts import DeliveryState

router = APIRouter(include_in_schema=False)
NAV = NavEntry("/alerts", "Alerts", 70)
PATH = "/alerts"
ROWS = 25
"""Rows of the two lists (our choice): older ones are a page away."""
KINDS = {Level.OK: "ok", Level.WARN: "warn", Level.CRITICAL: "bad"}
"""Level -> the kind of its badge."""
FAILED = (DeliveryState.WAITING, DeliveryState.FAILED)
DONE = {
    "silenced": "The rule is silenced; what still stands at the end is told then.",
    "ended": "The silence has ended; what stands is told in the next round.",
}
Text = Annotated[str, Form()]
Id = Annotated[str, Query(max_length=64)]


@router.get("/alerts", dependencies=[require(Permission.SEE)])
def show(
    request: Request,
    services: Services,
    code: Annotated[str, Query(max_length=64)] = "",
    deliveries: Annotated[str, Query(max_length=16)] = "",
    changes_before: Id = "",
    deliveries_before: Id = "",
    done: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """Show all of it. ``code``: the rule whose history is shown; ``deliveries``: ``failed`` for those that failed."""
    return _render(
        request,
        services,
        code=code,
        failed=deliveries == "failed",
        before=(changes_before, deliveries_before),
        done=DONE.get(done, ""),
    )


@router.post("/alerts/test")
def send_tests(
    request: Request,
    visitor: Annotated[Visitor, require(Permission.TEST_ALERTS)],
    services: Services,
    place: Text = "",
) -> Response:
    """Send a test to every recipient, or to one, and show how each went."""
    try:
        results = services.alerts.test(visitor.operator, place)
    except ConfigError as error:
        return _render(request, services, status=422, problem="; ".join(error.problems))
    return _render(request, services, results=results)


@router.post("/alerts/silence")
def silence_rule(
    request: Request,
    visitor: Annotated[Visitor, require(Permission.CHANGE_ALERTS)],
    services: Services,
    code: Text = "",
    subject: Text = "",
    lasting: Text = "2h",
    reason: Text = "",
) -> Response:
    """Silence a rule for a while."""
    try:
        wanted = SilenceRequest(code, subject.strip(), parse_span(lasting, "How long"), reason.strip())
        silence(services.store, wanted, visitor.operator)
    except ConfigError as error:
        return _render(request, services, status=422, problem="; ".join(error.problems), code=code)
    return _go_back("silenced")


@router.post("/alerts/unsilence")
def unsilence(
    visitor: Annotated[Visitor, require(Permission.CHANGE_ALERTS)], services: Services, silence_id: Text = ""
) -> Response:
    """End a silence. Raises NotFound."""
    end_silence(services.store, silence_id, visitor.operator)
    return _go_back("ended")


def _go_back(done: str) -> Response:
    return RedirectResponse(f"{PATH}?{urlencode({'done': done})}", 303)


def _render(
    request: Request,
    services: AdminServices,
    *,
    status: int = 200,
    code: str = "",
    failed: bool = False,
    before: tuple[str, str] = ("", ""),
    results: Sequence[TestResult] = (),
    problem: str = "",
    done: str = "",
) -> Response:
    code = code if code in set(AlarmCode) else ""
    store, (changes_before, deliveries_before) = services.store, before
    changes = list_history(store, ROWS + 1, changes_before, code)
    sent = list_deliveries(store, ROWS + 1, deliveries_before, FAILED if failed else EVERY_STATE)
    values = {"code": code, "deliveries": "failed" if failed else ""}
    older_changes = {**values, "changes_before": changes[ROWS - 1].id} if len(changes) > ROWS else {}
    older_sent = {**values, "deliveries_before": sent[ROWS - 1].id} if len(sent) > ROWS else {}
    return render(
        request,
        "alerts/index.html",
        status=status,
        now=services.alerts.read(),
        changes=changes[:ROWS],
        deliveries=sent[:ROWS],
        older_changes=_link(older_changes),
        older_deliveries=_link(older_sent),
        code=code,
        failed=failed,
        codes=sorted(AlarmCode),
        kinds=KINDS,
        results=results,
        problem=problem,
        done=done,
    )


def _link(values: dict[str, str]) -> str:
    return f"{PATH}?{urlencode({name: value for name, value in values.items() if value})}" if values else ""
