"""Differences as a person reads them, and as the JSON of DESIGN section 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wanesync.cli.screen import mask, plural, print_rows, table
from wanesync.core.difference import ACTIONABLE, Class, Difference, FieldDifference
from wanesync.core.model import Side

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from wanesync.engine.reconcile import Report

SHOWN = 8
"""Rows per class for a person; JSON has all."""

MEANING = {
    Class.IN_SYNC: "the same on both sides",
    Class.CREATE_CUSTOMER: "missing in Stripe: created there",
    Class.CREATE_CONTACT: "missing in HubSpot: created there",
    Class.UPDATE_CUSTOMER: "Stripe is brought up to date",
    Class.UPDATE_CONTACT: "HubSpot is brought up to date",
    Class.CONFLICT: "both sides keep their own value",
    Class.AMBIGUOUS: "only a guess could tell; a person decides",
    Class.DUPLICATE: "a second customer of one contact",
    Class.ORPHANED: "deleted on the other side",
    Class.EXCLUDED: "left alone: no e-mail, or not wanted",
}
PARKED = (Class.CONFLICT, Class.AMBIGUOUS, Class.DUPLICATE, Class.ORPHANED)
"""What ``--strict`` counts beside the actionable."""


def count_parked(report: Report) -> int:
    """Differences that wait for a person."""
    return sum(report.counts[kind] for kind in PARKED)


def as_json(report: Report, *, show_values: bool) -> dict[str, object]:
    """The door: ``{"counts": …, "differences": […]}``."""
    shown: Callable[[str], str] = str if show_values else mask
    return {
        "counts": {str(kind): report.counts[kind] for kind in Class},
        "differences": [
            {
                "class": str(found.kind),
                "hubspot_id": found.hubspot_id,
                "stripe_id": found.stripe_id,
                "fields": {
                    name: {
                        "hubspot": shown(value.hubspot),
                        "stripe": shown(value.stripe),
                        "writes": value.writes,
                        "why": value.why,
                    }
                    for name, value in found.fields.items()
                },
            }
            for found in report.differences
        ],
    }


def counts_table(report: Report) -> Table:
    """How many of each class; those that are none are left out."""
    made = table("Class", ">Count", "Meaning")
    for kind in Class:
        if report.counts[kind]:
            style = "yellow" if kind in ACTIONABLE else "green" if kind is Class.IN_SYNC else "dim"
            made.add_row(f"[{style}]{kind}[/]", f"{report.counts[kind]:,}", MEANING[kind])
    return made


def show(screen: Console, report: Report, *, show_values: bool) -> None:
    """Counts, then the differences class by class."""
    screen.print(counts_table(report))
    for kind in Class:
        of_kind = [found for found in report.differences if found.kind is kind]
        made = table("Contact", "Customer", "What", title=str(kind))
        print_rows(screen, made, [_row(found, show_values=show_values) for found in of_kind[:SHOWN]])
        if len(of_kind) > SHOWN:
            screen.print(f"… and {len(of_kind) - SHOWN:,} more (--json has all of them)\n")
    if report.actionable:
        screen.print(f"A reconcile would repair {plural(report.actionable, 'difference')}.")
    else:
        screen.print("Nothing to repair.")


def _row(found: Difference, *, show_values: bool) -> tuple[str, str, str]:
    shown: Callable[[str], str] = str if show_values else mask
    what = found.note or _describe(found.fields, shown)
    return found.hubspot_id or "–", found.stripe_id or "–", what


def _describe(fields: Mapping[str, FieldDifference], shown: Callable[[str], str]) -> str:
    parts = []
    for name, value in fields.items():
        hubspot, stripe = shown(value.hubspot) or "blank", shown(value.stripe) or "blank"
        if value.why == "missing there":
            parts.append(f"{name} {stripe if value.writes == Side.HUBSPOT else hubspot}")
        elif not value.writes:
            parts.append(f"{name} {hubspot} | {stripe}")
        else:
            before, after = (stripe, hubspot) if value.writes == Side.STRIPE else (hubspot, stripe)
            parts.append(f"{name} {before} → {after}")
    return ", ".join(parts)
