"""``bench hooks``: the time of a signed HubSpot webhook POST with 100 events."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import orjson

from wanesync.bench import BenchFailed
from wanesync.bench.environment import HUBSPOT_SECRET, open_environment
from wanesync.bench.figures import describe_machine, percentile
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.hubspot.webhooks import sign
from wanesync.sandbox.server import clock_ms
from wanesync.sandbox.stand_in import WebhookTarget

EVENTS = 100  # events of one POST, the maximum of HubSpot
PARALLEL = 10  # concurrent POSTs, the default of HubSpot
ROUNDS = 8
WARM_UP = 5  # POSTs before those that are measured
PATH = "/webhooks/hubspot"
_SETTINGS = HubSpotSettings()


def measure(database: str | None, posts: int) -> dict[str, object]:
    """``median_ms p99_ms`` of ``posts`` POSTs one after the other, ``parallel_max_ms`` of each round of ten at once.

    Every POST has 100 events of 100 new contacts. Raises BenchFailed for an answer other than 200.
    """
    with open_environment(database) as environment, environment.serving() as (_, address):
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


class _Client:
    """Ten connections to the HubSpot endpoint that stay open, as those of HubSpot do."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = WebhookTarget(address + PATH, HUBSPOT_SECRET)
        self._connections = [
            http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30) for _ in range(PARALLEL)
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
