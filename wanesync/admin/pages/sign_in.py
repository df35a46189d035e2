"""The open pages: log-in, the set-up link of the first start, and links to set a password."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse, Response

from wanesync.admin.rendering import render
from wanesync.admin.security import cookies
from wanesync.admin.security.passwords import find_flaw
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.sign_in import Attempt, note_refusal, sign_in
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, NotFound, NotSignedIn, TooManyGuesses
from wanesync.core.operating.operators import Operator, Via, name_operator
from wanesync.ops.access.logins import end_session, find_link, hash_secret
from wanesync.ops.access.users import add_first_user, check_name, set_password_by_link

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=1_000)]
USED = "this link does not work any more: it was used, or its time is over"


@router.get("/login")
def show_login(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """The log-in page."""
    if request.state.visitor is not None:
        return RedirectResponse(find_local(next), 303)
    return render(request, "account/login.html", next=find_local(next), problem="", name="")


@router.post("/login")
def log_in(  # nosec B107 - a form may come without the field
    request: Request,
    services: Services,
    name: Text = "",
    password: Text = "",
    code: Text = "",
    next: Text = "/",  # noqa: A002 - as above
) -> Response:
    """Begin a session under a new id; the one that the browser had is ended."""
    user = name.strip().lower()
    attempt = Attempt(
        name, password, code, find_address(services, request), cookies.read_device(services, request, user)
    )
    try:
        secret = sign_in(services, attempt)
    except (NotSignedIn, TooManyGuesses) as error:
        status = 429 if isinstance(error, TooManyGuesses) else 401
        response: Response = render(
            request, "account/login.html", status=status, next=find_local(next), problem=str(error), name=name
        )
        if isinstance(error, TooManyGuesses):
            response.headers["Retry-After"] = str(error.retry_after_s)
        else:
            response.background = BackgroundTask(note_refusal, services, name)
        return response
    before = cookies.read_session(services, request)
    if before:
        services.store.run(lambda tx: tx.admin_sessions.drop(hash_secret(before)))
    response = RedirectResponse(find_local(next), 303)
    cookies.set_session(services, request, response, secret)
    cookies.set_device(services, request, response, user)
    return response


@router.post("/logout")
def log_out(request: Request, services: Services, visitor: Annotated[Visitor, require(Permission.ACCOUNT)]) -> Response:
    """End the session; what the browser has stored of the pages is removed."""
    end_session(services.store, visitor.operator, visitor.session_id)
    response = RedirectResponse("/login", 303)
    cookies.clear_session(services, request, response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/setup")
@router.get("/password")
def show_link(  # nosec B107 - an address may come without the token
    request: Request, services: Services, token: str = ""
) -> Response:
    """The page of a link that works once: for the first user, or to set a password."""
    user = find_link(services.store, token)
    first = request.scope["path"] == "/setup"
    if user is None or first is bool(user):
        raise NotFound(USED)
    return _show_form(request, token, user, "")


@router.post("/setup")
def set_up(  # nosec B107 - a form may come without the field
    request: Request, services: Services, token: Text = "", name: Text = "", password: Text = "", again: Text = ""
) -> Response:
    """Make the first user, an admin."""
    if find_link(services.store, token) != "":
        raise NotFound(USED)
    try:
        check_name(name)
        digest = hash_new(services, name, password, again)
        add_first_user(services.store, name_operator(name, Via.PAGE), hash_secret(token), name, digest)
    except ConfigError as error:
        return _show_form(request, token, "", "; ".join(error.problems), name)
    return RedirectResponse("/login", 303)


@router.post("/password")
def set_password(  # nosec B107 - a form may come without the field
    request: Request, services: Services, token: Text = "", password: Text = "", again: Text = ""
) -> Response:
    """Set the password of the user that a link was made for; every session ends."""
    user = find_link(services.store, token)
    if not user:
        raise NotFound(USED)
    try:
        digest = hash_new(services, user, password, again)
    except ConfigError as error:
        return _show_form(request, token, user, "; ".join(error.problems))
    set_password_by_link(services.store, Operator(user, Via.PAGE), hash_secret(token), digest)
    return RedirectResponse("/login", 303)


def hash_new(services: AdminServices, name: str, password: str, again: str) -> str:
    """Return the hash of a password that was typed twice. Raises ConfigError for one that is not taken."""
    flaw = "the two passwords differ" if password != again else find_flaw(password, name)
    if flaw:
        raise ConfigError([flaw])
    return services.passwords.hash(password)


def find_address(services: AdminServices, request: Request) -> str:
    """Return the address a request came from, past trusted proxies."""
    peer = request.client.host if request.client else ""
    return services.access.proxies.find_client(peer, request.headers)


def _show_form(request: Request, token: str, user: str, problem: str, name: str = "") -> Response:
    status = 422 if problem else 200
    return render(
        request, "account/set_password.html", status=status, token=token, user=user, problem=problem, name=name
    )


def find_local(path: str) -> str:
    """Return a path of this service, "/" for anything else: a log-in leads to no other site."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    local = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if local and path.isprintable() else "/"
