"""How soon the simulator finds each planted defect.

Every patch in this folder is one defect. For each, the package is copied, the patch applied, and seeds are
played on all cores until some of them fail. The catching seeds go into ``seeds.json``, which the tests replay.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.robustness.mutants.defects import Defect, NotApplied, load_defects, read_seeds, write_seeds
from tests.robustness.mutants.hunting import hunt, order, preload

KEPT = 3
"""Seeds recorded per defect: the engine goes on changing, and with it what a seed comes to."""


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def catch(defect: Defect, seeds: list[int], processes: int) -> list[int]:
    """Seeds that fail with the defect and pass without it, in their order. Raises NotApplied."""
    unsound: set[int] = set()
    while True:
        left = [seed for seed in seeds if seed not in unsound]
        caught = hunt(defect, left, processes, KEPT)
        fail_anyway = set(hunt(None, caught, 1, len(caught)))
        if not caught or set(caught) - fail_anyway:
            return [seed for seed in caught if seed not in fail_anyway]
        unsound |= fail_anyway


def main(arguments: list[str]) -> int:
    """Exit code 0: every defect was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.mutants.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    missed: list[str] = []
    drawn = preload()
    tell(f"{'defect':28} {'seed':>7} {'tried':>7} {'seconds':>8}  rule")
    for defect in load_defects(given.only):
        began, seeds, trouble = time.monotonic(), list[int](), ""
        ordered = order(given.seeds, defect.hint, drawn)
        try:
            seeds = catch(defect, ordered, given.processes)
        except NotApplied as error:
            trouble = f"    does not apply: {error}"
        seconds = time.monotonic() - began
        tried = ordered.index(seeds[0]) + 1 if seeds else 0 if trouble else given.seeds
        tell(f"{defect.name:28} {seeds[0] if seeds else '-':>7} {tried:>7} {seconds:8.1f}  {defect.rule}{trouble}")
        if seeds:
            write_seeds({**read_seeds(), defect.name: seeds[:KEPT]})
        else:
            missed.append(defect.name)
    tell(f"not caught: {', '.join(missed)}" if missed else "all caught")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
