"""Our job table as a worker uses it: leases, fencing tokens, a lock per key, heartbeats and sweeps."""

from __future__ import annotations

import base64
import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.rivals.queue_run import DrainTimer, run_queue
from wanesync.core.ids import make_id
from wanesync.core.jobs import Job, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store.database import Store, Tx, open_store
from wanesync.store.tables.processes import LEASE_MS
from wanesync.sync.job_results import finish_all, still_held
from wanesync.sync.runtime import LOCK_MS
from wanesync.worker.worker import HEARTBEAT_INTERVAL_MS, SWEEP_INTERVAL_MS

BATCH = 100
CHUNK = 1_000
KEYS = [f"race:{base64.b64encode(bytes(32)).decode()}"]


class Wanesync:
    """Write jobs of the Stripe lane, one per contact."""

    def fill(self, url: str, jobs: int) -> None:
        """Insert in bulk, as reconcile does: each request may join a waiting job."""
        store = _open(url)
        for start in range(0, jobs, CHUNK):
            keys = [f"contact:{number}" for number in range(start, min(start + CHUNK, jobs))]
            requests = [JobRequest(Side.STRIPE, JobKind.WRITE, key) for key in keys]
            store.run(lambda tx, requests=requests: tx.jobs.put_many(requests))  # type: ignore[misc] # the loop's value
        store.close()

    def drain(self, url: str, seconds: float, timer: DrainTimer) -> None:
        """Claim and lock in one thread; check the lease and finish in another, as a lane and the committer do."""
        store = _open(url)
        owner = make_id(store.now_ms(), random.SystemRandom())
        over = threading.Event()
        _beat(store, owner)
        heartbeats = threading.Thread(target=_run_heartbeats, args=(store, owner, over))
        heartbeats.start()
        batches: queue.Queue[list[Job]] = queue.Queue(maxsize=1)
        with ThreadPoolExecutor(1, "committer") as pool:
            timer.go()
            done = pool.submit(_finish_each, store, batches)
            end_s = time.monotonic() + seconds
            while time.monotonic() < end_s and (jobs := store.run(lambda tx: _claim(tx, owner))):
                batches.put(jobs)
            batches.put([])
            timer.stop(done.result())
        over.set()
        heartbeats.join()
        store.close()


def _open(url: str) -> Store:
    return open_store(url if "://" in url else f"sqlite:{url}", KEYS, migrate=True)


def _claim(tx: Tx, owner: str) -> list[Job]:
    """Claim and lock; a job whose lock is taken would wait, but here each key has one job."""
    jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], BATCH, owner)
    locked = tx.locks.take_each({job.token: [job.key] for job in jobs}, owner, tx.now_ms + LOCK_MS)
    assert len(locked) == len(jobs), "two jobs of one key ran at once"
    return jobs


def _finish_each(store: Store, batches: queue.Queue[list[Job]]) -> int:
    """Finish batches until an empty one; returns how many jobs."""
    done = 0
    while jobs := batches.get():
        done += store.run(lambda tx, jobs=jobs: _finish(tx, jobs))  # type: ignore[misc] # the loop's value
    return done


def _finish(tx: Tx, jobs: list[Job]) -> int:
    ours = still_held(tx, jobs)
    finish_all(tx, ours)
    return len(ours)


def _run_heartbeats(store: Store, owner: str, over: threading.Event) -> None:
    """Send the heartbeats and sweeps of a worker."""
    beats = 0
    while not over.wait(SWEEP_INTERVAL_MS / 1000):
        beats += 1
        if beats % (HEARTBEAT_INTERVAL_MS // SWEEP_INTERVAL_MS) == 0:
            _beat(store, owner)
        store.run(lambda tx: tx.jobs.requeue_abandoned(LEASE_MS))


def _beat(store: Store, owner: str) -> None:
    store.run(lambda tx: tx.processes.beat(owner, str(Side.STRIPE), 0))


if __name__ == "__main__":
    run_queue(Wanesync())
