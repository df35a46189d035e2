"""Limits and pauses: what is configured, in effect and used; changed, paused and resumed while everything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from wanesync.admin.live_services import Live
from wanesync.admin.rendering import NavEntry, environment, render
from wanesync.admin.security.permissions import Permission, is_allowed
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.change_guard import HoldState
from wanesync.core.errors import ConfigError, ConfirmationNeeded, NotAllowed, NotFound
from wanesync.core.model import Side
from wanesync.core.operating.operators import OperatorRole
from wanesync.ops.holds import ALL, choose_holds, close_holds
from wanesync.ops.limits import change_limit, reset_limit
from wanesync.ops.pauses import pause_field, pause_sides, resume_field, resume_sides
from wanesync.ops.steering import Steering, read_steering
from wanesync.ops.writes import ON, switch_writes

router = APIRouter(include_in_schema=False)
NAV = NavEntry("/limits", "Limits", 20)
PATH = "/limits"
PARTS = {
    "limit-rows": "limits",
    "pauses-rows": "sides",
    "writes-rows": "writes",
    "changes-rows": "changes",
    "holds-rows": "held",
}
"""Element of the page -> the macro of its content."""
Seeing = Annotated[Visitor, require(Permission.SEE)]
Changing = Annotated[Visitor, require(Permission.CHANGE_LIMITS)]
Pausing = Annotated[Visitor, require(Permission.PAUSE)]
Holding = Annotated[Visitor, require(Permission.HOLDS)]
Switching = Annotated[Visitor, require(Permission.WRITES)]
Text = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form that changes a limit."""

    scope: str = ""
    value: str = ""


@router.get("/limits", dependencies=[require(Permission.SEE)])
def show(request: Request, services: Services, scope: str = "", done: str = "") -> Response:
    """Show the limits, pauses and holds. ``scope``: the limit that the form is to change; ``done``: what was done."""
    now = _read(services)
    return _render(request, now, Typed(scope), done=_confirm(now, scope, done))


@router.get("/limits/live", response_class=StreamingResponse)
async def stream(visitor: Seeing, services: Services, live: Live) -> StreamingResponse:
    """Send the limits as they change. Raises TooManyListeners."""
    return live.stream(f"limits {visitor.role}", partial(_read_parts, services, visitor.role), visitor)


@router.post("/limits/set")
def change(
    request: Request, visitor: Changing, services: Services, scope: Text = "", value: Text = "", force: Text = ""
) -> Response:
    """Set a limit; above what a vendor publishes only once more confirmed, by a role that may."""
    if force and not visitor.may(Permission.EXCEED_LIMITS):
        raise NotAllowed(f"the role {visitor.role} has no permission to exceed limits: ask an admin")
    try:
        change_limit(services.store, scope, value, visitor.operator, force=bool(force))
    except ConfirmationNeeded as error:
        return _render(request, _read(services), Typed(scope, value), status=409, problem=f"{error.why}.", excess=True)
    except ConfigError as error:
        return _render(request, _read(services), Typed(scope, value), status=422, problem="; ".join(error.problems))
    return _go_back("set", scope=scope)


@router.post("/limits/reset")
def reset(visitor: Changing, services: Services, scope: Text = "") -> Response:
    """Return a limit to the configuration file. Raises ConfigError."""
    reset_limit(services.store, scope, visitor.operator)
    return _go_back("set", scope=scope)


@router.post("/limits/pause")
def pause(visitor: Pausing, services: Services, side: Text = "", field: Text = "") -> Response:
    """Pause a side, or the changes of a field. Raises ConfigError."""
    if field:
        pause_field(services.store, field, _fields(services), visitor.operator)
        return _go_back("paused", field)
    pause_sides(services.store, [_find_side(side)], visitor.operator)
    return _go_back("paused", side)


