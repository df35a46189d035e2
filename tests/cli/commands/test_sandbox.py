"""``wanesync sandbox``: what it prints for a configuration, and where its webhooks go."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.cli.commands.sandbox import HUBSPOT_SECRET, STRIPE_SECRET, find_target, write_settings
from wanesync.config.model import load
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.sandbox.server import HUBSPOT_KEY, Options, Sandbox

SECRETS = {"hubspot": HUBSPOT_SECRET, "stripe": STRIPE_SECRET}
DOOR = "http://127.0.0.1:8987"


def test_what_it_prints_is_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "wanesync.toml"
    with Sandbox(Options(stripe_permissions=("customer:write",))) as sandbox:
        file.write_text(write_settings(sandbox, DOOR, SECRETS), encoding="utf-8")
        file.chmod(0o600)

        config = load(file, {})

        assert (config.hubspot.base_url, config.stripe.base_url) == (sandbox.hubspot_url, sandbox.stripe_url)
    assert config.hubspot.access_token is not None
    assert config.hubspot.access_token.get_secret_value() == HUBSPOT_KEY
    assert config.stripe.api_key is not None
    assert config.stripe.api_key.get_secret_value() == "rk_test_sandbox"
    assert (config.server.public_url, config.server.port) == (DOOR, 8987)


def test_a_reference_is_printed_and_a_value_is_not() -> None:
    with Sandbox() as sandbox:
        text = write_settings(sandbox, "", {"hubspot": "env:SECRET", "stripe": "whsec_of_mine"})

    assert '"env:SECRET"' in text
    assert "of_mine" not in text
    assert "[server]" not in text


def test_webhooks_go_to_the_doors_of_both_sides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_b\n", encoding="utf-8")
    secret.chmod(0o600)
    monkeypatch.setenv("SECRET", "a")

    assert find_target("", Side.HUBSPOT, HUBSPOT_SECRET) is None
    assert find_target(f"{DOOR}/", Side.HUBSPOT, "env:SECRET") == (f"{DOOR}/webhooks/hubspot", "a")
    assert find_target(f"{DOOR}/base", Side.STRIPE, f"file:{secret}") == (f"{DOOR}/base/webhooks/stripe", "whsec_b")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8787",
        "ftp://a.example",
        "http://",
        "http://a.example/?x=1",
        "http://u:p@a.example",
        f"{DOOR}/webhooks/stripe",
    ],
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--webhooks"):
        find_target(url, Side.STRIPE, "whsec_a")


def test_a_secret_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="--webhooks URL"):
        find_target("", Side.STRIPE, "env:SECRET")


def test_a_reference_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match="env:NO_SUCH_VARIABLE"):
        find_target(DOOR, Side.STRIPE, "env:NO_SUCH_VARIABLE")


@pytest.mark.parametrize(
    ("side", "secret", "expected"),
    [
        (Side.STRIPE, "pat-na1-hidden", "--stripe-secret: the value that was read must be the signing secret"),
        (Side.STRIPE, "whsec_\u200bhidden", "holds an invisible character"),
        (Side.HUBSPOT, "op://vault/hidden", "--hubspot-secret: the value that was read begins with op:"),
    ],
)
def test_a_secret_that_a_configuration_would_refuse_is_refused(side: Side, secret: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_target(DOOR, side, secret)
    assert expected in str(caught.value)
    assert "hidden" not in str(caught.value)
