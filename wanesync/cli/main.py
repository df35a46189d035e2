"""``wanesync``: the program and its commands. A mistake ends in an exit code and advice, never in a traceback."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wanesync.cli.commands import bench, demo, limits, sandbox
from wanesync.cli.commands import db as database
from wanesync.cli.commands import diff_reconcile as compare
from wanesync.cli.commands import history as trace
from wanesync.cli.commands import hold_pause_resume as hold
from wanesync.cli.commands import init_writes_catch_up as operate
from wanesync.cli.commands import jobs_retry as letters
from wanesync.cli.commands import serve_worker_up as run
from wanesync.cli.commands import status as watch
from wanesync.core.errors import CallError, ConfigError, WanesyncError

app = typer.Typer(
    help="Keeps HubSpot contacts and Stripe customers the same, both ways, and records each purchase on the contact.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _group in (operate, run, compare, watch, letters, trace, hold):
    _group.register(app)
app.add_typer(database.app, name="db")
app.add_typer(limits.app, name="limits")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(bench.app, name="bench")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only this option needs it

        try:
            print(f"wanesync {version('wanesync')}")
        except PackageNotFoundError:
            print("wanesync (run from its source, not installed)")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Every command has its own --help."""


def main() -> None:
    """The program: runs one command and ends with its exit code (DESIGN section 7)."""
    try:
        app()
    except WanesyncError as error:
        _complain(error.problems if isinstance(error, ConfigError) else [str(error)])
        sys.exit(error.exit_code)
    except CallError as error:
        _complain([f"{error}: try again later, or look at wanesync status"])
        sys.exit(4)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)


def _complain(problems: list[str]) -> None:
    if len(problems) == 1:
        print(f"wanesync: {problems[0]}", file=sys.stderr)
        return
    print(f"wanesync: {len(problems)} problems:", file=sys.stderr)
    for problem in problems:
        print(f"  - {problem}", file=sys.stderr)


if __name__ == "__main__":
    main()
