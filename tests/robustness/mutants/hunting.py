"""Playing seeds with a defect planted: in forked processes, each of which loads the engine from a folder of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.robustness.mutants.defects import Defect, plant

OURS = ("wanesync", "tests.simulation")
NEAR, LITTLE = 20_000, 7
MORE = 20
"""After the first catch, as many seeds again and so many more are played for further ones."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process plays: every ``step``-th of ``seeds``; all stop when ``enough`` are caught.

    ``test``: what is run instead of seeds.
    """

    seeds: Sequence[int]
    place: int = 0
    step: int = 1
    enough: int = 1
    test: str = ""


def preload() -> dict[int, frozenset[str]]:
    """Load everything a simulation needs but the engine and the simulator, for all forks to share.

    What is left of them is what the first seeds would draw.
    """
    importlib.import_module("tests.simulation.run")
    draw = importlib.import_module("tests.simulation.people").draw_features
    draw_rare = importlib.import_module("tests.simulation.hazards").draw
    drawn = {seed: draw(random.Random(seed)) | draw_rare(seed) for seed in range(NEAR)}
    for name in [name for name in sys.modules if name.startswith(OURS)]:
        del sys.modules[name]
    return drawn


def order(seeds: int, hint: frozenset[str], drawn: Mapping[int, frozenset[str]]) -> list[int]:
    """So many seeds, those in front that draw what the hint names and little else: their traces are short, too."""
    first = [seed for seed, features in drawn.items() if hint <= features and len(features - hint) <= LITTLE]
    first = first if hint else []
    return (first + sorted(set(range(seeds)) - set(first)))[:seeds]


def hunt(defect: Defect | None, seeds: Sequence[int], processes: int, enough: int) -> list[int]:
    """The seeds that fail with the defect planted, in their order, up to about ``enough``. Raises NotApplied."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        plant(defect, folder)
        fork = multiprocessing.get_context("fork")
        test = defect.test if defect else ""
        shares = [Share(seeds, place, processes, enough, test) for place in range(1 if test else processes)]
        hunters = [fork.Process(target=_play, args=(folder, share)) for share in shares]
        for hunter in hunters:
            hunter.start()
        for hunter in hunters:
            hunter.join()
        if any(hunter.exitcode for hunter in hunters):
            raise RuntimeError("a hunter failed: its words stand above")
        return sorted(_read(folder / "caught.txt"), key=list(seeds).index)


def _play(folder: Path, share: Share) -> None:
    """One hunter. Seeds that fail are added to a file, which all hunters look at."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    package = importlib.import_module("wanesync")
    if not str(package.__file__).startswith(str(folder)):
        raise RuntimeError(f"the package is {package.__file__}, not the one with the defect")
    file = folder / "caught.txt"
    if share.test:
        if _fails(share.test):
            file.write_text(f"{share.seeds[0]}\n")
        return
    runner = importlib.import_module("tests.simulation.run")
    runner.settle_down()
    for place in range(share.place, len(share.seeds), share.step):
        caught = _read(file)
        if len(caught) >= share.enough or (caught and place > 2 * min(map(share.seeds.index, caught)) + MORE):
            return
        seed = share.seeds[place]
        if runner.play_block(range(seed, seed + 1), None)[0].violations:
            with file.open("a") as stream:
                stream.write(f"{seed}\n")


class _Failures:
    """A plugin of pytest that notes whether a test itself failed, and not what it was given."""

    def __init__(self) -> None:
        self.has_failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_failed |= report.when == "call" and report.failed


def _fails(test: str) -> bool:
    """Whether a test fails, with all parameters; run in this process, whose package has the defect, without output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    failures = _Failures()
    # What the simulator loaded before stays as it is.
    options = ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, test], [failures])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise RuntimeError(f"{test} was not run: pytest ended with {code}")
    return failures.has_failed


def _read(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []
