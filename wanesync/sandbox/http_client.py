"""The sender of webhooks: a small HTTP/1.1 client on asyncio that keeps connections open.

A general client costs about a third of a core at 100 POSTs a second; this one only sends a body
and reads a status, so that the stand-ins stay cheap beside the program under test.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from wanesync.sandbox.wire import Delivery

ANSWER_TIMEOUT_S = 5.0
"""How long a receiver may take (HubSpot's documented webhook time-out; Stripe publishes none)."""

_IDLE_S = 2.0
_LONGEST_HEAD = 64 * 1024


@dataclass(slots=True)
class _Line:
    """One open connection; ``since_s``: the monotonic time it was last used."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    since_s: float


class Poster:
    """Sends POSTs; belongs to one event loop."""

    def __init__(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: dict[str, list[_Line]] = {}

    async def post(self, delivery: Delivery) -> int | None:
        """Send one POST: the status answered, or None when no answer came in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(delivery)
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            return None

    async def _exchange(self, delivery: Delivery) -> int:
        address = urlsplit(delivery.url)
        line = await self._connect(address)
        keep = False
        try:
            line.writer.write(_request_bytes(address, delivery))
            await line.writer.drain()
            status, keep = await _read_answer(line.reader)
        finally:
            if keep:
                line.since_s = monotonic()
                self._idle.setdefault(address.netloc, []).append(line)
            else:
                line.writer.close()
        return status

    async def _connect(self, address: SplitResult) -> _Line:
        waiting = self._idle.get(address.netloc, [])
        while waiting:
            line = waiting.pop()
            # A receiver closes connections it thinks idle: an old one may die under the request.
            if monotonic() - line.since_s < _IDLE_S and not line.reader.at_eof():
                return line
            line.writer.close()
        secure = address.scheme == "https"
        port = address.port or (443 if secure else 80)
        opened = asyncio.open_connection(address.hostname, port, ssl=secure or None, limit=_LONGEST_HEAD)
        return _Line(*await opened, since_s=monotonic())

    async def close(self) -> None:
        """Close the connections kept open."""
        lines = [line for waiting in self._idle.values() for line in waiting]
        self._idle.clear()
        for line in lines:
            line.writer.close()
        for line in lines:
            with contextlib.suppress(OSError):
                await line.writer.wait_closed()


def _request_bytes(address: SplitResult, delivery: Delivery) -> bytes:
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    headers = {"host": address.netloc.rpartition("@")[2], "user-agent": "wanesync-sandbox"} | headers
    headers["content-length"] = str(len(delivery.body))
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
        return status, False  # chunked or ended by closing: the status is all we want
    if length is not None:
        await reader.readexactly(int(length))
    return status, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
