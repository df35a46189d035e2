"""docs/deploy.md: the commands of ours that need neither a vendor nor root, run as they are written, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.bus_parts import BUS_KEY
from tests.support.database_roles import made_roles
from tests.support.serverless_door import CONFIG
from wanesync.cli.main import app
from wanesync.store import open_store

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")


def read_commands(section: str, folder: Path) -> list[list[str]]:
    """The commands of a section, with its folders below ``folder``."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"(?m)^ +wanesync ([a-z][^<>#\n]*)", text)
    return [shlex.split(re.sub(r"/(?:etc|srv)/wanesync", str(folder), line)) for line in lines]


def run(*arguments: str) -> str:
    """Run a command that is to succeed; what it printed."""
    done = CliRunner().invoke(app, arguments, input="", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("WANESYNC_SECURITY__KEYS", "WANESYNC_CREATE__CUSTOMERS", "WANESYNC_CREATE__CONTACTS"):
        monkeypatch.setenv(name, CONFIG[name])
    return tmp_path


def test_the_database_of_several_services(folder: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_DATABASE", postgres_url)
    init, migrate, roles = read_commands("Several services (systemd)", folder)
    done = CliRunner().invoke(app, init, input="")
    assert (folder / "wanesync.toml").exists(), done.output
    run(*migrate)
    # The roles belong to the server of all tests: under names of this one's.
    with made_roles(postgres_url) as made:
        shown = run(*roles, "--prefix", made.target.prefix)
    assert "have their rights" in shown
    open_store(postgres_url, [CONFIG["WANESYNC_SECURITY__KEYS"]]).close()


def test_the_broker_of_the_containers(folder: Path) -> None:
    [configure] = [words for words in read_commands("Containers (compose)", folder) if words[0] == "broker-config"]
    run(*configure)
    assert {path.name for path in (folder / "broker" / "parts").iterdir()} > {
        "hubspot-handler",
        "queue",
        "stripe-worker",
    }
    assert "/etc/mosquitto/" in (folder / "broker" / "mosquitto.conf").read_text()


def test_the_keys_of_the_functions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_BUS__SEAL_KEY", BUS_KEY)
    monkeypatch.setenv("WANESYNC_DATABASE", f"sqlite:{folder / 'unused.db'}")
    keys = [run(*words) for words in read_commands("AWS Lambda and MQTT", folder)]
    assert len(set(keys)) == 2
    assert BUS_KEY not in "".join(keys)
