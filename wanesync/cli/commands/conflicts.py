"""``conflicts``: values that did not win and need a decision."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, ShowValues, open_configured
from wanesync.cli.reports.differences import make_value_formatter
from wanesync.cli.times import format_time
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.conflicts import list_conflicts
from wanesync.terminal import make_table, make_wide_console, pluralize, print_json, print_rows


def conflicts(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many, the newest.")
    ] = 100,
    side: Annotated[Side | None, typer.Option("--side", help="Only values that this side holds or held.")] = None,
    field: Annotated[str, typer.Option("--field", metavar="FIELD", help="Only this field.")] = "",
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List open conflicts: values that did not win and are kept. Changes nothing."""
    with open_configured(config_file) as (config, store):
        known = {spec.name for spec in config.specs}
        found = list_conflicts(store, side, field, limit)
    if field and field not in known and not found.rows:
        raise ConfigError([f"field {field}: there is no such field; there are {', '.join(sorted(known))}"])
    show = make_value_formatter(show_values)
    if as_json:
        listed = [
            {
                "at": format_time(row.at_ms),
                "side": str(row.conflict.side),
                "id": row.conflict.record_id,
                "field": row.conflict.field,
                "kind": row.conflict.kind,
                "value": show(row.conflict.value),
                "conflict_id": row.id,
                "link_id": row.link_id,
            }
            for row in found.rows
        ]
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
        screen.print("To settle one, edit the value on either side; for many: wanesync diff --csv FILE.")
