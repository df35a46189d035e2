"""``bench hooks``: the time of a signed HubSpot webhook POST with 100 events."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import orjson

from wanesync.bench import BenchFailed
from wanesync.bench.environment import HUBSPOT_SECRET, open_environment
from wanesync.bench.figures import describe_machine, percentile
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.hubspot.webhooks import sign
from wanesync.sandbox.server import clock_ms
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.web.connections import raise_file_limit

EVENTS = 100  # events of one POST, the maximum of HubSpot
PARALLEL = 10  # concurrent POSTs, the default of HubSpot
ROUNDS = 8
WARM_UP = 5  # POSTs before those that are measured
PATH = "/webhooks/hubspot"
_SETTINGS = HubSpotSettings()


HALF_OPEN = (
    b"",
    b"POST /webhooks/hubspot HTTP/1.1\r\nHost: a\r\n",
    b"POST /webhooks/hubspot HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n[",
)
"""What a half-open connection has sent: nothing, a part of its headers, a part of its body."""
HEADERS_BYTES = 60_000_000
"""Headers of one request that are offered to the door beside half-open connections."""


def measure(database: str | None, posts: int, half_open: int = 0) -> dict[str, object]:
    """``median_ms p99_ms`` of ``posts`` POSTs one after the other, ``parallel_max_ms`` of each round of ten at once.

    ``half_open``: instead, so many connections that never finish a request stand beside the POSTs, each of which comes
    on a new connection: ``median_ms max_ms``, and ``headers_taken_bytes`` of a request with 60 MB of headers. Every
    POST has 100 events of 100 new contacts. Raises BenchFailed for an answer other than 200.
    """
    with open_environment(database) as environment, environment.serving() as (_, address):
        if half_open:
            return _measure_beside(address, posts, half_open) | {"machine": describe_machine(environment.database)}
        client = _Client(address)
        for number in range(WARM_UP):
            client.post(number)
        alone_ms = [client.post(WARM_UP + number) for number in range(posts)]
        rounds = [client.post_together(WARM_UP + posts + PARALLEL * number) for number in range(ROUNDS)]
        client.close()
        return {
            "posts": posts,
            "median_ms": round(percentile(alone_ms, 0.5), 1),
            "p99_ms": round(percentile(alone_ms, 0.99), 1),
            "parallel_max_ms": [round(max(took), 1) for took in rounds],
            "machine": describe_machine(environment.database),
        }


def _measure_beside(address: str, posts: int, half_open: int) -> dict[str, object]:
    raise_file_limit()
    parts = urlsplit(address)
    place = (str(parts.hostname), parts.port or 80)
    with ExitStack() as opened:
        for number in range(half_open):
            one = opened.enter_context(socket.create_connection(place, timeout=30))
            # The server may have closed it already to make room.
            with suppress(OSError):
                one.sendall(HALF_OPEN[number % len(HALF_OPEN)])
        taken = _offer_headers(place)
        took_ms = [_post_anew(address, number) for number in range(posts)]
    return {
        "half_open": half_open,
        "posts": posts,
        "median_ms": round(percentile(took_ms, 0.5), 1),
        "max_ms": round(max(took_ms), 1),
        "headers_taken_bytes": taken,
    }


def _post_anew(address: str, number: int) -> float:
    """Milliseconds of a POST with its connection."""
    began_s = time.perf_counter()
    client = _Client(address, 1)
    client.post(number)
    client.close()
    return (time.perf_counter() - began_s) * 1000


def _offer_headers(place: tuple[str, int]) -> int:
    """Send a request with 60 MB of headers; return how many bytes of it were taken before the server closed it."""
    line = b"X-Padding: " + b"a" * 1_000 + b"\r\n"
    taken = 0
    with socket.create_connection(place, timeout=30) as client, suppress(OSError):
        taken += client.send(b"POST /webhooks/hubspot HTTP/1.1\r\nHost: a\r\n")
        while taken < HEADERS_BYTES:
            taken += client.send(line * 60)
    return taken


class _Client:
    """Connections to the HubSpot endpoint that stay open, as those of HubSpot do."""

    def __init__(self, address: str, connections: int = PARALLEL) -> None:
        parts = urlsplit(address)
        self._target = WebhookTarget(address + PATH, HUBSPOT_SECRET)
        self._connections = [
            http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30) for _ in range(connections)
        ]
        for connection in self._connections:
            connection.connect()

    def post(self, number: int, connection: int = 0, barrier: threading.Barrier | None = None) -> float:
        """Send one POST: milliseconds until its answer was read."""
        body = _body(number)
        headers = {"Content-Type": "application/json", **sign(self._target, body, clock_ms())}
        if barrier is not None:
            barrier.wait(30)
        began_s = time.perf_counter()
        self._connections[connection].request("POST", PATH, body, headers)
        answer = self._connections[connection].getresponse()
        content = answer.read()
        took_ms = (time.perf_counter() - began_s) * 1000
        if answer.status != 200:
            raise BenchFailed(f"wanesync serve answered {answer.status} to a signed POST")
        stored = orjson.loads(content)["stored"]
        if stored != EVENTS:
            raise BenchFailed(f"wanesync serve stored {stored} of {EVENTS} new events")
        return took_ms

    def post_together(self, first: int) -> list[float]:
        """Send ten POSTs at once, each on a connection of its own: milliseconds of each."""
        barrier = threading.Barrier(PARALLEL)
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(
                pool.map(lambda connection: self.post(first + connection, connection, barrier), range(PARALLEL))
            )

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()


def _body(number: int) -> bytes:
    """The POST with this number: one property change of each of 100 contacts that no other POST has."""
    at_ms = clock_ms()
    events = [
        {
            "eventId": place,
            "subscriptionId": 1,
            "portalId": _SETTINGS.portal_id,
            "appId": _SETTINGS.app_id,
            "occurredAt": at_ms,
            "subscriptionType": "contact.propertyChange",
            "attemptNumber": 0,
            "objectId": 1_000_000 + EVENTS * number + place,
            "changeSource": "CRM_UI",
            "sourceId": "userId:1",
            "propertyName": "city",
            "propertyValue": f"Town {number}",
            "isSensitive": False,
        }
        for place in range(EVENTS)
    ]
    return orjson.dumps(events)
