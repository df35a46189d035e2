"""Small versions of the runs of ``tests.robustness.bus_load``: nothing is lost, and nothing counts twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.bus_load import Result, run_burst, run_flood, run_handlers, run_kills


def check(result: Result, answered: int) -> None:
    assert (result.answered, result.lost, result.doubled) == (answered, 0, 0), str(result)


@pytest.mark.parametrize("wipe", [False, True])
def test_a_killed_broker_loses_nothing_that_was_answered(tmp_path: Path, wipe: bool) -> None:
    check(run_kills(tmp_path, 150, 2, 1.5, wipe=wipe, apart=False), 150)


def test_a_burst_is_answered(tmp_path: Path) -> None:
    check(run_burst(tmp_path, 60, 100, apart=False), 60)


def test_a_flood_of_one_side_does_not_stop_the_other(tmp_path: Path) -> None:
    check(run_flood(tmp_path, 2_000, 20, apart=False), 20)


def test_many_handlers_at_once(tmp_path: Path) -> None:
    check(run_handlers(tmp_path, 40, apart=False), 80)
