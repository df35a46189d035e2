"""The differences as CSV: one line per field, with a column for a decision (``--decisions``)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from wanesync.cli.reports.differences import Findings, ValueFormatter, make_value_formatter
from wanesync.core.diff.difference import Difference
from wanesync.output import escape_formula
from wanesync.reconcile.atomic_file import write_text_atomically

COLUMNS = (
    "class", "hubspot_id", "stripe_id", "field", "hubspot", "stripe", "writes", "to", "why", "kind", "note", "decision"
)  # fmt: skip


def write_csv(report: Findings, path: Path, *, show_values: bool) -> None:
    """Write all differences; one without fields is one line whose field is empty. Raises ``ConfigError``.

    Column ``to``: the value that would be written to the side in ``writes``. Column ``decision`` is blank, for the
    operator to fill in. A cell, or a part of one, that a spreadsheet would run as a formula gets an apostrophe in
    front; ids and field names never need one. What a terminal would obey, or what reverses the text around it, is shown
    as its escape.
    """
    format_value = make_value_formatter(show_values)
    with write_text_atomically(path) as file:
        # With another line end the csv module would not quote a lone \r in a value, which then would end the line.
        lines = csv.writer(file, lineterminator="\r\n")
        lines.writerow(COLUMNS)
        for found in report.differences():
            lines.writerows([escape_formula(cell) for cell in line] for line in _lines(found, format_value))


def _lines(found: Difference, format_value: ValueFormatter) -> Iterator[tuple[str, ...]]:
    ids = str(found.kind), found.hubspot_id, found.stripe_id
    if not found.fields:
        yield (*ids, "", "", "", "", "", "", "", found.note, "")
    for name, value in found.fields.items():
        values = format_value(value.hubspot), format_value(value.stripe), value.writes, format_value(value.after)
        yield (*ids, name, *values, value.why, str(value.how), found.note, "")
