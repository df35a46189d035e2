"""The join of two listed sides in our snapshot, compared with DuckDB on the same rows, machine and run.

``python -m tests.bench.join --rival .venv-join/bin/python``: README.md beside this file describes how to make that
environment. A snapshot is filled and exported for DuckDB. Then both run the join alternately, each in a process of its
own; their counts must agree.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from tests.bench.rivals import join_wanesync
from wanesync.bench.reconcile.compare_only import Row, make_outlines, make_rows, put_equal_rows
from wanesync.bench.resource_usage import Usage, run_measured
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store.encryption import load_keyring, make_key

ROOT = Path(__file__).parent.parent.parent
STEP_S = 600.0
CHUNK = 5_000
DUCKDB = "tests.bench.rivals.join_duckdb"
EXPORTS = {
    "listed.csv": "SELECT side, id, lower(hex(hash)), lower(hex(exact)), other_id, lower(hex(address)), state "
    "FROM listed",
    "addresses.csv": "SELECT lower(hex(hmac)), side, id FROM addresses",
    "links.csv": "SELECT hubspot_id, stripe_id, plain, active, lower(hex(hubspot_half)), lower(hex(stripe_half)) "
    "FROM links",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine; ``threads`` 0: it has no such option."""

    name: str
    threads: int = 0


ENTRIES = (Entry("wanesync"), Entry("duckdb", 1), Entry("duckdb", len(os.sched_getaffinity(0))))


@dataclass(frozen=True, slots=True)
class Outcome:
    """All runs of one entry: seconds of the join (median, fastest, slowest), CPU and peak memory of its process.

    ``load_s``: the time to load the rows into DuckDB; ours are in the snapshot since the listing.
    """

    engine: str
    threads: int
    pairs: int
    runs: int
    join_s: float
    fastest: float
    slowest: float
    cpu_s: float
    peak_rss_mb: float
    load_s: float
    linked: int
    to_link: int
    opened: int


class Benchmark:
    """A folder with a filled snapshot and its export, and the interpreter with DuckDB."""

    def __init__(self, folder: Path, rival: str, pairs: int) -> None:
        self._folder, self._rival, self.pairs = folder, rival, pairs
        self._key = make_key()
        self._env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        fill(folder / "filled.snapshot", self._key, pairs)

    def load(self) -> float:
        """Load the rows into DuckDB: the seconds it took."""
        self.export()
        output, _ = self._run([self._rival, "-m", DUCKDB, "load", str(self._folder)])
        return output["load_s"]

    def export(self) -> None:
        """Export the tables of the snapshot as CSV files."""
        with closing(sqlite3.connect(self._folder / "filled.snapshot")) as file:
            for name, query in EXPORTS.items():
                with (self._folder / name).open("w", newline="") as target:
                    csv.writer(target).writerows(file.execute(query))

    def join(self, entry: Entry) -> tuple[dict[str, float], Usage]:
        """One run: what the engine output, and what its process usage."""
        if entry.name == "duckdb":
            return self._run([self._rival, "-m", DUCKDB, "join", str(self._folder), str(entry.threads)])
        copy = self._folder / "run.snapshot"
        shutil.copy2(self._folder / "filled.snapshot", copy)
        output = self._run([sys.executable, "-m", join_wanesync.__name__, str(copy), self._key])
        copy.unlink()
        return output

    def _run(self, command: Sequence[str]) -> tuple[dict[str, float], Usage]:
        usage = run_measured(self._folder, self._env, command, STEP_S)
        assert usage.code == 0, (self._folder / "command.log").read_text()[-2000:]
        output: dict[str, float] = json.loads(usage.output)
        return output, usage


def fill(path: Path, key: str, pairs: int) -> None:
    """Fill a snapshot: 3 of 1,000 linked pairs differ, and 1 of 100 was never linked."""
    snapshot = Snapshot.resume(str(path), load_keyring([key], "sqlite::memory:"), {}, 0)
    rows = make_rows(pairs)
    first = 0
    while batch := list(islice(rows, CHUNK)):
        put_equal_rows(snapshot, batch)
        with snapshot.transaction():
            snapshot.put_links(make_outlines(list(_linked(batch, first))))
        first += len(batch)
    # Then the file holds everything and can be copied without its WAL.
    snapshot.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    snapshot.close()


def _linked(rows: Sequence[Row], first: int) -> Iterator[Row]:
    for number, row in enumerate(rows, first):
        if number % 1000 in (3, 503, 703):
            yield replace(row, side_hashes=(row.side_hashes[1], row.side_hashes[0]))
        elif number % 100 != 7:
            yield row


def run(benchmark: Benchmark, repeats: int) -> list[Outcome]:
    """Run the entries alternately, so that a busy moment of the machine affects all of them."""
    load_s = benchmark.load()
    runs: dict[Entry, list[tuple[dict[str, float], Usage]]] = {entry: [] for entry in ENTRIES}
    for _ in range(repeats):
        for entry in ENTRIES:
            runs[entry].append(benchmark.join(entry))
    outcomes = [summarize(entry, benchmark.pairs, runs[entry], load_s) for entry in ENTRIES]
    answers = {(outcome.linked, outcome.to_link, outcome.opened) for outcome in outcomes}
    assert len(answers) == 1, f"the engines do not agree: {answers}"
    return outcomes


def summarize(entry: Entry, pairs: int, runs: Sequence[tuple[dict[str, float], Usage]], load_s: float) -> Outcome:
    """Summarize the runs of one entry."""
    took = [output["join_s"] for output, _ in runs]
    output = runs[0][0]
    return Outcome(
        entry.name,
        entry.threads,
        pairs,
        len(runs),
        round(statistics.median(took), 2),
        round(min(took), 2),
        round(max(took), 2),
        round(statistics.median(usage.cpu_s for _, usage in runs), 2),
        round(max(usage.peak_rss_mb for _, usage in runs)),
        round(load_s, 2) if entry.name == "duckdb" else 0.0,
        int(output["linked"]),
        int(output["to_link"]),
        int(output["opened"]),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    columns = ("pairs", "engine", "join, median (fastest – slowest)", "CPU of the process", "peak memory", "load")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for outcome in outcomes:
        name = outcome.engine + (
            f", {outcome.threads} thread{'s' if outcome.threads > 1 else ''}" if outcome.threads else ""
        )
        load = f"{outcome.load_s:.1f} s" if outcome.load_s else "–"
        lines.append(
            f"| {outcome.pairs:,} | {name} | {outcome.join_s:.2f} s ({outcome.fastest:.2f} – {outcome.slowest:.2f}) "
            f"| {outcome.cpu_s:.2f} s | {outcome.peak_rss_mb:.0f} MB | {load} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the command: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.join", description=__doc__)
    parser.add_argument("--rival", required=True, help="the interpreter that has DuckDB installed")
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    outcomes: list[Outcome] = []
    for pairs in options.pairs:
        with tempfile.TemporaryDirectory(prefix="wanesync-join-") as folder:
            outcomes += run(Benchmark(Path(folder), options.rival, pairs), options.repeats)
    sys.stdout.write(table(outcomes) + "\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
