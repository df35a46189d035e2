"""``conflicts``: values that did not win and need a decision; lists them, shows one, and settles them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, DryRun, ShowValues, Yes, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.reports.differences import conflict_as_json, make_value_formatter
from wanesync.cli.times import format_time
from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.ops.people.conflicts import KIND_TEXTS, ConflictEntry, Pick, list_conflicts, read_conflict
from wanesync.ops.people.settle_conflicts import (
    Choice,
    ConflictSelection,
    ConflictSettler,
    Settled,
    check_choice,
    find_ids,
    select_conflicts,
)
from wanesync.output import print_line
from wanesync.store.tables.conflicts import ConflictFilter, KindGroup
from wanesync.terminal import make_console, make_table, make_wide_console, pluralize, print_json, print_rows
from wanesync.wiring import build_decision_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wanesync.cli.reports.differences import ValueFormatter
    from wanesync.config.model import Config

MAX_SETTLED = 100_000
"""Fields of people settled by one call, so that a selection fits in memory; our choice."""
MAX_LEFT_ROWS = 10
"""Conflicts that were left, shown with their reason on the screen; JSON has all of them."""

app = typer.Typer(
    help="List open conflicts, show one, settle them by a choice.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)

Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many, the newest.")]
OfSide = Annotated[Side | None, typer.Option("--side", help="Only values that this side holds or held.")]
OfField = Annotated[str, typer.Option("--field", metavar="FIELD", help="Only this field.")]
OfKind = Annotated[str, typer.Option("--kind", metavar="KIND", help="Only this kind, such as differ or policy.")]
OfGroup = Annotated[
    KindGroup | None,
    typer.Option("--only", help="standing: fields in which the sides differ; kept: values that lost."),
]
OfPerson = Annotated[
    list[str] | None,
    typer.Option("--person", metavar="ID", help="Only of this contact, customer or address (repeatable)."),
]


@app.callback()
def conflicts(
    context: typer.Context,
    *,
    limit: Limit = 100,
    side: OfSide = None,
    field: OfField = "",
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List open conflicts, show one, settle them by a choice. Without a command: list them."""
    if context.invoked_subcommand is None:
        _list(ConflictFilter(side, field), limit, show_values=show_values, as_json=as_json, config_file=config_file)


