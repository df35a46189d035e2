"""``admin token``: tokens of the API."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from wanesync.core.errors import ConfigError, NotFound
from wanesync.ops.access.tokens import find_token


def test_a_token_is_created_listed_and_revoked(installation: Installation) -> None:
    made = installation.ask("admin", "token", "create", "grafana", "--days", "30")
    token, token_id = str(made["token"]), str(made["id"])
    assert find_token(installation.store, token) is not None
    [listed] = installation.ask_rows("tokens", "admin", "token", "list")
    assert (listed["id"], listed["name"], listed["role"]) == (token_id, "grafana", "viewer")
    assert token not in str(listed)
    assert "grafana" in installation.run("admin", "token", "list").stdout
    assert "Revoked" in installation.run("admin", "token", "revoke", token_id).stdout
    assert find_token(installation.store, token) is None


def test_the_token_alone_is_on_standard_output(installation: Installation) -> None:
    done = installation.run("admin", "token", "create", "script", "--role", "operator")
    assert find_token(installation.store, done.stdout.strip()) is not None
    assert "not shown again" in done.stderr


def test_what_makes_no_token(installation: Installation) -> None:
    with pytest.raises(ConfigError):
        installation.run("admin", "token", "create", "x", "--days", "0")
    with pytest.raises(NotFound):
        installation.run("admin", "token", "revoke", "nothing")
