"""The web application: webhook endpoints, health checks and metrics. Served by uvicorn, or by a serverless adapter."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanesync.core.model import Side
from wanesync.web.metrics import CONTENT_TYPE, WebhookCounters
from wanesync.web.settings import IntakePort, WebSettings
from wanesync.web.webhooks import WebhookRoutes

HUBSPOT_PATH = "/webhooks/hubspot"
STRIPE_PATH = "/webhooks/stripe"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_app(intake: IntakePort, settings: WebSettings, counts: WebhookCounters | None = None) -> Starlette:
    """Build the application in front of an intake. No content of a request causes a traceback or a 500.

    ``counts``: where answers are counted, if that is read elsewhere, too.
    """
    counts = counts or WebhookCounters()
    hooks = WebhookRoutes(intake, settings, counts)
    health = Health(settings, counts)
    app = Starlette(
        routes=[
            Route(HUBSPOT_PATH, hooks.handler(Side.HUBSPOT), methods=["POST"]),
            Route(STRIPE_PATH, hooks.handler(Side.STRIPE), methods=["POST"]),
            Route("/healthz", health.is_alive),
            Route("/readyz", health.is_ready),
            Route("/metrics", health.show_metrics),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False  # a redirected webhook counts as failed
    return app


class Health:
    """Endpoints for monitoring: alive (the process answers), ready (it can store webhooks), metrics."""

    def __init__(self, settings: WebSettings, counts: WebhookCounters) -> None:
        self._settings, self._counts = settings, counts

    async def is_alive(self, _request: Request) -> Response:
        """GET /healthz: 200 as long as the process answers."""
        return JSONResponse({"status": "ok"})

    async def is_ready(self, _request: Request) -> Response:
        """GET /readyz: 200 if a webhook could be stored now, else 503 with the reason."""
        try:
            reason = await to_thread.run_sync(self._settings.ready)
        except Exception as error:  # noqa: BLE001 - any error means not ready
            reason = type(error).__name__
        return JSONResponse(
            {"status": "not ready", "reason": reason} if reason else {"status": "ok"}, 503 if reason else 200
        )

    async def show_metrics(self, _request: Request) -> Response:
        """GET /metrics: counters of this process, gauges of the whole installation."""
        gauges: Mapping[str, float]
        try:
            gauges = await to_thread.run_sync(self._settings.gauges)
        except Exception:  # noqa: BLE001 - the counters need no database
            gauges = {"wanesync_gauges_available": 0}
        return PlainTextResponse(self._counts.render(gauges), headers={"Content-Type": CONTENT_TYPE})


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
