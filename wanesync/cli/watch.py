"""``status`` and ``jobs``: how things stand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.program import AsJson, ConfigFile, opened
from wanesync.cli.screen import console, numbers, plural, print_json, print_rows, seconds, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from wanesync.cli.overview import Overview

WATCH_S = 1.0


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("status")(status)
    app.command("jobs")(jobs)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    check: Annotated[bool, typer.Option("--check", help="One line per alarm; exit 1 if there is one.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Queues, limits, pauses, records, purchases, processes, alarms."""
    from wanesync.cli.overview import read_overview  # noqa: PLC0415 - keeps --help fast

    with opened(config_file) as (_, store):
        seen = read_overview(store)
        if watch and not (as_json or check):
            from rich.live import Live  # noqa: PLC0415 - only here

            pause = threading.Event()
            with Live(show(seen), console=console(), screen=False, auto_refresh=False) as live:
                while not pause.wait(WATCH_S):
                    live.update(show(read_overview(store)), refresh=True)
    if check:
        for alarm in seen.alarms:
            if not as_json:
                print(alarm)
        if as_json:
            print_json({"alarms": list(seen.alarms)})
        raise typer.Exit(1 if seen.alarms else 0)
    if as_json:
        print_json(seen.as_json())
    else:
        console().print(show(seen))


def show(seen: Overview) -> RenderableType:
    """The whole state for a person."""
    from rich.console import Group  # noqa: PLC0415 - keeps --json fast
    from rich.markup import escape  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    lanes = table("Lane", ">Due", ">Waiting", ">Running", ">Dead", ">Oldest", ">Clears in", ">Limit/s", ">Workers")
    for side, lane in seen.lanes.items():
        limit = seen.limits.get(side, {})
        effective, configured = limit.get("effective_per_s", 0.0), limit.get("configured_per_s", 0.0)
        per_s = f"{effective:g}" if effective == configured else f"{effective:g} of {configured:g}"
        lanes.add_row(
            side,
            f"{lane.due:,}",
            f"{lane.ready - lane.due:,}",
            f"{lane.running:,}",
            f"[red]{lane.dead:,}[/]" if lane.dead else "0",
            seconds(lane.oldest_s * 1000) if lane.due else "–",
            seconds(lane.clears_in_s * 1000) if lane.due else "–",
            per_s,
            str(lane.workers),
        )
    listing = "done" if seen.first_listing else "missing"
    lines = [
        f"database       {seen.database}",
        f"writes         {seen.writes}, first listing {listing}",
        f"records        {seen.records['hubspot']:,} contacts, {seen.records['stripe']:,} customers",
        f"links          {numbers(seen.links)}",
        f"left to people {plural(seen.conflicts, 'conflict')}, {plural(seen.rejected, 'webhook')} set aside",
        f"purchases      {numbers(seen.purchases)}",
        *(f"process        {p['name']}: {p['lanes']}, up {_span(p['up_s'])}" for p in seen.processes),
    ]
    parts: list[RenderableType] = [lanes, Text("\n".join(lines))]
    parts += [f"[red]alarm[/]          {escape(alarm)}" for alarm in seen.alarms]
    return Group(*parts)


def _span(value: object) -> str:
    return seconds(float(value) * 1000) if isinstance(value, int | float) else "–"


def jobs(
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters, the newest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many dead letters.")] = 100,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """What waits and runs, or what was given up and why."""
    with opened(config_file) as (_, store), store.reading() as tx:
        letters = tx.jobs.dead(limit=limit)
        depth = tx.jobs.depth()
        now_ms = tx.now_ms
    if as_json:
        listed = [
            {
                "id": job.id,
                "lane": str(job.lane),
                "kind": str(job.kind),
                "key": job.key,
                "class": job.dead_class,
                "reason": job.reason,
                "attempts": job.attempts,
                "arrived_ms": job.arrived_ms,
            }
            for job in letters
        ]
        print_json({"dead": listed} if dead else {"queued": list(depth), "dead": listed})
        return
    screen = console()
    if not dead:
        rows = [
            (
                row["lane"],
                row["kind"],
                str(row["priority"]),
                f"{row['ready']:,}",
                f"{row['due']:,}",
                f"{row['running']:,}",
                seconds(now_ms - row["oldest_arrived_ms"]),
            )
            for row in depth
        ]
        made = table("Lane", "Kind", ">Priority", ">Ready", ">Due", ">Running", ">Oldest")
        print_rows(screen, made, rows)
        if not rows:
            screen.print("Nothing waits or runs.")
    _show_dead(screen, [(j.id, str(j.lane), str(j.kind), j.key, j.dead_class, j.reason) for j in letters])


def _show_dead(screen: Console, rows: list[tuple[str, str, str, str, str, str]]) -> None:
    print_rows(screen, table("Dead letter", "Lane", "Kind", "Key", "Class", "Reason"), rows)
    if rows:
        screen.print("wanesync retry ID, or --all, gives them another chance.")
    else:
        screen.print("No dead letters.")
