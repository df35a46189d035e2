"""The report as one page that needs nothing else: counts, a chart, the plan, and a list to search (``report.html``)."""

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
    Shown,
    lost_rows,
    plan_rows,
    shown_values,
    unlike_rows,
)
from wanesync.core.diff.difference import ACTIONABLE, MEANING, Difference, DifferenceClass
from wanesync.reconcile.atomic_file import write_text_atomically
from wanesync.terminal import pluralize

TEMPLATE = Path(__file__).with_name("report.html")
MARK = re.compile(r"@@([A-Z]+)@@")
MOST_ROWS = 50_000
"""Differences in one page: what a browser still searches at once."""
LISTED = [kind for kind in DifferenceClass if kind is not DifferenceClass.IN_SYNC]
OUTSIDE_TEXT = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
"""Marks that could end or change a script element, as JSON escapes them."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above a report. ``compared``: both sides by name, such as their account ids."""

    made_ms: int
    compared: str


def write_html(report: Findings, path: Path, heading: Heading, *, show_values: bool, most: int = MOST_ROWS) -> None:
    """One page without any request to anywhere, mode 0600; at most ``most`` differences. Raises ``ConfigError``."""
    template = TEMPLATE.read_text(encoding="utf-8")
    shares = _share_out(report, most)
    parts = _parts(report, heading, sum(shares.values()), masked=not show_values) | {"POLICY": _policy(template)}
    with write_text_atomically(path) as file:
        for at, text in enumerate(MARK.split(template)):
            if at % 2 == 0:
                file.write(text)
            elif text == "ROWS":
                file.writelines(_rows(report, shares, shown_values(show_values)))
            else:
                file.write(parts[text])


def _policy(template: str) -> str:
    """The page runs its own script and style, known by their hashes, and loads nothing."""

    def hashes(tag: str) -> str:
        blocks: list[str] = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in blocks)

    own = f"script-src {hashes('script')}; style-src {hashes('style')}"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


# -- rows


def _share_out(report: Findings, most: int) -> dict[DifferenceClass, int]:
    """How many of each class are listed: a big class does not crowd out the small ones."""
    shares: dict[DifferenceClass, int] = {}
    kinds = sorted((kind for kind in LISTED if report.counts[kind]), key=lambda kind: report.counts[kind])
    for at, kind in enumerate(kinds):
        shares[kind] = min(report.counts[kind], (most - sum(shares.values())) // (len(kinds) - at))
    return shares


def _rows(report: Findings, shares: Mapping[DifferenceClass, int], shown: Shown) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    comma = ""
    for kind in LISTED:
        for found in report.differences(kind, shares[kind]) if shares.get(kind) else ():
            yield f"{comma}\n{encode(_row(found, shown)).translate(OUTSIDE_TEXT)}"
            comma = ","


def _row(found: Difference, shown: Shown) -> list[object]:
    fields = [
        [n, shown(v.hubspot), shown(v.stripe), v.writes, shown(v.after), v.why, str(v.how)]
        for n, v in found.fields.items()
    ]
    return [str(found.kind), found.hubspot_id, found.stripe_id, found.note, fields]


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
        "CLASSES": "\n".join(_button(report, kind) for kind in LISTED if report.counts[kind]),
    }


def _count(report: Findings, kind: DifferenceClass) -> str:
    """A line of the counts, with its bar. What is in sync has none: beside it nothing else would be seen."""
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
        ("What is unlike", ("Field", "Count", "Kinds"), unlike),
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
