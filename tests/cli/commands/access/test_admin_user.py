"""``admin user``: the users of the admin service."""

from __future__ import annotations

import re

import pyotp
import pytest
from typer.testing import CliRunner

from tests.support.installation import Installation
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError, NotFound

PASSWORD = "correct horse battery staple"


def run(installation: Installation, *arguments: str, typed: str = "") -> str:
    done = CliRunner().invoke(app, ["admin", "user", *arguments, "--config", str(installation.file)], input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_users_are_added_listed_changed_and_removed(installation: Installation) -> None:
    assert "Added anna (admin)." in run(
        installation, "add", "Anna", "--role", "admin", typed=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert "Added ben" in run(installation, "add", "ben", "--password-stdin", typed=f"{PASSWORD}\n")
    assert "/password?token=" in run(installation, "add", "carol", "--link")
    run(installation, "add", "dora", "--no-password")
    listed = installation.ask_rows("users", "admin", "user", "list")
    assert [(user["name"], user["role"], user["has_password"]) for user in listed] == [
        ("anna", "admin", True),
        ("ben", "viewer", True),
        ("carol", "viewer", False),
        ("dora", "viewer", False),
    ]
    assert re.search(r"ben +viewer +yes +no", run(installation, "list"))
    assert "ben is operator" in run(installation, "role", "ben", "operator")
    assert "every session has ended" in run(
        installation, "password", "ben", "--password-stdin", typed="quite another sentence\n"
    )
    assert "once: http://127.0.0.1:8900/password?token=" in run(installation, "password", "ben", "--link")
    assert "Removed ben" in run(installation, "remove", "ben", typed="y\n")
    assert "Removed" not in run(installation, "remove", "carol", typed="n\n")
    with pytest.raises(NotFound):
        run(installation, "remove", "ben", "--yes")


def test_no_password_is_shown(installation: Installation) -> None:
    assert PASSWORD not in run(installation, "add", "anna", typed=f"{PASSWORD}\n{PASSWORD}\n")


@pytest.mark.parametrize("password", ["short", "passwordpassword", ""])
def test_a_weak_one_is_refused(installation: Installation, password: str) -> None:
    with pytest.raises(ConfigError):
        run(installation, "add", "anna", "--password-stdin", typed=f"{password}\n")
    assert installation.ask_rows("users", "admin", "user", "list") == []


def test_options_that_exclude_one_another(installation: Installation) -> None:
    with pytest.raises(ConfigError, match="exclude"):
        run(installation, "add", "anna", "--link", "--no-password")


def test_a_second_factor_is_set_up_in_the_terminal(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    monkeypatch.setattr("wanesync.admin.security.totp.make_secret", lambda: secret)
    run(installation, "add", "anna", "--no-password")
    shown = run(installation, "totp", "anna", typed=f"{pyotp.TOTP(secret).at(installation.store.now_ms() // 1000)}\n")
    assert "▀" in shown
    assert secret in shown
    assert len(re.findall(r"(?m)^  (?:[0-9a-f]{6}-){4}[0-9a-f]{6}$", shown)) == 10
    assert installation.ask_rows("users", "admin", "user", "list")[0]["has_second_factor"] is True
    assert "is off" in run(installation, "totp", "anna", "--off")
    assert "no second factor" in run(installation, "totp", "anna", "--off")
