"""Sends signed Stripe webhooks over some connections, each as soon as its last one was answered.

A process of its own (``python -m tests.bench.door.load``), the same one for every peer: raw HTTP/1.1, so that what is
measured is the peer. Prints one JSON document: ``posts seconds per_s p50_ms p99_ms refused``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import uvloop

from wanesync.bench.figures import percentile

OBJECT = {
    "object": "customer",
    "address": {"city": "Uppsala", "country": "SE", "line1": "Storgatan 1", "line2": None, "postal_code": "75310"},
    "balance": 0,
    "created": 1_790_000_000,
    "currency": "eur",
    "default_source": None,
    "delinquent": False,
    "description": None,
    "discount": None,
    "invoice_prefix": "ABCDEF",
    "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
    "livemode": False,
    "metadata": {"plan": "gold"},
    "next_invoice_sequence": 1,
    "phone": "+4618123456",
    "preferred_locales": ["sv"],
    "shipping": None,
    "tax_exempt": "none",
    "test_clock": None,
}
"""A customer as Stripe shows it (docs.stripe.com/api/customers/object), without its id, name and address."""


@dataclass(slots=True)
class Load:
    """Webhooks to send. ``first``: the number of the first, so that no two runs send the same event."""

    address: str
    secret: str
    version: str
    posts: int
    first: int
    took_ms: list[float] = field(default_factory=list)
    refused: int = 0
    _requests: Iterator[bytes] = field(default_factory=lambda: iter(()))

    async def run(self, connections: int) -> dict[str, float]:
        """Send everything; what it took."""
        # Made before, so that what is measured is the door.
        self._requests = iter(self.make_requests())
        began_s = time.perf_counter()
        await asyncio.gather(*(self._send_all() for _ in range(connections)))
        seconds = time.perf_counter() - began_s
        return {
            "posts": self.posts,
            "seconds": round(seconds, 3),
            "per_s": round(self.posts / seconds, 1),
            "p50_ms": round(percentile(self.took_ms, 0.5), 2),
            "p99_ms": round(percentile(self.took_ms, 0.99), 2),
            "refused": self.refused,
        }

    def make_requests(self) -> list[bytes]:
        """Return all of them, signed now."""
        parts = urlsplit(self.address)
        numbers = range(self.first + 1, self.first + self.posts + 1)
        return [self._request(number, parts.netloc, parts.path) for number in numbers]

    async def _send_all(self) -> None:
        parts = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            for request in self._requests:
                began_s = time.perf_counter()
                writer.write(request)
                self.refused += await _read_answer(reader) != 200
                self.took_ms.append((time.perf_counter() - began_s) * 1000)
        finally:
            writer.close()

    def _request(self, number: int, host: str, path: str) -> bytes:
        now_s = int(time.time())
        customer = OBJECT | {"id": f"cus_{number:014d}", "name": f"Person {number}", "email": f"p{number}@example.com"}
        body = orjson.dumps(
            {
                "id": f"evt_{number:024d}",
                "object": "event",
                "api_version": self.version,
                "created": now_s,
                "data": {"object": customer, "previous_attributes": {"name": "Old name"}},
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": f"req_{number:014d}", "idempotency_key": f"shop-{number}"},
                "type": "customer.updated",
            }
        )
        signed = hmac.new(self.secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Stripe-Signature: t={now_s},v1={signed}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])


def main() -> None:
    """Send what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--version", default="2026-09-30.endive")
    parser.add_argument("--posts", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--connections", type=int, default=1)
    given = parser.parse_args()
    load = Load(given.address, given.secret, given.version, given.posts, given.first)
    print(json.dumps(uvloop.run(load.run(given.connections))))  # noqa: T201 - its result


if __name__ == "__main__":
    main()
