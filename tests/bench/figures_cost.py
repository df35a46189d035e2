"""What writing the figures costs: the CPU of a burst with and without them.

``python -m tests.bench.figures_cost`` runs the same small burst with figures and without, in turns, and prints the
ratio of the CPU of ``serve`` and the worker with its spread. Such a run differs from the next by more than the figures
cost, so the cost is also counted: calls in a burst, times what one takes, plus what the stores of a burst take.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from wanesync.bench.burst.load import Arrivals, Load
from wanesync.bench.burst.run import Failures, measure_running
from wanesync.bench.environment import Limits, Running, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine
from wanesync.config.model import load
from wanesync.core.figures import HISTOGRAMS, Amount, Figure
from wanesync.output import print_line
from wanesync.store import Store, make_key, open_store
from wanesync.store.figure_counts import FLUSH_S, FigureCounts, store_figures
from wanesync.wiring import open_database

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
CALLS = 200_000


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: ms of CPU of ``serve`` and the worker, its wall time, and the figures that were counted."""

    cpu_ms: float
    took_s: float
    counted: dict[tuple[Figure, str], Amount]

    @property
    def calls(self) -> int:
        """At most so many calls counted them: events are added by the POST, jobs of one commit often together."""
        return sum(amount.count for (figure, _), amount in self.counted.items() if figure is not Figure.EVENTS_STORED)


def main() -> int:
    """Run the bursts; return 1 if the counted cost is more than wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contacts", type=int, default=1_500)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--database", default=None, help="postgres: a temporary one; else a SQLite file")
    options = parser.parse_args()
    size = Load(options.contacts, options.contacts // 50, options.contacts // 100, options.seconds)
    ratios: list[float] = []
    shares: list[float] = []
    for number in range(options.pairs):
        order = (True, False) if number % 2 == 0 else (False, True)
        bursts = {counts: _run(size, options.database, counts=counts) for counts in order}
        ratios.append(bursts[True].cpu_ms / bursts[False].cpu_ms)
        per = {counts: burst.cpu_ms / size.contacts for counts, burst in bursts.items()}
        print_line(f"CPU per contact: {per[True]:.3f} ms with, {per[False]:.3f} ms without, ratio {ratios[-1]:.3f}")
        shares.append(_count_cost(bursts[True]))
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print_line(f"measured ratio: median {middle:.3f}, quartiles {low:.3f} to {high:.3f}, {len(ratios)} pairs")
    print_line(f"counted share: median {statistics.median(shares):.2%}")
    print_line(str(describe_machine("sqlite:")))
    return int(statistics.median(shares) > WANTED)


def _run(size: Load, database: str | None, *, counts: bool) -> Burst:
    before = os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(WITH if counts else WITHOUT)
        os.environ["PYTHONPATH"] = folder
        try:
            limits = Limits()
            sandbox = build_sandbox(limits)
            arrivals = Arrivals(sandbox, size)
            arrivals.create_buyers()
            with run_everything(sandbox, database, limits, 1) as running:
                began_s = time.monotonic()
                figures = measure_running(running, arrivals, limits, Failures()).figures
                took_s = time.monotonic() - began_s
                counted = _read_counted(running, counts=counts)
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before
    per_contact = sum(float(str(figures[f"{part}_cpu_ms_per_contact"])) for part in ("worker", "serve"))
    return Burst(per_contact * size.contacts, took_s, counted)


def _read_counted(running: Running, *, counts: bool) -> dict[tuple[Figure, str], Amount]:
    """What was counted in all; after the bursts, so that the processes have stored it."""
    if counts:
        time.sleep(FLUSH_S + 1)
    store = open_database(load(None, running.environment.env))
    try:
        return store.read(lambda tx: tx.figures.read_all_time())
    finally:
        store.close()


def _count_cost(burst: Burst) -> float:
    """Print what the calls and the stores of a burst cost; return their share of its CPU."""
    call_us = _time_call_us()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:{folder}/cost.db", [make_key("k001")], migrate=True)
        try:
            store_ms = _time_store_ms(store, burst.counted)
        finally:
            store.close()
    # serve and the worker each store every ten seconds; together they have the keys of the burst.
    stores = burst.took_s / FLUSH_S + 1
    cost_ms = burst.calls * call_us / 1000 + stores * store_ms
    share = cost_ms / burst.cpu_ms
    print_line(
        f"counted: {burst.calls:,} calls of {call_us:.2f} µs, {stores:.0f} stores of {store_ms:.1f} ms, together "
        f"{cost_ms:.0f} of {burst.cpu_ms:,.0f} ms: {share:.2%} (wanted: at most {WANTED:.0%})"
    )
    return share


def _time_call_us() -> float:
    counts = FigureCounts(lambda: time.time_ns() // 1_000_000)
    began_s = time.process_time()
    for _ in range(CALLS // 2):
        counts.add(Figure.JOBS_ENDED, "stripe", "write", "done")
        counts.observe(Figure.END_TO_END, "stripe", "write", ms=431.7)
    return (time.process_time() - began_s) / CALLS * 1_000_000


def _time_store_ms(store: Store, counted: dict[tuple[Figure, str], Amount]) -> float:
    """CPU of one store of everything a burst counts, the rows being there already."""
    took_s = []
    for _ in range(20):
        for figure, labels in counted:
            values = [part.partition("=")[2] for part in labels.split(",")]
            if figure in HISTOGRAMS:
                store.figures.observe(figure, *values, ms=40)
            else:
                store.figures.add(figure, *values)
        began_s = time.process_time()
        store_figures(store)
        took_s.append(time.process_time() - began_s)
    return statistics.median(took_s) * 1000


if __name__ == "__main__":
    sys.exit(main())
