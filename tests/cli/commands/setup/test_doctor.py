"""``doctor``: its lines, its JSON and its exit codes; the faults it finds are in tests/system/test_doctor.py."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from tests.support.installation import Installation
from wanesync.cli.main import app


def doctor(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *options, "--config", str(file)])


def test_a_line_per_check_and_a_sum(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    done = doctor(installation.file)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok   files: ")
    assert "warn hubspot key: there is none in this configuration: set hubspot.access_token" in done.stdout
    assert lines[-1].endswith("to mend")
    assert done.exit_code == 1
    assert any(line.startswith("fail public address: server.public_url is not set") for line in lines)


def test_json_holds_every_check(tmp_path: Path) -> None:
    found = json.loads(doctor(Installation(tmp_path).file, "--json").stdout)
    assert set(found) == {"version", "counts", "checks"}
    assert sum(found["counts"].values()) == len(found["checks"])
    assert set(found["checks"][0]) == {"check", "state", "text", "fix"}


def test_an_unusable_configuration_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "wanesync.toml"
    file.touch(mode=0o600)
    file.write_text('[create]\ncustomers = "some"\ncontacts = "all"\n')
    done = doctor(file)
    assert done.exit_code == 1
    assert "fail configuration: wanesync.toml:2: create.customers: must be 'all' or 'none'" in done.stdout


def test_no_database_is_created(tmp_path: Path) -> None:
    file = tmp_path / "wanesync.toml"
    file.touch(mode=0o600)
    file.write_text('[create]\ncustomers = "all"\ncontacts = "all"\n')
    assert "fail database: " in doctor(file).stdout
    assert not (tmp_path / "wanesync.db").exists()
