"""A comparison's report on the screen and as the JSON of ``diff --json``, and the summaries all reports share.

``Findings`` is what a report needs of a comparison; ``csv_report`` and ``html_report`` show the same as files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Protocol, TextIO

from wanesync.cli.times import format_time
from wanesync.core.diff.bulk_guards import Volume
from wanesync.core.diff.difference import (
    ACTIONABLE,
    MEANING,
    MISSING_THERE,
    Difference,
    DifferenceClass,
    FieldDifference,
)
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.model import Side
from wanesync.core.normalize import NAME_PARTS
from wanesync.terminal import JSON_VERSION, encode_json, format_counts, make_table, mask, pluralize, print_rows

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from wanesync.store.tables.conflicts import ConflictRow

MAX_SET_ASIDE = 20
"""Records set aside that are named on the screen."""
MAX_ROWS_PER_CLASS = 8
"""Rows of each class on the screen, so that all classes fit one; the files and JSON have all rows."""
DIFFERENCES_PER_WRITE = 1000
"""Differences in one write to standard output; our choice."""
ADDRESSES = "e-mails changed"
"""A row that is shown even when its count is 0: a changed address moves invoices and logins."""

PARKED = (
    DifferenceClass.CONFLICT,
    DifferenceClass.AMBIGUOUS,
    DifferenceClass.DUPLICATE,
    DifferenceClass.ORPHANED,
    DifferenceClass.MISSING,
)
"""Classes that wait for a decision: ``--strict`` counts them besides the actionable ones."""

ValueFormatter = Callable[[str], str]
"""Formats a value for display: as it is, or masked."""


class Findings(Protocol):
    """What a report shows of a comparison (``reconcile.compare.Report``)."""

    @property
    def counts(self) -> Counter[DifferenceClass]:
        """How many differences of each class there are, and how many pairs are in sync."""

    @property
    def volume(self) -> Volume:
        """How many records a reconcile would write, and how."""

    @property
    def to_link(self) -> int:
        """Pairs to be linked."""

    @property
    def actionable(self) -> int:
        """Differences a reconcile would repair."""

    @property
    def unlike(self) -> Counter[tuple[str, ValueKind]]:
        """(field, kind of difference) -> how many pairs show it."""

    @property
    def requests(self) -> int:
        """How many requests the listing took."""

    @property
    def timing(self) -> Mapping[str, float]:
        """Seconds that listing and comparing took."""

    @property
    def lost(self) -> Mapping[str, object] | None:
        """What webhooks missed; None where that was not measured."""

    @property
    def set_aside(self) -> Sequence[tuple[Side, str, str]]:
        """Records, or fields of them, that cannot be used: (side, id, why)."""

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        """One by one, of one class or of all; there may be a million. ``limit`` -1: no limit."""


def count_parked(report: Findings) -> int:
    """How many differences wait for a decision."""
    return sum(report.counts[kind] for kind in PARKED)


# -- values


def make_value_formatter(show_values: bool) -> ValueFormatter:
    """Format values for display, first and last name as one text; masked unless ``show_values``."""
    return _join_name if show_values else lambda value: mask(_join_name(value))


def _join_name(value: str) -> str:
    return value.replace(NAME_PARTS, " ").strip()


# -- JSON


def write_json(report: Findings, out: TextIO, *, show_values: bool, since_ms: int | None = None) -> None:
    """Write one JSON document, its keys as in docs/json.md.

    One difference a line, never all in memory. The key ``lost`` is there where missed webhooks were counted, ``since``
    where only changes since ``since_ms`` were compared.
    """
    encode = partial(encode_json, stream=out)
    format_value = make_value_formatter(show_values)
    head = (
        {"version": JSON_VERSION} | _as_summary(report) | ({} if since_ms is None else {"since": format_time(since_ms)})
    )
    out.write("{\n" + "".join(f"  {encode(key)}: {encode(part)},\n" for key, part in head.items()))
    out.write('  "differences": [')
    pieces: list[str] = []
    comma = ""
    for found in report.differences():
        pieces.append(f"{comma}\n    {encode(difference_as_json(found, format_value))}")
        comma = ","
        if len(pieces) == DIFFERENCES_PER_WRITE:
            out.write("".join(pieces))
            pieces.clear()
    out.write("".join(pieces) + ("\n  ]\n}\n" if comma else "]\n}\n"))


def _as_summary(report: Findings) -> dict[str, object]:
    unlike: dict[str, dict[str, int]] = {}
    for (name, kind), count in sorted(report.unlike.items()):
        unlike.setdefault(name, {})[str(kind)] = count
    plan = {**asdict(report.volume), "created": report.volume.created, "to_link": report.to_link}
    lost = {} if report.lost is None else {"lost": report.lost}
    counts = {str(kind): report.counts[kind] for kind in DifferenceClass}
    cost = {"requests": report.requests, "timing": report.timing}
    aside = [{"side": str(side), "id": record_id, "reason": reason} for side, record_id, reason in report.set_aside]
    return {"counts": counts, "plan": plan, "unlike": unlike, **cost, "set_aside": aside, **lost}


def conflict_as_json(row: ConflictRow, format_value: ValueFormatter) -> dict[str, object]:
    """Return an open conflict as in the JSON of ``conflicts`` and ``history``."""
    return {
        "at": format_time(row.at_ms),
        "side": str(row.conflict.side),
        "id": row.conflict.record_id,
        "field": row.conflict.field,
        "kind": row.conflict.kind,
        "value": format_value(row.conflict.value),
    }


def difference_as_json(found: Difference, format_value: ValueFormatter) -> dict[str, object]:
    """Return a difference as an entry of ``differences`` in ``diff --json``."""
    return {
        "class": str(found.kind),
        "hubspot_id": found.hubspot_id,
        "stripe_id": found.stripe_id,
        "fields": {
            name: {
                "hubspot": format_value(value.hubspot),
                "stripe": format_value(value.stripe),
                "writes": value.writes,
                "to": format_value(value.after),
                "why": value.why,
                "kind": str(value.how),
            }
            for name, value in found.fields.items()
        },
        "note": found.note,
    }


# -- summaries, for the screen and the HTML page


def plan_rows(report: Findings) -> list[tuple[str, int, str]]:
    """What a reconcile would do, with its consequences: (what, how many, meaning); empty when it would do nothing."""
    volume = report.volume
    rows = [
        ("pairs only linked", volume.link_only, "nothing of them is written"),
        ("people with blanks filled", volume.fills, "they lose nothing"),
        ("people with values overwritten", volume.overwritten, "linked people who lose a value"),
        ("of these, with values cleared", volume.cleared, "a value is replaced by a blank"),
        (ADDRESSES, volume.addresses, "where invoices go"),
        ("customers created", volume.created_customers, "in Stripe, each a customer.created event"),
        ("contacts created", volume.created_contacts, "in HubSpot, where workflows may enrol them"),
        ("contacts written", volume.writes_hubspot, "their modification dates move"),
        ("customers written", volume.writes_stripe, "each a customer.updated event"),
    ]
    if not any(count for _, count, _ in rows):
        return []
    return [row for row in rows if row[1] or row[0] == ADDRESSES]


def unlike_rows(report: Findings) -> list[tuple[str, int, str]]:
    """Differences by field, the most frequent first: (field, how many, ``3 case, 1 other``)."""
    by_field: dict[str, Counter[str]] = {}
    for (name, kind), count in report.unlike.items():
        by_field.setdefault(name, Counter())[str(kind)] += count
    rows = [(name, kinds.total(), format_counts(dict(kinds.most_common()))) for name, kinds in by_field.items()]
    return sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0]))


def lost_rows(report: Findings) -> list[tuple[str, str]]:
    """What webhooks missed: (what, how many or which)."""
    return list(_flatten("", report.lost or {}))


def _flatten(above: str, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{above} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flatten(name, value)
        elif isinstance(value, list | tuple | set | frozenset):
            if value:
                yield name, ", ".join(str(part) for part in value)
        else:
            yield name, f"{value:,}" if isinstance(value, int) else str(value)


# -- the screen


def counts_table(report: Findings) -> Table:
    """How many differences of each class there are; empty classes are left out."""
    made = make_table("Class", ">Count", "Meaning")
    for kind in DifferenceClass:
        if report.counts[kind]:
            style = "yellow" if kind in ACTIONABLE else "green" if kind is DifferenceClass.IN_SYNC else "dim"
            made.add_row(f"[{style}]{kind}[/]", f"{report.counts[kind]:,}", MEANING[kind])
    return made


def show(screen: Console, report: Findings, *, show_values: bool) -> None:
    """Print the counts, which fields differ, what a reconcile would do, then the first differences of each class."""
    screen.print(counts_table(report))
    unlike = make_table("Field", ">Count", "Kinds", title="Fields that differ")
    print_rows(screen, unlike, [(name, f"{count:,}", kinds) for name, count, kinds in unlike_rows(report)])
    plan = make_table("What", ">Count", "Meaning", title="What a reconcile would do")
    print_rows(screen, plan, [(what, f"{count:,}", meaning) for what, count, meaning in plan_rows(report)])
    print_rows(screen, make_table("What", ">Count", title="What webhooks missed"), lost_rows(report))
    _show_differences(screen, report, make_value_formatter(show_values))
    for line in set_aside_lines(report.set_aside):
        screen.print(line, markup=False)
    if report.actionable:
        screen.print(f"A reconcile would repair {pluralize(report.actionable, 'difference')}.")
    else:
        screen.print("Nothing to repair.")


def describe_next_steps(report: Findings) -> list[str]:
    """Return which commands follow a comparison, a line each."""
    lines = []
    if report.actionable:
        lines.append("Next: wanesync reconcile queues these repairs; with --plan-out FILE it saves them for review.")
    if waiting := count_parked(report):
        lines.append(
            f"To be decided: {pluralize(waiting, 'difference')}. wanesync diff --csv FILE, fill in its column "
            "decision, then wanesync reconcile --decisions FILE."
        )
    return lines


def set_aside_lines(set_aside: Sequence[tuple[Side, str, str]]) -> list[str]:
    """Name what could not be used, a line each; beyond a screen only how many more there are."""
    lines = [f"Set aside: {side} {record_id or 'a record without an id'}: {why}" for side, record_id, why in set_aside]
    if len(lines) > MAX_SET_ASIDE:
        return [*lines[:MAX_SET_ASIDE], f"Set aside: {len(lines) - MAX_SET_ASIDE:,} more (diff --json has all of them)"]
    return lines


def _show_differences(screen: Console, report: Findings, format_value: ValueFormatter) -> None:
    for kind in DifferenceClass:
        if kind is DifferenceClass.IN_SYNC or not report.counts[kind]:
            continue
        made = make_table("#Contact", "#Customer", "What", "Why", title=str(kind))
        print_rows(
            screen,
            made,
            [describe_difference(found, format_value) for found in report.differences(kind, MAX_ROWS_PER_CLASS)],
        )
        if report.counts[kind] > MAX_ROWS_PER_CLASS:
            screen.print(
                f"… and {report.counts[kind] - MAX_ROWS_PER_CLASS:,} more (--json and --csv have all of them)\n"
            )


def describe_difference(found: Difference, format_value: ValueFormatter) -> tuple[str, str, str, str]:
    """Return a difference as a row: contact, customer, what would be written, and why."""
    parts = [_describe(name, value, format_value) for name, value in found.fields.items()]
    reasons = [found.note, *(value.why for value in found.fields.values())]
    if not parts:
        parts, reasons = reasons, []
    what, why = ", ".join(parts), "; ".join(dict.fromkeys(filter(None, reasons)))
    return found.hubspot_id or "–", found.stripe_id or "–", _printable(what), _printable(why)


def _describe(name: str, value: FieldDifference, format_value: ValueFormatter) -> str:
    hubspot, stripe = format_value(value.hubspot) or "blank", format_value(value.stripe) or "blank"
    kind = "" if value.how in {ValueKind.BLANK, ValueKind.OTHER} else f" ({value.how})"
    if value.why == MISSING_THERE:
        source = stripe if value.writes == Side.HUBSPOT else hubspot
        return f"{name} {format_value(value.after) or f'{source} (not written)'}"
    if not value.writes:
        return f"{name} {hubspot} | {stripe}{kind}"
    before = stripe if value.writes == Side.STRIPE else hubspot
    return f"{name} {before} → {format_value(value.after) or 'blank'}{kind}"


def _printable(text: str) -> str:
    """Replace control characters, with which a value could control the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
