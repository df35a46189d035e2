"""The command line imports only the command that is called, and says of every command what its module says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from wanesync.cli.command_table import COMMANDS, GROUPS, load
from wanesync.cli.main import app

UNLIMITED = 10**6
"""Characters of a one-line help that is not cut."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_first_sentence_of_the_commands_own_help(name: str) -> None:
    assert load(name).get_short_help_str(UNLIMITED) == COMMANDS[name].help


def test_help_lists_every_group_and_every_line_uncut_and_in_order() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout.partition("Show this message and exit.\n")[2]
    rows = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  ")]
    assert rows == [[name, entry.help] for name, entry in COMMANDS.items()]
    assert [line for line in shown.splitlines() if line.endswith(":")] == [f"{title}:" for title in GROUPS]


@pytest.mark.slow
def test_help_and_a_misspelled_command_import_no_module_of_a_command() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from wanesync.cli.main import app;"
        "runs = [CliRunner().invoke(app, [word]) for word in ('--help', 'stats')];"
        "assert [run.exit_code for run in runs] == [0, 2], runs;"
        "assert 'status' in runs[1].output, runs[1].output;"
        "print([name for name in sys.modules if name.startswith(('wanesync.cli.commands', 'wanesync.wiring', 'rich'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_commands_usage_has_its_whole_name() -> None:
    assert CliRunner().invoke(app, ["status", "--help"]).stdout.startswith("Usage: root status [OPTIONS]")
    assert CliRunner().invoke(app, ["hold", "list", "--help"]).stdout.startswith("Usage: root hold list [OPTIONS]")
    assert CliRunner().invoke(app, ["status", "--nonsense"]).exit_code == 2


@pytest.mark.parametrize(
    "typed", [("writes", "maybe"), ("sandbox", "delete", "person", "1"), ("limits", "--nonsense=1")]
)
def test_a_wrong_value_is_named_in_plain_words(typed: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, typed)
    assert shown.exit_code == 2
    assert "Value error" not in shown.output
    assert "Error: " in shown.output
