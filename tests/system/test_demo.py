"""``wanesync demo`` with few records: all checks pass, and no files remain."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from tests.support.forked import ROOT
from tests.support.published_specs import Exchange, read_hubspot, read_record, read_stripe
from tests.support.spec_quirks import find_faults
from wanesync.cli.commands import demo as command
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.setup.api_versions import USED, HubSpotVersion
from wanesync.demo.installation import DemoOptions

SMALL = ("--seconds", "6", "--contacts", "40", "--customers", "30", "--overlap", "12")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wanesync.cli.main", "demo", *SMALL, *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What a demo of both tiers printed and recorded."""

    version: HubSpotVersion
    done: subprocess.CompletedProcess[str]
    left: list[Path]
    exchanges: list[Exchange]


@pytest.fixture(scope="module", params=get_args(HubSpotVersion))
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    temporary, record = tmp_path_factory.mktemp("temporary"), tmp_path_factory.mktemp("record")
    done = run(temporary, "--api-version", request.param, "--record", str(record))
    exchanges = [one for file in sorted(record.iterdir()) for one in read_record(file)]
    return Shown(request.param, done, list(temporary.iterdir()), exchanges)


def test_all_checks_pass_in_both_tiers(shown: Shown) -> None:
    done = shown.done
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed." in done.stdout
    assert done.stdout.count("✔") == 6
    assert "\x1b" not in done.stdout, "no terminal, no colours"
    # Only the line with the database path may be longer.
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("database")) <= 100
    assert shown.left == []


def test_no_other_version_is_called(shown: Shown) -> None:
    paths = [one.path for one in shown.exchanges if one.side == "hubspot"]
    named = {part for path in paths for part in path.split("/") if re.fullmatch(r"v\d|20\d\d-\d\d", part)}
    assert len(paths) > 70
    # The description of a token is in no other version.
    assert named <= {*USED[shown.version], "v2"}


def test_every_request_and_answer_is_as_the_vendors_publish(shared: Path, shown: Shown) -> None:
    hubspot, stripe = read_hubspot(shared / "specs", shown.version), read_stripe(shared / "specs")
    checks = [(hubspot if one.side == "hubspot" else stripe).check(one) for one in shown.exchanges]
    assert find_faults(violation for found in checks for violation in found) == []


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
