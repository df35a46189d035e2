"""The report as one self-contained HTML page: counts, a chart, the plan, and a searchable list (``report.html``)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from wanesync.cli.reports.differences import (
    PARKED,
    Findings,
    ValueFormatter,
    lost_rows,
    make_value_formatter,
    plan_rows,
    unlike_rows,
)
from wanesync.core.diff.difference import ACTIONABLE, MEANING, Difference, DifferenceClass
from wanesync.ops.people.record_pages import NO_PAGES, RecordPages
from wanesync.output import clean
from wanesync.reconcile.atomic_file import write_text_atomically
from wanesync.terminal import pluralize

TEMPLATE = Path(__file__).with_name("report.html")
PLACEHOLDER = re.compile(r"@@([A-Z]+)@@")
MAX_ROWS = 50_000
"""Differences in one page; our choice: a browser still searches them without a delay."""
LISTED = [kind for kind in DifferenceClass if kind is not DifferenceClass.IN_SYNC]
JSON_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
"""Characters that could end or change a script element, as JSON escapes."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a page. ``compared``: names of both sides, such as their account ids; ``pages``: to link to."""

    made_ms: int
    compared: str
    pages: RecordPages = NO_PAGES


def write_html(report: Findings, path: Path, heading: Heading, *, show_values: bool, max_rows: int = MAX_ROWS) -> None:
    """Write a page that makes no request, mode 0600, with at most ``max_rows`` differences. Raises ``ConfigError``."""
    template = TEMPLATE.read_text(encoding="utf-8")
    shares = _share_out(report, max_rows)
    parts = _parts(report, heading, sum(shares.values()), masked=not show_values) | {"POLICY": _policy(template)}
    with write_text_atomically(path) as file:
        for at, text in enumerate(PLACEHOLDER.split(template)):
            if at % 2 == 0:
                file.write(text)
            elif text == "ROWS":
                file.writelines(_rows(report, shares, make_value_formatter(show_values)))
            else:
                file.write(parts[text])


def _policy(template: str) -> str:
    """The content security policy: the page's own script and style run, known by their hashes; nothing is loaded."""

    def hashes(tag: str) -> str:
        blocks: list[str] = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in blocks)

    own = f"script-src {hashes('script')}; style-src {hashes('style')}"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


# -- rows


def _share_out(report: Findings, max_rows: int) -> dict[DifferenceClass, int]:
    """How many differences of each class are listed: a large class leaves room for the small ones."""
    shares: dict[DifferenceClass, int] = {}
    kinds = sorted((kind for kind in LISTED if report.counts[kind]), key=lambda kind: report.counts[kind])
    for at, kind in enumerate(kinds):
        shares[kind] = min(report.counts[kind], (max_rows - sum(shares.values())) // (len(kinds) - at))
    return shares


def _rows(report: Findings, shares: Mapping[DifferenceClass, int], format_value: ValueFormatter) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    comma = ""
    for kind in LISTED:
        for found in report.differences(kind, shares[kind]) if shares.get(kind) else ():
            yield f"{comma}\n{encode(_row(found, format_value)).translate(JSON_ESCAPES)}"
            comma = ","


def _row(found: Difference, format_value: ValueFormatter) -> list[object]:
    def show(value: str) -> str:
        return clean(format_value(value))

    fields = [
        [name, show(v.hubspot), show(v.stripe), v.writes, show(v.after), clean(v.why), str(v.how)]
        for name, v in found.fields.items()
    ]
    return [str(found.kind), clean(found.hubspot_id), clean(found.stripe_id), clean(found.note), fields]


# -- the rest of the page


def _parts(report: Findings, heading: Heading, listed: int, *, masked: bool) -> dict[str, str]:
    total = sum(report.counts[kind] for kind in LISTED)
    made = datetime.fromtimestamp(heading.made_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    values = "Values are masked: their first letters are shown." if masked else "Values are shown: personal data."
    cap = f"{pluralize(total, 'difference')}."
    if listed < total:
        cap = f"The page lists {listed:,} of {pluralize(total, 'difference')}; the CSV file (--csv) holds all of them."
    verdict = f"A reconcile would repair {pluralize(report.actionable, 'difference')}."
    return {
        "TITLE": escape(f"Differences, {made}: {heading.compared}"),
        "ABOUT": escape(f"{heading.compared}, {made}. {values}"),
        "VERDICT": escape(verdict if report.actionable else "Nothing to repair."),
        "COUNTS": "\n".join(_count(report, kind) for kind in DifferenceClass if report.counts[kind]),
        "SUMMARIES": "\n".join(_summaries(report)),
        "CAP": escape(cap),
        "CONTACTPAGE": escape(heading.pages.contact),
        "CUSTOMERPAGE": escape(heading.pages.customer),
        "CLASSES": "\n".join(_button(report, kind) for kind in LISTED if report.counts[kind]),
    }


def _count(report: Findings, kind: DifferenceClass) -> str:
    """A line of the counts with its bar; pairs in sync have none, because it would make all others too short to see."""
    most = max((report.counts[k] for k in LISTED), default=0)
    style = "act" if kind in ACTIONABLE else "park" if kind in PARKED else "rest"
    count = report.counts[kind]
    width = f"{max(100 * count / most, 0.5):.1f}%" if most and kind is not DifferenceClass.IN_SYNC else "0"
    rect = f'<rect class="{style}" width="{width}" height="100%" rx="3"/>'
    return (
        f'<tr><th scope="row" class="{style}-ink">{kind}</th><td class="n">{count:,}</td>'
        f'<td class="bar"><svg aria-hidden="true" focusable="false">{rect}</svg></td>'
        f'<td class="meaning">{escape(MEANING[kind])}</td></tr>'
    )


def _summaries(report: Findings) -> Iterator[str]:
    plan = [(what, f"{count:,}", meaning) for what, count, meaning in plan_rows(report)]
    unlike = [(name, f"{count:,}", kinds) for name, count, kinds in unlike_rows(report)]
    lost = [(what, count, "") for what, count in lost_rows(report)]
    for title, columns, rows in (
        ("What a reconcile would do", ("What", "Count", "Meaning"), plan),
        ("Fields that differ", ("Field", "Count", "Kinds"), unlike),
        ("What webhooks missed", ("What", "Count", ""), lost),
    ):
        if rows:
            yield _summary(title, columns, rows)


def _summary(title: str, columns: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> str:
    what, count, more = columns
    lines = "\n".join(
        f'<tr><th scope="row">{escape(a)}</th><td class="n">{escape(b)}</td><td>{escape(c)}</td></tr>'
        for a, b, c in rows
    )
    return (
        f'<section class="card"><h2>{title}</h2>\n<table>\n<thead><tr><th scope="col">{what}</th>'
        f'<th scope="col" class="n">{count}</th><th scope="col">{more}</th></tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table>\n</section>"
    )


def _button(report: Findings, kind: DifferenceClass) -> str:
    return (
        f'<button type="button" data-class="{kind}" aria-pressed="false" title="{escape(MEANING[kind])}">'
        f"{kind} ({report.counts[kind]:,})</button>"
    )
