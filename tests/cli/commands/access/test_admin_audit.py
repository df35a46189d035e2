"""``admin audit``: the check of the audit log."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from typer.testing import CliRunner

from tests.support.installation import Installation
from wanesync.cli.main import app


def test_the_log_of_the_commands_is_intact_until_it_is_changed(installation: Installation) -> None:
    installation.run("admin", "token", "create", "grafana")
    installation.run("pause", "stripe")
    shown = installation.run("admin", "audit", "verify").stdout
    assert "2 rows, each as it was written" in shown
    mark = shown.strip().rpartition(" ")[2]
    assert "2 rows" in installation.run("admin", "audit", "verify", "--expect", mark).stdout
    with closing(sqlite3.connect(installation.file.with_name("wanesync.db"))) as connection, connection:
        connection.execute("DROP TRIGGER audit_log_unchanged")
        connection.execute("UPDATE audit_log SET operator = 'nobody' WHERE seq = 2")
    arguments = ["admin", "audit", "verify", "--config", str(installation.file)]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (1, "row 2 is not as it was written\n")
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert found["problems"] == ["row 2 is not as it was written"]
