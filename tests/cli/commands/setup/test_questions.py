"""The questions of ``init``."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from wanesync.cli.commands.setup.questions import CREATE, OPTIONS, SECRETS, collect, is_interactive
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.ops.setup.answers import Answers

GIVEN = {"create.customers": "all", "create.contacts": "none", "database": None}


def ask(lines: str, given: dict[str, str | None]) -> tuple[Answers, str]:
    """The answers to what was typed, and what was shown."""
    found: list[Answers] = []
    program = typer.Typer()

    @program.command()
    def run() -> None:
        found.append(collect(given, ask=True))

    done = CliRunner().invoke(program, input=lines)
    assert done.exit_code == 0, done.output
    return found[0], done.output


def test_options_are_the_answers() -> None:
    found = collect({**GIVEN, "stripe.api_key": "file:key"}, ask=False)
    assert found == Answers({"stripe.api_key": "file:key"}, {"create.customers": "all", "create.contacts": "none"})
    assert not is_interactive()


def test_a_reference_to_the_database_is_read_later() -> None:
    assert collect({**GIVEN, "database": "env:DATABASE"}, ask=False).values["database"] == "env:DATABASE"


def test_what_has_no_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"--create-contacts all\|none"):
        collect({"create.customers": "all"}, ask=False)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (
            "stripe.api_key",
            "rk_test_1",
            "--stripe-api-key takes env:NAME, file:PATH or another reference: other users see options",
        ),
        ("server.public_url", "sync.example.com", "--public-url must be an address such as https://"),
        (
            "server.public_url",
            "https://a.example/webhooks/hubspot",
            "--public-url is the address before /webhooks/hubspot",
        ),
        ("database", "mysql://sync@db/sync", "--database must be sqlite:FILE or postgresql://"),
        ("database", "postgresql://sync:p@ss@db/sync", "--database holds a user name or a password with a character"),
        ("database", "sqlite:/state.db", "--database is a file at the root of the disk"),
        ("create.contacts", "some", "must be all or none"),
        ("fields.default_country", "Germany", "must be the ISO 3166-1 code"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(key: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        collect({**GIVEN, key: value}, ask=False)
    assert text in str(caught.value)


def test_each_question_is_asked_once_and_a_wrong_answer_again() -> None:
    lines = ["https://sync.example.com", "pat-na1-1", "", "pk_test_1", "rk_test_1", "", "y", "n", "de"]
    found, shown = ask("\n".join(lines) + "\n", {})
    assert found.secrets == {"hubspot.access_token": "pat-na1-1", "stripe.api_key": "rk_test_1"}
    assert found.values == {
        "server.public_url": "https://sync.example.com",
        "create.customers": "all",
        "create.contacts": "none",
        "fields.default_country": "DE",
    }
    assert "must be a secret or restricted key" in shown
    assert "The value you entered was invalid" not in shown, "one plain line is enough"
    assert "rk_test_1" not in shown, "a secret is not shown"


def test_nothing_is_asked_where_the_options_suffice() -> None:
    found, shown = ask("wanesync diff\n", {**GIVEN, "hubspot.access_token": "env:A", "stripe.api_key": "env:C"})
    assert shown == "", "the next lines of a pasted block are no answers"
    assert found.secrets == {"hubspot.access_token": "env:A", "stripe.api_key": "env:C"}


def test_an_error_names_options_that_exist() -> None:
    options = CliRunner().invoke(app, ["init", "-h"]).output.split()
    for key in (*SECRETS, *CREATE, *OPTIONS):
        with pytest.raises(ConfigError) as caught:
            collect({**GIVEN, key: "?"}, ask=False)
        assert str(caught.value).split()[0] in options


def test_what_is_given_is_not_asked() -> None:
    given = {**GIVEN, "hubspot.access_token": "env:A", "hubspot.webhook_secret": "env:B", "stripe.api_key": "env:C"}
    given |= {"stripe.webhook_secret": "env:D", "fields.default_country": "DE"}
    found, shown = ask("\n", given)
    assert shown.count("?") == 0
    assert "server.public_url" not in found.values
