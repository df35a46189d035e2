"""``secrets check``: which process needs which secret, where it comes from, and whether it resolves."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, read_secret_source
from wanesync.core.roles import Role
from wanesync.ops.secret_check import check_secrets, find_policies
from wanesync.output import print_line
from wanesync.terminal import make_console, make_table, print_json, print_rows

app = typer.Typer(
    help="Check where secrets come from, and who needs which.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Check where secrets come from, and who needs which."""


@app.command()
def check(
    *,
    role: Annotated[Role | None, typer.Option("--role", help="Only the secrets of one part of a deployment.")] = None,
    policy: Annotated[
        bool, typer.Option("--policy", help="Print the least rights in each secrets manager, by role.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Resolve every secret once and show where each comes from and which parts need it. No value is shown."""
    source = read_secret_source(config_file)
    roles = [role] if role else list(Role)
    policies = {str(one): found for one in roles if (found := find_policies(source, one))}
    if policy and not as_json:
        for name, found in policies.items():
            for manager, text in found.items():
                print_line(f"# {name}: {manager}\n{text}\n")
        return
    states = list(check_secrets(source, role))
    failed = [state for state in states if state.problems]
    if as_json:
        print_json({"secrets": [state.as_json() for state in states], "policies": policies})
    else:
        screen = make_console()
        rows = [(one.key, one.state, ", ".join(one.sources) or "-", ", ".join(one.roles)) for one in states]
        print_rows(screen, make_table("secret", "state", "where", "needed by"), rows)
        for state in failed:
            for problem in state.problems:
                screen.print(f"{state.key}: {problem.removeprefix(f'{state.key}: ')}", markup=False)
    raise typer.Exit(1 if failed else 0)
