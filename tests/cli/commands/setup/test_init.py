"""``init``: the configuration it writes where there is none, and what it checks."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.setup.permissions import WRITE_CONTACTS
from wanesync.sandbox.hubspot.scopes import KNOWN
from wanesync.sandbox.server import HUBSPOT_KEY, Options, Sandbox


def init(path: Path) -> ConfigError:
    done = CliRunner().invoke(app, ["init", "--config", str(path)])
    assert isinstance(done.exception, ConfigError), done.output
    return done.exception


def test_a_missing_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    assert f"wrote {path}: " in str(init(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "create.customers" in str(init(path)), "it is to be filled in"
    assert path.read_text() == text, "an existing file is not overwritten"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    assert "cannot be written" in str(init(tmp_path / "missing" / "wanesync.toml"))


def test_no_other_command_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    with pytest.raises(ConfigError):
        CliRunner().invoke(app, ["status", "--config", str(path)], catch_exceptions=False)
    assert not path.exists()


RESTRICTED = "rk_test_first"


class FirstDay:
    """An empty folder, a sandbox that enforces rights, and two keys in files."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox, self.file = folder, sandbox, folder / "wanesync.toml"
        sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN)
        sandbox.stripe.set_grants(RESTRICTED, ["customer:write", "charge:read", "event:read", "webhook:write"])
        for name, content in (("token", HUBSPOT_KEY), ("key", RESTRICTED)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(content)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(self.file)])

    def init(self, *more: str) -> Result:
        return self.run(
            "init",
            "--hubspot",
            f"--hubspot-access-token=file:{self.folder / 'token'}",
            f"--stripe-api-key=file:{self.folder / 'key'}",
            "--public-url=https://sync.example.com",
            "--create-customers=all",
            "--create-contacts=none",
            f"--hubspot-url={self.sandbox.hubspot_url}",
            f"--stripe-url={self.sandbox.stripe_url}",
            *more,
        )


@pytest.fixture
def day(tmp_path: Path) -> Iterator[FirstDay]:
    with Sandbox(Options(tier="enterprise")) as sandbox:
        yield FirstDay(tmp_path, sandbox)


def test_every_answer_can_be_an_option(day: FirstDay) -> None:
    done = day.init("--default-country=DE", "--database=sqlite:state.db")
    assert done.exit_code == 0, done.output + str(done.exception)
    assert f"wrote      {day.file}" in done.output
    assert "made       contact property stripe_customer_id" in done.output
    assert "wanesync webhooks stripe create" in done.output
    assert stat.S_IMODE(day.file.stat().st_mode) == 0o600
    assert (day.folder / "state.db").exists()
    again = day.init()
    assert isinstance(again.exception, ConfigError), "an existing configuration is not changed"
    assert "change hubspot.access_token" in str(again.exception)
    once_more = day.run("init")
    assert once_more.exit_code == 0
    assert "init --hubspot" not in once_more.output, "our properties are there"


def test_the_signing_secret_ends_up_where_the_configuration_looks(day: FirstDay) -> None:
    day.init()
    assert day.run("webhooks", "stripe", "create").exit_code == 0
    assert (day.folder / "secrets" / "stripe-webhook-secret").read_text().startswith("whsec_")
    assert "webhooks stripe create" not in day.run("init", "--hubspot").output


def test_options_make_a_file_although_the_environment_would_do(day: FirstDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_CREATE__CUSTOMERS", "none")
    monkeypatch.setenv("WANESYNC_CREATE__CONTACTS", "none")
    assert day.init().exit_code == 0
    assert day.file.exists()


def test_a_key_that_is_not_there_yet_is_waited_for(day: FirstDay) -> None:
    (day.folder / "key").unlink()
    done = day.init()
    assert isinstance(done.exception, ConfigError)
    assert "stripe.api_key" in str(done.exception)
    assert "then run wanesync init again" in str(done.exception)
    assert stat.S_IMODE((day.folder / "secrets").stat().st_mode) == 0o700, "there is a place for what comes later"


def test_rights_that_are_missing_are_named(day: FirstDay) -> None:
    day.init()
    day.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {WRITE_CONTACTS})
    day.sandbox.stripe.set_grants(RESTRICTED, ["customer:write"])
    done = day.run("init", "--hubspot")
    assert isinstance(done.exception, ConfigError)
    assert [problem.split(":")[0] for problem in done.exception.problems] == [
        "hubspot scopes",
        "stripe permissions",
        "stripe permissions",
    ]


def test_a_webhook_secret_that_is_there_and_wrong_is_named(day: FirstDay) -> None:
    day.init()
    place = day.folder / "secrets" / "stripe-webhook-secret"
    place.parent.mkdir(exist_ok=True)
    place.touch(mode=0o600)
    place.write_text("rk_test_1")
    assert "stripe.webhook_secret" in str(day.run("init").exception)


def test_the_rights_of_both_keys_are_printed_with_their_reasons(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", "--permissions", "--config", str(tmp_path / "none.toml")])
    assert done.exit_code == 0
    assert "  Customers: Write - read, create and update customers; nothing is deleted" in done.output
    assert "  Webhook Endpoints: Read (optional) - " in done.output
    assert "  crm.schemas.contacts.write (set-up only) - create our properties" in done.output
    assert not (tmp_path / "none.toml").exists()
