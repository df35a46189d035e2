"""``history``: what is stored about one person, or what was done last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.commands.queue_jobs.jobs import shorten_key
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, ShowValues, open_configured
from wanesync.cli.reports.differences import ValueFormatter, conflict_as_json, make_value_formatter
from wanesync.cli.times import format_time
from wanesync.core.model import StoredRecord
from wanesync.ops.people.history import PersonHistory, read_latest, read_person, show_data
from wanesync.store.tables.journal import JournalRow
from wanesync.terminal import make_table, make_wide_console, print_json, print_rows

DEFAULT_ENTRIES = 200
"""Entries of the journal shown without ``--limit``: a few screens (our choice)."""


def history(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="EMAIL|ID",
            help="An address, or the id of a contact, customer, payment or charge; left out: what was done last.",
        ),
    ] = None,
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many entries, the newest.")
    ] = DEFAULT_ENTRIES,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show what is stored of a person, and what was done and why. Without an argument: the latest entries of all."""
    show = make_value_formatter(show_values)
    with open_configured(config_file) as (_, store):
        if key is None:
            person, entries = None, read_latest(store, limit)
        else:
            person = read_person(store, key, limit)
            entries = [*person.entries]
    if as_json:
        print_json(
            (_as_json(person, show) if person else {}) | {"journal": [_entry_json(row, show) for row in entries]}
        )
        return
    screen = make_wide_console()
    if person:
        _show_person(screen, person, show)
    _show_entries(screen, entries, show)
    if not person and not entries:
        screen.print("Nothing was done yet.")


def _as_json(person: PersonHistory, show: ValueFormatter) -> dict[str, object]:
    return {
        "records": [
            {
                "side": str(stored.side),
                "id": stored.id,
                "alive": stored.alive,
                "note": str(stored.note or ""),
                "values": {name: show(value) for name, value in stored.record.values.items()},
            }
            for stored in person.records
        ],
        "links": [
            {
                "id": link.id,
                "hubspot_id": link.hubspot_id,
                "stripe_id": link.stripe_id,
                "primary": link.primary,
                "state": link.state,
            }
            for link in person.links
        ],
        "purchases": [
            {
                "at": format_time(one.occurred_ms),
                "payment_id": one.payment_id,
                "charge_id": one.charge_id,
                "customer_id": one.customer_id,
                "contact_id": one.contact_id,
                "amount": f"{one.decimal_amount:f}",
                "currency": one.currency,
                "state": str(one.state),
                "sink": str(one.sink or ""),
                "reason": one.reason,
            }
            for one in person.purchases
        ],
        "conflicts": [conflict_as_json(row, show) for row in person.conflicts],
    }


def _entry_json(row: JournalRow, show: ValueFormatter) -> dict[str, object]:
    return {
        "at": format_time(row.at_ms),
        "kind": row.kind,
        "side": str(row.side or ""),
        "id": row.record_id,
        "data": show_data(row.data, show),
    }


def _show_person(screen: Console, person: PersonHistory, show: ValueFormatter) -> None:
    records = [
        (
            str(stored.side),
            stored.id,
            "alive" if stored.alive else "gone",
            str(stored.note or "–"),
            _format_values(stored, show),
        )
        for stored in person.records
    ]
    print_rows(screen, make_table("Side", "#Id", "State", "Not synced because", "Values"), records)
    links = [
        (
            link.hubspot_id,
            link.stripe_id,
            str(link.state),
            "primary" if link.primary else "second",
            ", ".join(f"{name} ({parked.reason})" for name, parked in link.parked.items()) or "–",
        )
        for link in person.links
    ]
    print_rows(screen, make_table("#Contact", "#Customer", "Link", "Rank", "Parked fields"), links)
    purchases = [
        (
            format_time(one.occurred_ms),
            one.payment_id,
            f"{one.decimal_amount:f} {one.currency.upper()}",
            str(one.state),
            str(one.sink or "–"),
            one.reason or "–",
        )
        for one in person.purchases
    ]
    print_rows(screen, make_table("Bought at", "#Payment", ">Amount", "State", "Recorded as", "Reason"), purchases)
    conflicts = [
        (
            format_time(row.at_ms),
            str(row.conflict.side),
            row.conflict.field,
            row.conflict.kind,
            show(row.conflict.value) or "blank",
        )
        for row in person.conflicts
    ]
    print_rows(screen, make_table("Kept at", "Side", "Field", "Conflict", "Value"), conflicts)


def _show_entries(screen: Console, entries: Iterable[JournalRow], show: ValueFormatter) -> None:
    rows = [
        (
            format_time(row.at_ms),
            row.kind,
            str(row.side or ""),
            shorten_key(row.record_id),
            format_data(show_data(row.data, show)),
        )
        for row in entries
    ]
    print_rows(screen, make_table("At", "What", "Side", "#Record", "Details"), rows)


def _format_values(stored: StoredRecord, show: ValueFormatter) -> str:
    return ", ".join(f"{name} {show(value)}" for name, value in stored.record.values.items() if value)


def format_data(data: object) -> str:
    """Return the data of an entry as words."""
    if isinstance(data, Mapping):
        # A webhook about a property that is not mapped names no field.
        return ", ".join(f"{name} {format_data(value)}" for name, value in data.items() if value not in ({}, []))
    if isinstance(data, list):
        return " → ".join(format_data(value) or "blank" for value in data)
    return str(data)
