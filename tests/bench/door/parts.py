"""What the parts of a signed POST cost the door, each warm and by itself: the least time of many, in microseconds.

    .venv/bin/python -m tests.bench.door.parts

The least time hardly depends on what else runs: two states of the code, or two interpreters, are
compared by it, in turns.
Prints one JSON document.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping

from tests.bench.door.load import Load
from wanesync.adapters.signatures import SignedRequest, StripeSignature
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.bench.figures import describe_machine
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.jobs import Priority
from wanesync.core.setup.api_versions import STRIPE_VERSION
from wanesync.store.arrays import as_text
from wanesync.store.database import open_store
from wanesync.store.event_line import EventLine
from wanesync.store.session import Row

SECRET, KEY = "whsec_bench", "bnch:" + "A" * 43 + "="
POSTS = 20
"""POSTs of one measurement: few, so that many measurements are not interrupted."""
ROUNDS = 200


class DeafLine:
    """A line to a database that makes a message of what it is given, and sends nothing."""

    is_usable = True

    def fileno(self) -> int:
        """No file."""
        return -1

    def send(self, statement: str, values: Mapping[str, object]) -> bool:
        """Nothing is left."""
        for value in values.values():
            as_text(value)
        return False

    def flush(self) -> bool:
        """Nothing is left."""
        return False

    def receive(self) -> list[Row] | None:
        """No answer."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def list_parts() -> dict[str, Callable[[int], object]]:
    """The parts by name; each takes the number of a POST."""
    load = Load("http://127.0.0.1/webhooks/stripe", SECRET, STRIPE_VERSION, POSTS, 0)
    heads, bodies = zip(*(request.split(b"\r\n\r\n", 1) for request in load.make_requests()), strict=True)
    headers = [dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:]) for head in heads]
    parser = StripeEvents(FieldMap(DEFAULT_FIELDS), StripeAccount(livemode=False, portal="1"), key=b"bench")
    signature, now_ms = StripeSignature([SECRET]), time.time_ns() // 1_000_000
    store, line = open_store("sqlite::memory:", [KEY], migrate=True), EventLine(DeafLine())
    events = [[(event, Priority.LIVE) for event in parser.parse(body, now_ms).events] for body in bodies]
    requests = [SignedRequest("POST", "", *one) for one in zip(headers, bodies, strict=True)]
    return {
        "reading": lambda number: parser.parse(bodies[number], now_ms),
        "signature": lambda number: signature.verify(requests[number], now_ms),
        "message": lambda number: line.send_events(store.context, events[number], lambda: None),
    }


def measure(part: Callable[[int], object]) -> float:
    """Microseconds for one POST."""
    began_s = time.perf_counter()
    for number in range(POSTS):
        part(number)
    return (time.perf_counter() - began_s) / POSTS * 1_000_000


def main() -> None:
    """Measure every part in turns; prints one JSON document."""
    parts = list_parts()
    # As in a door, which collects seldom.
    gc.disable()
    rounds = [{name: measure(part) for name, part in parts.items()} for _ in range(ROUNDS)]
    least = {name: round(min(one[name] for one in rounds), 1) for name in parts}
    sys.stdout.write(json.dumps({"us": least, "machine": describe_machine("sqlite:")}) + "\n")


if __name__ == "__main__":
    main()
