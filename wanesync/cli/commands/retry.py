"""``retry``: try dead letters again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.commands.jobs import OfClass, OfKind, OfSide, Since, make_filter
from wanesync.cli.context import AsJson, ConfigFile, Yes, open_configured
from wanesync.core.errors import ConfigError
from wanesync.ops.dead_letters import CHUNK_JOBS, choose_dead_letters, count_classes, retry_dead_letters
from wanesync.output import print_line
from wanesync.store.database import Store
from wanesync.store.tables.jobs import DeadLetter
from wanesync.terminal import make_console, make_table, pluralize, print_json, print_rows, progress_bars


def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids from wanesync jobs --dead.")] = None,
    *,
    dead_class: OfClass = None,
    side: OfSide = None,
    kind: OfKind = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which would be tried, change nothing.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Retry dead letters: by id, class, side, kind or time, or all. Asks for confirmation."""
    filtered = any(value is not None for value in (dead_class, side, kind, since))
    if [bool(ids), filtered, every].count(True) != 1:
        which = "IDs, or --class, --side, --kind, --since, or --all (wanesync jobs --dead lists them)"
        raise ConfigError([f"retry: name the dead letters: {which}"])
    with open_configured(config_file) as (_, store):
        chosen = choose_dead_letters(store, ids or [], make_filter(store, dead_class, side, kind, since))
        if chosen and not yes and not dry_run:
            _confirm(chosen)
        retried = len(chosen) if dry_run else _retry(store, chosen)
    if as_json:
        print_json({"retried": retried, "classes": count_classes(chosen)} | ({"dry_run": True} if dry_run else {}))
    elif not chosen:
        print_line("No dead letters of that kind.")
    elif dry_run:
        _show_counts(make_console(), chosen)
        print_line(f"{pluralize(retried, 'job')} would be tried again; nothing was changed.")
    else:
        print_line(f"{pluralize(retried, 'job')} will be tried again.")


def _confirm(chosen: Sequence[DeadLetter]) -> None:
    """Show how many of which class, and require a confirmation. Raises ConfigError where there is no terminal."""
    _show_counts(make_console(error=True), chosen)
    letters = pluralize(len(chosen), "dead letter")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError([f"retry: {letters} would be tried again: confirm it with --yes"])
    if not typer.confirm(f"Try {letters} again?", err=True):
        print_line("Nothing was changed.", error=True)
        raise typer.Exit(1)


def _show_counts(screen: Console, chosen: Sequence[DeadLetter]) -> None:
    counts = Counter((letter.job.dead_class, f"{letter.job.kind} {letter.job.lane}") for letter in chosen)
    rows = [(dead_class, what, f"{count:,}") for (dead_class, what), count in sorted(counts.items())]
    print_rows(screen, make_table("Class", "What", ">Dead letters"), rows)


def _retry(store: Store, chosen: Sequence[DeadLetter]) -> int:
    with progress_bars() as shown:
        if len(chosen) > CHUNK_JOBS:
            return retry_dead_letters(store, chosen, shown.add("dead letters", len(chosen)))
        return retry_dead_letters(store, chosen)
