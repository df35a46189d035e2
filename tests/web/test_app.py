"""The webhook doors over real HTTP: what is stored, what is refused, and that nothing makes a traceback or a 500."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn

from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.signatures import HubSpotSignature, StripeSignature
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.adapters.webhooks import WebhookAdapter
from wanesync.core.errors import DatabaseUnavailable, DecryptionFailed
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Side
from wanesync.core.ports import ParsedWebhook, WebhookPort
from wanesync.web.app import build_app
from wanesync.web.settings import WebSettings

FIELDS = FieldMap(DEFAULT_FIELDS)
PUBLIC_URL = "https://sync.example.com/base"
HUBSPOT, STRIPE = "/webhooks/hubspot", "/webhooks/stripe"
SECRET, WHSEC = "client-secret", "whsec_1"
LIMIT = 1 << 20


@dataclass
class Memory:
    """An intake that keeps what it is given; ``trouble`` is raised instead of storing."""

    hooks: Mapping[Side, WebhookPort] = field(
        default_factory=lambda: {
            Side.HUBSPOT: WebhookAdapter(HubSpotSignature([SECRET]), HubSpotWebhooks(FIELDS, "3")),
            Side.STRIPE: WebhookAdapter(StripeSignature([WHSEC]), StripeEvents(FIELDS, StripeAccount(False, "3"))),
        }
    )
    stored: list[ParsedWebhook] = field(default_factory=list)
    trouble: Exception | None = None
    gate: threading.Barrier | None = None

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        now_ms = time.time_ns() // 1_000_000
        self.hooks[side].verify(body, headers, url, now_ms)
        parsed = self.hooks[side].parse(body, now_ms)
        if self.gate is not None:
            self.gate.wait(10)
        if self.trouble is not None:
            raise self.trouble
        self.stored.append(parsed)
        return len(parsed.events)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.body)
        return loaded


@dataclass
class Door:
    port: int
    intake: Memory

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post_hubspot(self, elements: object, **changes: str) -> Answer:
        body = elements if isinstance(elements, bytes) else json.dumps(elements).encode()
        return self.ask("POST", HUBSPOT, body, sign_hubspot(body) | changes)

    def post_stripe(self, event: object) -> Answer:
        body = json.dumps(event).encode()
        return self.ask("POST", STRIPE, body, sign_stripe(body))


def sign_hubspot(body: bytes, secret: str = SECRET, offset_ms: int = 0, path: str = HUBSPOT) -> dict[str, str]:
    at_ms = str(time.time_ns() // 1_000_000 + offset_ms)
    text = f"POST{PUBLIC_URL}{path}".encode() + body + at_ms.encode()
    mark = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
    names = ("Content-Type", "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp")
    return dict(zip(names, ("application/json", mark, at_ms), strict=True))


def sign_stripe(body: bytes, offset_s: int = 0) -> dict[str, str]:
    at_s = time.time_ns() // 1_000_000_000 + offset_s
    mark = hmac.new(WHSEC.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={at_s},v1={mark}"}


def change(contact_id: object = 7) -> dict[str, object]:
    return {
        "portalId": 3, "appId": 1, "eventId": 1, "subscriptionType": "contact.creation", "objectId": contact_id,
        "occurredAt": 1_700_000_000_000,
    }  # fmt: skip


@contextmanager
def serve(settings: WebSettings, intake: Memory) -> Iterator[Door]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    ready: Future[None] = Future()
    config = uvicorn.Config(build_app(intake, settings), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    listener.listen(128)

    def run() -> None:
        try:
            ready.set_result(None)  # the port listens: a request that comes now waits for the server
            server.run(sockets=[listener])
        finally:
            listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.result(10)
    try:
        yield Door(listener.getsockname()[1], intake)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def door(caplog: pytest.LogCaptureFixture) -> Iterator[Door]:
    with caplog.at_level(logging.DEBUG), serve(WebSettings(public_url=PUBLIC_URL + "/"), Memory()) as opened:
        yield opened
    assert [record for record in caplog.records if record.exc_info] == []


def test_hubspots_events_are_stored(door: Door) -> None:
    answer = door.post_hubspot([change(1), change(2)])
    assert (answer.status, answer.json) == (200, {"stored": 2})
    assert [event.record_id for event in door.intake.stored[0].events] == ["1", "2"]


def test_stripes_events_are_stored(door: Door) -> None:
    data = {"object": {"id": "cus_1", "object": "customer"}}
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.deleted",
        "created": 1,
        "livemode": False,
        "data": data,
    }
    answer = door.post_stripe(event)
    assert (answer.status, answer.json) == (200, {"stored": 1})


def test_one_bad_element_among_a_hundred_is_set_aside(door: Door) -> None:
    answer = door.post_hubspot([*map(change, range(1, 100)), change("nobody")])
    assert answer.json == {"stored": 99}
    assert len(door.intake.stored[0].set_aside) == 1


@pytest.mark.parametrize("offset_ms", [-301_000, 301_000])
def test_stale_and_future_webhooks_are_refused(door: Door, offset_ms: int) -> None:
    body = json.dumps([change()]).encode()
    assert door.ask("POST", HUBSPOT, body, sign_hubspot(body, offset_ms=offset_ms)).status == 401
    assert door.ask("POST", STRIPE, body, sign_stripe(body, offset_ms // 1000)).status == 401
    assert door.intake.stored == []


def test_forged_truncated_and_unsigned_webhooks_are_refused(door: Door) -> None:
    body = json.dumps([change()]).encode()
    good = sign_hubspot(body)
    for sent, headers in (
        (body, sign_hubspot(body, secret="another")),
        (body[:-1], good),
        (body, {"Content-Type": "application/json"}),
        (body, good | {"X-HubSpot-Signature-v3": "\xe9"}),
        (body, sign_hubspot(body, path=STRIPE)),
        (b"", sign_hubspot(b"x")),
    ):
        answer = door.ask("POST", HUBSPOT, sent, headers)
        assert (answer.status, sorted(answer.json)) == (401, ["error"])
    assert door.ask("POST", HUBSPOT + "?x=1", body, good).status == 401
    assert door.ask("POST", STRIPE, body, good).status == 401
    assert door.intake.stored == []


def test_a_header_sent_twice_is_not_trusted(door: Door) -> None:
    body = json.dumps([change()]).encode()
    good = sign_hubspot(body)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", HUBSPOT)
    for name, value in (*good.items(), ("X-HubSpot-Signature-v3", "x"), ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders(body)
    assert connection.getresponse().status == 401
    connection.close()


def test_signed_nonsense_is_refused(door: Door) -> None:
    for body in (b"{", b"\xff\xfe[]", b"{}", b"[" * 10_000, b"[NaN]"):
        answer = door.ask("POST", HUBSPOT, body, sign_hubspot(body))
        assert (answer.status, sorted(answer.json)) == (400, ["error"])
    assert door.intake.stored == []


def test_the_signature_decides_whatever_content_type_is_announced(door: Door) -> None:
    for content_type in ("text/html", "application/x-www-form-urlencoded", "application/vnd.x+json"):
        assert door.post_hubspot([change()], **{"Content-Type": content_type}).status == 200
        assert door.ask("POST", HUBSPOT, b"[]", {"Content-Type": content_type}).status == 401


def test_a_body_that_is_too_large_is_not_read(door: Door) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", HUBSPOT)
    connection.putheader("Content-Length", str(10 * LIMIT))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (413, "close")
    connection.close()


def test_a_body_without_a_length_is_cut_off_at_the_limit(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
        head = f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        try:
            while sent < 64 * LIMIT:
                client.sendall(chunk)
                sent += len(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 32 * LIMIT  # what the buffers of two sockets hold, not the whole
    assert door.intake.stored == []
    assert door.ask("GET", "/healthz").status == 200


def test_a_sender_that_goes_away_harms_nobody(door: Door) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
            client.sendall(f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n[".encode())
    assert door.post_hubspot([change()]).status == 200


def test_a_body_that_never_ends_is_given_up() -> None:
    settings = WebSettings(public_url=PUBLIC_URL, body_timeout_s=0.05)
    with serve(settings, Memory()) as door, socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
        client.sendall(f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n[".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "trouble",
    [
        DatabaseUnavailable("busy"),
        DecryptionFailed("key"),
        RuntimeError("secret ada@example.com"),
        KeyError("x"),
        TimeoutError(),
    ],
)
def test_our_own_trouble_is_a_503_and_tells_nothing(
    door: Door, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    door.intake.trouble = trouble
    answer = door.post_hubspot([change()])
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b"ada@" not in answer.body
    assert "ada@" not in caplog.text
    assert b"Traceback" not in answer.body
    door.intake.trouble = None
    assert door.post_hubspot([change()]).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(door: Door, method: str) -> None:
    for path in (HUBSPOT, STRIPE):
        answer = door.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_other_paths_do_not_exist(door: Door) -> None:
    for path in ("/", "/webhooks", "/webhooks/hubspot/", "/../etc/passwd", "/webhooks/%00", "/.git/config"):
        answer = door.ask("POST", path)
        assert (answer.status, answer.json) == (404, {"error": "not found"})


def test_every_answer_carries_the_security_headers(door: Door) -> None:
    for answer in (
        door.ask("GET", "/healthz"),
        door.ask("GET", "/nowhere"),
        door.post_hubspot([]),
        door.ask("PUT", STRIPE),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_ten_posts_are_stored_at_once() -> None:
    intake = Memory(gate=threading.Barrier(8))
    with serve(WebSettings(public_url=PUBLIC_URL, threads=8), intake) as door, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: door.post_hubspot([change(n)]).status, range(1, 9)))
    assert answers == [200] * 8
    assert len(intake.stored) == 8


def test_health_readiness_and_metrics() -> None:
    reasons = ["the database is down", ""]
    settings = WebSettings(
        public_url=PUBLIC_URL,
        ready=lambda: reasons[0],
        gauges=lambda: {'wanesync_jobs{lane="stripe",state="ready"}': 12},
    )
    with serve(settings, Memory()) as door:
        assert door.ask("GET", "/healthz").json == {"status": "ok"}
        down = door.ask("GET", "/readyz")
        assert (down.status, down.json["reason"]) == (503, "the database is down")
        reasons.pop(0)
        assert door.ask("GET", "/readyz").status == 200
        door.post_hubspot([change(), change(2)])
        door.post_hubspot([change()], **{"X-HubSpot-Request-Timestamp": "0"})
        page = door.ask("GET", "/metrics")
    lines = page.body.decode().splitlines()
    assert page.headers["content-type"].startswith("text/plain")
    assert 'wanesync_webhooks_total{side="hubspot",status="200"} 1' in lines
    assert 'wanesync_webhooks_total{side="hubspot",status="401"} 1' in lines
    assert 'wanesync_events_stored_total{side="hubspot"} 2' in lines
    assert 'wanesync_jobs{lane="stripe",state="ready"} 12' in lines


def test_probes_that_fail_say_so() -> None:
    def fail() -> dict[str, float]:
        raise DatabaseUnavailable("postgresql://user:password@host")

    def fail_too() -> str:
        raise DatabaseUnavailable("postgresql://user:password@host")

    with serve(WebSettings(ready=fail_too, gauges=fail), Memory()) as door:
        ready, metrics = door.ask("GET", "/readyz"), door.ask("GET", "/metrics")
    assert (ready.status, ready.json["reason"]) == (503, "DatabaseUnavailable")
    assert (metrics.status, b"password" in metrics.body) == (200, False)
    assert b"wanesync_gauges_available 0" in metrics.body


def test_without_a_public_address_the_request_s_own_is_signed() -> None:
    with serve(WebSettings(), Memory()) as door:
        body = json.dumps([change()]).encode()
        at_ms = str(time.time_ns() // 1_000_000)
        url = f"http://127.0.0.1:{door.port}{HUBSPOT}"
        text = f"POST{url}".encode() + body + at_ms.encode()
        mark = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
        headers = {"X-HubSpot-Signature-v3": mark, "X-HubSpot-Request-Timestamp": at_ms}
        assert door.ask("POST", HUBSPOT, body, headers).status == 200
