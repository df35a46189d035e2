"""``broker-config`` and ``broker``: what they print, refuse and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.hardened_broker import hardened_broker
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def write(folder: Path, *more: str) -> Result:
    return run("broker-config", str(folder), "--version", "2.1", "--plugins", "/usr/lib", *more)


def test_a_folder_is_written_without_a_broker_here_and_shows_no_secret(tmp_path: Path) -> None:
    shown = write(tmp_path / "b", "--host", "bus.example.com", "--port", "8884", "--handlers", "10").stdout
    assert "for Mosquitto 2.1, with 7 credentials" in shown
    assert (tmp_path / "b" / "parts" / "queue" / "login").read_text().strip() not in shown
    text = (tmp_path / "b" / "mosquitto.conf").read_text()
    assert "max_connections 120" in text
    assert "listener 8884 127.0.0.1" in text
    document = json.loads(write(tmp_path / "b", "--json").stdout)
    assert (document["release"], len(document["credentials"])) == ("2.1", 7)


def test_a_certificate_from_elsewhere_needs_all_three_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give all three, or none"):
        write(tmp_path / "b", "--ca", str(tmp_path / "ca.pem"))
    three = [word for name in ("ca", "certificate", "key") for word in (f"--{name}", str(tmp_path / name))]
    with pytest.raises(ConfigError, match="a given certificate cannot be read"):
        write(tmp_path / "b", *three)
    write(tmp_path / "a")
    server = tmp_path / "a" / "server"
    given = ["--ca", str(tmp_path / "a" / "clients-ca.pem")]
    given += ["--certificate", str(server / "certificate.pem"), "--key", str(server / "key.pem")]
    assert write(tmp_path / "b", *given).exit_code == 0
    assert (tmp_path / "b" / "server" / "key.pem").read_text() == (server / "key.pem").read_text()


def test_a_revocation_is_confirmed_first(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=r"Revoke queue\.1, and end their connections\? There is no terminal"):
        run("broker", "revoke", "queue", "--dir", str(tmp_path))


@pytest.mark.slow
def test_credentials_are_rotated_revoked_and_shown() -> None:
    with hardened_broker() as broker:
        where = ("--dir", str(broker.folder))
        assert run("broker", "status", "--check", *where).exit_code == 0
        assert "queue.2" in run("broker", "rotate", "queue", *where).stdout
        assert "No connection was ended" in run("broker", "rotate", "server", *where).stdout
        assert json.loads(run("broker", "rotate", "queue", "--json", *where).stdout)["credentials"] == [
            "queue.1",
            "queue.2",
            "queue.3",
        ]
        assert "Revoked queue.1, queue.2. Left: queue.3." in run("broker", "revoke", "queue", "--old", *where).stdout
        gone = json.loads(run("broker", "revoke", "queue.3", "--yes", "--json", *where).stdout)
        assert (gone["revoked"], gone["credentials"]) == (["queue.3"], [])
        shown = run("broker", "status", *where).stdout
        assert "accepts the operator" in shown
        assert "queue has no credential: wanesync broker rotate queue" in shown
        assert run("broker", "status", "--check", *where).exit_code == 1
        assert json.loads(run("broker", "status", "--json", *where).stdout)["runs"] is True
        checked = json.loads(run("broker", "status", "--check", "--json", *where).stdout)
        assert set(checked) == {"version", "alarms"}
