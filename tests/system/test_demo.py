"""``wanesync demo`` with few records: all checks pass, and no files remain."""

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
from wanesync.cli.commands import demo as command
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.demo.installation import DemoOptions

SMALL = ("--seconds", "6", "--contacts", "40", "--customers", "30", "--overlap", "12")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wanesync.cli.main", "demo", *SMALL, *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_all_checks_pass_in_both_tiers(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed." in done.stdout
    assert done.stdout.count("✔") == 6
    assert "\x1b" not in done.stdout, "no terminal, no colours"
    # Only the line with the database path may be longer.
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("database")) <= 100
    assert list(tmp_path.iterdir()) == []


def test_it_runs_on_a_given_database(tmp_path: Path, postgres_url: str) -> None:
    done = run(tmp_path, "--tier", "enterprise", "--database", postgres_url, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    tier = document["tiers"]["enterprise"]
    assert document["ok"] is True
    assert (tier["actionable"], tier["duplicates"], tier["purchase_faults"]) == (0, [], [])
    assert tier["purchases"] >= 6
    assert tier["latency_ms"]["contact → customer"]["arrived"] > 0


def test_a_relative_database_file_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def refuse(_name: str, _folder: Path, options: DemoOptions) -> None:
        named.append(options.database)
        raise ConfigError(["enough"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(command, "Installation", refuse)
    CliRunner().invoke(app, ["demo", "--tier", "enterprise", "--database", "sqlite:x.db"])
    assert named == [f"sqlite:{tmp_path / 'x.db'}"]
