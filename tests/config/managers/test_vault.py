"""Vault: its client hvac against a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.config.managers.conftest import Refuse
from tests.support.manager_stand_in import Answer, Asked, ManagerStandIn
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Scheme, split_path

ERRORS = {
    404: "is not in Vault (InvalidPath)",
    403: "is denied to this process by Vault (Forbidden): give it a policy with the capability read on its path",
    429: "limits the requests",
    503: "does not answer (VaultDown)",
    400: "is refused by Vault (InvalidRequest)",
}


@pytest.fixture(autouse=True)
def login(stand_in: ManagerStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com:8200")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.token")
    for name in ("VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_ROLE_ID", "VAULT_SECRET_ID"):
        monkeypatch.delenv(name, raising=False)


def secret(**fields: str) -> Answer:
    return Answer(body={"data": {"data": fields, "metadata": {"version": 3}}})


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("secret/wanesync/stripe#key", "/v1/secret/data/wanesync/stripe"),
        ("team/kv/data/stripe@2#key", "/v1/team/kv/data/stripe?version=2"),
    ],
)
def test_a_field_of_a_version_is_read(stand_in: ManagerStandIn, written: str, path: str) -> None:
    stand_in.play = lambda _: secret(key="sk_test_planted", other="x")
    assert ManagerReader().read(Scheme.VAULT, written) == "sk_test_planted"
    assert stand_in.asked[-1].path == path
    assert stand_in.asked[-1].headers["X-Vault-Token"] == "hvs.token"


def test_the_only_field_needs_no_name(stand_in: ManagerStandIn, refuse: Refuse) -> None:
    stand_in.play = lambda _: secret(key="sk_test_planted")
    assert ManagerReader().read(Scheme.VAULT, "secret/stripe") == "sk_test_planted"
    stand_in.play = lambda _: secret(key="sk_test_planted", other="planted")
    assert "name the field with #FIELD (key, other)" in refuse(Scheme.VAULT, "secret/stripe")


def test_an_app_role_logs_in(stand_in: ManagerStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_ROLE_ID", "role")
    monkeypatch.setenv("VAULT_SECRET_ID", "secret-id")

    def play(asked: Asked) -> Answer:
        if asked.path == "/v1/auth/approle/login":
            assert json.loads(asked.body) == {"role_id": "role", "secret_id": "secret-id"}
            return Answer(body={"auth": {"client_token": "hvs.role"}})
        assert asked.headers["X-Vault-Token"] == "hvs.role"
        return secret(key="x")

    stand_in.play = play
    assert ManagerReader().read(Scheme.VAULT, "secret/stripe") == "x"


@pytest.mark.parametrize("status", list(ERRORS))
def test_a_refusal_is_one_line(stand_in: ManagerStandIn, refuse: Refuse, status: int) -> None:
    stand_in.play = lambda _: Answer(status, {"errors": ["planted"]})
    assert ERRORS[status] in refuse(Scheme.VAULT, "secret/stripe#key")


def test_a_deleted_version_a_version_that_is_no_number_and_no_login_are_named(
    stand_in: ManagerStandIn, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.play = lambda _: Answer(404, {"data": {"data": None, "metadata": {"deletion_time": "2026-01-01"}}})
    assert "is not in Vault" in refuse(Scheme.VAULT, "secret/stripe@2#key")
    assert "(a version is a number)" in refuse(Scheme.VAULT, "secret/stripe@two#key")
    monkeypatch.delenv("VAULT_TOKEN")
    assert "no VAULT_TOKEN, no ~/.vault-token" in refuse(Scheme.VAULT, "secret/stripe#key")


def test_the_mount_is_the_first_part_or_what_stands_before_data() -> None:
    assert split_path("secret/a/b") == ("secret", "a/b")
    assert split_path("team/kv/data/a/b") == ("team/kv", "a/b")
