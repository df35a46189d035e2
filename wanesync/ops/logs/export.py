"""Entries of the log, the journal and the audit log as CSV and as JSON lines, one after the other: for downloads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator

from wanesync.core.operating.times import format_time
from wanesync.ops.logs.search import Entry
from wanesync.output import escape_formula

COLUMNS = (
    "at", "source", "level", "kind", "side", "id", "link_id", "operator", "via", "process", "logger", "correlation_id",
    "data",
)  # fmt: skip


def describe_entry(entry: Entry) -> dict[str, object]:
    """Return an entry as JSON, with the keys of docs/json.md#logs."""
    return {
        "at": format_time(entry.at_ms),
        "source": str(entry.source),
        "level": entry.level,
        "kind": entry.kind,
        "side": entry.side,
        "id": entry.record_id,
        "link_id": entry.link_id,
        "operator": entry.operator,
        "via": entry.via,
        "process": entry.process,
        "logger": entry.logger,
        "correlation_id": entry.correlation_id,
        "data": entry.data,
    }


def format_csv(entries: Iterable[Entry], *, heading: bool = True) -> Iterator[str]:
    """Yield the lines of a CSV file; no cell is run as a formula by a spreadsheet. Column ``data`` is JSON."""
    if heading:
        yield _line(COLUMNS)
    for entry in entries:
        found = describe_entry(entry)
        found["data"] = json.dumps(found["data"], ensure_ascii=False, default=str) if found["data"] else ""
        yield _line([escape_formula(str(found[name])) for name in COLUMNS])


def format_json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for entry in entries:
        yield json.dumps(describe_entry(entry), ensure_ascii=False, default=str) + "\n"


def gather(lines: Iterable[str], size: int = 16_000) -> Iterator[str]:
    """Yield lines in pieces of about ``size`` characters: one piece for each line would cost a streamed answer much."""
    piece = io.StringIO()
    for line in lines:
        piece.write(line)
        if piece.tell() >= size:
            yield piece.getvalue()
            piece = io.StringIO()
    if rest := piece.getvalue():
        yield rest


FORMATS: dict[str, tuple[str, Callable[[Iterable[Entry]], Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8", format_csv),
    "jsonl": ("application/jsonl; charset=utf-8", format_json_lines),
}
"""Ending of a file -> its media type, and how entries are written there."""


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    # With another line end the csv module would not quote a lone \r in a value.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()
