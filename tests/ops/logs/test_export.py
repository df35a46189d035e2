"""Downloads of the log: CSV and JSON lines, streamed."""

from __future__ import annotations

import csv
import io
import json

from wanesync.ops.logs.export import COLUMNS, describe_entry, format_csv, format_json_lines, gather
from wanesync.ops.logs.search import Entry, Source
from wanesync.store.tables.operating.log_lines import Position

NASTY = Entry(Source.LOG, "1", Position(1_000), "+1\n=2", "info", record_id="@x", data={"reason": 'a\r"b;=c\x1b[2J'})
PLAIN = Entry(Source.JOURNAL, "2", Position(2_000), "updated", operator="ada", via="page")


def test_a_csv_file_has_a_row_for_each_entry_and_no_formula() -> None:
    rows = [*csv.reader(io.StringIO("".join(format_csv([NASTY, PLAIN])), newline=""))]
    assert tuple(rows[0]) == COLUMNS == tuple(describe_entry(PLAIN))
    assert len(rows) == 3
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    assert "\x1b" not in str(rows)


def test_a_json_line_is_an_entry() -> None:
    first, second = map(json.loads, "".join(format_json_lines([NASTY, PLAIN])).splitlines())
    assert first["data"] == {"reason": 'a\r"b;=c\x1b[2J'}
    assert (second["at"], second["operator"]) == ("1970-01-01 00:00:02.000Z", "ada")


def test_lines_are_gathered_into_pieces() -> None:
    lines = ["0123456789\n"] * 10
    assert [*gather(lines, 40)] == ["0123456789\n" * 4, "0123456789\n" * 4, "0123456789\n" * 2]
    assert [*gather([])] == []
