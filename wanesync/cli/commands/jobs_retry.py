"""``jobs`` and ``retry``: what waits and runs, what was given up and why, and second chances."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.context import MOST, AsJson, ConfigFile, opened
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.store.database import Store
from wanesync.store.tables.backlog import DeadLetter, Depth, JobFilter
from wanesync.terminal import (
    format_duration,
    make_console,
    make_table,
    make_wide_console,
    pluralize,
    print_json,
    print_rows,
    progress_bars,
)

CHUNK = 200
_SPAN = re.compile(r"^(\d+)\s*(s|min|m|h|d|w)$")
_UNITS_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

Dead = Annotated[bool, typer.Option("--dead", help="Dead letters only.")]
OfClass = Annotated[DeadClass | None, typer.Option("--class", help="Why they were given up.")]
OfSide = Annotated[Side | None, typer.Option("--side", help="Whose lane they are of.")]
OfKind = Annotated[JobKind | None, typer.Option("--kind", help="What they were to do.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="2h|2026-11-01", help="Given up since then: a span, a date or a time.")
]


# A command's options are its arguments: a line for each.
def jobs(
    *,
    dead: Dead = False,
    dead_class: OfClass = None,
    side: OfSide = None,
    kind: OfKind = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST, metavar="N", help="At most so many dead letters.")
    ] = 100,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List queued jobs and dead letters. A dead letter is shown with its record, reason, time and attempts."""
    with opened(config_file) as (_, store):
        which = _which(store, dead_class, side, kind, since)
        with store.reading() as tx:
            letters = tx.jobs.dead_letters(which, limit)
            depth = [row for row in tx.jobs.depth() if side in (None, row["lane"]) and kind in (None, row["kind"])]
            now_ms = tx.now_ms
    if as_json:
        listed = [_as_json(letter) for letter in letters]
        print_json({"dead": listed} if dead else {"queued": list(depth), "dead": listed})
        return
    screen = make_wide_console()
    if not dead:
        _show_depth(screen, depth, now_ms)
    _show_letters(screen, letters, now_ms)
    if len(letters) == limit:
        screen.print(f"The newest {limit:,}; --limit shows more, --class, --side, --kind and --since show fewer.")


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
    print_rows(
        screen, make_table("Lane", "Kind", ">Priority", ">Ready", ">Due", ">Running", ">Retrying", ">Oldest"), rows
    )
    if not rows:
        screen.print("Nothing waits or runs.")


def _show_letters(screen: Console, letters: Sequence[DeadLetter], now_ms: int) -> None:
    rows = [
        (
            letter.job.id,
            f"{letter.job.kind} {letter.job.lane}",
            short_key(letter.job.key),
            letter.job.dead_class,
            str(letter.job.attempts),
            f"{format_duration(now_ms - letter.died_ms)} ago",
            letter.job.reason,
        )
        for letter in letters
    ]
    print_rows(screen, make_table("#Dead letter", "What", "Record", "Class", ">Tries", ">When", "Reason"), rows)
    if rows:
        screen.print("wanesync retry ID, or --class, --side, --since, --all, gives them another chance.")
    else:
        screen.print("No dead letters.")


def short_key(key: str) -> str:
    """``contact:7``; a guest has only the keyed hash of an address, of which the beginning is enough."""
    return key[:14] + "…" if key.startswith("guest:") else key


# -- another chance


