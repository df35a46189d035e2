"""``bench hooks``: how fast the door answers a signed HubSpot POST of 100 events."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import orjson

from wanesync.bench import BenchFailed
from wanesync.bench.figures import describe_machine, percentile
from wanesync.bench.stage import HUBSPOT_SECRET, open_stage
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.hubspot.webhooks import sign
from wanesync.sandbox.server import clock_ms
from wanesync.sandbox.stand_in import WebhookTarget

EVENTS = 100
PARALLEL = 10
ROUNDS = 8
WARM_UP = 5
PATH = "/webhooks/hubspot"
_SETTINGS = HubSpotSettings()


def measure(database: str | None, posts: int) -> dict[str, object]:
    """``median_ms p99_ms`` of ``posts`` POSTs one after the other, ``parallel_max_ms`` of each round of ten at once.

    Every POST carries 100 events of 100 contacts nobody knows yet. Raises BenchFailed for an answer that is not 200.
    """
    with open_stage(database) as stage, stage.serving() as (_, address):
        door = _Door(address)
        for number in range(WARM_UP):
            door.post(number)
        alone_ms = [door.post(WARM_UP + number) for number in range(posts)]
        rounds = [door.post_together(WARM_UP + posts + PARALLEL * number) for number in range(ROUNDS)]
        door.close()
        return {
            "posts": posts,
            "median_ms": round(percentile(alone_ms, 0.5), 1),
            "p99_ms": round(percentile(alone_ms, 0.99), 1),
            "parallel_max_ms": [round(max(took), 1) for took in rounds],
            "machine": describe_machine(stage.database),
        }


class _Door:
    """Ten connections to the HubSpot door, opened once, as HubSpot keeps them open."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = WebhookTarget(address + PATH, HUBSPOT_SECRET)
        self._lines = [http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30) for _ in range(PARALLEL)]
        for line in self._lines:
            line.connect()

    def post(self, number: int, line: int = 0, gate: threading.Barrier | None = None) -> float:
        """Send the POST with this number: milliseconds until its answer was read."""
        body = _body(number)
        headers = {"Content-Type": "application/json", **sign(self._target, body, clock_ms())}
        if gate is not None:
            gate.wait(30)
        began_s = time.perf_counter()
        self._lines[line].request("POST", PATH, body, headers)
        answer = self._lines[line].getresponse()
        content = answer.read()
        took_ms = (time.perf_counter() - began_s) * 1000
        if answer.status != 200:
            raise BenchFailed(f"wanesync serve answered {answer.status} to a signed POST")
        stored = orjson.loads(content)["stored"]
        if stored != EVENTS:
            raise BenchFailed(f"wanesync serve stored {stored} of {EVENTS} new events")
        return took_ms

    def post_together(self, first: int) -> list[float]:
        """Ten POSTs at the same moment, each on its own connection: milliseconds of each."""
        gate = threading.Barrier(PARALLEL)
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(lambda line: self.post(first + line, line, gate), range(PARALLEL)))

    def close(self) -> None:
        """Hang up."""
        for line in self._lines:
            line.close()


def _body(number: int) -> bytes:
    """The POST with this number: one property change of each of 100 contacts no other POST names."""
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
