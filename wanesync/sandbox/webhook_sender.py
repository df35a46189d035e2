"""The sender of webhooks: takes due POSTs from a stand-in and sends them over connections that stay open.

A small HTTP/1.1 client on asyncio of its own: a general client costs about a third of a core at 100 POSTs a second,
this one only sends a body and reads a status, so the stand-ins stay cheap beside the program under test.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from wanesync.sandbox.stand_in import Delivery, StandIn

ANSWER_TIMEOUT_S = 5.0
"""How long a receiver may take: the documented webhook time-out of HubSpot; Stripe publishes none."""

_MAX_IDLE_S = 2.0
"""uvicorn closes idle connections after 5 s; older ones than this may be closed during the request."""
_MAX_HEAD_BYTES = 64 * 1024
_MAX_SLEEP_MS = 20
"""Edits do not wake the sender: the outbox is polled this often."""


@dataclass(slots=True)
class _Connection:
    """One open connection; ``used_s``: the monotonic time it was last used."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_s: float


class WebhookClient:
    """Sends POSTs over kept connections; belongs to one event loop."""

    def __init__(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: dict[str, list[_Connection]] = {}

    async def post(self, delivery: Delivery) -> int | None:
        """Send one POST: the response status; None when no response arrived in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(delivery)
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            return None

    async def _exchange(self, delivery: Delivery) -> int:
        address = urlsplit(delivery.url)
        connection = await self._connect(address)
        keep = False
        try:
            connection.writer.write(_request_bytes(address, delivery))
            await connection.writer.drain()
            status, keep = await _read_answer(connection.reader)
        finally:
            if keep:
                connection.used_s = monotonic()
                self._idle.setdefault(address.netloc, []).append(connection)
            else:
                connection.writer.close()
        return status

    async def _connect(self, address: SplitResult) -> _Connection:
        waiting = self._idle.get(address.netloc, [])
        while waiting:
            connection = waiting.pop()
            # The receiver closes idle connections: an old one may be closed during the request.
            if monotonic() - connection.used_s < _MAX_IDLE_S and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        secure = address.scheme == "https"
        port = address.port or (443 if secure else 80)
        opened = asyncio.open_connection(address.hostname, port, ssl=secure or None, limit=_MAX_HEAD_BYTES)
        return _Connection(*await opened, used_s=monotonic())

    async def close(self) -> None:
        """Close the kept connections."""
        connections = [connection for waiting in self._idle.values() for connection in waiting]
        self._idle.clear()
        for connection in connections:
            connection.writer.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                await connection.writer.wait_closed()


def _request_bytes(address: SplitResult, delivery: Delivery) -> bytes:
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    headers = {"Host": address.netloc.rpartition("@")[2], "User-Agent": "wanesync-sandbox", **delivery.headers}
    headers["Content-Length"] = str(len(delivery.body))
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + delivery.body


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the connection can carry another request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    status = int(rest[:3])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = headers.get("content-length")
    if length is None and status not in (204, 304):
        return status, False  # chunked, or ended by closing: only the status is needed
    if length is not None:
        await reader.readexactly(int(length))
    return status, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"


class WebhookSender:
    """Sends the due POSTs of one stand-in concurrently and reports each answer to it.

    The stand-in limits how many are in flight.
    """

    def __init__(self, stand_in: StandIn, lock: AbstractContextManager[object], now_ms: Callable[[], int]) -> None:
        self._stand_in = stand_in
        self._lock = lock
        self._now_ms = now_ms
        self._client = WebhookClient()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                with self._lock:
                    due = self._stand_in.take_deliveries(self._now_ms())
                    next_ms = self._stand_in.next_delivery_ms()
                for delivery in due:
                    task = asyncio.create_task(self._deliver(delivery))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                sleep_ms = _MAX_SLEEP_MS if next_ms is None else min(max(next_ms - self._now_ms(), 1), _MAX_SLEEP_MS)
                await asyncio.sleep(sleep_ms / 1000)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.close()

    async def _deliver(self, delivery: Delivery) -> None:
        status = await self._client.post(delivery)
        with self._lock:
            self._stand_in.finish_delivery(delivery.id, status, self._now_ms())
