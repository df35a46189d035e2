"""pgqueuer on Postgres: one queue manager, jobs fetched and logged in batches as large as ours."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import asyncpg
from pgqueuer import AsyncpgDriver, Queries, QueueManager
from pgqueuer.types import QueueExecutionMode

from tests.bench.rivals.queue_run import DrainTimer, run_queue

BATCH = 100


class Pgqueuer:
    """Every job with a key that only one waiting job may have, like ours."""

    def __init__(self) -> None:
        self.done = 0

    def fill(self, url: str, jobs: int) -> None:
        """Use its bulk insert."""
        asyncio.run(self._fill(url, jobs))

    def drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        """One queue manager in this process."""
        asyncio.run(self._drain(url, seconds, timer))

    async def _fill(self, url: str, jobs: int) -> None:
        connection = await _connect(url)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        for start in range(0, jobs, 1_000):
            keys: list[str | None] = [f"contact:{n}" for n in range(start, min(start + 1_000, jobs))]
            await queries.enqueue(["work"] * len(keys), [None] * len(keys), [0] * len(keys), dedupe_key=keys)
        await connection.close()

    async def _drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        connection = await _connect(url)
        manager = QueueManager(Queries(AsyncpgDriver(connection)))

        async def work(_job: object) -> None:
            self.done += 1

        manager.entrypoint("work")(work)
        timer.go()
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, manager.shutdown.set)
        # A short wait at the end, when nothing is left: its default of 30 s would be measured.
        await manager.run(timedelta(milliseconds=10), BATCH, QueueExecutionMode.drain)
        timer.stop(self.done)
        await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    return await asyncpg.connect(host=folder, user=parts.username, database=parts.path.lstrip("/"))


if __name__ == "__main__":
    run_queue(Pgqueuer())
