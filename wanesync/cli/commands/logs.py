"""``logs``: search in log lines, the journal and the audit log, or follow them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from wanesync.cli.commands.people.history import format_data
from wanesync.cli.commands.queue_jobs.jobs import shorten_key
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, ShowValues, open_configured
from wanesync.cli.option_groups import spread_options
from wanesync.cli.reports.differences import make_value_formatter
from wanesync.core.errors import ConfigError
from wanesync.core.operating.times import format_time, parse_time
from wanesync.ops.logs.export import describe_entry, format_csv
from wanesync.ops.logs.search import Entry, Follower, LogFilter, Source, mask_entry, read_all
from wanesync.output import print_line
from wanesync.store.database import Store
from wanesync.terminal import encode_json, make_table, make_wide_console, print_json, print_rows

DEFAULT_ENTRIES = 200
"""Entries shown without ``--limit``: a few screens (our choice)."""
LOOK_S = 1.0
"""How often ``--follow`` looks for new entries."""

Show = Callable[[Entry], Entry]


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """The options that choose entries, as they were given."""

    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From then on: 2h, 5d, or a date.")] = (
        None
    )
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to then.")] = None
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Of the journal, text of a log line, or action of the audit log; may be repeated."),
    ] = None
    person: Annotated[
        str, typer.Option("--person", metavar="EMAIL|ID", help="An address, or the id of a record or payment.")
    ] = ""
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="What this operator did.")] = ""
    correlation_id: Annotated[
        str, typer.Option("--correlation-id", metavar="ID", help="Of a request, trace, run or job.")
    ] = ""
    level: Annotated[
        str, typer.Option("--level", help="Log lines of it and above: debug, info, warning, error, critical.")
    ] = ""
    source: Annotated[list[Source] | None, typer.Option("--source", help="Only this one; may be repeated.")] = None

    def make_filter(self, now_ms: int) -> LogFilter:
        """Return the filter that these options describe. Raises ConfigError for a time that is none."""
        return LogFilter(
            parse_time(self.since, now_ms, "--since") if self.since else 0,
            parse_time(self.until, now_ms, "--until") if self.until else 0,
            frozenset(self.source or Source),
            tuple(self.kind or ()),
            self.person,
            self.operator,
            self.correlation_id,
            self.level,
        )


@spread_options
def logs(
    *,
    given: FilterOptions,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many entries, the newest.")
    ] = DEFAULT_ENTRIES,
    follow: Annotated[bool, typer.Option("--follow", help="Then keep showing what is new, until Ctrl-C.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV; a spreadsheet runs none of it.")] = False,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Search in log lines, the journal and the audit log."""
    if as_json and as_csv:
        raise ConfigError(["--json and --csv: give one of them"])
    if follow and given.until:
        raise ConfigError(["--follow shows what is new: leave out --until"])
    show_value = make_value_formatter(show_values)
    with open_configured(config_file) as (_, store):
        wanted = given.make_filter(store.now_ms())
        # The follower begins first: what comes while the older ones are read is shown as well.
        follower = Follower(store, wanted) if follow else None
        found = [mask_entry(entry, show_value) for entry in read_all(store, wanted, limit)]
        if follower is not None:
            _follow(follower, found[::-1], lambda entry: mask_entry(entry, show_value), as_json=as_json, as_csv=as_csv)
        _print(found[::-1], as_json=as_json, as_csv=as_csv)
        if not (found or as_json or as_csv):
            print_line(_explain_none(store, wanted))


def _print(entries: list[Entry], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json({"entries": [describe_entry(entry) for entry in entries]})
    elif as_csv:
        sys.stdout.writelines(format_csv(entries))
    elif entries:
        rows = [
            (
                format_time(entry.at_ms), entry.level, entry.kind, entry.side, shorten_key(entry.record_id),
                entry.operator or entry.process, format_data(entry.data),
            )
            for entry in entries
        ]  # fmt: skip
        print_rows(make_wide_console(), make_table("At", "Level", "What", "Side", "#Record", "Who", "Details"), rows)


def _follow(follower: Follower, first: Iterable[Entry], show: Show, *, as_json: bool, as_csv: bool) -> None:
    """Print entries as lines, and new ones as they come; ends with the interrupt."""
    pause = threading.Event()
    shown = {entry.name for entry in _write(first, as_json=as_json, as_csv=as_csv, heading=True)}
    while not pause.wait(LOOK_S):
        new = [show(entry) for entry in follower.look() if entry.name not in shown]
        _write(new, as_json=as_json, as_csv=as_csv, heading=False)
        shown = set()


def _write(entries: Iterable[Entry], *, as_json: bool, as_csv: bool, heading: bool) -> list[Entry]:
    listed = [*entries]
    if as_csv:
        sys.stdout.writelines(format_csv(listed, heading=heading))
    for entry in () if as_csv else listed:
        if as_json:
            sys.stdout.write(encode_json(describe_entry(entry), sys.stdout) + "\n")
        else:
            who = entry.operator or entry.process
            marks = [entry.side, entry.record_id, f"({who})" if who else "", format_data(entry.data)]
            text = " ".join(filter(None, marks))
            print_line(f"{format_time(entry.at_ms)} {entry.level}: {entry.kind} {text}".rstrip())
    sys.stdout.flush()
    return listed


def _explain_none(store: Store, wanted: LogFilter) -> str:
    """Say that there is nothing, and why there may be no log lines at all."""
    with store.reading() as tx:
        stored = tx.log_lines.any()
    text = "There is no such entry."
    if Source.LOG in wanted.wanted_sources and not stored:
        return f"{text} The database holds no log lines: [log] store = true keeps them from the next start on."
    return text
