"""``history``: everything that is known about one person, or what was done last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.commands.jobs_retry import short_key
from wanesync.cli.context import MOST, AsJson, ConfigFile, opened
from wanesync.cli.reports.differences import shown_values
from wanesync.core.change_guard import show_source
from wanesync.core.errors import NotFound
from wanesync.core.model import Link, Side, StoredRecord, normalise_email
from wanesync.store.database import Store, Tx
from wanesync.store.tables.conflicts import ConflictRow
from wanesync.store.tables.journal import JournalRow
from wanesync.terminal import make_table, make_wide_console, print_json, print_rows

Refs = set[tuple[Side, str]]

LIMIT = 200


@dataclass(slots=True)
class Trail:
    """What was found: the person's records and links, and what happened to them, oldest first."""

    records: list[StoredRecord] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    entries: list[JournalRow] = field(default_factory=list)
    conflicts: list[ConflictRow] = field(default_factory=list)


# A command's options are its arguments: a line for each.
def history(
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="EMAIL|ID", help="An address, a contact id or a customer id; left out: what was done last."
        ),
    ] = None,
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST, metavar="N", help="At most so many entries, the newest.")
    ] = LIMIT,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show what is stored of a person, and what was done and why. Without an argument: the latest entries of all."""
    with opened(config_file) as (_, store):
        trail = find(store, who, limit) if who is not None else find_latest(store, limit)
    if who is None:
        _show_latest(trail.entries, show_values=show_values, as_json=as_json)
        return
    if not trail.records and not trail.links and not trail.entries:
        raise NotFound("nobody here has this address or id: wanesync knows people once they were listed or changed")
    if as_json:
        print_json(_as_json(trail, show_values=show_values))
    else:
        _show(trail, show_values=show_values)


def find_latest(store: Store, limit: int) -> Trail:
    """The newest entries of the journal, whatever they are about."""
    with store.reading() as tx:
        return Trail(entries=list(reversed(tx.journal.latest(limit))))


def find(store: Store, who: str, limit: int) -> Trail:
    """All there is about an address or an id."""
    with store.reading() as tx:
        refs: Refs = {(side, who) for side in Side}
        if "@" in who:
            hmac = store.hmac(normalise_email(who))
            refs = set(tx.records.by_hmacs([hmac]).get(hmac, set()))
        links = tx.links.of_records(refs)
        for link in links:
            refs |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
        ids = {record_id for _, record_id in refs} | {link.id for link in links}
        conflicts = [row for side, record_id in sorted(refs) for row in tx.conflicts.of_record(side, record_id)]
        return Trail(
            records=[stored for _, stored in sorted(tx.records.get_many(refs).items())],
            links=links,
            entries=list(reversed(_entries(tx, ids, limit))),
            conflicts=conflicts,
        )


def _entries(tx: Tx, ids: Iterable[str], limit: int) -> list[JournalRow]:
    return tx.journal.of(sorted(ids), limit)


def _as_json(trail: Trail, *, show_values: bool) -> dict[str, object]:
    return {
        "records": [
            {
                "side": str(stored.side),
                "id": stored.id,
                "alive": stored.alive,
                "note": str(stored.note or ""),
                "values": {
                    name: _value(value, show_values=show_values) for name, value in stored.record.values.items()
                },
            }
            for stored in trail.records
        ],
        "links": [
            {"id": k.id, "hubspot_id": k.hubspot_id, "stripe_id": k.stripe_id, "primary": k.primary, "state": k.state}
            for k in trail.links
        ],
        "conflicts": [
            {
                "at": _time(row.at_ms),
                "side": str(row.conflict.side),
                "id": row.conflict.record_id,
                "field": row.conflict.field,
                "kind": row.conflict.kind,
                "value": _value(row.conflict.value, show_values=show_values),
            }
            for row in trail.conflicts
        ],
        "journal": _list_entries(trail.entries, show_values=show_values),
    }


def _list_entries(entries: Iterable[JournalRow], *, show_values: bool) -> list[dict[str, object]]:
    return [
        {
            "at": _time(row.at_ms),
            "kind": row.kind,
            "side": str(row.side or ""),
            "id": row.record_id,
            "data": _data(row.data, show_values=show_values),
        }
        for row in entries
    ]


def _show_latest(entries: Sequence[JournalRow], *, show_values: bool, as_json: bool) -> None:
    if as_json:
        print_json({"journal": _list_entries(entries, show_values=show_values)})
        return
    screen = make_wide_console()
    _show_entries(screen, entries, show_values=show_values)
    if not entries:
        screen.print("Nothing was done yet.")


def _show(trail: Trail, *, show_values: bool) -> None:
    screen = make_wide_console()
    rows = [
        (
            str(stored.side),
            stored.id,
            "alive" if stored.alive else "gone",
            str(stored.note or "–"),
            _values(stored, show=show_values),
        )
        for stored in trail.records
    ]
    print_rows(screen, make_table("Side", "#Id", "State", "Left alone", "Values"), rows)
    links = [
        (k.hubspot_id, k.stripe_id, str(k.state), "primary" if k.primary else "second", ", ".join(k.parked) or "–")
        for k in trail.links
    ]
    print_rows(screen, make_table("#Contact", "#Customer", "Link", "Rank", "Parked fields"), links)
    kept = [
        (_time(row.at_ms), str(row.conflict.side), row.conflict.field, row.conflict.kind,
         _value(row.conflict.value, show_values=show_values) or "blank")
        for row in trail.conflicts
    ]  # fmt: skip
    print_rows(screen, make_table("Kept at", "Side", "Field", "Conflict", "Value"), kept)
    _show_entries(screen, trail.entries, show_values=show_values)


def _show_entries(screen: Console, entries: Iterable[JournalRow], *, show_values: bool) -> None:
    happened = [
        (
            _time(row.at_ms),
            row.kind,
            str(row.side or ""),
            short_key(row.record_id),
            _tell(_data(row.data, show_values=show_values)),
        )
        for row in entries
    ]
    print_rows(screen, make_table("At", "What", "Side", "#Record", "Details"), happened)


def _values(stored: StoredRecord, *, show: bool) -> str:
    shown = {name: _value(value, show_values=show) for name, value in stored.record.values.items() if value}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _value(value: str, *, show_values: bool) -> str:
    return shown_values(show_values)(value)


def _data(data: object, *, show_values: bool, inside_fields: bool = False) -> object:
    """Journal data with the values of fields, and addresses of who changed them, masked; ids and reasons stay."""
    if isinstance(data, Mapping):
        return {
            str(name): show_source(value)
            if name == "source" and isinstance(value, str) and not inside_fields
            else _data(
                value,
                show_values=show_values,
                inside_fields=inside_fields or (name == "fields" and isinstance(value, Mapping)),
            )
            for name, value in data.items()
        }
    if isinstance(data, list):
        return [_data(value, show_values=show_values, inside_fields=inside_fields) for value in data]
    if isinstance(data, str) and inside_fields:
        return _value(data, show_values=show_values)
    return data


def _tell(data: object) -> str:
    if isinstance(data, Mapping):
        return ", ".join(f"{name} {_tell(value)}" for name, value in data.items())
    if isinstance(data, list):
        return " → ".join(_tell(value) or "blank" for value in data)
    return str(data)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
