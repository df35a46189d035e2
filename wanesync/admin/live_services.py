"""What the live pages of one application share: the reader of their topics, and what it read last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.responses import StreamingResponse

from wanesync.admin.live import LiveHub, ReadTopic
from wanesync.admin.overview_reader import OverviewReader
from wanesync.admin.security.visitors import Visitor
from wanesync.admin.services import AdminServices
from wanesync.ops.access.logins import is_session_open

NOT_BUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers of a stream: nginx hands it on at once."""


@dataclass(frozen=True, slots=True)
class LiveServices:
    """The reader of the live pages, and the overview it keeps."""

    services: AdminServices
    hub: LiveHub
    overview: OverviewReader

    def stream(self, topic: str, read: ReadTopic, visitor: Visitor) -> StreamingResponse:
        """Return the stream of a topic, which ends with the visitor's session. Raises TooManyListeners."""
        self.hub.check_room(visitor.name)
        is_allowed = watch_session(self.services, visitor)
        events = self.hub.stream(topic, read, visitor.name, is_allowed)
        return StreamingResponse(events, media_type="text/event-stream", headers=NOT_BUFFERED)


def make_live(services: AdminServices) -> LiveServices:
    """Return what live pages need; nothing is read yet."""
    overview = OverviewReader(services.store, services.config.sync.target_s)
    return LiveServices(services, LiveHub(overview.sample), overview)


@asynccontextmanager
async def running_live(app: FastAPI) -> AsyncIterator[None]:
    """While the application runs, read for its live pages (its lifespan)."""
    live: LiveServices = app.state.live
    async with live.hub.running():
        yield


async def find_live(request: Request) -> LiveServices:
    """Return what the live pages of the application share."""
    live: LiveServices = request.app.state.live
    return live


Live = Annotated[LiveServices, Depends(find_live)]
"""The type of a parameter of a route."""


def pages_of(request: Request) -> frozenset[str]:
    """Return the addresses of the pages that there are."""
    return frozenset(entry.path for entry in request.app.state.nav)


def watch_session(services: AdminServices, visitor: Visitor) -> Callable[[], bool]:
    """Return whether a visitor may go on: the session holds, with the same role. Looking does not count as its use."""
    if not visitor.session_id:
        return lambda: True
    return lambda: is_session_open(services.store, visitor.session_id, visitor.role, services.access.limits)
