"""The web application over real HTTP, with an intake in memory, and the signatures of both senders."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn

from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.signatures import HubSpotSignature, StripeSignature
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.adapters.webhooks import WebhookAdapter
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Side
from wanesync.core.ports import ParsedWebhook, WebhookPort
from wanesync.core.posts import Settle
from wanesync.sync.intake import ParsedPost
from wanesync.web.app import build_app
from wanesync.web.metrics import WebhookCounters
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
            Side.HUBSPOT: WebhookAdapter(HubSpotSignature([SECRET]), HubSpotWebhooks(FIELDS, "3", key=b"k")),
            Side.STRIPE: WebhookAdapter(
                StripeSignature([WHSEC]), StripeEvents(FIELDS, StripeAccount(False, "3"), key=b"k")
            ),
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


@dataclass
class QuickMemory(Memory):
    """One that also takes POSTs without a thread for each of them; ``commits`` has their numbers."""

    commits: list[int] = field(default_factory=list)

    def prepare(
        self, side: Side, body: bytes, headers: Mapping[str, str], url: str, settle: Settle
    ) -> ParsedPost | None:
        now_ms = time.time_ns() // 1_000_000
        if not self.hooks[side].is_signed(body, headers, url, now_ms):
            return None
        return ParsedPost(side, settle, parsed=self.hooks[side].parse(body, now_ms))

    def store_prepared(self, posts: Sequence[ParsedPost]) -> None:
        threading.Thread(target=self._store, args=(posts,)).start()

    def _store(self, posts: Sequence[ParsedPost]) -> None:
        self.commits.append(len(posts))
        for post in posts:
            post.error = self.trouble
            if self.trouble is None:
                self.stored.append(post.parsed)
                post.new = len(post.parsed.events)
        for settle in {post.settle for post in posts}:
            settle([post for post in posts if post.settle == settle])


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
def serve(settings: WebSettings, intake: Memory, counts: WebhookCounters | None = None) -> Iterator[Door]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    ready: Future[None] = Future()
    config = uvicorn.Config(
        build_app(intake, settings, counts), log_config=None, access_log=False, lifespan="off", proxy_headers=False
    )
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
