"""``status``: tables, the document, and the exit code of ``--check``."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.certificates import Authority
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


def test_a_certificate_that_ends_soon_is_an_alarm(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_processes(installation.store)
    pair = Authority(tmp_path).issue("localhost", valid_for=timedelta(days=3, hours=1))
    monkeypatch.setenv("WANESYNC_SERVER__CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("WANESYNC_SERVER__KEY", str(pair.key))
    checked = CliRunner().invoke(app, ["status", "--check", "--config", str(installation.file)])
    assert checked.exit_code == 1
    assert f"the certificate {pair.certificate} ends on " in checked.stdout.replace("\n", "")
    alarms = installation.ask("status")["alarms"]
    assert isinstance(alarms, list)
    assert "in 3 days: server.certificate: put the renewed one there" in alarms[-1]


@pytest.mark.parametrize("other", ["--check", "--json"])
def test_watch_excludes_other_outputs(installation: Installation, other: str) -> None:
    with pytest.raises(ConfigError, match=f"leave out {other}"):
        installation.run("status", "--watch", other)
