"""``python -m tests.simulation.run --seeds N [--start K]``: plays seeds on all cores and reports the violations.

``--trace`` prints every step of each seed; ``--features a,b`` overrules what the seeds would draw,
``--also a,b`` adds to it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.play import Result, play_seed

BLOCK = 25
COLLECT = (50_000, 20, 50)


def tell(*lines: str) -> None:
    """Print lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def settle_down() -> None:
    """Once for a process: what is loaded stays; a scenario is one knot of garbage, looked for less often."""
    gc.freeze()
    gc.set_threshold(*COLLECT)


def play_block(seeds: range, features: frozenset[str] | None, also: frozenset[str] = frozenset()) -> list[Result]:
    """Some seeds, one after the other; a crash of the simulator itself is a failure like any other."""
    results = []
    for seed in seeds:
        try:
            results.append(play_seed(seed, features, also=also))
        except Exception as error:  # noqa: BLE001 - one seed must not end the run
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}"
            results.append(Result(seed, [f"raised {type(error).__name__} at {where}: {error}"[:140]], "", []))
    return results


def main(arguments: list[str]) -> int:
    """Exit code 0: no violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--features", default="")
    parser.add_argument("--also", default="")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args(arguments)
    features = frozenset(given.features.split(",")) - {""} if given.features else None
    also = frozenset(given.also.split(",")) - {""}
    seeds = range(given.start, given.start + given.seeds)
    if given.trace:
        return _show(seeds, features, also)
    began = time.monotonic()
    blocks = [seeds[at : at + BLOCK] for at in range(0, len(seeds), BLOCK)]
    with ProcessPoolExecutor(given.processes, initializer=settle_down) as pool:
        results = [r for block in pool.map(partial(play_block, features=features, also=also), blocks) for r in block]
    options = [("--features", given.features), ("--also", given.also)]
    overruled = "".join(f" {name} {text}" for name, text in options if text)
    return _report(results, time.monotonic() - began, overruled)


def _show(seeds: range, features: frozenset[str] | None, also: frozenset[str]) -> int:
    failed = False
    for seed in seeds:
        result = play_seed(seed, features, also=also, keep_trace=True)
        tell(*result.trace, f"seed {seed}: {result.digest}", *(f"  {violation}" for violation in result.violations))
        failed = failed or bool(result.violations)
    return int(failed)


def _report(results: list[Result], seconds: float, overruled: str) -> int:
    classes: dict[str, list[int]] = defaultdict(list)
    for result in results:
        for violation in result.violations:
            classes[violation].append(result.seed)
    failed = sum(bool(r.violations) for r in results)
    tell(f"{len(results)} seeds, {len(results) / seconds:.1f} a second, {failed} failed")
    for name, seeds in sorted(classes.items(), key=lambda item: -len(item[1])):
        tell(f"{len(seeds):6} {name}   e.g. {seeds[:6]}")
        tell(f"       python -m tests.simulation.run --seeds 1 --start {seeds[0]}{overruled} --trace")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
