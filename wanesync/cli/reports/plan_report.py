"""A saved plan on the screen and as JSON: ``reconcile --show``."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TextIO

from wanesync.cli.reports.differences import (
    MAX_ROWS_PER_CLASS,
    describe_difference,
    difference_as_json,
    make_value_formatter,
)
from wanesync.cli.times import format_time
from wanesync.core.diff.difference import MEANING, Difference, DifferenceClass
from wanesync.terminal import JSON_VERSION, encode_json, make_table, pluralize, print_rows

if TYPE_CHECKING:
    from rich.console import Console

    from wanesync.reconcile.plan_files import SavedPlan


def show_plan(screen: Console, plan: SavedPlan, *, show_values: bool) -> None:
    """Print which accounts a plan is for, how much it would repair, and the first differences of each class."""
    format_value = make_value_formatter(show_values)
    counts: Counter[DifferenceClass] = Counter()
    first: dict[DifferenceClass, list[Difference]] = {}
    for found in plan.differences:
        counts[found.kind] += 1
        if counts[found.kind] <= MAX_ROWS_PER_CLASS:
            first.setdefault(found.kind, []).append(found)
    header = plan.header
    screen.print(
        f"Plan of {format_time(header.made_ms)} for HubSpot portal {header.portal} and Stripe account "
        f"{header.account} ({header.mode}): {pluralize(len(plan.links), 'pair')} to be linked.",
        markup=False,
    )
    rows = [(str(kind), f"{counts[kind]:,}", MEANING[kind]) for kind in DifferenceClass if counts[kind]]
    print_rows(screen, make_table("Class", ">Count", "Meaning"), rows)
    for kind, listed in first.items():
        made = make_table("#Contact", "#Customer", "What", title=str(kind))
        print_rows(screen, made, [describe_difference(found, format_value)[:3] for found in listed])
        if counts[kind] > len(listed):
            screen.print(f"… and {counts[kind] - len(listed):,} more (--json has all of them)")


def write_plan_json(plan: SavedPlan, out: TextIO, *, show_values: bool) -> None:
    """Write one JSON document, its keys as in docs/json.md, one difference a line."""
    encode = partial(encode_json, stream=out)
    format_value = make_value_formatter(show_values)
    header = plan.header
    head = {
        "version": JSON_VERSION,
        "made": format_time(header.made_ms),
        "portal": header.portal,
        "stripe_account": header.account,
        "stripe_mode": header.mode,
        "links": list(plan.links),
    }
    out.write("{\n" + "".join(f"  {encode(key)}: {encode(part)},\n" for key, part in head.items()))
    out.write('  "differences": [')
    comma = ""
    for found in plan.differences:
        out.write(f"{comma}\n    {encode(difference_as_json(found, format_value))}")
        comma = ","
    out.write("\n  ]\n}\n" if comma else "]\n}\n")
