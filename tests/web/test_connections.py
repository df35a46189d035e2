"""Connections that send nothing take no place from a webhook."""

from __future__ import annotations

import http.client
import resource
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from wanesync.core.model import Side
from wanesync.store import open_store
from wanesync.web import connections
from wanesync.web.connections import raise_file_limit
from wanesync.web.server import WebServer
from wanesync.web.settings import WebSettings

LIMIT = 8


class Intake:
    """Stores one event of each webhook."""

    def __init__(self) -> None:
        self.headers: list[Mapping[str, str]] = []

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        self.headers.append(headers)
        return 1


@dataclass
class Door:
    """A running web server with few connections."""

    host: str
    port: int
    intake: Intake

    def connect(self, sent: bytes = b"") -> socket.socket:
        opened = socket.create_connection((self.host, self.port), timeout=10)
        opened.sendall(sent)
        return opened

    def post(self) -> int:
        client = http.client.HTTPConnection(self.host, self.port, timeout=10)
        client.request("POST", "/webhooks/stripe", b"{}")
        status = client.getresponse().status
        client.close()
        return status


def read_end(opened: socket.socket) -> bytes:
    """What the server sent before it closed a connection."""
    try:
        return opened.recv(1_000)
    except ConnectionResetError:
        return b""


@pytest.fixture
def door() -> Iterator[Door]:
    store = open_store("sqlite::memory:", migrate=True)
    intake = Intake()
    server = WebServer(store, intake, WebSettings(max_connections=LIMIT), ("127.0.0.1", 0))
    server.start()
    address = urlsplit(server.url)
    yield Door(address.hostname or "", address.port or 0, intake)
    server.stop()
    store.close()


@pytest.mark.case(37)
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n",
        b"POST /webhooks/stripe HTTP/1.1\r\nContent-Length: 9\r\n\r\nab",
    ],
)
def test_a_webhook_is_answered_beside_more_half_open_connections_than_there_is_room_for(
    door: Door, sent: bytes
) -> None:
    with ExitStack() as opened:
        silent = [opened.enter_context(door.connect(sent)) for _ in range(5 * LIMIT)]
        assert [door.post() for _ in range(3)] == [200] * 3
        assert read_end(silent[0]) == b""  # the oldest of them was closed to make room


def test_a_connection_that_sends_no_request_is_closed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT_S", 0.0)
    with door.connect() as silent:
        assert read_end(silent) == b""


def test_the_limit_of_open_files_is_raised_as_far_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: taken.append(limits))
    for soft, hard, expected in (
        (1_024, 1_024, 1_024),
        (1_024, 4_096, 4_096),
        (1_024, resource.RLIM_INFINITY, 16_384),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 16_384),
        (100_000, 100_000, 100_000),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, limits=(soft, hard): limits)
        assert raise_file_limit() == expected
    assert taken == [(1_024, 1_024), (4_096, 4_096), (16_384, resource.RLIM_INFINITY)]


@pytest.mark.parametrize(
    ("begin", "repeated"),
    [
        (b"", b"a: b\r\n" * 10_000),
        (b"X: ", b"a" * 60_000),
        (b"Content-Length: 2\r\n\r\n{}POST / HTTP/1.1\r\nX: ", b"a" * 60_000),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", b"a" * 60_000),
    ],
    ids=["many headers", "a header without an end", "the next request", "a header after the body"],
)
def test_a_head_that_is_larger_than_any_senders_is_refused(
    door: Door, begin: bytes, repeated: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT_S", 60.0)
    with door.connect(b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n" + begin) as opened:
        with suppress(OSError):  # it is closed while more is sent
            for _ in range(50):
                opened.sendall(repeated)
        while read_end(opened):  # until it is closed
            pass
    assert door.post() == 200


def test_what_follows_the_body_is_no_header(door: Door) -> None:
    """A proxy in front looks at the head alone, and passes the rest on."""
    head = b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"2\r\n{}\r\n0\r\nStripe-Signature: late\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    for _ in range(2):
        with door.connect(head + body) as sent:
            assert sent.recv(1_000).startswith(b"HTTP/1.1 200 ")
    assert [sorted(headers) for headers in door.intake.headers] == [["host", "transfer-encoding", "x-a"]] * 2


def test_a_body_is_no_head(door: Door) -> None:
    body = b"a" * 300_000
    with door.connect(b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n") as opened:
        for start in range(0, len(body), 50_000):
            opened.sendall(body[start : start + 50_000])
        assert read_end(opened).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "begin",
    [b"POST /webhooks/stripe HTTP/1.1\r\nX: ", b"POST /webhooks/stripe HTTP/1.1\r\nContent-Length: 9999\r\n\r\n"],
    ids=["headers", "body"],
)
def test_a_request_that_trickles_is_ended_in_time(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT_S", 0.3)
    store = open_store("sqlite::memory:", migrate=True)
    server = WebServer(store, Intake(), WebSettings(body_timeout_s=0.3), ("127.0.0.1", 0))
    server.start()
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=0.02) as opened:
        opened.sendall(begin)
        sent, answered = 0, None
        while answered is None and sent < 1_000:
            with suppress(TimeoutError):
                try:
                    answered = opened.recv(1_000)
                except ConnectionResetError:
                    answered = b""
            with suppress(OSError):
                opened.sendall(b"a")
            sent += 1
    server.stop()
    store.close()
    assert answered is not None
    assert answered == b"" or answered.startswith(b"HTTP/1.1 408")
