"""``wanesync demo``, small: it holds, it says so, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.forked import ROOT
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.demo import installation as world
from wanesync.demo.installation import Cast

SMALL = ("--seconds", "6", "--contacts", "40", "--customers", "30", "--overlap", "12")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wanesync.cli.main", "demo", *SMALL, *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_both_tiers_hold(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It held." in done.stdout
    assert done.stdout.count("✔") == 6
    assert "\x1b" not in done.stdout, "no terminal, no colours"
    # The one line whose length is not ours says where the database is.
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("database")) <= 100
    assert list(tmp_path.iterdir()) == []


def test_it_runs_on_a_database_of_ones_own(tmp_path: Path, postgres_url: str) -> None:
    done = run(tmp_path, "--tier", "enterprise", "--database", postgres_url, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    world = told["tiers"]["enterprise"]
    assert (told["ok"], world["actionable"], world["duplicates"], world["purchase_faults"]) == (True, 0, [], [])
    assert world["purchases"] >= 6
    assert world["latency_ms"]["contact → customer"]["arrived"] > 0


def test_a_database_file_is_the_one_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def refuse(_name: str, _folder: Path, cast: Cast) -> None:
        named.append(cast.database)
        raise ConfigError(["enough"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(world, "World", refuse)
    CliRunner().invoke(app, ["demo", "--tier", "enterprise", "--database", "sqlite:x.db"])
    assert named == [f"sqlite:{tmp_path / 'x.db'}"]
