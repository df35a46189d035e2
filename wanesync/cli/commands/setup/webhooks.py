"""``webhooks``: what was received and could not be understood, and the set-up of both sides' webhooks."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.commands.setup import hubspot_webhooks, stripe_webhooks
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, open_configured
from wanesync.cli.times import format_time
from wanesync.ops.queue.rejected_webhooks import list_rejected
from wanesync.terminal import make_table, make_wide_console, pluralize, print_json, print_rows

app = typer.Typer(
    help="Set up webhooks on both sides; list those that were set aside.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


app.add_typer(stripe_webhooks.app, name="stripe")
app.add_typer(hubspot_webhooks.app, name="hubspot")


@app.callback()
def _group() -> None:
    """Set up webhooks on both sides; list those that were set aside."""


@app.command("set-aside")
def set_aside(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many, the newest.")
    ] = 100,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show what was received, unmasked; it may hold personal data.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List webhooks that could not be understood. Their signature was right, and nothing of them was applied."""
    with open_configured(config_file) as (_, store):
        found = list_rejected(store, limit)
    if as_json:
        listed = [
            {"id": row.id, "at": format_time(row.at_ms), "side": str(row.side), "reason": row.reason}
            | {"bytes": len(row.body)}
            | ({"body": row.body.decode(errors="replace")} if show_values else {})
            for row in found.rows
        ]
        print_json({"total": found.total, "set_aside": listed})
        return
    screen = make_wide_console()
    columns = ["#Webhook", "Received", "Side", ">Bytes", "Reason", *(["Body"] if show_values else [])]
    rows = [
        [row.id, format_time(row.at_ms), str(row.side), f"{len(row.body):,}", row.reason]
        + ([row.body.decode(errors="replace")] if show_values else [])
        for row in found.rows
    ]
    print_rows(screen, make_table(*columns), rows)
    shown = f"{len(rows):,} of " if len(rows) != found.total else ""
    screen.print(
        f"{shown}{pluralize(found.total, 'webhook')} set aside." if found.total else "No webhook was set aside."
    )
