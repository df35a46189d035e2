"""``diff`` killed while it lists, at random moments, and started again: the result is that of an undisturbed run."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.reconcile.lock import RUN_LOCK
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options

PARTS = 2
KILLS = 9
"""In each part; apart they are done at the same time."""
PEOPLE = 500
LATENCY_MS = (20, 60)
PAGES = 2 * PEOPLE // 100
AT_ONCE = {"in turn": 9, "parallel": 16}
"""Requests that may be under way, and are made again."""
STARTING = 2
"""Whose keys are these."""
TIMES = {"valid_from_ms", "valid_to_ms", "revision", "stored_ms"}
OWN = {"settings", "rates", "quota_uses", "processes", "figures"}
"""Tables that keep account of requests and runs."""


def state(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything the database holds but when it was last seen to be true."""
    found = {}
    with closing(sqlite3.connect(folder / "wanesync.db")) as file:
        tables = [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(tables) - OWN):
            names = [row[1] for row in file.execute(f"PRAGMA table_info({table})") if row[1] not in TIMES]
            found[table] = sorted(file.execute(f"SELECT {', '.join(names)} FROM {table}"), key=repr)
    return found


def requests(stage: Stage) -> int:
    return sum(int(str(counts["requests"])) for counts in stage.sandbox.stats().values())


def start(stage: Stage, *options: str) -> Program:
    """As after the minute for which a killed run holds the lock."""
    stage.store.run(lambda tx: tx.settings.put(RUN_LOCK, ""))
    return stage.start("diff", "--json", *options)


def finish(stage: Stage, *options: str) -> dict[str, object]:
    stage.store.run(lambda tx: tx.settings.put(RUN_LOCK, ""))
    done = stage.run("diff", "--json", *options)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return {key: value for key, value in document.items() if key not in ("timing", "requests")}


def kill_in_the_middle(stage: Stage, program: Program, rng: random.Random) -> bool:
    """After so many more requests; False: it was done before."""
    target = requests(stage) + rng.randint(STARTING, STARTING + 5)
    while requests(stage) < target and program.exit_code is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    if program.exit_code is not None:
        return False
    program.kill()
    return True


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("how", ["in turn", "parallel"])
def test_killed_again_and_again_it_says_what_an_undisturbed_run_says(
    sqlite_url: str, tmp_path: Path, how: str, part: int
) -> None:
    options = ("--parallel-listing",) if how == "parallel" else ()
    sandbox = Options(seed=SeedOptions(PEOPLE, PEOPLE), latency_ms=LATENCY_MS, hubspot_limit=1000, stripe_limit=1000)
    with Stage(sqlite_url, tmp_path, sandbox) as stage:
        stage.sandbox.hubspot.portal.search_index.lag_ms = 0
        stage.reconcile()
        for side in Side:
            for row in stage.sandbox.records(side)[::50]:
                stage.edit(side, "update", row["id"], **({"city": "Oslo"} if side is Side.HUBSPOT else {"name": "Odd"}))
        before, sides = state(tmp_path), [stage.sandbox.records(side) for side in Side]
        expected = finish(stage, *options)
        rng = random.Random(f"{how} {part}")
        kills = 0
        while kills < KILLS:
            base, here = requests(stage), 0
            while here < 5 and kill_in_the_middle(stage, start(stage, *options), rng):
                here += 1
            assert finish(stage, *options) == expected
            made = requests(stage) - base
            spans = 0 if how == "in turn" else 2 * AT_ONCE[how]
            assert made <= PAGES + 8 + spans + here * (AT_ONCE[how] + STARTING) + STARTING, "it went on"
            kills += here
        assert not list(tmp_path.glob("*.snapshot*")), "nothing is left of it"
        assert state(tmp_path) == before
        assert [stage.sandbox.records(side) for side in Side] == sides
