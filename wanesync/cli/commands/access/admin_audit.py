"""``admin audit``: whether the audit log is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.ops.audit import verify_audit
from wanesync.output import print_line
from wanesync.terminal import pluralize, print_json

app = typer.Typer(
    help="Check the audit log.", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def _group() -> None:
    """Check the audit log."""


@app.command("verify")
def verify(
    *,
    expect: Annotated[
        str,
        typer.Option("--expect", metavar="MARK", help="What an earlier check printed: that row must still be there."),
    ] = "",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Check that no row was changed, removed or put in; exit with 1 otherwise."""
    with open_configured(config_file) as (_, store):
        check = verify_audit(store, expect)
    if as_json:
        print_json({"rows": check.rows, "mark": check.mark, "problems": check.problems})
    else:
        for problem in check.problems:
            print_line(problem)
        if not check.problems:
            print_line(
                f"{pluralize(check.rows, 'row')}, each as it was written. Mark, to be kept elsewhere: {check.mark}"
            )
    if check.problems:
        raise typer.Exit(1)
