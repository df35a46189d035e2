"""``hold``, ``pause`` and ``resume``: what was stopped, and what is to become of it."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import MOST, AsJson, ConfigFile, opened
from wanesync.cli.reports.differences import shown_values
from wanesync.core.change_guard import HoldState, show_source
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import waits_for
from wanesync.core.model import Side
from wanesync.store.database import Store, Tx
from wanesync.store.tables.holds import HeldRow, HoldRow
from wanesync.store.tables.settings import operator_pause
from wanesync.sync.change_guard import choose_holds, close_hold, pause_field, resume_field
from wanesync.terminal import format_duration, make_console, make_table, pluralize, print_json, print_rows

SHOWN = 10
IDS = "wanesync hold list"

hold = typer.Typer(
    help="List, release or discard changes that are held back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Which = Annotated[str, typer.Argument(metavar="ID|all", help=f"A hold of {IDS}, or all of them.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do, change nothing.")]
FieldName = Annotated[str | None, typer.Option("--field", metavar="FIELD", help="Only changes of this field.")]
OneSide = Annotated[Side | None, typer.Argument(help="hubspot or stripe; left out: both.")]


@hold.command("list")
def show_holds(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=MOST, metavar="N", help="Held values shown of each hold.")
    ] = SHOWN,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Who was stopped and when, how many people it concerns, and both values of the first of them."""
    with opened(config_file) as (_, store), store.reading() as tx:
        now_ms = tx.now_ms
        found = [(row, tx.holds.page(row, ("", ""), limit) if limit else []) for row in tx.holds.all()]
    if as_json:
        print_json({"holds": [_as_json(row, held, now_ms, show_values=show_values) for row, held in found]})
        return
    screen = make_console()
    if not found:
        screen.print("Nothing is held.")
        return
    rows = [
        (
            row.id,
            _name(row),
            str(row.state),
            format_duration(now_ms - row.since_ms),
            f"{row.people:,}",
            f"{row.fields:,}",
        )
        for row, _ in found
    ]
    print_rows(screen, make_table("#Hold", "Source", "State", ">For", ">People", ">Fields"), rows)
    for row, held in found:
        made = make_table(
            "#Contact", "#Customer", "Field", "HubSpot has", "Stripe has", "Held", title=f"{row.id}: the first"
        )
        print_rows(screen, made, [_cells(one, show_values=show_values) for one in held])
    screen.print("hold release ID lets the held values through, hold discard ID leaves both sides as they are.")


def _as_json(row: HoldRow, held: list[HeldRow], now_ms: int, *, show_values: bool) -> dict[str, object]:
    shown = []
    for one in held:
        contact_id, customer_id, field, hubspot, stripe, held_side = _cells(one, show_values=show_values)
        values = {"field": field, "hubspot": hubspot, "stripe": stripe, "held": held_side}
        shown.append({"hubspot_id": contact_id, "stripe_id": customer_id, **values})
    return {
        "id": row.id,
        "source": show_source(row.source),
        "kind": str(row.kind),
        "state": str(row.state),
        "for_s": round((now_ms - row.since_ms) / 1000, 1),
        "people": row.people,
        "fields": row.fields,
        "first": shown,
    }


def _cells(one: HeldRow, *, show_values: bool) -> tuple[str, str, str, str, str, str]:
    """Contact, customer, field, HubSpot's value, Stripe's value, the side whose value is held."""
    held = one.held
    here, there = map(shown_values(show_values), (held.value, held.before))
    hubspot, stripe = (here, there) if held.side is Side.HUBSPOT else (there, here)
    return one.hubspot_id, one.stripe_id, one.field, hubspot, stripe, f"{held.side}'s"


def _name(row: HoldRow) -> str:
    kind, _, rest = row.source.partition(":")
    if row.kind == "loop":
        return f"{rest} goes to and fro"
    return f"{rest}, paused by an operator" if kind == "field" else show_source(row.source)


