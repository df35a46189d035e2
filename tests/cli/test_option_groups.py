"""Commands whose options are the fields of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from wanesync.cli.option_groups import spread_options
from wanesync.core.errors import ConfigError


@dataclass(frozen=True)
class Span:
    since: Annotated[int, typer.Option("--since", help="From then on.")]
    until: Annotated[int, typer.Option("--until")] = 9
    length: int = field(init=False)

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ConfigError(["--until is before --since"])
        object.__setattr__(self, "length", self.until - self.since)


@spread_options
def show(name: str, *, span: Span, loud: bool = False) -> None:
    """Show a span."""
    typer.echo(f"{name} {span.length} {loud}")


APP = typer.Typer(rich_markup_mode=None)
APP.command()(show)


def test_a_group_is_made_of_its_options() -> None:
    assert CliRunner().invoke(APP, ["a", "--since", "2", "--loud"]).stdout == "a 7 True\n"
    assert CliRunner().invoke(APP, ["a", "--since", "2", "--until", "3"]).stdout == "a 1 False\n"


def test_the_help_lists_the_options_in_their_order() -> None:
    text = CliRunner().invoke(APP, ["--help"]).stdout
    assert "Show a span." in text
    assert "From then on." in text
    assert text.index("--since") < text.index("--until") < text.index("--loud")
    assert "--length" not in text


def test_a_field_without_a_default_is_required() -> None:
    ended = CliRunner().invoke(APP, ["a"])
    assert ended.exit_code == 2
    assert "--since" in ended.output


def test_what_a_group_refuses_the_command_raises() -> None:
    with pytest.raises(ConfigError, match="--until is before --since"):
        CliRunner().invoke(APP, ["a", "--since", "9", "--until", "3"], catch_exceptions=False)
