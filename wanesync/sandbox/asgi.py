"""The HTTP front of the stand-ins: an ASGI application that adds latency and can drop a connection."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wanesync.sandbox.stand_in import Request, Response

Arrive = Callable[[int, Request], Response | None]
"""Counts one request that arrived on a port and applies the limits; a response is a refusal."""

Handle = Callable[[int, Request], Response]
"""Answers one request that arrived on a port."""

_CLOSE = "wanesync.close"


class ClosableProtocol(HttpToolsProtocol):
    """The HTTP protocol of uvicorn with a way to close the connection instead of answering."""

    def on_message_begin(self) -> None:
        """Pass the close function of the connection to the application."""
        super().on_message_begin()
        self.scope["extensions"] = {_CLOSE: {"close": self.transport.close}}


class Latency:
    """The time of each request: uniform between two bounds in ms, from a random source of its own."""

    def __init__(self, low_ms: float, high_ms: float, rng: random.Random) -> None:
        if not 0 <= low_ms <= high_ms:
            raise ValueError(f"latency must be A-B with 0 <= A <= B, in ms, not {low_ms:g}-{high_ms:g}")
        self._bounds = (low_ms, high_ms)
        self._rng = rng

    def draw_s(self) -> float:
        """The delay of one request in seconds."""
        return self._rng.uniform(*self._bounds) / 1000


class SandboxApp:
    """The application: admits a request, waits half its latency, and handles it within the other half.

    The rate limits count arrivals, as the vendors do, so the latency does not move a request into another second.
    """

    def __init__(self, arrive: Arrive, handle: Handle, latency: Latency) -> None:
        self._arrive = arrive
        self._handle = handle
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        if request is None:
            return
        port = scope["server"][1]
        refused = self._arrive(port, request)
        if refused is not None:
            await _answer(refused, send)
            return
        half_s = 0.0 if request.path.startswith("/_sandbox/") else self._latency.draw_s() / 2
        if half_s:
            await asyncio.sleep(half_s)
        began_s = time.perf_counter()
        response = self._handle(port, replace(request, admitted=True))
        if half_s:
            # The work is part of the latency.
            await asyncio.sleep(half_s - (time.perf_counter() - began_s))
        if response.lost:
            scope["extensions"][_CLOSE]["close"]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await _answer(response, send)


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """The whole request; None when the client disconnected before its end."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Request(scope["method"], scope["path"], tuple(query), _headers(scope["headers"]), b"".join(chunks))


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class HeaderName(bytes):
    """The name of a header as the vendor writes it: uvicorn sends what ``lower`` returns, and compares it."""

    def lower(self) -> HeaderName:
        """The name itself, so that its capital letters reach the client."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and bytes.lower(self) == bytes.lower(other)

    def __hash__(self) -> int:
        return hash(bytes.lower(self))


async def _answer(response: Response, send: Send) -> None:
    headers = [
        (HeaderName(name.encode("latin-1")), value.encode("latin-1")) for name, value in response.headers.items()
    ]
    length = HeaderName(b"Content-Length")
    if response.status not in (204, 304) and not any(name == length for name, _ in headers):
        headers.append((length, str(len(response.body) * response.repeat).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    for _ in range(response.repeat - 1):
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
    await send({"type": "http.response.body", "body": response.body})
