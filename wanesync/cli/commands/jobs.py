"""``jobs``: what waits and runs, and what was given up and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, open_configured
from wanesync.cli.times import format_time, parse_since
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.ops.jobs import list_jobs
from wanesync.store.database import Store
from wanesync.store.tables.jobs import DeadLetter, Depth, JobFilter
from wanesync.terminal import format_duration, make_table, make_wide_console, print_json, print_rows

OfClass = Annotated[DeadClass | None, typer.Option("--class", help="Why they were given up.")]
OfSide = Annotated[Side | None, typer.Option("--side", help="The side whose lane they are in.")]
OfKind = Annotated[JobKind | None, typer.Option("--kind", help="What they were to do.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="2h|2026-11-01", help="Given up since then: a span, a date or a time.")
]


def jobs(
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters only.")] = False,
    dead_class: OfClass = None,
    side: OfSide = None,
    kind: OfKind = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many dead letters.")
    ] = 100,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List queued jobs and dead letters. A dead letter is shown with its record, reason, time and attempts."""
    with open_configured(config_file) as (_, store):
        asked = make_filter(store, dead_class, side, kind, since)
        found = list_jobs(store, asked, limit)
    if as_json:
        listed = [_as_json(letter) for letter in found.dead]
        print_json({"dead": listed} if dead else {"queued": list(found.depth), "dead": listed})
        return
    screen = make_wide_console()
    if asked.since_ms:
        screen.print(f"Dead letters given up since {format_time(asked.since_ms)}.")
    if not dead:
        _show_depth(screen, found.depth, found.now_ms)
    _show_letters(screen, found.dead, found.now_ms)
    if len(found.dead) == limit:
        screen.print(f"The newest {limit:,}; --limit shows more, --class, --side, --kind and --since show fewer.")


def make_filter(
    store: Store, dead_class: DeadClass | None, side: Side | None, kind: JobKind | None, since: str | None
) -> JobFilter:
    """Return the filter that these options describe. Raises ConfigError for a ``since`` that is no time."""
    return JobFilter(dead_class, side, kind, parse_since(since, store.now_ms()) if since else 0)


def shorten_key(key: str) -> str:
    """Return a job's key as it is shown, ``contact:7``; of the keyed hash of a guest's address only the beginning."""
    return key[:14] + "…" if key.startswith("guest:") else key


def _as_json(letter: DeadLetter) -> Mapping[str, object]:
    job = letter.job
    return {
        "id": job.id,
        "lane": str(job.lane),
        "kind": str(job.kind),
        "key": job.key,
        "class": job.dead_class,
        "reason": job.reason,
        "attempts": job.attempts,
        "arrived_ms": job.arrived_ms,
        "died_ms": letter.died_ms,
    }


def _show_depth(screen: Console, depth: Sequence[Depth], now_ms: int) -> None:
    rows = [
        (
            row["lane"],
            row["kind"],
            str(row["priority"]),
            f"{row['ready']:,}",
            f"{row['due']:,}",
            f"{row['running']:,}",
            f"{row['retrying']:,}",
            format_duration(now_ms - row["oldest_arrived_ms"]),
        )
        for row in depth
    ]
    columns = ("Lane", "Kind", ">Priority", ">Ready", ">Due", ">Running", ">Retrying", ">Oldest")
    print_rows(screen, make_table(*columns), rows)
    if not rows:
        screen.print("No job waits or runs.")


def _show_letters(screen: Console, letters: Sequence[DeadLetter], now_ms: int) -> None:
    rows = [
        (
            letter.job.id,
            f"{letter.job.kind} {letter.job.lane}",
            shorten_key(letter.job.key),
            letter.job.dead_class,
            str(letter.job.attempts),
            f"{format_duration(now_ms - letter.died_ms)} ago",
            letter.job.reason,
        )
        for letter in letters
    ]
    columns = ("#Dead letter", "What", "Record", "Class", ">Tries", ">When", "Reason")
    print_rows(screen, make_table(*columns), rows)
    if rows:
        screen.print("wanesync retry ID, or --class, --side, --since, --all, tries them again.")
    else:
        screen.print("No dead letters.")