@hold.command("release")
def release(
    which: Which, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Let held values through: the workers write them, after everything else. They are not counted again."""
    _close(which, HoldState.RELEASED, yes=yes, dry_run=dry_run, as_json=as_json, config_file=config_file)


@hold.command("discard")
def discard(
    which: Which, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Leave both sides as they are: nothing held is written, each value goes to the conflicts."""
    _close(which, HoldState.DISCARDED, yes=yes, dry_run=dry_run, as_json=as_json, config_file=config_file)


# What the two commands were called with.
def _close(which: str, state: HoldState, *, yes: bool, dry_run: bool, as_json: bool, config_file: Path | None) -> None:
    with opened(config_file) as (_, store):
        chosen = [row for row in choose_holds(store, which) if row.state in (HoldState.OPEN, state)]
        fields = sum(row.fields for row in chosen)
        if chosen and not yes and not dry_run:
            _ask(chosen, fields, state)
        people = sum(row.people if dry_run else close_hold(store, row, state) for row in chosen)
    if as_json:
        counts = {"holds": len(chosen), "people": people, "fields": fields}
        print_json({str(state): counts} | ({"dry_run": True} if dry_run else {}))
        return
    what = "be written" if state is HoldState.RELEASED else "stay as they are"
    held = f"{pluralize(fields, 'value')} of {_people(people)}" if fields else "no values were held"
    if dry_run:
        held += f" would {what}" if fields else ""
        print(f"{pluralize(len(chosen), 'hold')} would be {state}: {held}; nothing was changed.")
    else:
        held += f" will {what}" if fields else ""
        print(f"{pluralize(len(chosen), 'hold')} {state}: {held}.")


def _ask(chosen: list[HoldRow], fields: int, state: HoldState) -> None:
    what = {HoldState.RELEASED: "Write", HoldState.DISCARDED: "Never write"}[state]
    people = sum(row.people for row in chosen)
    question = f"{what} {pluralize(fields, 'held value')} of {_people(people)}, from {pluralize(len(chosen), 'hold')}?"
    if not sys.stdin.isatty():
        raise ConfigError([f"{question} Nobody is there to answer: say --yes"])
    typer.confirm(question, abort=True)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def pause(
    side: OneSide = None, *, field: FieldName = None, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Stop a side, both sides, or the changes of one field. What arrives is kept and waits for wanesync resume."""
    with opened(config_file) as (config, store):
        if field is not None:
            _refuse_both(side, field)
            new = pause_field(store, field, {spec.name for spec in config.fields})
            _tell(f"Changes of {field} are held back{'' if new else ' already'}.", {"field": field}, as_json=as_json)
            return
        sides = [side] if side else list(Side)
        store.run(lambda tx: _pause_sides(tx, sides))
    names = " and ".join(sides)
    _tell(f"Paused: {names}. wanesync resume goes on.", {"paused": [str(s) for s in sides]}, as_json=as_json)


def _pause_sides(tx: Tx, sides: list[Side]) -> None:
    for side in sides:
        name = operator_pause(side)
        if name not in tx.pauses.get_all():
            tx.pauses.set(name, "paused by an operator: wanesync resume goes on", away=False, probe_at_ms=0)
            tx.journal.add("paused", side, "", "", {"by": "operator"})


def resume(
    side: OneSide = None, *, field: FieldName = None, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Resume a side, both sides, or the changes of one field. Automatic pauses end by themselves."""
    with opened(config_file) as (config, store):
        if field is not None:
            _refuse_both(side, field)
            _resume_field(store, field, {spec.name for spec in config.fields}, as_json=as_json)
            return
        resumed = _resume_sides(store, [side] if side else list(Side))
    names = " and ".join(resumed)
    text = f"Resumed: {names}." if resumed else "Nothing was paused by an operator."
    _tell(text, {"resumed": [str(s) for s in resumed]}, as_json=as_json)


def _resume_field(store: Store, name: str, known: Collection[str], *, as_json: bool) -> None:
    """Raises ConfigError for a name that is no field; one that is none any more may still be paused."""
    people = resume_field(store, name)
    if people is None and name not in known:
        raise ConfigError([f"--field {name}: there is no such field; there are {', '.join(sorted(known))}"])
    done = "was not paused" if people is None else "flows again" + (f", for {_people(people)} first" if people else "")
    _tell(f"{name} {done}.", {"field": name, "people": people or 0}, as_json=as_json)


def _resume_sides(store: Store, sides: list[Side]) -> list[Side]:
    def go_on(tx: Tx) -> list[Side]:
        paused = tx.pauses.get_all()
        found = [side for side in sides if operator_pause(side) in paused]
        for side in found:
            tx.pauses.clear(operator_pause(side))
            woken = tx.jobs.make_due(waits_for(operator_pause(side)))
            tx.journal.add("resumed", side, "", "", {"by": "operator", "jobs": woken})
        return found

    return store.run(go_on)


def _refuse_both(side: Side | None, field: str) -> None:
    if side is not None:
        raise ConfigError([f"name a side or --field {field}, not both: a field stops on both sides"])


def _tell(text: str, document: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print(text)
