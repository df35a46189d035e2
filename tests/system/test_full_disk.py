"""Programs that keep running end when the place of their output is full: one line, exit code 4, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked import ROOT
from tests.support.stage import Stage
from wanesync.child_process import clean_environment


@pytest.mark.parametrize("command", ["serve", "up", "worker"])
def test_a_program_that_cannot_announce_itself_ends(sqlite_url: str, tmp_path: Path, command: str) -> None:
    with Stage(sqlite_url, tmp_path) as stage, Path("/dev/full").open("w") as full:
        arguments = [sys.executable, "-m", "wanesync.cli.main", command, "--config", str(stage.file)]
        env = clean_environment() | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, text=True, env=env, timeout=60, check=False
        )
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "wanesync: cannot write the output: No space left on device"
    assert "Traceback" not in done.stderr