@app.command("list")
def show_list(
    *,
    limit: Limit = 100,
    side: OfSide = None,
    field: OfField = "",
    kind: OfKind = "",
    only: OfGroup = None,
    person: OfPerson = None,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List open conflicts: values that did not win and are kept. Changes nothing."""
    wanted = ConflictFilter(side, field, kind, only, tuple(person or ()))
    _list(wanted, limit, show_values=show_values, as_json=as_json, config_file=config_file)


def _list(wanted: ConflictFilter, limit: int, *, show_values: bool, as_json: bool, config_file: Path | None) -> None:
    with open_configured(config_file) as (config, store):
        wanted = replace(wanted, people=find_ids(store, wanted.people))
        found = list_conflicts(store, wanted, limit)
    if not found.rows:
        _check_filter(config, wanted)
    show = make_value_formatter(show_values)
    if as_json:
        listed = [conflict_as_json(row, show) | {"conflict_id": row.id, "link_id": row.link_id} for row in found.rows]
        print_json({"open": found.total, "people": found.people, "kept": found.kept, "conflicts": listed})
        return
    screen = make_wide_console()
    rows = [
        (
            f"{format_time(row.at_ms)[:16]}Z",
            f"{row.conflict.side} {row.conflict.record_id}",
            row.conflict.field,
            row.conflict.kind,
            show(row.conflict.value) or "blank",
        )
        for row in sorted(found.rows, key=lambda one: (-one.at_ms, one.link_id, one.conflict.field))
    ]
    print_rows(screen, make_table("Since", "#Record", "Field", "Kind", "Value"), rows)
    shown = f"{len(rows):,} of " if len(rows) != found.total else ""
    screen.print(f"{shown}{pluralize(found.total, 'open conflict')}." if found.total else "No open conflicts.")
    if found.total:
        screen.print(f"People whose two sides differ: {found.people:,}. Values that lost and are kept: {found.kept:,}.")
        screen.print("To settle them: wanesync conflicts show RECORD, then wanesync conflicts resolve.")


def _check_filter(config: Config, wanted: ConflictFilter) -> None:
    """Raise ConfigError for a filter that can select nothing: its field or kind is none."""
    known = {spec.name for spec in config.specs}
    if wanted.field and wanted.field not in known:
        raise ConfigError([f"field {wanted.field}: there is no such field; there are {', '.join(sorted(known))}"])
    if wanted.kind and wanted.kind not in KIND_TEXTS:
        raise ConfigError([f"kind {wanted.kind}: there is no such kind; there are {', '.join(KIND_TEXTS)}"])


@app.command("show")
def show_conflict(
    which: Annotated[str, typer.Argument(metavar="ID|EMAIL", help="A conflict, contact, customer or address.")],
    *,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show the conflicts of a person: what both sides hold now, what is kept, and what may be chosen."""
    with open_configured(config_file) as (config, store):
        fields = FieldMap(config.specs)
        entries = select_conflicts(store, fields, ConflictFilter(people=find_ids(store, [which])), MAX_SETTLED).entries
        if any(row.id == which for entry in entries for row in entry.rows):
            entries = [read_conflict(store, fields, which)]
    show = make_value_formatter(show_values)
    if as_json:
        print_json({"conflicts": [entry_as_json(entry, show) for entry in entries]})
        return
    screen = make_wide_console()
    for entry in entries:
        _show_entry(entry, show)
    screen.print("Settle one with: wanesync conflicts resolve ID --choose hubspot|stripe|both|kept|value")


def entry_as_json(entry: ConflictEntry, show: ValueFormatter) -> dict[str, object]:
    """Return the conflicts of one field as in ``conflicts show --json``."""
    return {
        "field": entry.field,
        "hubspot_id": entry.contact_id,
        "stripe_id": entry.customer_id,
        "hubspot": show(entry.hubspot),
        "stripe": show(entry.stripe),
        "agree": entry.agree,
        "owner": str(entry.spec.owner) if entry.spec else "",
        "conflicts": [
            {
                "conflict_id": row.id,
                "at": format_time(row.at_ms),
                "side": str(row.conflict.side),
                "kind": row.conflict.kind,
                "value": show(row.conflict.value),
            }
            for row in entry.rows
        ],
        "choices": [
            {"choose": str(one.pick), "value": show(one.value), "conflict_id": one.conflict_id, "why_not": one.why_not}
            for one in entry.options
        ],
    }


def _show_entry(entry: ConflictEntry, show: ValueFormatter) -> None:
    screen = make_wide_console()
    both = f"contact {entry.contact_id or '–'}, customer {entry.customer_id or '–'}"
    screen.print(f"{entry.field}: {both}")
    values = [("hubspot", show(entry.hubspot) or "blank"), ("stripe", show(entry.stripe) or "blank")]
    print_rows(screen, make_table("Side", "Holds now"), values)
    kept = [
        (
            row.id,
            f"{format_time(row.at_ms)[:16]}Z",
            str(row.conflict.side),
            row.conflict.kind,
            show(row.conflict.value) or "blank",
            KIND_TEXTS.get(row.conflict.kind, ""),
        )
        for row in entry.rows
    ]
    print_rows(screen, make_table("#Conflict", "Since", "Side", "Kind", "Value", "Meaning"), kept)
    options = [(str(one.pick), show(one.value) or "–", one.why_not or "yes") for one in entry.options]
    print_rows(screen, make_table("Choose", "Value", "Possible"), options)


@app.command("resolve")
def resolve(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Conflicts, contacts, customers or addresses; or use filters."),
    ] = None,
    *,
    choose: Annotated[
        Pick,
        typer.Option(
            "--choose", help="The side that is right, both, kept (the value that lost), or value (with --value)."
        ),
    ],
    value: Annotated[str, typer.Option("--value", metavar="TEXT", help="The value that is right.")] = "",
    side: OfSide = None,
    field: OfField = "",
    kind: OfKind = "",
    only: OfGroup = None,
    every: Annotated[bool, typer.Option("--all", help="All open conflicts.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Settle conflicts: those named, all that match a filter, or all. Asks for confirmation."""
    wanted = ConflictFilter(side, field, kind, only, tuple(ids or ()))
    if wanted.is_empty != every:
        which = "IDs, or --side, --field, --kind, --only, or --all (wanesync conflicts list shows them)"
        raise ConfigError([f"resolve: name the conflicts: {which}"])
    choice = Choice(choose, value)
    check_choice(choice)
    with open_configured(config_file) as (config, store):
        wanted = replace(wanted, people=find_ids(store, wanted.people))
        runtime = build_decision_runtime(config, store)
        selection = select_conflicts(store, runtime.rules.fields, wanted, MAX_SETTLED)
        if not selection.entries:
            _check_filter(config, wanted)
        settler = ConflictSettler(runtime, find_operator())
        if len(ids or ()) == 1 and choose is Pick.KEPT:
            choice = _name_kept(choice, selection, (ids or [""])[0])
        done = settler.preview(selection, choice)
        if not dry_run and done.conflicts:
            if not yes:
                _confirm(selection, done, choice)
            done = settler.settle(selection, choice)
    _report(done, choice, dry_run=dry_run, as_json=as_json)


def _name_kept(choice: Choice, selection: ConflictSelection, which: str) -> Choice:
    """Return the choice of the very value whose conflict was named, if one was."""
    named = any(row.id == which for entry in selection.entries for row in entry.kept)
    return Choice(choice.pick, choice.value, which) if named else choice


def _confirm(selection: ConflictSelection, done: Settled, choice: Choice) -> None:
    """Show how many of which field and kind, and require a confirmation. Raises ConfigError without a terminal."""
    _show_counts(selection)
    question = f"Settle {pluralize(done.conflicts, 'conflict')} of {_people(done.people)}: {_describe(choice)}?"
    if done.cleared:
        question = f"{pluralize(done.cleared, 'value')} will be cleared. {question}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError([f"resolve: {question} There is no terminal to answer on: confirm it with --yes"])
    if not typer.confirm(question, err=True):
        print_line("Nothing was changed.", error=True)
        raise typer.Exit(1)


def _show_counts(selection: ConflictSelection) -> None:
    counts: dict[tuple[str, str], int] = {}
    for entry in selection.entries:
        for row in entry.rows:
            counts[entry.field, row.conflict.kind] = counts.get((entry.field, row.conflict.kind), 0) + 1
    rows = [(name, kind, f"{count:,}") for (name, kind), count in sorted(counts.items())]
    print_rows(make_console(error=True), make_table("Field", "Kind", ">Conflicts"), rows)


def _describe(choice: Choice) -> str:
    return {
        Pick.HUBSPOT: "HubSpot's value is right",
        Pick.STRIPE: "Stripe's value is right",
        Pick.BOTH: "both values are right",
        Pick.KEPT: "the value that was kept is right",
        Pick.VALUE: "the value that was given is right",
    }[choice.pick]


def _report(done: Settled, choice: Choice, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(settled_as_json(done) | ({"dry_run": True} if dry_run else {}))
    elif not done.conflicts and not done.left:
        print_line("No open conflicts match.")
    else:
        verb = "would be settled" if dry_run else "settled"
        text = f"{pluralize(done.conflicts, 'conflict')} of {_people(done.people)} {verb}: {_describe(choice)}"
        end = "nothing was changed" if dry_run else f"{pluralize(done.jobs, 'job')} queued"
        print_line(f"{text}; {end}.")
        _show_left(done.left)
    if done.left and not dry_run:
        raise typer.Exit(1)


def _show_left(left: Sequence[tuple[str, str]]) -> None:
    if left:
        print_line(f"Left: {pluralize(len(left), 'conflict')}.")
        print_rows(make_wide_console(), make_table("#Conflict", "Left because"), left[:MAX_LEFT_ROWS])


def settled_as_json(done: Settled) -> dict[str, object]:
    """Return what was settled as in ``conflicts resolve --json``."""
    return {
        "settled": done.conflicts,
        "fields": done.fields,
        "people": done.people,
        "cleared": done.cleared,
        "jobs": done.jobs,
        "left": [{"conflict_id": conflict_id, "reason": why} for conflict_id, why in done.left],
    }


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"
