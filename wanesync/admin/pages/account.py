"""One's own account: password, second factor, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from wanesync.admin.pages.sign_in import Text, find_address, find_local, hash_new
from wanesync.admin.rendering import render
from wanesync.admin.security import second_factor, totp
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.sign_in import prove_again, prove_password
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, NotSignedIn, WanesyncError
from wanesync.ops.access.logins import end_session, list_sessions
from wanesync.ops.access.second_factor import turn_off_factor
from wanesync.ops.access.users import change_password, get_user

router = APIRouter(prefix="/account", include_in_schema=False)
Mine = Annotated[Visitor, require(Permission.ACCOUNT)]
Proved = Annotated[Visitor, require(Permission.ACCOUNT, fresh=True)]


@router.get("")
def show(request: Request, services: Services, visitor: Mine, saved: str = "") -> Response:
    """The page."""
    return _show(request, services, visitor, saved=saved)


@router.post("/password")
def set_password(  # nosec B107 - a form may come without the field
    request: Request, services: Services, visitor: Mine, current: Text = "", password: Text = "", again: Text = ""
) -> Response:
    """Change the password by the current one; every other session ends."""
    try:
        prove_password(services, visitor.name, current, find_address(services, request))
        digest = hash_new(services, visitor.name, password, again)
    except (ConfigError, NotSignedIn) as error:
        return _show(request, services, visitor, problem=_describe(error))
    change_password(services.store, visitor.operator, visitor.name, digest, keep_session=visitor.session_id)
    return RedirectResponse("/account?saved=password", 303)


@router.post("/second-factor")
def prepare_factor(request: Request, services: Services, visitor: Proved) -> Response:
    """Show the picture of a new second factor, each time another one: a thief of the session must not know it."""
    return _show(request, services, visitor, prepared=second_factor.prepare(services.store, visitor.name))


@router.post("/second-factor/on")
def turn_on(request: Request, services: Services, visitor: Mine, code: Text = "", current: Text = "") -> Response:
    """Turn the second factor on by a first code and the password, and show the recovery codes, this once.

    Without the password a thief of the session could lock its owner out. Who comes by single sign-on alone has none.
    """
    try:
        if get_user(services.store, visitor.name).has_password:
            prove_password(services, visitor.name, current, find_address(services, request))
        codes = second_factor.confirm(
            services.store, visitor.operator, visitor.name, code, keep_session=visitor.session_id
        )
    except (ConfigError, NotSignedIn) as error:
        prepared = second_factor.prepare(services.store, visitor.name, renew=False)
        return _show(request, services, visitor, prepared=prepared, problem=_describe(error))
    return _show(request, services, visitor, codes=codes)


@router.post("/second-factor/off")
def turn_off(request: Request, services: Services, visitor: Mine, current: Text = "") -> Response:
    """Turn the second factor off, by the current password."""
    try:
        prove_password(services, visitor.name, current, find_address(services, request))
    except NotSignedIn as error:
        return _show(request, services, visitor, problem=_describe(error))
    turn_off_factor(services.store, visitor.operator, visitor.name, keep_session=visitor.session_id)
    return RedirectResponse("/account?saved=second-factor", 303)


@router.get("/confirm")
def ask_proof(request: Request, visitor: Mine, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """The page that asks for the password again, before what a thief of the session must not do."""
    return render(request, "account/confirm.html", next=find_local(next), problem="")


@router.post("/confirm")
def prove(  # nosec B107 - a form may come without the field
    request: Request,
    services: Services,
    visitor: Mine,
    current: Text = "",
    code: Text = "",
    next: Text = "/",  # noqa: A002 - as above
) -> Response:
    """Take password and second factor again, and lead back to the page; they count for five minutes."""
    try:
        prove_again(services, visitor, current, code, find_address(services, request))
    except NotSignedIn as error:
        return render(request, "account/confirm.html", status=422, next=find_local(next), problem=str(error))
    return RedirectResponse(find_local(next), 303)


@router.post("/sessions/end")
def end(services: Services, visitor: Mine, session: Annotated[str, Form(max_length=64)]) -> Response:
    """End one of one's own sessions."""
    end_session(services.store, visitor.operator, session)
    return RedirectResponse("/account", 303)


def _show(
    request: Request,
    services: AdminServices,
    visitor: Visitor,
    *,
    problem: str = "",
    saved: str = "",
    prepared: second_factor.Prepared | None = None,
    codes: Sequence[str] = (),
) -> Response:
    return render(
        request,
        "account/page.html",
        status=422 if problem else 200,
        sessions=list_sessions(services.store, visitor.name),
        user=get_user(services.store, visitor.name),
        problem=problem,
        saved=saved,
        prepared=prepared,
        # Made by us of an address that is ours: nothing in it comes from a request.
        picture=Markup(totp.draw_svg(prepared.address)) if prepared else "",  # noqa: S704 - as said
        codes=codes,
    )


def _describe(error: WanesyncError) -> str:
    return "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
