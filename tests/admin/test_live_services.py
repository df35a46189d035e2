"""A stream over a real connection: it sends what changes, ends with the session, and holds up no end of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.support.admin import PASSWORD, AdminSite
from tests.support.store_fixtures import Clock
from wanesync.admin import live
from wanesync.core.operating.operators import OperatorRole
from wanesync.web.server import Listener, open_socket


@pytest.fixture(name="listener")
def serve(admin: AdminSite) -> Iterator[Listener]:
    """The service on a free port."""
    admin.add_user("ada", OperatorRole.VIEWER)
    listener = Listener(
        open_socket(("127.0.0.1", 0), "admin.port"), admin.app, 8, None, before_stop=admin.app.state.live.hub.end
    )
    listener.start()
    yield listener
    if listener.is_running:
        listener.stop()


@contextmanager
def sign_in(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=10) as client:
        client.post("/login", data={"name": "ada", "password": PASSWORD}, headers={"Origin": url})
        yield client


def read_until(lines: Iterator[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


def test_a_stream_ends_at_once_when_the_service_stops(listener: Listener) -> None:
    with sign_in(listener.url) as client, client.stream("GET", "/overview/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert read_until(lines, "event:") == "event: parts"
        listener.stop()
        assert all(not line.startswith("event: ended") for line in lines), "it ends whole, and the browser tries again"


def test_a_stream_is_no_use_of_the_session_and_ends_with_it(
    admin: AdminSite, listener: Listener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_S", 0.1)
    idle_ms = admin.services.access.limits.idle_ms
    with sign_in(listener.url) as client:
        clock.advance(idle_ms - 1_000)
        with client.stream("GET", "/overview/live") as answer:
            lines = answer.iter_lines()
            read_until(lines, "event:")
            clock.advance(2_000)
            assert read_until(lines, "event: ended")
        assert client.get("/").status_code == 303
