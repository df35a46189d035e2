"""``hold``: list, release or discard what the change guard keeps back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, DryRun, ShowValues, Yes, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.reports.differences import make_value_formatter
from wanesync.core.change_guard import HoldState, show_source
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.holds import HoldListing, choose_holds, close_holds, describe_hold, list_holds
from wanesync.output import print_line
from wanesync.store.tables.holds import HeldRow, HoldRow
from wanesync.terminal import format_duration, make_console, make_table, pluralize, print_json, print_rows

DEFAULT_VALUES = 10
"""Held values shown of each hold without ``--limit`` (our choice)."""

app = typer.Typer(
    help="List, release or discard changes that are held back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Which = Annotated[str, typer.Argument(metavar="ID|all", help="An id from wanesync hold list, or all of them.")]


@app.command("list")
def show_holds(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=MAX_ROWS, metavar="N", help="Held values shown of each hold.")
    ] = DEFAULT_VALUES,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Which source was stopped and when, how many people it concerns, and both values of the first of them."""
    with open_configured(config_file) as (_, store):
        found = list_holds(store, limit)
    if as_json:
        print_json({"holds": [_as_json(one, show_values=show_values) for one in found]})
        return
    screen = make_console()
    if not found:
        screen.print("Nothing is held.")
        return
    rows = [
        (
            one.hold.id,
            describe_hold(one.hold),
            str(one.hold.state),
            format_duration(one.age_ms),
            f"{one.hold.people:,}",
            f"{one.hold.fields:,}",
        )
        for one in found
    ]
    print_rows(screen, make_table("#Hold", "Source", "State", ">For", ">People", ">Fields"), rows)
    columns = ("#Contact", "#Customer", "Field", "HubSpot has", "Stripe has", "Held")
    for one in found:
        made = make_table(*columns, title=f"{one.hold.id}: the first")
        print_rows(screen, made, [_cells(held, show_values=show_values) for held in one.first])
    screen.print("hold release ID writes the held values, hold discard ID leaves both sides as they are.")


def _as_json(one: HoldListing, *, show_values: bool) -> dict[str, object]:
    hold, names = one.hold, ("hubspot_id", "stripe_id", "field", "hubspot", "stripe", "held")
    return {
        "id": hold.id,
        "source": show_source(hold.source),
        "kind": str(hold.kind),
        "state": str(hold.state),
        "for_s": round(one.age_ms / 1000, 1),
        "people": hold.people,
        "fields": hold.fields,
        "first": [dict(zip(names, _cells(held, show_values=show_values), strict=True)) for held in one.first],
    }


def _cells(one: HeldRow, *, show_values: bool) -> tuple[str, str, str, str, str, str]:
    """Contact id, customer id, field, HubSpot's value, Stripe's value, the side whose value is held."""
    held = one.held
    source, target = map(make_value_formatter(show_values), (held.value, held.before))
    hubspot, stripe = (source, target) if held.side is Side.HUBSPOT else (target, source)
    return one.hubspot_id, one.stripe_id, one.field, hubspot, stripe, f"{held.side}'s"


@app.command("release")
def release(
    which: Which, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Write the held values: workers do it, after everything else. They are not counted again."""
    _close(which, HoldState.RELEASED, yes=yes, dry_run=dry_run, as_json=as_json, config_file=config_file)


@app.command("discard")
def discard(
    which: Which, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Leave both sides as they are: nothing held is written, and each value is kept as a conflict."""
    _close(which, HoldState.DISCARDED, yes=yes, dry_run=dry_run, as_json=as_json, config_file=config_file)


def _close(which: str, state: HoldState, *, yes: bool, dry_run: bool, as_json: bool, config_file: Path | None) -> None:
    with open_configured(config_file) as (_, store):
        chosen = choose_holds(store, which, state)
        fields, people = sum(row.fields for row in chosen), sum(row.people for row in chosen)
        if chosen and not yes and not dry_run:
            _confirm(chosen, fields, state)
        if not dry_run:
            people = close_holds(store, chosen, state, find_operator())
    if as_json:
        counts = {"holds": len(chosen), "people": people, "fields": fields}
        print_json({str(state): counts} | ({"dry_run": True} if dry_run else {}))
        return
    what = "be written" if state is HoldState.RELEASED else "stay as they are"
    would = f" {'would' if dry_run else 'will'} {what}" if fields else ""
    held = (f"{pluralize(fields, 'value')} of {format_people(people)}" if fields else "no values were held") + would
    if dry_run:
        print_line(f"{pluralize(len(chosen), 'hold')} would be {state}: {held}; nothing was changed.")
    else:
        print_line(f"{pluralize(len(chosen), 'hold')} {state}: {held}.")


def _confirm(chosen: Sequence[HoldRow], fields: int, state: HoldState) -> None:
    """Require a confirmation before a hold is closed. Raises ConfigError where there is no terminal to answer on."""
    what = {HoldState.RELEASED: "Write", HoldState.DISCARDED: "Never write"}[state]
    people = format_people(sum(row.people for row in chosen))
    question = f"{what} {pluralize(fields, 'held value')} of {people}, from {pluralize(len(chosen), 'hold')}?"
    if not sys.stdin.isatty():
        raise ConfigError([f"{question} There is no terminal to answer on: confirm it with --yes"])
    typer.confirm(question, abort=True)


def format_people(count: int) -> str:
    """Return ``1 person``, ``2 people``."""
    return "1 person" if count == 1 else f"{count:,} people"
