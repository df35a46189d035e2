"""procrastinate on Postgres: one worker with many jobs at a time, fetched one by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from procrastinate import App, PsycopgConnector

from tests.bench.rivals.queue_run import DrainTimer, run_queue

# Jobs at a time, and connections: higher values are not faster.
CONCURRENCY, CONNECTIONS = 20, 8


class Procrastinate:
    """One lock per job: no two jobs of one key at a time, like ours."""

    def __init__(self) -> None:
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        self.done = 0

    def fill(self, url: str, jobs: int) -> None:
        """Use its bulk insert."""
        asyncio.run(self._fill(url, jobs))

    def drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        """One worker in this process."""
        asyncio.run(self._drain(url, seconds, timer))

    def _app(self, url: str) -> App:
        app = App(connector=PsycopgConnector(conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS))
        app.task(name="work")(self._work)
        return app

    async def _work(self) -> None:
        self.done += 1

    async def _fill(self, url: str, jobs: int) -> None:
        app = self._app(url)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            for start in range(0, jobs, 1_000):
                deferrers = [
                    app.configure_task("work", lock=f"contact:{n}") for n in range(start, min(start + 1_000, jobs))
                ]
                await app.job_manager.batch_defer_jobs_async([deferrer.job for deferrer in deferrers])

    async def _drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        app = self._app(url)
        async with app.open_async():
            timer.go()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(seconds):
                    await app.run_worker_async(concurrency=CONCURRENCY, wait=False, install_signal_handlers=False)
            timer.stop(self.done)


if __name__ == "__main__":
    run_queue(Procrastinate())
