"""A small application with routes of the API, and a visitor who was let in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import NOT_KEYED, PREFIX, make_router
from wanesync.admin.errors import CatchErrors, handle
from wanesync.core.errors import GuardError, NotFound, WanesyncError
from wanesync.core.operating.operators import Via
from wanesync.store import Store


@dataclass
class SmallServices:
    """What the routes need of the services."""

    store: Store


@dataclass
class SmallVisitor:
    """What the routes need of a visitor."""

    name: str
    via: Via = Via.API


class Thing(ApiModel):
    """A thing."""

    name: str
    runs: int


class NewThing(ApiModel):
    """A thing to make."""

    name: str


@dataclass
class Things:
    """The area behind the routes: how often it was called, how it is to fail, and what a call waits for."""

    runs: int = 0
    failure: Exception | None = None
    running: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event | None = None

    def make(self, name: str) -> Thing:
        self.running.set()
        if self.go_on is not None:
            assert self.go_on.wait(10)
        if self.failure is not None:
            raise self.failure
        self.runs += 1
        return Thing(name=name, runs=self.runs)


FAILURES: dict[str, Exception] = {
    "missing": NotFound("no thing"),
    "guarded": GuardError("too many"),
    "failed": WanesyncError("no"),
    "odd": ValueError("anna@example.com"),
}


def let_in(request: Request) -> SmallVisitor:
    """Let every caller in, under the name in a header."""
    visitor = request.state.visitor = SmallVisitor(request.headers.get("X-Caller", "ci"))
    return visitor


Caller = Annotated[SmallVisitor, Depends(let_in)]


def build_small_app(store: Store, things: Things) -> FastAPI:
    """Return an application with a few routes of an area."""
    router = make_router("things")

    @router.get("/things", summary="List things")
    def list_things(limit: Annotated[int, Query(ge=1)] = 5) -> Page[Thing]:
        return Page(items=[Thing(name=str(number), runs=0) for number in range(limit)])

    @router.get("/things/{name}", summary="One thing")
    def show_thing(name: str) -> Thing:
        raise FAILURES[name]

    @router.post("/things", summary="Make a thing", status_code=201)
    def make_thing(_visitor: Caller, body: NewThing) -> Thing:
        return things.make(body.name)

    @router.post("/things/later", summary="Make a thing, without a thread")
    async def make_thing_later(_visitor: Caller, body: NewThing) -> Thing:
        return things.make(body.name)

    @router.post("/things/shown", summary="Show a thing", openapi_extra={NOT_KEYED: True})
    def reveal_thing(_visitor: Caller) -> Thing:
        return things.make("shown")

    handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
        HTTPException: handle,
        RequestValidationError: handle,
        WanesyncError: handle,
    }
    app = FastAPI(openapi_url=None, middleware=[Middleware(CatchErrors)], exception_handlers=handlers)
    app.state.services = SmallServices(store)
    app.include_router(router, prefix=PREFIX)
    return app


def open_client(store: Store, things: Things) -> TestClient:
    """Return a client of the small application."""
    return TestClient(build_small_app(store, things))
