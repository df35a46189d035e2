"""What ``secrets check`` finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.config.model import read_secrets
from wanesync.config.secret_source import SecretSource
from wanesync.core.roles import Role
from wanesync.ops.secret_check import LITERAL, check_secrets, describe_source, find_policies

TOML = """
database = "postgresql://sync@db.example.com/sync"
database_password = "env:DB"
[hubspot]
webhook_secret = ["file:hook", "planted-literal"]
[stripe]
api_key = "cmd:printf sk_test_planted"
[nonsense]
x = 1
"""


@pytest.fixture
def source(tmp_path: Path) -> SecretSource:
    file = tmp_path / "wanesync.toml"
    file.write_text(TOML)
    (tmp_path / "hook").touch(mode=0o600)
    (tmp_path / "hook").write_text("planted-client-secret")
    return read_secrets(file, {"DB": "planted", "PATH": "/usr/bin:/bin", "WANESYNC_STRIPE__WEBHOOK_SECRET": "env:NONE"})


def test_every_secret_that_is_set_is_resolved_and_none_is_shown(source: SecretSource) -> None:
    found = {state.key: state for state in check_secrets(source, None)}
    assert {key: state.state for key, state in found.items()} == {
        "database": "ok",
        "database_password": "ok",
        "hubspot.webhook_secret": "ok",
        "stripe.api_key": "ok",
        "stripe.webhook_secret": "fails",
    }
    assert found["hubspot.webhook_secret"].sources == ["file:hook", LITERAL]
    assert found["stripe.api_key"].sources == ["cmd:printf …"]
    assert found["stripe.api_key"].roles == [Role.STRIPE_WORKER]
    assert found["database"].sources == ["an address without a password"]
    assert "env:NONE is not set" in found["stripe.webhook_secret"].problems[0]
    assert "planted" not in str([state.as_json() for state in found.values()])


def test_a_role_needs_its_own_secrets_only(source: SecretSource) -> None:
    states = {state.key: state for state in check_secrets(source, Role.HUBSPOT_WORKER)}
    assert set(states) == {"database", "database_password", "hubspot.access_token"}
    assert states["hubspot.access_token"].problems == [
        "hubspot.access_token is not set, and hubspot-worker does not start without it"
    ]
    assert [state.key for state in check_secrets(source, Role.HUBSPOT_HANDLER)] == ["hubspot.webhook_secret"]


def test_a_value_of_the_wrong_kind_fails(tmp_path: Path) -> None:
    source = read_secrets(None, {"WANESYNC_STRIPE__API_KEY": "env:KEY", "KEY": "pk_test_planted"})
    (state,) = check_secrets(source, None)
    (problem,) = state.problems
    assert problem.startswith("stripe.api_key: the value that was read must be a secret or restricted key: sk_test_…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk_test_planted", LITERAL),
        ("postgresql://a:planted@host/x", LITERAL),
        ("env:sk_test_planted", "env: with a key itself"),
        ("cmd:op read 'planted", "cmd:"),
        ("vault:planted", "vault:"),
        ("aws-sm:prod/stripe@AWSPREVIOUS#key", "aws-sm:prod/stripe@AWSPREVIOUS#key"),
    ],
)
def test_a_source_shows_no_value(text: str, shown: str) -> None:
    assert describe_source(text, is_address=text.startswith("postgresql")) == shown


def test_the_policies_are_those_of_the_role(tmp_path: Path) -> None:
    env = {
        "WANESYNC_STRIPE__API_KEY": "aws-sm:stripe#key",
        "WANESYNC_STRIPE__WEBHOOK_SECRET": "aws-sm:hook",
        "WANESYNC_SECURITY__KEYS": '["vault:secret/sync#keys", "vault:nothing"]',
    }
    source = read_secrets(None, env)
    policies = find_policies(source, Role.STRIPE_WORKER)
    assert set(policies) == {"aws-sm", "vault"}
    assert "secret:stripe-" in policies["aws-sm"]
    assert "hook" not in policies["aws-sm"]
    assert set(find_policies(source, Role.STRIPE_HANDLER)) == {"aws-sm"}
    assert find_policies(source, Role.HUBSPOT_HANDLER) == {}
