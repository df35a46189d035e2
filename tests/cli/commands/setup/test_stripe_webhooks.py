"""``webhooks stripe``: over real HTTP against the stand-in, with its restricted keys."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from wanesync.cli.main import app
from wanesync.core.errors import ConfigError, KeyRefused, WanesyncError
from wanesync.sandbox.server import Options, Sandbox

CONFIG = """\
[create]
customers = "none"
contacts = "none"
[hubspot]
portal_id = 4242
[stripe]
api_key = "file:stripe-key"
webhook_secret = "{secret}"
base_url = "{url}"
[network]
allow_base_url = true
[server]
public_url = "https://sync.example.com"
"""
KEY, SETUP_KEY = "rk_test_daily", "rk_test_for_setup"
URL = "https://sync.example.com/webhooks/stripe"


class Stage:
    """A configuration without a database, whose daily key may not touch endpoints."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox, self.file = folder, sandbox, folder / "wanesync.toml"
        sandbox.stripe.set_grants(KEY, ["customer:write"])
        sandbox.stripe.set_grants(SETUP_KEY, ["webhook:write"])
        for name, content in (("stripe-key", KEY), ("setup-key", SETUP_KEY)):
            self.write(name, content)
        self.configure("file:keys/hook")

    def write(self, name: str, content: str) -> None:
        (self.folder / name).touch(mode=0o600)
        (self.folder / name).write_text(content)

    def configure(self, secret: str) -> None:
        self.write(self.file.name, CONFIG.format(secret=secret, url=self.sandbox.stripe_url))

    def run(self, *arguments: str, key: str | None = "setup-key") -> Result:
        chosen = ("--key", f"file:{self.folder / key}") if key else ()
        return CliRunner().invoke(app, ["webhooks", "stripe", *arguments, *chosen, "--config", str(self.file)])

    def listed(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run("list", "--json").stdout)["endpoints"]
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Sandbox(Options()) as sandbox:
        yield Stage(tmp_path, sandbox)


def test_it_is_created_listed_adopted_and_removed(stage: Stage) -> None:
    done = stage.run("create")
    assert done.exit_code == 0, done.output
    place = stage.folder / "keys" / "hook"
    assert f"wrote {place}: a serve or up that runs reads it by itself\n" in done.output
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    secret = place.read_text().strip()
    assert secret.startswith("whsec_")
    assert secret not in done.output
    (found,) = stage.listed()
    assert (found["url"], found["api_version"], found["ours"]) == (URL, "2026-10-28.endive", True)
    assert found["events"] == [
        "charge.captured", "charge.succeeded", "customer.created", "customer.deleted", "customer.updated",
    ]  # fmt: skip

    again = stage.run("create")
    assert "kept as it is" in again.output
    assert place.read_text().strip() == secret
    assert len(stage.listed()) == 1
    assert "this" in stage.run("list").output

    assert stage.run("remove", "--yes").output == f"{found['id']} removed\n"
    assert stage.listed() == []


def test_a_replaced_one_gets_a_new_secret_in_another_file(stage: Stage) -> None:
    stage.run("create")
    refused = stage.run("create", "--replace")
    assert isinstance(refused.exception, ConfigError), "the file of the old secret is not overwritten"
    assert len(stage.listed()) == 1
    other = stage.folder / "new-hook"
    done = json.loads(stage.run("create", "--replace", "--secret-file", str(other), "--json").stdout)
    assert (done["done"], done["secret_file"]) == ("replaced", str(other))
    assert other.read_text().startswith("whsec_")
    assert len(stage.listed()) == 1


def test_without_a_named_file_the_secret_lies_beside_the_configuration(stage: Stage) -> None:
    stage.configure("whsec_of_before")
    done = stage.run("create")
    assert 'stripe-webhook-secret" in [stripe], then restart wanesync serve or up, if it runs' in done.output
    assert (stage.folder / "stripe-webhook-secret").exists()


def test_a_key_without_the_right_is_told_which_one_it_lacks(stage: Stage) -> None:
    refused = stage.run("create", key=None)
    assert isinstance(refused.exception, KeyRefused)
    assert refused.exception.exit_code == 4, "as README says of a refused key"
    assert "Webhook Endpoints: Write" in str(refused.exception)
    assert not (stage.folder / "keys" / "hook").exists(), "no empty file stays"


def test_a_key_is_no_argument(stage: Stage) -> None:
    refused = CliRunner().invoke(app, ["webhooks", "stripe", "list", "--key", "rk_test_1", "--config", str(stage.file)])
    assert "env:NAME, file:PATH or another reference" in str(refused.exception)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rk_test_\u200bhidden", "--key: the value that was read holds an invisible character (U+200B)"),
        ("rk_test_\nhidden", "--key: the value that was read holds a line break"),
        ("pat-na1-hidden", "--key: the value that was read must be a secret or restricted key"),
    ],
)
def test_a_key_that_can_be_none_is_named_as_that_of_the_option(stage: Stage, content: str, expected: str) -> None:
    stage.write("setup-key", content)
    refused = stage.run("list")
    assert isinstance(refused.exception, ConfigError)
    assert expected in str(refused.exception)
    assert "hidden" not in str(refused.exception)


def test_a_key_of_another_account_touches_nothing(stage: Stage) -> None:
    stage.write(stage.file.name, stage.file.read_text().replace("[stripe]", '[stripe]\naccount_id = "acct_other"'))
    refused = stage.run("create")
    assert isinstance(refused.exception, WanesyncError)
    assert "acct_other" in str(refused.exception)


def test_removing_asks_first(stage: Stage) -> None:
    stage.run("create")
    assert stage.run("remove").exit_code == 1
    assert len(stage.listed()) == 1
