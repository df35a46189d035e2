"""A thousand serverless doors at a time in front of one Postgres, through PgBouncer in transaction mode.

    python -m tests.robustness.pooler --doors 1000

Each door is one instance of a function: its own connection to the pooler, which has 20 to the server. All are open at
once, and each stores a webhook of its own, which is repeated after a 503 as its sender would. Needs PgBouncer (apt-get
install pgbouncer). Exits 1 if one was not stored, or the server saw more connections.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import psycopg

from tests.robustness.cold_start import installation
from tests.support.pgbouncer import pooled
from tests.support.serverless_door import change, sign
from wanesync.core.model import Side
from wanesync.serverless.door import DatabaseDoor, ServerlessApp, build_database_door, read_config
from wanesync.web.connections import raise_file_limit

HUBSPOT = "/webhooks/hubspot"
SERVER_CONNECTIONS = 20
MAX_SENT = 10
AT_A_TIME = 16
"""Threads that call the doors; the connections of all of them are open throughout."""


def post_until_stored(door: DatabaseDoor, number: int) -> int:
    """One webhook to one door until it is stored: how often it was sent."""
    return next((sent for sent in range(1, MAX_SENT + 1) if post(door, number) == 200), 0)


def post(door: DatabaseDoor, number: int) -> int:
    """One webhook to one door: the status of the answer."""

    async def call() -> int:
        body = change(number)
        transport = httpx.ASGITransport(ServerlessApp(lambda: door))
        async with httpx.AsyncClient(transport=transport, base_url="https://door.test") as client:
            headers = dict(sign(Side.HUBSPOT, body, HUBSPOT))
            return (await client.post(HUBSPOT, content=body, headers=headers)).status_code

    return anyio.run(call)


def main() -> int:
    """Open the doors and send through all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doors", type=int, default=1000)
    count = parser.parse_args().doors
    raise_file_limit()
    with (
        installation() as env,
        pooled(env["WANESYNC_DATABASE"], SERVER_CONNECTIONS) as url,
        ThreadPoolExecutor(AT_A_TIME) as threads,
    ):
        config = read_config({**env, "WANESYNC_DATABASE": url})
        began_s = time.monotonic()
        doors = list(threads.map(lambda _: build_database_door(config), range(count)))
        opened_s = time.monotonic() - began_s
        began_s = time.monotonic()
        sent = Counter(threads.map(post_until_stored, doors, range(1, count + 1)))
        sent_s = time.monotonic() - began_s
        with psycopg.connect(env["WANESYNC_DATABASE"]) as connection:
            seen = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'door' AND pid <> pg_backend_pid()"
            (server,) = connection.execute(seen).fetchone() or (0,)
            (events,) = connection.execute("SELECT count(*) FROM events").fetchone() or (0,)
        list(threads.map(lambda door: door.close(), doors))
    sys.stdout.write(
        f"{count:,} doors open after {opened_s:.0f} s; stored after so many times in {sent_s:.0f} s: {dict(sent)}; "
        f"{events:,} events stored; "
        f"{server} connections of the server\n"
    )
    return 0 if 0 not in sent and events == count and server <= SERVER_CONNECTIONS else 1


if __name__ == "__main__":
    sys.exit(main())