# A command's options are its arguments: a line for each.
def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="As wanesync jobs --dead has them.")] = None,
    *,
    dead_class: OfClass = None,
    side: OfSide = None,
    kind: OfKind = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which would be tried, change nothing.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Retry dead letters: by id, class, side, kind or time, or all. Asks before it does."""
    filtered = any(value is not None for value in (dead_class, side, kind, since))
    if [bool(ids), filtered, every].count(True) != 1:
        advice = (
            "retry: say which: IDs, or --class, --side, --kind, --since, or --all (wanesync jobs --dead lists them)"
        )
        raise ConfigError([advice])
    with opened(config_file) as (_, store):
        chosen = _choose(store, ids or [], _which(store, dead_class, side, kind, since))
        if chosen and not yes and not dry_run:
            _confirm(chosen)
        revived = len(chosen) if dry_run else _revive(store, chosen)
    classes = dict(sorted(Counter(letter.job.dead_class for letter in chosen).items()))
    if as_json:
        print_json({"retried": revived, "classes": classes} | ({"dry_run": True} if dry_run else {}))
    elif not chosen:
        print("No dead letters of that kind.")
    elif dry_run:
        _show_counts(make_console(), chosen)
        print(f"{pluralize(revived, 'job')} would be tried again; nothing was changed.")
    else:
        print(f"{pluralize(revived, 'job')} will be tried again.")


def _which(
    store: Store, dead_class: DeadClass | None, side: Side | None, kind: JobKind | None, since: str | None
) -> JobFilter:
    return JobFilter(dead_class, side, kind, parse_since(since, store.now_ms()) if since else 0)


def _choose(store: Store, ids: Sequence[str], which: JobFilter) -> list[DeadLetter]:
    """The letters meant. Raises NotFound for an id that is none."""
    with store.reading() as tx:
        letters = tx.jobs.dead_letters(which, MOST)
    if not ids:
        return letters
    chosen = [letter for letter in letters if letter.job.id in set(ids)]
    missing = sorted(set(ids) - {letter.job.id for letter in chosen})
    if missing:
        raise NotFound(f"no dead job has the id {missing[0]}: wanesync jobs --dead lists them; nothing was changed")
    return chosen


def _confirm(chosen: Sequence[DeadLetter]) -> None:
    """Say how many of which class, and ask. Raises ConfigError where nobody can be asked."""
    _show_counts(make_console(error=True), chosen)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            [f"retry: {pluralize(len(chosen), 'dead letter')} would be tried again: say --yes if they are to"]
        )
    if not typer.confirm(f"Try {pluralize(len(chosen), 'dead letter')} again?", err=True):
        print("Nothing was changed.", file=sys.stderr)
        raise typer.Exit(1)


def _show_counts(screen: Console, chosen: Sequence[DeadLetter]) -> None:
    counts = Counter((letter.job.dead_class, f"{letter.job.kind} {letter.job.lane}") for letter in chosen)
    rows = [(dead_class, what, f"{count:,}") for (dead_class, what), count in sorted(counts.items())]
    print_rows(screen, make_table("Class", "What", ">Dead letters"), rows)


def _revive(store: Store, chosen: Sequence[DeadLetter]) -> int:
    """Revive them in short transactions; how many were still dead letters."""
    revived = 0
    with progress_bars() as shown:
        advance = shown.add("dead letters", len(chosen)) if len(chosen) > CHUNK else None
        for first in range(0, len(chosen), CHUNK):
            ids = [letter.job.id for letter in chosen[first : first + CHUNK]]
            revived += store.run(lambda tx, ids=ids: tx.jobs.retry(ids))  # type: ignore[misc] # binds the loop's value
            if advance is not None:
                advance(len(ids))
    if revived:
        classes = dict(Counter(letter.job.dead_class for letter in chosen))
        store.run(lambda tx: tx.journal.add("retried", None, "", "", {"jobs": revived, "classes": classes}))
    return revived


def parse_since(text: str, now_ms: int) -> int:
    """``90s``, ``30m``, ``2h``, ``5d``, ``1w`` before now, or a date or time (UTC unless it says otherwise), in ms.

    Raises ConfigError, also for times before 1970.
    """
    try:
        since_ms = _read_time_ms(text.strip(), now_ms)
    except ValueError as error:
        advice = f"--since {text}: wanted is a span (30m, 2h, 5d) or a date or time (2026-11-01, 2026-11-01T08:30)"
        raise ConfigError([advice]) from error
    if since_ms < 0:
        raise ConfigError([f"--since {text}: that is before 1970: a shorter span or a later date has everything, too"])
    return since_ms


def _read_time_ms(text: str, now_ms: int) -> int:
    span = _SPAN.match(text)
    if span:
        return now_ms - int(span[1]) * _UNITS_MS[span[2]]
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
