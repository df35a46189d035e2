"""Processes that carry out a bulk run are killed, one after another: no dead letter is done twice, none is left out.

``python -m tests.robustness.bulk_run_kills --letters 20000 --kills 40`` runs on a SQLite file, ``--url`` on Postgres.
The lease is shortened, so that the next process takes over within a fraction of a second.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wanesync.child_process import clean_environment
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import QueueFilter
from wanesync.ops.queue import bulk_runs
from wanesync.ops.queue.bulk_runs import BulkRequest, BulkRunner, read_bulk_run, read_outcomes, start_bulk_run
from wanesync.store import Store, make_key, open_store
from wanesync.store.tables.operating import bulk_runs as table

KEY = make_key("k001")
LEASE_MS = 400
SLICE_JOBS = 50
CHUNK = 500
DEADLINE_S = 900.0
ANNA = Operator("anna", Via.PAGE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left after the run: letters that still are dead, jobs that were done several times, and the figures."""

    letters: int
    kills: int
    left: int
    twice: int
    waiting: int
    took_s: float

    @property
    def is_well(self) -> bool:
        """Whether each letter was done once."""
        return (self.left, self.twice, self.waiting) == (0, 0, self.letters)

    def __str__(self) -> str:
        fate = "each once" if self.is_well else f"{self.left} left, {self.twice} twice, {self.waiting} waiting"
        return f"{self.letters:,} dead letters, {self.kills} processes killed: {fate}, {self.took_s:.0f} s"


def fill(store: Store, letters: int) -> None:
    """Queue, claim and give up so many jobs."""
    for first in range(0, letters, CHUNK):
        with store.transaction() as tx:
            count = min(CHUNK, letters - first)
            tx.jobs.put_many([JobRequest(Side.STRIPE, JobKind.READ, f"cus_{first + n}") for n in range(count)])
            for job in tx.jobs.claim(Side.STRIPE, None, count, "w1"):
                tx.jobs.mark_dead(job, DeadClass.REFUSED, "it said no")


def carry_out_runs(url: str, key: str, owner: str) -> None:
    """Do what a process of the admin service does, until it is killed or its standard input ends."""
    table.LEASE_MS, bulk_runs.SLICE_JOBS = LEASE_MS, SLICE_JOBS
    with closing(open_store(url, [key])) as store:
        runner = BulkRunner(store, owner)
        print("started", flush=True)  # noqa: T201 - the parent waits for it
        while True:
            runner.run_round()
            time.sleep(0.02)


@contextmanager
def running(url: str, owner: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries out runs; killed at the end."""
    command = [sys.executable, "-m", "tests.robustness.bulk_run_kills", "--carry-out", url, KEY, owner]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()


def kill_again_and_again(url: str, letters: int, kills: int, seed: int) -> Outcome:
    """Start a run over ``letters`` dead letters and kill the process that carries it out ``kills`` times."""
    rng, began_s = random.Random(seed), time.monotonic()
    with closing(open_store(url, [KEY], migrate=True)) as store:
        fill(store, letters)
        time.sleep(0.01)
        request = BulkRequest(BulkAction.RETRY, QueueFilter(side=Side.STRIPE), expected=letters)
        run = start_bulk_run(store, request, ANNA)
        killed = 0
        while read_bulk_run(store, run.id).state is BulkState.RUNNING:
            last = killed >= kills
            with running(url, f"process-{killed}"):
                start = read_bulk_run(store, run.id).handled
                share = rng.random() * letters / (kills + 1)
                _wait_until(store, run.id, letters if last else start + int(share), began_s + DEADLINE_S)
                # In the middle of a transaction, mostly.
                time.sleep(rng.random() * 0.02)
            killed += 1
        return _judge(store, run.id, letters, killed - 1, time.monotonic() - began_s)


def _wait_until(store: Store, run_id: str, handled: int, until_s: float) -> None:
    while time.monotonic() < until_s:
        run = read_bulk_run(store, run_id)
        if run.handled > handled or run.state is not BulkState.RUNNING:
            return
        time.sleep(0.005)
    raise TimeoutError(f"the run stands at {read_bulk_run(store, run_id).handled}")


def _judge(store: Store, run_id: str, letters: int, kills: int, took_s: float) -> Outcome:
    with store.reading() as tx:
        left = len(tx.dead_letters.latest(limit=letters))
        entries = [row for row in tx.journal.latest(3 * letters + 10) if row.kind == "retried" and row.record_id]
    times = Counter(str(row.data["job"]) for row in entries)
    twice = sum(count > 1 for count in times.values()) + abs(len(times) - letters)
    return Outcome(letters, kills, left, twice, read_outcomes(store, run_id).get("waiting", 0), took_s)


def main() -> int:
    """Run it; 1 if a letter was done twice or left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--letters", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="of an empty Postgres database")
    parser.add_argument("--carry-out", nargs=3, metavar=("URL", "KEY", "OWNER"), help="used by the command itself")
    options = parser.parse_args()
    if options.carry_out:
        carry_out_runs(*options.carry_out)
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:{Path(folder) / 'queue.db'}"
        outcome = kill_again_and_again(url, options.letters, options.kills, options.seed)
    sys.stdout.write(f"{outcome}\n")
    return int(not outcome.is_well)


if __name__ == "__main__":
    sys.exit(main())
