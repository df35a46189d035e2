"""Webhooks across a rotation of both webhook secrets: none may be refused.

    python -m tests.robustness.secret_rotation [--requests N]

`wanesync serve` reads both secrets from files. A third of the way the new ones are written into the files, half of the
way the vendors begin to sign with them, and one request in ten is a late one that the old secret signed. Exits 1 if a
request is refused.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.stage import HUBSPOT_SECRET, STRIPE_SECRET, Stage
from wanesync.adapters.signatures import sign_hubspot, sign_stripe
from wanesync.core.model import Side

SECRETS = {
    Side.HUBSPOT: (HUBSPOT_SECRET, "hubspot-new-secret"),
    Side.STRIPE: (STRIPE_SECRET, "whsec_new"),
}
SIGNERS = {Side.HUBSPOT: sign_hubspot, Side.STRIPE: sign_stripe}
THREADS = 8
LATE = 10
"""Every so-manieth request after the rotation was signed before it."""


def play(folder: Path, requests: int) -> Counter[int]:
    """Return status -> how many of the requests got it."""
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as stage:
        text = stage.file.read_text()
        for side, (old, _) in SECRETS.items():
            _put(folder / side, old)
            text = text.replace(f'webhook_secret = "{old}"', f'webhook_secret = "file:{side}"')
        stage.file.write_text(text)
        line = stage.start("serve").first_line()
        address = next(word for word in line.split() if word.startswith("http"))
        counts: Counter[int] = Counter()
        with ThreadPoolExecutor(THREADS) as pool:
            first, last = range(requests // 3), range(requests // 2, requests)
            counts.update(pool.map(lambda number: _post(address, number, late=True), first))
            for side, (_, new) in SECRETS.items():
                _put(folder / side, new)
            counts.update(pool.map(lambda n: _post(address, n, late=True), range(requests // 3, requests // 2)))
            counts.update(pool.map(lambda number: _post(address, number, late=number % LATE == 0), last))
        return counts


def _put(path: Path, secret: str) -> None:
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(secret)
    new.rename(path)


def _post(address: str, number: int, *, late: bool) -> int:
    side = (Side.HUBSPOT, Side.STRIPE)[number % 2]
    body = _body(side, number)
    path, parts = f"/webhooks/{side}", urlsplit(address)
    headers = SIGNERS[side](SECRETS[side][0 if late else 1], f"{address}{path}", body, time.time_ns() // 1_000_000)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _body(side: Side, number: int) -> bytes:
    if side is Side.HUBSPOT:
        event = {
            "eventId": number,
            "subscriptionType": "contact.propertyChange",
            "portalId": 123456,
            "occurredAt": time.time_ns() // 1_000_000,
            "objectId": number + 1,
            "propertyName": "phone",
            "changeSource": "CRM_UI",
        }
        return json.dumps([event]).encode()
    customer = {"object": "customer", "id": f"cus_{number}", "email": "ana@example.com", "metadata": {}}
    return json.dumps(
        {
            "object": "event",
            "id": f"evt_{number}",
            "type": "customer.updated",
            "livemode": False,
            "created": time.time_ns() // 1_000_000_000,
            "data": {"object": customer},
        }
    ).encode()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = play(Path(folder), options.requests)
    sys.stdout.write(f"{counts.total():,} requests across a rotation of both secrets: {dict(counts)}\n")
    return 0 if counts == {200: options.requests} else 1


if __name__ == "__main__":
    sys.exit(main())
