"""The routes of the API: changing requests can be repeated under an Idempotency-Key."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from wanesync.admin.api.idempotency import HEADER, REPEATED, AnswerRepeated, KeyedRequest

if TYPE_CHECKING:
    from wanesync.admin.security.visitors import Visitor
    from wanesync.admin.services import AdminServices

PREFIX = "/api/v1"
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BODY_BYTES = 256_000
"""Largest body of a request (our choice): a few thousand ids."""
NOT_KEYED = "x-wanesync-not-keyed"
"""Extension in ``openapi_extra`` of a POST whose answer is not stored: it shows values, and changes nothing."""
_REQUEST: ContextVar[_Running | None] = ContextVar("keyed_request", default=None)

Endpoint = Callable[..., Any]


class _Running:
    """A changing request with an Idempotency-Key, while it is handled."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request, self._body = request, body
        self.keyed: KeyedRequest | None = None

    def begin(self) -> None:
        """Reserve the key, after the caller was authenticated and the request was found valid."""
        request = self._request
        services: AdminServices = request.app.state.services
        visitor: Visitor = request.state.visitor
        url = request.url
        route = f"{request.method} {url.path}?{url.query}"
        keyed = KeyedRequest(
            services.store, f"{visitor.via} {visitor.name}", route, request.headers[HEADER], self._body
        )
        keyed.begin()
        self.keyed = keyed


class ApiRoute(APIRoute):
    """A route that repeats its answer to a changing request for the same Idempotency-Key."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        changes = CHANGING & set(options.get("methods") or ())
        self.is_keyed = bool(changes) and NOT_KEYED not in (options.get("openapi_extra") or {})
        super().__init__(path, _begin_before(endpoint) if self.is_keyed else endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            is_keyed = self.is_keyed and HEADER in request.headers
            return await (_answer_keyed(request, handle) if is_keyed else handle(request))

        return answer


def make_router(tag: str) -> APIRouter:
    """Return the router of one area; the application puts its paths below ``/api/v1``. ``tag``: the area's name."""
    return APIRouter(tags=[tag], route_class=ApiRoute, max_body_size=MAX_BODY_BYTES)


async def _answer_keyed(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Run a changing request once per key, or return the answer that it had."""
    running = _Running(request, await request.body())
    token = _REQUEST.set(running)
    try:
        answer = await handle(request)
    except AnswerRepeated as repeated:
        stored = repeated.stored
        return Response(stored.body, stored.status, {REPEATED: "true"}, "application/json")
    except BaseException:
        if running.keyed is not None:
            await to_thread.run_sync(running.keyed.forget)
        raise
    finally:
        _REQUEST.reset(token)
    if running.keyed is not None:
        await to_thread.run_sync(running.keyed.finish, answer.status_code, bytes(answer.body))
    return answer


def _begin_before(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that reserves the key of its request first."""
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def wait_and_run(*arguments: object, **named: object) -> object:
            running = _REQUEST.get()
            if running is not None:
                await to_thread.run_sync(running.begin)
            return await endpoint(*arguments, **named)

        return wait_and_run

    @wraps(endpoint)
    def run(*arguments: object, **named: object) -> object:
        running = _REQUEST.get()
        if running is not None:
            running.begin()
        return endpoint(*arguments, **named)

    return run
