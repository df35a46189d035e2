"""Every planted defect is caught by the seeds that caught it when they were recorded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.robustness.mutants.defects import ROOT, load_defects

LEAST = 20
TOGETHER = 8
NAMES = [defect.name for defect in load_defects()]


def test_there_are_enough_defects_and_each_names_its_rule() -> None:
    assert len(NAMES) >= LEAST
    assert [defect.name for defect in load_defects() if not defect.rule.startswith("docs/correctness.md#")] == []


@pytest.mark.parametrize("names", [NAMES[at : at + TOGETHER] for at in range(0, len(NAMES), TOGETHER)])
def test_recorded_seeds_catch_each_defect(names: list[str]) -> None:
    command = [sys.executable, "-m", "tests.robustness.mutants.replay", *names]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.stdout, told.stderr
    assert json.loads(told.stdout) == {}
