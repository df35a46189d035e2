"""The burst with injected failures and little load: the final state is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.test_bench import number, run_bench
from wanesync.bench.burst.load import Load
from wanesync.bench.burst.run import Failures, measure
from wanesync.bench.environment import Limits
from wanesync.core.errors import ConfigError

LOAD = ("--contacts", "40", "--seconds", "2", "--purchases", "6", "--customers", "4", "--latency-ms", "5-20")


CORRECT = {"left": 0, "lost": 0, "doubled": 0, "extra_creations": 0, "extra_records": 0, "at_rest": True}


@pytest.mark.parametrize(
    "failure",
    [
        ("--deliveries", "3", "--kill-worker", "--workers", "2"),
        ("--database", "postgres", "--kill-database", "--kill-worker", "--workers", "3"),
    ],
)
def test_a_small_burst_ends_the_same_with_failures(tmp_path: Path, failure: tuple[str, ...]) -> None:
    figures = run_bench(tmp_path, "burst", *LOAD, *failure)
    assert {name: figures[name] for name in CORRECT} == CORRECT
    assert figures["workers"] == int(failure[-1])
    assert number(figures, "worker_cpu_ms_per_contact") > 0


def test_only_a_temporary_postgres_is_killed() -> None:
    with pytest.raises(ConfigError, match="--database postgres"):
        measure(Load(), Limits(), 1, "postgresql://somewhere/else", Failures(kill_database=True))
