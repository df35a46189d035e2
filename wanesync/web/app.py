"""The web application: webhook endpoints, health checks and metrics. Served by uvicorn, or by a serverless adapter."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanesync.core.model import Side
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import IntakePort, WebSettings
from wanesync.web.webhooks import SECURITY_HEADERS, Answer, WebhookRoutes, WholeWebhooks, send_answer

HUBSPOT_PATH = "/webhooks/hubspot"
STRIPE_PATH = "/webhooks/stripe"
PATHS = {Side.HUBSPOT: HUBSPOT_PATH, Side.STRIPE: STRIPE_PATH}


class DoorApp:
    """The application of a door. ``whole_posts``: takes webhooks without it, in the same event loop."""

    def __init__(self, webhooks: WebhookRoutes, others: ASGIApp, sides: Mapping[str, Side]) -> None:
        self._webhooks, self._others, self._sides = webhooks, others, sides
        self.whole_posts = WholeWebhooks(webhooks, sides)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        side = self._sides.get(scope["path"]) if scope["type"] == "http" else None
        if side is None:
            await self._others(scope, receive, send)
        elif scope["method"] == "POST":
            await self._webhooks.serve(side, scope, receive, send)
        else:
            await send_answer(send, Answer(405, {"error": "method not allowed"}, {"Allow": "POST"}))


def build_app(intake: IntakePort, settings: WebSettings, counts: WebhookCounters | None = None) -> DoorApp:
    """Build the application in front of an intake. No content of a request causes a traceback or a 500.

    ``counts``: where answers are counted, if that is read elsewhere, too.
    """
    counts = counts or WebhookCounters()
    webhooks = WebhookRoutes(intake, settings, counts)
    others = _build(Health(settings, counts, shows_details=settings.shows_metrics).routes())
    return DoorApp(webhooks, others, {PATHS[side]: side for side in settings.sides})


def build_metrics_app(settings: WebSettings, counts: WebhookCounters) -> Starlette:
    """Build the application of the listener for monitoring: health with its reasons, and metrics; no webhooks."""
    return _build(Health(settings, counts, shows_details=True).routes())


def _build(routes: list[Route]) -> Starlette:
    app = Starlette(
        routes=routes, middleware=[Middleware(SecurityHeaders)], exception_handlers={HTTPException: _refuse}
    )
    app.router.redirect_slashes = False  # a redirected webhook counts as failed
    return app


class Health:
    """Endpoints for monitoring: alive (the process answers), ready (it can store webhooks), metrics.

    ``shows_details``: on this listener metrics and reasons are shown, where there is a token to those who send it.
    """

    def __init__(self, settings: WebSettings, counts: WebhookCounters, *, shows_details: bool) -> None:
        self._settings, self._counts, self._shows_details = settings, counts, shows_details
        self._digest = _digest(settings.metrics_token)

    def routes(self) -> list[Route]:
        """Return the endpoints; without details there is no ``/metrics``."""
        routes = [Route("/healthz", self.is_alive), Route("/readyz", self.is_ready)]
        return [*routes, Route("/metrics", self.show_metrics)] if self._shows_details else routes

    def _may_see(self, request: Request) -> bool:
        if not self._shows_details or not self._settings.metrics_token:
            return self._shows_details
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # The digests are of one length, so that the time of the comparison shows nothing of the token's.
        return hmac.compare_digest(_digest(token.strip()), self._digest) and scheme.lower() == "bearer"

    async def is_alive(self, _request: Request) -> Response:
        """GET /healthz: 200 as long as the process answers."""
        return JSONResponse({"status": "ok"})

    async def is_ready(self, request: Request) -> Response:
        """GET /readyz: 200 if a webhook could be stored now, else 503; the reason only where details are shown."""
        try:
            reason = await to_thread.run_sync(self._settings.ready)
        except Exception as error:  # noqa: BLE001 - any error means not ready
            reason = type(error).__name__
        if not reason:
            return JSONResponse({"status": "ok"})
        shown = {"status": "not ready"} | ({"reason": reason} if self._may_see(request) else {})
        return JSONResponse(shown, 503)

    async def show_metrics(self, request: Request) -> Response:
        """GET /metrics: counters of this process, gauges and figures of the whole installation."""
        if not self._may_see(request):
            return JSONResponse({"error": "unauthorized"}, 401, {"WWW-Authenticate": "Bearer"})
        page, content_type = await to_thread.run_sync(self._render, request.headers.get("accept", ""))
        return Response(page, headers={"Content-Type": content_type})

    def _render(self, accept: str) -> tuple[bytes, str]:
        from wanesync.web.metrics_page import Totals, render_page  # noqa: PLC0415 - no serverless process shows it

        gauges: Mapping[str, float]
        totals: Totals
        try:
            gauges = {**self._settings.gauges(), "wanesync_gauges_available": 1}
            totals = self._settings.figures()
        except Exception:  # noqa: BLE001 - the counters need no database
            gauges, totals = {"wanesync_gauges_available": 0}, {}
        return render_page(self._counts, gauges, totals, accept)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


async def _refuse(_request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method with JSON, like every other answer."""
    status = error.status_code if isinstance(error, HTTPException) else 503
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": HTTPStatus(status).phrase.lower()}, status, headers)


class SecurityHeaders:
    """Adds security headers to every answer (ASGI middleware)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
