"""POSTs that arrive in one piece: they are answered without the application, and as it would answer them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.support.web_door import HUBSPOT, PUBLIC_URL, STRIPE, QuickMemory, change, sign_hubspot, sign_stripe
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.store import open_store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters
from wanesync.web.server import WebServer
from wanesync.web.settings import WebSettings
from wanesync.web.webhooks import MAX_QUICK_BYTES, SECURITY_HEADERS, WebhookRoutes

BODY = json.dumps([change()]).encode()


@dataclass
class Door:
    """A running door, how often the application was asked, and what was counted."""

    port: int
    intake: QuickMemory
    counts: WebhookCounters
    served: list[Side]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, *parts: bytes) -> bytes:
        """What the door answers to parts that are sent one after the other."""
        with self.connect() as opened:
            for part in parts:
                opened.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
            return read_answer(opened)


def read_answer(opened: socket.socket) -> bytes:
    """One answer, whose length is announced."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += opened.recv(4_096)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += opened.recv(4_096)
    return head + b"\r\n\r\n" + body


def make_post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    served: list[Side] = []
    serve = WebhookRoutes.serve

    async def note(self: WebhookRoutes, side: Side, *rest: object) -> None:
        served.append(side)
        await serve(self, side, *rest)  # type: ignore[arg-type] # what it was given

    monkeypatch.setattr(WebhookRoutes, "serve", note)
    store = open_store("sqlite::memory:", migrate=True)
    intake, counts = QuickMemory(), WebhookCounters()
    server = WebServer(store, intake, WebSettings(public_url=PUBLIC_URL), ("127.0.0.1", 0), counts)
    server.start()
    yield Door(urlsplit(server.url).port or 0, intake, counts, served)
    server.stop()
    store.close()


def signed(body: bytes = BODY) -> bytes:
    return make_post(HUBSPOT, body, sign_hubspot(body))


def test_it_is_answered_as_the_application_answers(door: Door) -> None:
    whole = door.send(signed())
    assert not door.served
    head, _, body = signed().partition(b"\r\n\r\n")
    parts = door.send(head + b"\r\n\r\n", body)
    assert door.served == [Side.HUBSPOT]
    assert sorted(whole.lower().split(b"\r\n")) == sorted(parts.lower().split(b"\r\n"))
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b'\r\n\r\n{"stored":1}')
    assert all(f"{name.lower()}: {value}".encode() in whole for name, value in SECURITY_HEADERS.items())
    assert len(door.intake.stored) == 2
    assert door.counts.read_answers() == ([(("hubspot", 200), 2)], [("hubspot", 2)])


def test_many_go_over_one_connection_and_a_body_in_pieces_between_them(door: Door) -> None:
    with door.connect() as opened:
        for _ in range(3):
            opened.sendall(signed())
            assert read_answer(opened).startswith(b"HTTP/1.1 200")
        head, _, body = signed().partition(b"\r\n\r\n")
        opened.sendall(head + b"\r\n\r\n" + body[:10])
        time.sleep(0.05)
        opened.sendall(body[10:])
        assert read_answer(opened).endswith(b'{"stored":1}')
        opened.sendall(signed())
        assert read_answer(opened).endswith(b'{"stored":1}')
    assert door.served == [Side.HUBSPOT]


def test_requests_that_are_sent_before_the_answer_are_answered_in_order(door: Door) -> None:
    other = json.dumps([change(8)]).encode()
    with door.connect() as opened:
        opened.sendall(signed() + make_post(STRIPE, b"{}", {}) + make_post(HUBSPOT, other, sign_hubspot(other)))
        data = b""
        while data.count(b"HTTP/1.1 ") < 3 or not data.endswith(b"}"):
            data += opened.recv(4_096)
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401", b"200"]


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: make_post(HUBSPOT, BODY, {}), b"401"),
        (lambda: make_post(STRIPE, b"nonsense", sign_stripe(b"nonsense")), b"400"),
        (lambda: signed().replace(b" /webhooks/hubspot", b" /elsewhere"), b"404"),
        (lambda: signed().replace(b"POST", b"PUT", 1), b"405"),
    ],
    ids=["unsigned", "nonsense", "elsewhere", "method"],
)
def test_what_is_not_as_it_should_be_is_refused_by_the_application(
    door: Door, make: Callable[[], bytes], status: bytes
) -> None:
    assert door.send(make()).startswith(b"HTTP/1.1 " + status), "signed now: a signature holds for five minutes"
    assert not door.intake.stored


@pytest.mark.parametrize("more", [{"Expect": "100-continue"}, {"Content-Length": "5"}])
def test_an_unusual_head_goes_through_the_application(door: Door, more: dict[str, str]) -> None:
    with door.connect() as opened:
        opened.sendall(make_post(HUBSPOT, BODY, sign_hubspot(BODY) | more))
        assert opened.recv(4_096)


def test_a_large_body_goes_through_the_application(door: Door) -> None:
    body = json.dumps([change() | {"propertyValue": "x" * MAX_QUICK_BYTES}]).encode()
    assert door.send(signed(body)).startswith(b"HTTP/1.1 200")
    assert door.served == [Side.HUBSPOT]


def test_trouble_of_our_own_is_to_be_sent_again(door: Door) -> None:
    door.intake.trouble = DatabaseUnavailable("away")
    answer = door.send(signed())
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5\r\n" in answer
    assert not door.served
    assert door.counts.take_outcomes() == {(Side.HUBSPOT, Outcome.UNAVAILABLE): 1}


def test_a_connection_that_is_to_be_closed_is(door: Door) -> None:
    with door.connect() as opened:
        opened.sendall(make_post(HUBSPOT, BODY, sign_hubspot(BODY) | {"Connection": "close"}))
        answer = read_answer(opened)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close\r\n" in answer
        assert opened.recv(10) == b""


def test_a_sender_that_is_gone_harms_nothing(door: Door) -> None:
    with door.connect() as opened:
        opened.sendall(signed())
    assert door.send(signed()).startswith(b"HTTP/1.1 200")
