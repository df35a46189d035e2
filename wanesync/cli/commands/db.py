"""``db``: migrate the database, and remove what is older than its retention."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured, read_config, use_database
from wanesync.output import print_line
from wanesync.store.queries import Dialect
from wanesync.terminal import ProgressBars, make_console, make_table, print_json, print_rows, progress_bars
from wanesync.wiring import build_retention_task
from wanesync.worker.retention import Progress

app = typer.Typer(
    help="Migrate the database, or prune old rows.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def migrate(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Bring the database up to this version. Safe to run again."""
    with use_database(read_config(config_file, ()), migrate=True) as store:
        label = store.url_label
    if as_json:
        print_json({"database": label, "state": "up to date"})
    else:
        print_line(f"{label} is up to date.")


@app.command()
def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, change nothing.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Remove what is older than [retention] says; a worker does it once a day. Safe while other processes work."""
    with open_configured(config_file) as (config, store):
        with progress_bars() as shown:
            removed = build_retention_task(config, store).prune(dry=dry_run, progress=_advance(shown))
        on_sqlite = store.dialect is Dialect.SQLITE
    if as_json:
        print_json({"dry_run": dry_run, "rows": {name.replace(" ", "_"): count for name, count in removed.items()}})
        return
    screen = make_console()
    made = make_table("Rows", ">Would be removed" if dry_run else ">Removed")
    print_rows(screen, made, [(name, f"{count:,}") for name, count in removed.items()])
    if on_sqlite and not dry_run and any(removed.values()):
        screen.print(
            "Their space in the file is used again; only VACUUM, with every process stopped, makes the file smaller."
        )


def _advance(shown: ProgressBars) -> Progress:
    """Return a function that moves the bar of a kind of row on, adding it the first time."""
    known = {}

    def advance(name: str, rows: int) -> None:
        if name not in known:
            known[name] = shown.add(name)
        known[name](rows)

    return advance
