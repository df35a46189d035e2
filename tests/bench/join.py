"""The join of two listed sides in our snapshot, beside DuckDB's over the same rows: same machine, same run.

``python -m tests.bench.join --rival .venv-join/bin/python``: README.md beside this file says how to make that
environment. A snapshot is filled, and exported for DuckDB. Then both find, in turns and each in a process of its own,
what is the same and what is not; they must agree.
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
from wanesync.reconcile.snapshot.results import Snapshot
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
    """One engine; ``threads`` 0: it has no such thing."""

    name: str
    threads: int = 0


ENTRIES = (Entry("wanesync"), Entry("duckdb", 1), Entry("duckdb", len(os.sched_getaffinity(0))))


@dataclass(frozen=True, slots=True)
class Outcome:
    """All runs of one entry: seconds of the join as median, fastest, slowest; CPU and peak memory of its process.

    ``load_s``: what bringing the rows into the engine took besides (ours are there: the listing wrote them).
    """

    runtime: str
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


class Course:
    """Where it takes place: a folder with one filled snapshot and its export, and the interpreter of the rival."""

    def __init__(self, folder: Path, rival: str, pairs: int) -> None:
        self._folder, self._rival, self.pairs = folder, rival, pairs
        self._key = make_key()
        self._env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        fill(folder / "filled.snapshot", self._key, pairs)

    def load(self) -> float:
        """Hand the rows to DuckDB: seconds it took to read them in."""
        self.export()
        output, _ = self._run([self._rival, "-m", DUCKDB, "load", str(self._folder)])
        return output["load_s"]

    def export(self) -> None:
        """The snapshot's tables as CSV files."""
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
        assert usage.code == 0, (self._folder / "costed.log").read_text()[-2000:]
        output: dict[str, float] = json.loads(usage.output)
        return output, usage


def fill(path: Path, key: str, pairs: int) -> None:
    """Of a thousand linked pairs 3 differ in two ways, and of a hundred one was never linked."""
    snapshot = Snapshot.resume(str(path), load_keyring([key], "sqlite::memory:"), {}, 0)
    rows = make_rows(pairs)
    first = 0
    while some := list(islice(rows, CHUNK)):
        put_equal_rows(snapshot, some)
        with snapshot.writing():
            snapshot.put_links(make_outlines(list(_linked(some, first))))
        first += len(some)
    # The file alone holds everything, so that it can be copied.
    snapshot.run("PRAGMA wal_checkpoint(TRUNCATE)")
    snapshot.close()


def _linked(rows: Sequence[Row], first: int) -> Iterator[Row]:
    for number, row in enumerate(rows, first):
        if number % 1000 in (3, 503, 703):
            yield replace(row, side_hashes=(row.side_hashes[1], row.side_hashes[0]))
        elif number % 100 != 7:
            yield row


def race(course: Course, repeats: int) -> list[Outcome]:
    """Every entry in turns, so that a busy moment of the machine meets all of them."""
    load_s = course.load()
    runs: dict[Entry, list[tuple[dict[str, float], Usage]]] = {entry: [] for entry in ENTRIES}
    for _ in range(repeats):
        for entry in ENTRIES:
            runs[entry].append(course.join(entry))
    outcomes = [sum_up(entry, course.pairs, runs[entry], load_s) for entry in ENTRIES]
    answers = {(outcome.linked, outcome.to_link, outcome.opened) for outcome in outcomes}
    assert len(answers) == 1, f"the engines do not agree: {answers}"
    return outcomes


def sum_up(entry: Entry, pairs: int, runs: Sequence[tuple[dict[str, float], Usage]], load_s: float) -> Outcome:
    """The runs of one entry."""
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
    """For a page in Markdown."""
    columns = ("pairs", "engine", "join, median (fastest – slowest)", "CPU of the process", "peak memory", "load")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for o in outcomes:
        name = o.runtime + (f", {o.threads} thread{'s' if o.threads > 1 else ''}" if o.threads else "")
        load = f"{o.load_s:.1f} s" if o.load_s else "–"
        lines.append(
            f"| {o.pairs:,} | {name} | {o.join_s:.2f} s ({o.fastest:.2f} – {o.slowest:.2f}) | {o.cpu_s:.2f} s "
            f"| {o.peak_rss_mb:.0f} MB | {load} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.join", description=__doc__)
    parser.add_argument("--rival", required=True, help="the interpreter that has DuckDB installed")
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args(arguments)
    outcomes: list[Outcome] = []
    for pairs in chosen.pairs:
        with tempfile.TemporaryDirectory(prefix="wanesync-join-") as folder:
            outcomes += race(Course(Path(folder), chosen.rival, pairs), chosen.repeats)
    sys.stdout.write(table(outcomes) + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
