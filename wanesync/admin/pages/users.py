"""The users: added, changed and removed by admins."""

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
from wanesync.ops.access.logins import end_sessions, make_password_link
from wanesync.ops.access.second_factor import turn_off_factor
from wanesync.ops.access.users import add_user, change_role, list_users, remove_user

router = APIRouter(prefix="/users", include_in_schema=False)
NAV = NavEntry("/users", "Users", 900, Permission.USERS)
Admin = Annotated[Visitor, require(Permission.USERS)]
Proved = Annotated[Visitor, require(Permission.USERS, fresh=True)]
"""An admin who gave the password lately: a user who is added outlives the session of a thief."""
Name = Annotated[str, Form(max_length=200)]


@router.get("")
def show(request: Request, services: Services, visitor: Admin) -> Response:
    """The page."""
    return _show(request, services)


@router.post("/add")
def add(
    request: Request, services: Services, visitor: Proved, name: Name, role: Annotated[OperatorRole, Form()]
) -> Response:
    """Add a user, and show the link by which he or she sets the password."""
    try:
        name = add_user(services.store, visitor.operator, name.strip(), role, "")
    except ConfigError as error:
        return _show(request, services, problem="; ".join(error.problems))
    return _show(request, services, link_of=name, link=_make_link(request, services, visitor, name))


@router.post("/link")
def make_link(request: Request, services: Services, visitor: Proved, name: Name) -> Response:
    """Show a link by which a user sets a new password."""
    return _show(request, services, link_of=name, link=_make_link(request, services, visitor, name))


@router.post("/role")
def set_role(
    request: Request, services: Services, visitor: Proved, name: Name, role: Annotated[OperatorRole, Form()]
) -> Response:
    """Give a user another role."""
    try:
        change_role(services.store, visitor.operator, name, role)
    except ConfigError as error:
        return _show(request, services, problem="; ".join(error.problems))
    return RedirectResponse("/users", 303)


@router.post("/second-factor/off")
def forget_factor(services: Services, visitor: Proved, name: Name) -> Response:
    """Turn off the second factor of a user whose phone is lost."""
    turn_off_factor(services.store, visitor.operator, name)
    return RedirectResponse("/users", 303)


@router.post("/sessions/end")
def end_all(services: Services, visitor: Admin, name: Name) -> Response:
    """End every session of a user."""
    end_sessions(services.store, visitor.operator, name)
    return RedirectResponse("/users", 303)


@router.post("/remove")
def remove(request: Request, services: Services, visitor: Proved, name: Name) -> Response:
    """Remove a user and end all sessions."""
    try:
        remove_user(services.store, visitor.operator, name)
    except ConfigError as error:
        return _show(request, services, problem="; ".join(error.problems))
    return RedirectResponse("/users", 303)


def _make_link(request: Request, services: AdminServices, visitor: Visitor, name: str) -> str:
    secret = make_password_link(services.store, visitor.operator, name)
    origin = services.config.admin.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{origin}/password?token={secret}"


def _show(
    request: Request, services: AdminServices, *, problem: str = "", link_of: str = "", link: str = ""
) -> Response:
    status = 422 if problem else 200
    users = list_users(services.store)
    return render(
        request,
        "users/page.html",
        status=status,
        users=users,
        roles=list(OperatorRole),
        problem=problem,
        link_of=link_of,
        link=link,
    )
