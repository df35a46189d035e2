"""The files of deploy/: the units start commands that exist, and every one is as closed as the others."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from tests.cli.test_examples import parse
from wanesync.cli.main import app

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))


def read_service(unit: Path) -> dict[str, list[str]]:
    """Setting -> its values, of the section [Service]."""
    section = unit.read_text(encoding="utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_there_is_a_unit_for_each_way_to_run() -> None:
    assert {unit.name for unit in UNITS} == {
        *("wanesync.service", "wanesync-serve.service", "wanesync-worker@.service", "wanesync-diff.service"),
    }


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    [started] = read_service(unit)["ExecStart"]
    program, *typed = shlex.split(started.replace("%i", "stripe"))
    assert program == "/opt/wanesync/bin/wanesync"
    parse(get_command(app), typed)


def test_every_command_of_the_page_exists() -> None:
    page = (DEPLOY.parent / "docs" / "deploy.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^ +(?:w|wanesync) ([a-z][^<#\n]*)", page)
    assert len(commands) > 5
    for command in commands:
        parse(get_command(app), shlex.split(command))
    assert [
        path for path in re.findall(r"deploy/[a-z/]+[\w.-]*\w", page) if not list(DEPLOY.parent.glob(f"{path}*"))
    ] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_is_as_closed_as_the_others(unit: Path) -> None:
    own = {"Type", "ExecStart", "EnvironmentFile", "Restart", "RestartSec", "TimeoutStopSec"}
    first, this = read_service(UNITS[0]), read_service(unit)
    assert {name: value for name, value in this.items() if name not in own} == {
        name: value for name, value in first.items() if name not in own
    }
    assert this["User"] == ["wanesync"]
    assert (this["NoNewPrivileges"], this["CapabilityBoundingSet"]) == (["yes"], [""])


def test_a_proxy_passes_webhooks_only_and_bodies_of_the_size_the_program_takes() -> None:
    nginx = (DEPLOY / "proxy" / "nginx.conf").read_text()
    caddy = (DEPLOY / "proxy" / "Caddyfile").read_text()
    assert nginx.count("proxy_pass ") == caddy.count("reverse_proxy ") == 1
    assert "location /webhooks/ {" in nginx
    assert "handle /webhooks/*" in caddy
    assert "client_max_body_size    40m" in nginx
    assert "max_size 40MiB" in caddy
