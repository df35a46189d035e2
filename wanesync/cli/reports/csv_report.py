"""Differences as CSV: one line per field, with a column in which a person decides (``--decisions``)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from wanesync.cli.reports.differences import Findings, Shown, shown_values
from wanesync.core.diff.difference import Difference
from wanesync.reconcile.atomic_file import write_text_atomically

COLUMNS = (
    "class", "hubspot_id", "stripe_id", "field", "hubspot", "stripe", "writes", "to", "why", "kind", "note", "decision"
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell for a formula (owasp.org/www-community/attacks/CSV_Injection)."""


def write_csv(report: Findings, path: Path, *, show_values: bool) -> None:
    """All differences; a difference without fields is one line whose field is empty. Raises ``ConfigError``.

    ``to``: what would be written to the side ``writes`` names. ``decision`` is left blank: it is filled in by a
    person. A cell that a spreadsheet would run begins with an apostrophe; ids and names of fields never do.
    """
    shown = shown_values(show_values)
    with write_text_atomically(path) as file:
        # With another line end, a lone \r in a value would not be quoted, and end the line.
        lines = csv.writer(file, lineterminator="\r\n")
        lines.writerow(COLUMNS)
        for found in report.differences():
            lines.writerows([_harmless(cell) for cell in line] for line in _lines(found, shown))


def _lines(found: Difference, shown: Shown) -> Iterator[tuple[str, ...]]:
    ids = str(found.kind), found.hubspot_id, found.stripe_id
    if not found.fields:
        yield (*ids, "", "", "", "", "", "", "", found.note, "")
    for name, value in found.fields.items():
        values = shown(value.hubspot), shown(value.stripe), value.writes, shown(value.after)
        yield (*ids, name, *values, value.why, str(value.how), found.note, "")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell
