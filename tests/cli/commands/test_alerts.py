"""``alerts``: what stands, tests of the recipients, history, silences."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tests.support.canned_server import CannedServer, Told
from tests.support.installation import Installation
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError, NotFound


def configure(installation: Installation, lines: str) -> None:
    text = installation.file.read_text()
    installation.file.write_text(f"{text}\n[alerts]\n{lines}\n")


def test_without_recipients_the_list_says_what_to_set(installation: Installation) -> None:
    shown = installation.run("alerts", "list").stdout
    assert "Nothing is wrong." in shown
    assert "[alerts] names no recipient: set alerts.warn" in shown
    assert "no process has evaluated the rules yet" in shown
    with pytest.raises(ConfigError, match="names no recipient"):
        installation.run("alerts", "test")


def test_a_test_reaches_every_recipient_and_no_address_is_shown(installation: Installation) -> None:
    with CannedServer(Told()) as server:
        installation.file.chmod(0o600)
        configure(installation, f'warn = "{server.url}/services/secret"\ncritical = ["run:true", "run:false"]')
        done = CliRunner().invoke(app, ["alerts", "test", "--config", str(installation.file)])
        listed = installation.run("alerts", "list").stdout
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"warn 1: slack {server.url.removeprefix('http://')}: delivered",
        "critical 1: command true: delivered",
        "critical 2: command false: the command ended with 1",
    ]
    assert "secret" not in done.stdout + listed
    assert b"This is a test" in server.asked[0].body
    (_, _, first) = installation.ask_rows("deliveries", "alerts", "history", "--deliveries")
    assert (first["state"], first["kind"], first["attempts"]) == ("sent", "test", 1)
    (failed,) = installation.ask_rows("deliveries", "alerts", "history", "--failed")
    assert failed["error"] == "the command ended with 1"


def test_a_rule_is_silenced_for_a_while_and_the_silence_ended(installation: Installation) -> None:
    made = str(installation.ask("alerts", "silence", "disk_full", "--for", "2h", "--reason", "known")["silence"])
    assert f"silence {made}: disk_full until " in installation.run("alerts", "list").stdout
    installation.run("alerts", "silence", "--end", made)
    assert "silence" not in installation.run("alerts", "list").stdout
    with pytest.raises(NotFound):
        installation.run("alerts", "silence", "--end", made)
    with pytest.raises(ConfigError, match="expected a span"):
        installation.run("alerts", "silence", "disk_full", "--for", "soon")
    with pytest.raises(ConfigError, match="there is no alarm nonsense"):
        installation.run("alerts", "silence", "nonsense")


def test_every_rule_is_listed_with_all(installation: Installation) -> None:
    configure(installation, 'levels = { oldest_job = "off" }')
    shown = installation.run("alerts", "list", "--all").stdout
    assert "no_worker" in shown
    assert [line.split()[0] for line in shown.splitlines() if "oldest_job" in line] == ["off"]
    with pytest.raises(ConfigError, match="--code goes with the changes"):
        installation.run("alerts", "history", "--deliveries", "--code", "disk_full")
