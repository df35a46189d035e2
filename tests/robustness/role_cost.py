"""``python -m tests.robustness.role_cost``: what rules of rows cost the database: CPU time of its backends per job.

The statements on tables with rules are those of a worker: queue, claim, store and settle a pending write, finish, take
rate slots. They run as the owner, whom no rule binds, and as the worker's role, in turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from contextlib import closing
from pathlib import Path

import psycopg

from tests.support.database_roles import as_user
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import PendingWrite, Side, WriteKind, WriteResult
from wanesync.store import Store, Tx, make_key, open_store
from wanesync.store.roles.apply import apply_roles, find_target
from wanesync.store.roles.matrix import Role

BATCH = 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def work(store: Store, first: int) -> None:
    """One batch of jobs from the queue to their end."""
    keys = [f"contact:{first + n}" for n in range(BATCH)]

    def queue(tx: Tx) -> None:
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, key, Priority.LIVE) for key in keys for side in Side])

    def carry_out(tx: Tx) -> None:
        jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.WRITE], BATCH, "w1")
        writes = [
            PendingWrite(job.id, Side.HUBSPOT, WriteKind.UPDATE, job.key, "cus_1", job.key, job.id, "{}", {})
            for job in jobs
        ]
        tx.pending_writes.put_many(writes)
        for write, job in zip(writes, jobs, strict=True):
            tx.pending_writes.mark_sent(write.id)
            tx.pending_writes.record_result(write.id, WriteResult.OK)
            tx.jobs.finish(job)

    store.run(queue)
    store.run(carry_out)
    for _ in range(BATCH):
        store.reserve(str(Side.HUBSPOT), 1)


def measure_cpu_s(url: str) -> float:
    """CPU time that the backends of the other connections have used, in s (proc_pid_stat(5), fields 14 and 15)."""
    with psycopg.connect(url) as owner:
        pids = owner.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for (pid,) in pids]
    return sum(int(found[11]) + int(found[12]) for found in fields) / TICKS_PER_S


def main(arguments: list[str]) -> int:
    """Exit code 0: measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args(arguments)
    keys = [make_key("k001")]
    found: dict[str, list[float]] = {"owner": [], "role": []}
    with temporary_cluster(UNSAFE_SETTINGS) as cluster:
        with closing(open_store(cluster.url, keys, migrate=True)) as store, store.transaction() as tx:
            tx.rates.set_limit("hubspot", 1000)
            tx.processes.beat("w1", "hubspot", 1)
        apply_roles(cluster.url, find_target(cluster.url))
        urls = {"owner": cluster.url, "role": as_user(cluster.url, f"wanesync_{Role.HUBSPOT_WORKER}")}
        first = 0
        for turn in range(given.rounds * 2):
            name = ("owner", "role")[turn % 2]
            with closing(open_store(urls[name], keys)) as store:
                work(store, first)  # statements are prepared
                before = measure_cpu_s(cluster.url)
                for batch in range(1, given.batches + 1):
                    work(store, first + batch * BATCH)
                used = measure_cpu_s(cluster.url) - before
            first += (given.batches + 1) * BATCH
            found[name].append(used * 1_000_000 / (given.batches * BATCH))
    for name, values in found.items():
        median, spread = statistics.median(values), f"{min(values):.0f} to {max(values):.0f}"
        sys.stdout.write(f"{name}: {median:.0f} µs of CPU for each job ({spread})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
