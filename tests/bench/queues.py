"""Our job table compared with procrastinate, pgqueuer and huey: the same no-op jobs, machine and run.

``python -m tests.bench.queues --rivals .venv-queues/bin/python``: README.md beside this file describes how to make that
environment. Every queue fills its table once; each run drains a copy of it for a few seconds or until it is empty. All
commits are flushed to the disk before they count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from wanesync.bench.postgres_cluster import temporary_cluster

ROOT = Path(__file__).parent.parent.parent
STEP_S = 120
LEFT: Mapping[str, LiteralString] = {
    "wanesync": "SELECT COUNT(*) FROM jobs WHERE state IN ('ready', 'running')",
    "huey": "SELECT COUNT(*) FROM task",
    "pgqueuer": "SELECT COUNT(*) FROM pgqueuer",
    "procrastinate": "SELECT COUNT(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
}
FLUSHED = ("synchronous_commit=on", "fsync=on", "autovacuum=off")


@dataclass(frozen=True, slots=True)
class Entry:
    """One queue on one kind of database with a number of worker processes."""

    module: str
    database: str
    processes: int

    @property
    def name(self) -> str:
        """The name of the queue in the table."""
        return self.module.removeprefix("by_")


ENTRIES = (
    Entry("by_wanesync", "sqlite", 1),
    Entry("by_huey", "sqlite", 1),
    *(Entry(f"by_{name}", "postgres", n) for n in (1, 4) for name in ("wanesync", "pgqueuer", "procrastinate")),
)


@dataclass(frozen=True, slots=True)
class Drain:
    """One run. ``cpu_ms_per_job``: of the worker processes; ``server_cpu_ms_per_job``: of Postgres."""

    jobs_per_s: float
    cpu_ms_per_job: float
    server_cpu_ms_per_job: float
    done: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """All runs of one entry with one table size; jobs/s as median, slowest and fastest."""

    queue: str
    database: str
    processes: int
    jobs: int
    runs: int
    jobs_per_s: float
    slowest: float
    fastest: float
    cpu_ms_per_job: float
    server_cpu_ms_per_job: float
    filled_per_s: float


class Benchmark:
    """The interpreters, a folder for SQLite files, and a Postgres."""

    def __init__(self, rivals: str, folder: Path, server_url: str) -> None:
        self._rivals, self._folder, self._server_url = rivals, folder, server_url
        self._postmaster = self._read_postmaster_pid()

    def fill(self, entry: Entry, jobs: int) -> tuple[str, float]:
        """Fill a database: its URL and the time that took; every run uses a copy."""
        name = f"{entry.name}_{jobs}"
        if entry.database == "sqlite":
            url = str(self._folder / f"{name}.db")
            return url, self._run_to_end(entry, "fill", url, str(jobs))["fill_s"]
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlsplit(self._server_url)._replace(path=f"/{name}").geturl()
        took_s = self._run_to_end(entry, "fill", url, str(jobs))["fill_s"]
        with psycopg.connect(url, autocommit=True) as connection:
            # As autovacuum does after such a fill: without it the query plan of procrastinate is slow.
            connection.execute("VACUUM ANALYZE")
        return url, took_s

    @contextmanager
    def copy(self, entry: Entry, url: str) -> Iterator[str]:
        """A copy of a filled database, removed at the end."""
        name = f"run_{uuid.uuid4().hex[:8]}"
        if entry.database == "sqlite":
            source, target = Path(url), self._folder / f"{name}.db"
            for path in self._folder.glob(f"{source.name}*"):
                shutil.copy2(path, self._folder / path.name.replace(source.name, target.name))
            yield str(target)
            for path in self._folder.glob(f"{target.name}*"):
                path.unlink()
            return
        template = urlsplit(url).path.lstrip("/")
        names = (sql.Identifier(name), sql.Identifier(template))
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self._execute(sql.SQL("CHECKPOINT"))

    def drain(self, entry: Entry, url: str, jobs: int, seconds: float) -> Drain:
        """Start the processes, signal when all are ready, and check that no job is lost."""
        before_s = self._server_cpu_s()
        workers = [self._start(entry, "drain", url, str(seconds)) for _ in range(entry.processes)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n", f"{entry.name} did not start"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        laps = [json.loads(self._finish(entry, worker)) for worker in workers]
        done = sum(lap["done"] for lap in laps)
        left = count_left(entry, url)
        assert done > 0, f"{entry.name}: nothing was done"
        assert done + left == jobs, f"{entry.name}: {done} done and {left} left of {jobs}"
        took_s = max(lap["ended_s"] for lap in laps) - min(lap["began_s"] for lap in laps)
        server_s = self._server_cpu_s() - before_s if entry.database == "postgres" else 0.0
        return Drain(done / took_s, 1000 * sum(lap["cpu_s"] for lap in laps) / done, 1000 * server_s / done, done)

    def _start(self, entry: Entry, *arguments: str) -> subprocess.Popen[str]:
        python = sys.executable if entry.name == "wanesync" else self._rivals
        return subprocess.Popen(
            [python, "-m", f"tests.bench.rivals.{entry.module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _finish(self, entry: Entry, process: subprocess.Popen[str]) -> str:
        output, errors = process.communicate(timeout=STEP_S)
        assert process.returncode == 0, f"{entry.name} failed: {errors[-2000:]}"
        return output

    def _run_to_end(self, entry: Entry, *arguments: str) -> dict[str, float]:
        answer: dict[str, float] = json.loads(self._finish(entry, self._start(entry, *arguments)))
        return answer

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement)

    def _read_postmaster_pid(self) -> int:
        with psycopg.connect(self._server_url) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        return int(row[0].splitlines()[0])

    def _server_cpu_s(self) -> float:
        """The CPU of all ended connections."""
        fields = Path(f"/proc/{self._postmaster}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def count_left(entry: Entry, url: str) -> int:
    """The number of jobs that are not done, read from the table of the queue."""
    if entry.database == "sqlite":
        with closing(sqlite3.connect(url)) as file:
            return int(file.execute(LEFT[entry.name]).fetchone()[0])
    with psycopg.connect(url) as connection:
        row = connection.execute(LEFT[entry.name]).fetchone()
    assert row is not None
    return int(row[0])


def run(benchmark: Benchmark, sizes: Sequence[int], repeats: int, seconds: float) -> list[Outcome]:
    """Run all entries with all sizes alternately, so that a busy moment of the machine affects all of them."""
    outcomes = []
    for jobs in sizes:
        filled: dict[tuple[str, str], tuple[str, float]] = {}
        for entry in ENTRIES:
            if (entry.name, entry.database) not in filled:
                filled[entry.name, entry.database] = benchmark.fill(entry, jobs)
        drains: dict[Entry, list[Drain]] = {entry: [] for entry in ENTRIES}
        for _ in range(repeats):
            for entry in ENTRIES:
                with benchmark.copy(entry, filled[entry.name, entry.database][0]) as url:
                    drains[entry].append(benchmark.drain(entry, url, jobs, seconds))
        outcomes += [_summarize(e, jobs, drains[e], jobs / filled[e.name, e.database][1]) for e in ENTRIES]
    return outcomes


def _summarize(entry: Entry, jobs: int, drains: Sequence[Drain], filled_per_s: float) -> Outcome:
    rates = [drain.jobs_per_s for drain in drains]
    return Outcome(
        queue=entry.name,
        database=entry.database,
        processes=entry.processes,
        jobs=jobs,
        runs=len(drains),
        jobs_per_s=round(statistics.median(rates)),
        slowest=round(min(rates)),
        fastest=round(max(rates)),
        cpu_ms_per_job=round(statistics.median(drain.cpu_ms_per_job for drain in drains), 3),
        server_cpu_ms_per_job=round(statistics.median(drain.server_cpu_ms_per_job for drain in drains), 3),
        filled_per_s=round(filled_per_s),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    columns = (
        "database",
        "processes",
        "jobs in the table",
        "queue",
        "jobs/s, median (slowest – fastest)",
        "worker CPU per job",
        "Postgres CPU per job",
    )
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for outcome in sorted(
        outcomes, key=lambda row: (row.database != "sqlite", row.processes, row.jobs, -row.jobs_per_s)
    ):
        server = f"{outcome.server_cpu_ms_per_job:.2f} ms" if outcome.database == "postgres" else "–"
        lines.append(
            f"| {outcome.database} | {outcome.processes} | {outcome.jobs:,} | {outcome.queue} "
            f"| {outcome.jobs_per_s:,} ({outcome.slowest:,} – {outcome.fastest:,}) "
            f"| {outcome.cpu_ms_per_job:.2f} ms | {server} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the command: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.queues", description=__doc__)
    parser.add_argument("--rivals", required=True, help="the interpreter that has the other queues installed")
    parser.add_argument("--jobs", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long one run may last")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="wanesync-queues-"))
    try:
        with temporary_cluster(FLUSHED) as cluster:
            outcomes = run(
                Benchmark(options.rivals, folder, cluster.url), options.jobs, options.repeats, options.seconds
            )
    finally:
        shutil.rmtree(folder)
    sys.stdout.write(table(outcomes) + "\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
