"""``db``: the database itself."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, opened, read_config
from wanesync.store.queries import Dialect
from wanesync.terminal import ProgressBars, make_console, make_table, print_json, print_rows, progress_bars
from wanesync.wiring import build_retention_task, open_database
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
    config = read_config(config_file)
    store = open_database(config, migrate=True)
    try:
        label = store.url_label
    finally:
        store.close()
    if as_json:
        print_json({"database": label, "state": "up to date"})
    else:
        print(f"{label} is up to date.")


@app.command()
def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Clear away what is older than [retention] says; a worker does it once a day by itself. Work may go on."""
    with opened(config_file) as (config, store):
        with progress_bars() as shown:
            gone = build_retention_task(config, store).prune(dry=dry_run, progress=_advance(shown))
        on_sqlite = store.dialect is Dialect.SQLITE
    if as_json:
        print_json({"dry_run": dry_run, "rows": {name.replace(" ", "_"): count for name, count in gone.items()}})
        return
    screen = make_console()
    made = make_table("Rows", ">Would go" if dry_run else ">Gone")
    print_rows(screen, made, [(name, f"{count:,}") for name, count in gone.items()])
    if on_sqlite and not dry_run and any(gone.values()):
        screen.print(
            "Their room in the file is used again; only VACUUM, with everything stopped, makes the file smaller."
        )


def _advance(shown: ProgressBars) -> Progress:
    known = {}

    def advance(name: str, rows: int) -> None:
        if name not in known:
            known[name] = shown.add(name)
        known[name](rows)

    return advance
