"""What writing the figures costs: the CPU of a burst with and without them.

``python -m tests.bench.figures_cost`` runs the same small burst with figures and without, in turns, and prints the
ratio of the CPU of ``serve`` and the worker with its spread. Such a run differs from the next by more than the figures
cost, so the cost is also looked at from inside: a burst in which each call that counts, and each store, is timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wanesync.bench.burst.load import Arrivals, Load
from wanesync.bench.burst.run import Failures, measure_running
from wanesync.bench.environment import Limits, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine
from wanesync.output import print_line

WANTED = 0.02
"""The share of the burst's CPU that the figures may cost."""
WITHOUT = """\
from wanesync.store import figure_counts
from wanesync.worker import counting

def nothing(*_arguments, **_options):
    pass

for name in ("add", "observe", "observe_all", "count_endings"):
    setattr(figure_counts.FigureCounts, name, nothing)
counting.count_claims = counting.count_changes = nothing
"""
WITH = "from wanesync.store import figure_counts\nfrom wanesync.worker import counting\n"
"""The same imports, before the program's own: what the start of an interpreter runs first (``sitecustomize``)."""
TIMED = (
    WITH
    + """\
import atexit, functools, os, sys, threading, time
from wanesync.store.tables.operating.samples import Samples

spent, calls, inside = {}, {}, threading.local()

def timed(owner, name):
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*arguments, **options):
        if getattr(inside, "is", False):
            return function(*arguments, **options)
        setattr(inside, "is", True)
        began = time.thread_time_ns()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] = spent.get(name, 0) + time.thread_time_ns() - began
            calls[name] = calls.get(name, 0) + 1
            setattr(inside, "is", False)

    setattr(owner, name, call)

for name in ("add", "observe", "observe_all", "count_endings"):
    timed(figure_counts.FigureCounts, name)
for owner, name in ((counting, "count_claims"), (counting, "count_changes"), (figure_counts, "store_figures")):
    timed(owner, name)
timed(Samples, "add")

def tell():
    with open(f"{os.environ['BENCH_SPENT']}/{sys.argv[1]}-{os.getpid()}", "w") as file:
        file.writelines(f"{name} {calls[name]} {spent[name]}\\n" for name in spent)

atexit.register(tell)
"""
)
"""As WITH; each call's CPU is added up and written at the end, by process."""
MODES = {"with": WITH, "without": WITHOUT, "timed": TIMED}


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: ms of CPU of ``serve`` and the worker a contact, and function -> (calls, ms of CPU) where timed."""

    cpu_ms: float
    spent: dict[str, tuple[int, float]]


def main() -> int:
    """Run the bursts; return 1 if the timed cost is more than wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contacts", type=int, default=1_500)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--timed", type=int, default=3, metavar="N", help="bursts in which each call is timed")
    parser.add_argument("--database", default=None, help="postgres: a temporary one; else a SQLite file")
    options = parser.parse_args()
    size = Load(options.contacts, options.contacts // 50, options.contacts // 100, options.seconds)
    shares = [_time(size, options.database) for _ in range(options.timed)]
    ratios: list[float] = []
    for number in range(options.pairs):
        order = ("with", "without") if number % 2 == 0 else ("without", "with")
        cpu_ms = {mode: _run(size, options.database, mode).cpu_ms for mode in order}
        ratios.append(cpu_ms["with"] / cpu_ms["without"])
        each = f"{cpu_ms['with']:.3f} ms with, {cpu_ms['without']:.3f} ms without"
        print_line(f"CPU per contact: {each}, ratio {ratios[-1]:.3f}", flush=True)
    if len(ratios) > 1:
        low, middle, high = statistics.quantiles(ratios, n=4)
        print_line(f"ratio: median {middle:.3f}, quartiles {low:.3f} to {high:.3f}, {len(ratios)} pairs")
    print_line(f"share of the calls: {', '.join(f'{share:.2%}' for share in shares)} (wanted: at most {WANTED:.0%})")
    print_line(str(describe_machine("sqlite:")))
    return int(bool(shares) and statistics.median(shares) > WANTED)


def _time(size: Load, database: str | None) -> float:
    """Run a timed burst and print where the CPU of the figures goes; return its share of all."""
    burst = _run(size, database, "timed")
    for name, (calls, ms) in sorted(burst.spent.items(), key=lambda item: -item[1][1]):
        print_line(f"  {name:<14} {calls:>7,} calls {ms:>8.1f} ms, {1000 * ms / calls:.1f} µs each")
    spent_ms = sum(ms for _, ms in burst.spent.values())
    all_ms = burst.cpu_ms * size.contacts
    print_line(f"timed: {spent_ms:.0f} of {all_ms:,.0f} ms: {spent_ms / all_ms:.2%}", flush=True)
    return spent_ms / all_ms


def _run(size: Load, database: str | None, mode: str) -> Burst:
    with tempfile.TemporaryDirectory() as folder, _environment(PYTHONPATH=folder, BENCH_SPENT=folder):
        Path(folder, "sitecustomize.py").write_text(MODES[mode])
        limits = Limits()
        sandbox = build_sandbox(limits)
        arrivals = Arrivals(sandbox, size)
        arrivals.create_buyers()
        with run_everything(sandbox, database, limits, 1) as running:
            figures = measure_running(running, arrivals, limits, Failures()).figures
        cpu_ms = sum(float(str(figures[f"{part}_cpu_ms_per_contact"])) for part in ("worker", "serve"))
        return Burst(cpu_ms, _read_spent(Path(folder)))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _read_spent(folder: Path) -> dict[str, tuple[int, float]]:
    """What ``serve`` and the worker spent from their start to their end, which is a little more than in the burst."""
    spent: dict[str, tuple[int, float]] = {}
    for file in (*folder.glob("serve-*"), *folder.glob("worker-*")):
        for line in file.read_text().splitlines():
            name, calls, ns = line.split()
            before = spent.get(name, (0, 0.0))
            spent[name] = before[0] + int(calls), before[1] + int(ns) / 1_000_000
    return spent


if __name__ == "__main__":
    sys.exit(main())