@router.post("/limits/resume")
def resume(visitor: Pausing, services: Services, side: Text = "", field: Text = "") -> Response:
    """Resume a side, or the changes of a field. Raises ConfigError."""
    if field:
        resume_field(services.store, field, _fields(services), visitor.operator)
        return _go_back("resumed", field)
    resume_sides(services.store, [_find_side(side)], visitor.operator)
    return _go_back("resumed", side)


@router.post("/limits/holds/release")
def release(visitor: Holding, services: Services, hold: Text = "") -> Response:
    """Write what a hold keeps back. Raises NotFound."""
    return _close(services, visitor, hold, HoldState.RELEASED)


@router.post("/limits/holds/discard")
def discard(visitor: Holding, services: Services, hold: Text = "") -> Response:
    """Never write what a hold keeps back. Raises NotFound."""
    return _close(services, visitor, hold, HoldState.DISCARDED)


@router.post("/limits/writes")
def switch(visitor: Switching, services: Services, writes: Text = "") -> Response:
    """Allow or forbid writes to both sides. Raises ConfigError."""
    if writes not in {"on", "off"}:
        raise ConfigError(["writes: on or off"])
    switch_writes(services.store, visitor.operator, on=writes == ON)
    return _go_back(f"writes-{writes}")


def _close(services: AdminServices, visitor: Visitor, hold: str, state: HoldState) -> Response:
    if hold == ALL:
        # One at a time: how much it is stands in the question of each.
        raise NotFound("name one hold")
    close_holds(services.store, choose_holds(services.store, hold, state), state, visitor.operator)
    return _go_back(str(state))


def _find_side(text: str) -> Side:
    if text not in {*Side}:
        raise ConfigError([f"name a side: {' or '.join(Side)}"])
    return Side(text)


def _fields(services: AdminServices) -> frozenset[str]:
    return frozenset(spec.name for spec in services.config.specs)


def _read(services: AdminServices) -> Steering:
    return read_steering(services.store, _fields(services))


def _read_parts(services: AdminServices, role: OperatorRole) -> Mapping[str, str]:
    """Return the parts of the page that change, as every operator of a role sees them."""
    parts = environment().get_template("limits/parts.html").make_module({"visitor": None})
    now = _read(services)

    def may(permission: str) -> bool:
        return is_allowed(role, Permission(permission))

    return {"parts": json.dumps({place: str(getattr(parts, name)(now, may)) for place, name in PARTS.items()})}


def _go_back(done: str, name: str = "", *, scope: str = "") -> Response:
    values = {"done": f"{done} {name}".strip()} | ({"scope": scope} if scope else {})
    return RedirectResponse(f"{PATH}?{urlencode(values)}", 303)


DONE = {
    "released": "What was held is written, after everything else.",
    "discarded": "What was held is never written; each value is kept as a conflict.",
    "writes-on": "Writes are on.",
    "writes-off": "Writes are off.",
}


def _confirm(now: Steering, scope: str, done: str) -> str:
    """Return what was done in words, made of what stands now: an address can be written by others."""
    kind, _, name = done.partition(" ")
    limit = next((limit for limit in now.limits if limit.scope == scope), None)
    if kind == "set" and limit is not None:
        return f"{scope} is {limit.show(limit.configured)} now, in every process within two seconds."
    states = {side.name: side.paused for side in now.sides} | {field.name: field.paused for field in now.fields}
    if kind in {"paused", "resumed"} and states.get(name) is (kind == "paused"):
        return f"{name} is {kind}."
    return DONE.get(kind, "")


def _render(
    request: Request,
    now: Steering,
    form: Typed,
    *,
    status: int = 200,
    done: str = "",
    problem: str = "",
    excess: bool = False,
) -> Response:
    chosen = next((limit for limit in now.limits if limit.scope == form.scope), None)
    return render(
        request,
        "limits/index.html",
        status=status,
        now=now,
        form=form,
        chosen=chosen,
        scopes=[limit.scope for limit in now.limits],
        done=done,
        problem=problem,
        excess=excess,
    )
