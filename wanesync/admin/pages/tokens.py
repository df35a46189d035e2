"""The tokens of the API: created, listed and revoked by admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError
from wanesync.core.operating.operators import OperatorRole
from wanesync.ops.access.tokens import MAX_DAYS, create_token, list_tokens, revoke_token

router = APIRouter(prefix="/tokens", include_in_schema=False)
NAV = NavEntry("/tokens", "Tokens", 910, Permission.TOKENS)
Admin = Annotated[Visitor, require(Permission.TOKENS)]
Proved = Annotated[Visitor, require(Permission.TOKENS, fresh=True)]
"""An admin who gave the password lately: a token outlives the session of a thief."""


@router.get("")
def show(request: Request, services: Services, visitor: Admin) -> Response:
    """The page."""
    return _show(request, services)


@router.post("/create")
def create(
    request: Request,
    services: Services,
    visitor: Proved,
    name: Annotated[str, Form(max_length=200)],
    role: Annotated[OperatorRole, Form()],
    days: Annotated[int, Form()],
) -> Response:
    """Create a token and show it, this once."""
    try:
        _, token = create_token(services.store, visitor.operator, name, role, days)
    except ConfigError as error:
        return _show(request, services, problem="; ".join(error.problems))
    return _show(request, services, token=token)


@router.post("/revoke")
def revoke(services: Services, visitor: Admin, token: Annotated[str, Form(max_length=64)]) -> Response:
    """Revoke a token."""
    revoke_token(services.store, visitor.operator, token)
    return RedirectResponse("/tokens", 303)


def _show(request: Request, services: AdminServices, *, problem: str = "", token: str = "") -> Response:
    return render(
        request,
        "tokens/page.html",
        status=422 if problem else 200,
        tokens=list_tokens(services.store),
        now_ms=services.store.now_ms(),
        roles=list(OperatorRole),
        max_days=MAX_DAYS,
        problem=problem,
        token=token,
    )
