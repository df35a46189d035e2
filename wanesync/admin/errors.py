"""Answers to requests that fail: a page for a browser, a problem for a program. No answer shows what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanesync.admin.rendering import render
from wanesync.core.errors import (
    CallError,
    ConfigError,
    DatabaseUnavailable,
    GuardError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooManyGuesses,
    WanesyncError,
)

log = structlog.get_logger()
API = "/api/"
STATUS: Mapping[type[Exception], int] = {
    NotSignedIn: 401,
    NotAllowed: 403,
    NotFound: 404,
    GuardError: 409,
    ConfigError: 422,
    TooManyGuesses: 429,
    CallError: 502,
    DatabaseUnavailable: 503,
}
"""Our errors -> the status of the answer; any other one of ours is 400."""


def answer_error(request: Request, error: Exception) -> Response:
    """Return the answer to an error: its message for one of ours, nothing but the status for any other."""
    status, detail = _find_status(error), _describe(error)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyGuesses) else {}
    if isinstance(error, HTTPException):
        headers |= dict(error.headers or {})
    if request.url.path.startswith(API):
        headers |= {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        return JSONResponse(problem, status, headers, media_type="application/problem+json")
    title = HTTPStatus(status).phrase
    response = render(request, "error.html", status=status, title=title, detail=detail, code=status)
    response.headers.update(headers)
    return response


def _find_status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, RequestValidationError):
        return 422
    found = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 0)
    return found or (400 if isinstance(error, WanesyncError) else 500)


def _describe(error: Exception) -> str:
    if isinstance(error, ConfigError):
        return "; ".join(error.problems)
    if isinstance(error, RequestValidationError):
        # Where it is wrong and why; the value itself may be a person's.
        return "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors())
    if isinstance(error, WanesyncError | CallError):
        return str(error)
    return "" if isinstance(error, HTTPException) else "an error of this program, which its log describes"


async def handle(request: Request, error: Exception) -> Response:
    """Answer an error of a route."""
    return answer_error(request, error)


class CatchErrors:
    """Answers what no handler expected, within the headers of every answer (ASGI middleware)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            # Its text may hold a value; the log shows where it was raised.
            log.exception("request failed", path=scope.get("path"), kind=type(error).__name__)
            if started or scope["type"] != "http":
                raise
            request = Request(scope, receive)
            await answer_error(request, error)(scope, receive, send)
