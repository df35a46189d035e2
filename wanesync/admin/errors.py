"""Answers to requests that fail: a page for a browser, a problem for a program. No answer shows what was typed."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlsplit

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wanesync.admin.api.problems import answer_problem, describe_problem, find_headers
from wanesync.admin.rendering import render
from wanesync.core.errors import ProofNeeded

log = structlog.get_logger()
API = "/api/"
_FRAMES = 6
"""The innermost ones, which say where an error was raised."""


def answer_error(request: Request, error: Exception) -> Response:
    """Return the answer to an error: its message for one of ours, nothing but the status for any other."""
    if request.scope["path"].startswith(API):
        return answer_problem(error)
    if isinstance(error, ProofNeeded):
        return _ask_proof(request)
    problem = describe_problem(error)
    detail = "" if isinstance(error, HTTPException) else problem.detail
    title = HTTPStatus(problem.status).phrase
    response = render(request, "error.html", status=problem.status, title=title, detail=detail, code=problem.status)
    response.headers.update(find_headers(error))
    return response


def _ask_proof(request: Request) -> Response:
    """Lead a browser to where the password is given again, and from there back to the page it came from."""
    try:
        page = urlsplit(request.headers.get("referer", "")).path or "/"
    except ValueError:
        page = "/"
    address = f"/account/confirm?next={quote(page)}"
    if request.headers.get("hx-request"):
        return Response(status_code=403, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


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
            # Its text may hold a value: the log says where it was raised, and what it is.
            frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
            where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
            # The path may hold what was typed: the log has the one of the route.
            path = getattr(scope.get("route"), "path", "")
            log.error("request of the admin service failed", path=path, kind=type(error).__name__, where=where)
            if started or scope["type"] != "http":
                raise
            request = Request(scope, receive)
            await answer_error(request, error)(scope, receive, send)
