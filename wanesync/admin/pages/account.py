"""One's own account: password, second factor, sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.rendering import render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.access.logins import end_session, list_sessions

router = APIRouter(prefix="/account", include_in_schema=False)
Mine = Annotated[Visitor, require(Permission.ACCOUNT)]


@router.get("")
def show(request: Request, services: Services, visitor: Mine) -> Response:
    """The page."""
    sessions = list_sessions(services.store, visitor.name)
    user = services.store.read(lambda tx: tx.admin_users.get(visitor.name))
    return render(request, "account/page.html", sessions=sessions, user=user, problem="")


@router.post("/sessions/end")
def end(services: Services, visitor: Mine, session: Annotated[str, Form(max_length=64)]) -> Response:
    """End one of one's own sessions."""
    end_session(services.store, visitor.operator, session)
    return RedirectResponse("/account", 303)
