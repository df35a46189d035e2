"""``status``: tables, the document, and the exit code of ``--check``."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.support.installation import Installation
from tests.support.lanes import start_processes
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError


def test_alarms_stand_in_the_tables_and_in_the_document(installation: Installation) -> None:
    assert "first listing missing" in installation.run("status").stdout
    alarms = installation.ask("status")["alarms"]
    assert isinstance(alarms, list)
    assert len(alarms) == 1


def test_check_exits_1_with_an_alarm_and_0_without(installation: Installation) -> None:
    arguments = ["status", "--check", "--config", str(installation.file)]
    checked = CliRunner().invoke(app, arguments)
    assert (checked.exit_code, checked.stdout.count("\n")) == (1, 1)
    assert len(json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["alarms"]) == 1
    start_processes(installation.store)
    assert installation.run("status", "--check").stdout == ""


@pytest.mark.parametrize("other", ["--check", "--json"])
def test_watch_excludes_other_outputs(installation: Installation, other: str) -> None:
    with pytest.raises(ConfigError, match=f"leave out {other}"):
        installation.run("status", "--watch", other)
