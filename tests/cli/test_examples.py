"""Every command's help ends with an example, and the example is a line the command accepts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from wanesync.cli.command_table import COMMANDS, load
from wanesync.cli.examples import EXAMPLES
from wanesync.cli.main import app

if TYPE_CHECKING:
    from typer._click import Command


def walk(words: str, command: Command) -> Iterator[str]:
    yield words
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from walk(f"{words} {name}", below)


def all_commands() -> list[str]:
    return [words for name in COMMANDS for words in walk(name, load(name))]


def test_every_command_has_an_example_and_every_example_a_command() -> None:
    assert sorted(all_commands()) == sorted(EXAMPLES)


def test_the_help_ends_with_the_example() -> None:
    for words, example in EXAMPLES.items():
        shown = CliRunner().invoke(app, [*words.split(), "-h"])
        assert shown.exit_code == 0, words
        assert shown.stdout.rstrip().endswith(f"Example: {example}"), words


def test_the_command_accepts_its_example() -> None:
    command = get_command(app)
    for words, example in EXAMPLES.items():
        program, *typed = shlex.split(example)
        assert program == "wanesync", words
        assert typed[: len(words.split())] == words.split() or words in COMMANDS, words
        parse(command, typed)


def parse(command: Command, typed: list[str]) -> str:
    """Read the words as the command line does, without carrying anything out; return the command that they name."""
    context = command.make_context("wanesync", [*typed])
    while isinstance(context.command, TyperGroup) and context._protected_args:
        group, rest = context.command, [*context._protected_args, *context.args]
        name, below, left = group.resolve_command(context, rest)
        assert below is not None
        context = below.make_context(name, left, parent=context)
    return context.command_path


@pytest.mark.parametrize(("typed", "offered"), [("wanesync dif", "diff"), ("wanesync diff --htm", "--html")])
def test_a_shell_completes_commands_and_their_options(typed: str, offered: str) -> None:
    asked = {"_ROOT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert CliRunner().invoke(app, [], env=asked).stdout.split() == [offered]
