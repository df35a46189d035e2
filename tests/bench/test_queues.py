"""The benchmark of the queues with our queue: every job is drained, and the table shows the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.queues import ENTRIES, Outcome, count_left, table
from tests.bench.rivals.by_wanesync import Wanesync
from tests.bench.rivals.queue_run import DrainTimer

ROOT = Path(__file__).parent.parent.parent


def test_our_queue_drains_until_it_is_empty(tmp_path: Path) -> None:
    url = str(tmp_path / "queue.db")
    Wanesync().fill(url, 250)
    assert count_left(ENTRIES[0], url) == 250
    command = [sys.executable, "-m", "tests.bench.rivals.by_wanesync", "drain", url, "30"]
    output = subprocess.run(
        command, cwd=ROOT, input="go\n", capture_output=True, check=True, text=True, timeout=60
    ).stdout
    ready, answer = output.splitlines()
    lap = json.loads(answer)
    assert ready == "ready"
    assert lap["done"] == 250
    assert lap["ended_s"] > lap["began_s"]
    assert lap["cpu_s"] > 0
    assert count_left(ENTRIES[0], url) == 0


def test_a_run_ends_when_its_time_is_up(tmp_path: Path) -> None:
    url = str(tmp_path / "queue.db")
    Wanesync().fill(url, 250)
    timer = DrainTimer()
    timer.go = lambda: None  # type: ignore[method-assign] # no start signal here
    Wanesync().drain(url, 0.0, timer)
    assert timer.done == 0
    assert count_left(ENTRIES[0], url) == 250


def test_the_table_has_a_row_for_each_figure_fastest_first() -> None:
    slow = Outcome("huey", "sqlite", 1, 10_000, 3, 400, 300, 500, 0.5, 0.0, 9_000)
    fast = Outcome("wanesync", "sqlite", 1, 10_000, 3, 9_000, 8_000, 9_500, 0.07, 0.0, 12_000)
    server = Outcome("pgqueuer", "postgres", 4, 10_000, 3, 7_190, 5_076, 8_347, 0.07, 0.071, 20_000)
    rows = table([server, slow, fast]).splitlines()[2:]
    assert rows == [
        "| sqlite | 1 | 10,000 | wanesync | 9,000 (8,000 – 9,500) | 0.07 ms | – |",
        "| sqlite | 1 | 10,000 | huey | 400 (300 – 500) | 0.50 ms | – |",
        "| postgres | 4 | 10,000 | pgqueuer | 7,190 (5,076 – 8,347) | 0.07 ms | 0.07 ms |",
    ]
