"""``wanesync demo`` with few records: all checks pass, and no files remain.

Once with both tiers side by side, and once for each dated version of HubSpot's API with one of them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import httpx2
import pytest
from typer.testing import CliRunner

from tests.conftest import shared_folder
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


def run_kept(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with --keep, look at what is kept up, and end it as Ctrl-C does."""
    printed = []
    with subprocess.Popen(
        [sys.executable, "-m", "wanesync.cli.main", "demo", "--keep", *SMALL, *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = threading.Timer(120, process.kill)
        deadline.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                printed.append(line)
                if "Ctrl-C ends it" in line:
                    check_kept("".join(printed))
                    process.send_signal(signal.SIGINT)
        finally:
            deadline.cancel()
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        return subprocess.CompletedProcess(process.args, process.wait(30), "".join(printed), "")


def check_kept(printed: str) -> None:
    """The admin service and both stand-ins answer; the link makes the first user, whose overview shows both lanes."""
    addresses = [line for line in printed.splitlines() if "http" in line]
    link, stand_ins = addresses[-2], addresses[-1]
    for address in re.findall(r"http://[^\s,]+", stand_ins):
        assert httpx2.get(address).status_code < 500
    address = re.search(r"http://\S+", link)
    assert address is not None, link
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(address[0])
        assert page.status_code == 200, page.text
        host = f"http://{page.url.netloc.decode()}"
        user = {"name": "ada", "password": "several quiet words in a row"}
        form = {"token": page.url.params["token"], "again": user["password"], **user}
        own = {"Origin": host, "Sec-Fetch-Site": "same-origin"}
        browser.post(f"{host}/setup", data=form, headers=own)
        overview = browser.post(f"{host}/login", data=user, headers=own)
        assert "Workers alive" in overview.text, overview.text[:2000]


TIERS: dict[HubSpotVersion, str] = {"v3": "both", "2026-03": "professional", "2026-09": "enterprise"}


@dataclass(frozen=True)
class Shown:
    """What a demo printed and recorded."""

    version: HubSpotVersion
    tiers: int
    done: subprocess.CompletedProcess[str]
    left: list[Path]
    exchanges: list[Exchange]


def show(version: HubSpotVersion, folder: Path, *arguments: str) -> Shown:
    """Run a demo of a version."""
    temporary, record, tier = folder / "temporary", folder / "record", TIERS[version]
    for made in (temporary, record):
        made.mkdir()
    start = run_kept if "--keep" in arguments else run
    more = [argument for argument in arguments if argument != "--keep"]
    done = start(temporary, "--api-version", version, "--tier", tier, "--record", str(record), *more)
    exchanges = [one for file in sorted(record.iterdir()) for one in read_record(file)]
    shown = Shown(version, 2 if tier == "both" else 1, done, list(temporary.iterdir()), exchanges)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shown.left == []
    check_calls(shown)
    if (specifications := shared_folder()) is not None:
        check_exchanges(shown, specifications / "specs")
    return shown


def test_every_version_is_shown() -> None:
    assert set(TIERS) == set(get_args(HubSpotVersion))


# One test a run, not a fixture: the processes of a distributed run would each make their own.
def test_all_checks_pass(tmp_path: Path) -> None:
    shown = show("v3", tmp_path)
    check_output(shown)
    assert shown.done.stdout.splitlines()[-1].startswith("To see both systems beside the admin page"), "it ends so"


def test_both_systems_are_kept_up_beside_the_admin_page(tmp_path: Path) -> None:
    check_output(show("2026-03", tmp_path, "--keep"))


def check_output(shown: Shown) -> None:
    """All checks passed, in lines that a terminal has room for."""
    done = shown.done
    assert "All checks passed." in done.stdout
    assert done.stdout.count("✔") == 3 * shown.tiers
    assert "\x1b" not in done.stdout, "no terminal, no colours"
    # Only the line with the database path, and an address that is opened from there, may be longer.
    lines = [line for line in done.stdout.splitlines() if not line.startswith("database") and "http" not in line]
    assert max(map(len, lines)) <= 100


def check_calls(shown: Shown) -> None:
    """No other version was called."""
    paths = [one.path for one in shown.exchanges if one.side == "hubspot"]
    named = {part for path in paths for part in path.split("/") if re.fullmatch(r"v\d|20\d\d-\d\d", part)}
    assert len(paths) > 35 * shown.tiers
    # The description of a token is in no other version.
    assert named <= {*USED[shown.version], "v2"}


def check_exchanges(shown: Shown, specifications: Path) -> None:
    """Every request and answer is as the vendors publish them."""
    hubspot, stripe = read_hubspot(specifications, shown.version), read_stripe(specifications)
    # "/" is the stand-in's own page, which the test of a demo that is kept up opens.
    exchanges = [one for one in shown.exchanges if one.path != "/"]
    checks = [(hubspot if one.side == "hubspot" else stripe).check(one) for one in exchanges]
    assert find_faults(violation for found in checks for violation in found) == []


def test_it_runs_on_a_given_database(tmp_path: Path, postgres_url: str) -> None:
    shown = show("2026-09", tmp_path, "--database", postgres_url, "--json")
    document = json.loads(shown.done.stdout)
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
