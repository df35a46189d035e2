"""The gate in front of every route: who is not signed in gets the log-in page, or 401 (ASGI middleware).

It is the first of two checks: a route that forgot to ask (``visitors.require``) is closed all the same.
"""

from __future__ import annotations

from urllib.parse import quote

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanesync.admin.errors import answer_error
from wanesync.admin.security import cookies, csrf
from wanesync.admin.security.headers import ASSETS
from wanesync.admin.security.single_sign_on import SignOn, sign_on
from wanesync.admin.security.visitors import FOREIGN, Visitor
from wanesync.admin.services import AdminServices
from wanesync.core.errors import NotAllowed, NotSignedIn, WanesyncError
from wanesync.core.operating.operators import Via
from wanesync.ops.access.logins import find_session, is_fresh
from wanesync.ops.access.tokens import find_token
from wanesync.store.tables.operating.access import SessionRow

OPEN = frozenset({"/login", "/setup", "/password", "/healthz"})
"""Paths that are open without a login, besides the assets: each has a check of its own, or shows nothing."""
MAX_BODY_BYTES = 256_000
"""Largest body of a request (our choice): a thousand marked jobs have 70 kB. It holds for who is not signed in, too."""
API = "/api/"
LIVE = "/live"
"""The end of the addresses of streams, which browsers open by themselves."""
REFRESH = "x-wanesync-refresh"
"""The header of a request by which a page brings itself up to date (``refresh.js``)."""


def _bound_body(receive: Receive) -> Receive:
    """Return what reads the body of a request, and refuses it as soon as it is too large: none is kept or stored."""
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return read


class Gate:
    """Finds out who a request comes from, for ``request.state.visitor``, and turns away what must not come in."""

    def __init__(self, app: ASGIApp, *, services: AdminServices) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.visitor = None
        try:
            found = await to_thread.run_sync(self._admit, request)
        except WanesyncError as error:
            response = self._turn_away(request) if isinstance(error, NotSignedIn) else answer_error(request, error)
            await response(scope, receive, send)
            return
        request.state.visitor = found.visitor
        answer = self._with_cookie(request, send, found.secret) if found.secret else send
        await self._app(scope, _bound_body(receive), answer)

    def _admit(self, request: Request) -> SignOn:
        """Return who a request comes from. Raises NotSignedIn and NotAllowed."""
        self._check_place(request)
        found = self._find(request)
        path = request.scope["path"]
        if found.visitor is None and path not in OPEN and not path.startswith(ASSETS):
            raise NotSignedIn("sign in first")
        return found

    def _check_place(self, request: Request) -> None:
        host, hosts = request.headers.get("host", ""), self._services.access.hosts
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        if hosts and name.lower() not in hosts:
            # A name that another site has led to this machine (DNS rebinding).
            raise NotAllowed("this service is not reached under this name: see [admin] public_url")
        if (
            request.method not in csrf.SAFE_METHODS
            and not self._has_token(request)
            and csrf.is_foreign(request.headers, host)
        ):
            raise NotAllowed(FOREIGN)

    @staticmethod
    def _has_token(request: Request) -> bool:
        """Return whether a request of the API names a token. Then no cookie counts, whatever the token is."""
        return "authorization" in request.headers and request.scope["path"].startswith(API)

    def _find(self, request: Request) -> SignOn:
        services = self._services
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self._has_token(request):
            known = find_token(services.store, token.strip()) if scheme.lower() == "bearer" else None
            role = known.role_now if known else None
            return SignOn(Visitor(known.name, role, Via.API) if known and role else None)
        secret = cookies.read_session(services, request)
        session = self._find_session(request, secret) if secret else None
        visitor = None
        if session is not None and session.role is not None:
            fresh, token = is_fresh(session, services.store.now_ms()), csrf.make_token(secret)
            visitor = Visitor(session.user, session.role, Via.PAGE, token, session.id, is_fresh=fresh)
        return sign_on(services, request, visitor)

    def _find_session(self, request: Request, secret: str) -> SessionRow | None:
        # A page that refreshes itself does not keep the session of an operator who has left.
        is_use = not request.scope["path"].endswith(LIVE) and REFRESH not in request.headers
        return find_session(self._services.store, secret, self._services.access.limits, is_use=is_use)

    def _turn_away(self, request: Request) -> Response:
        """Return the log-in page for a browser, and 401 for a program."""
        path = request.scope["path"]
        if path.startswith(API):
            return answer_error(request, NotSignedIn("send Authorization: Bearer TOKEN (wanesync admin token create)"))
        wanted = path + (f"?{request.url.query}" if request.url.query else "")
        login = "/login" if wanted == "/" or request.method != "GET" else f"/login?next={quote(wanted)}"
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        return RedirectResponse(login, 303)

    def _with_cookie(self, request: Request, send: Send, secret: str) -> Send:
        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                holder = Response()
                cookies.set_session(self._services, request, holder, secret)
                headers = [(name, value) for name, value in holder.raw_headers if name == b"set-cookie"]
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        return send_with_cookie
