"""huey on SQLite: one consumer thread, every commit flushed like ours."""

from __future__ import annotations

import logging
import time

from huey import SqliteHuey

from tests.bench.rivals.queue_run import DrainTimer, run_queue

POLL_S = 0.001


class Huey:
    """Tasks without a result. A task is deleted when it is claimed: a worker that crashes loses it."""

    def __init__(self) -> None:
        logging.getLogger("huey").setLevel(logging.ERROR)
        self.done = 0

    def fill(self, url: str, jobs: int) -> None:
        """huey has no bulk insert; flushing each commit would take minutes and is not measured."""
        queue = SqliteHuey("race", filename=url, fsync=False)
        task = queue.task()(self._work)
        for number in range(jobs):
            task(number)

    def drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        """One consumer thread: more of them only wait for the lock of the file."""
        queue = SqliteHuey("race", filename=url, fsync=True)
        queue.task()(self._work)
        consumer = queue.create_consumer(workers=1, periodic=False, initial_delay=POLL_S, max_delay=POLL_S)
        total = queue.pending_count()
        timer.go()
        consumer.start()
        end_s = time.monotonic() + seconds
        while self.done < total and time.monotonic() < end_s:
            time.sleep(POLL_S)
        consumer.stop(graceful=True)
        timer.stop(self.done)

    def _work(self, _number: int) -> None:
        self.done += 1


if __name__ == "__main__":
    run_queue(Huey())
