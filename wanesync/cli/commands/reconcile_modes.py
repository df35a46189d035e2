"""``reconcile`` with a plan file, with decisions, or as a baseline."""

from __future__ import annotations

from pathlib import Path

import typer

from wanesync.cli.commands.reconcile_result import Result
from wanesync.core.diff.difference import DifferenceClass
from wanesync.reconcile.baseline import Baseline
from wanesync.reconcile.plan_files import Chosen, Extent, PlanFiles
from wanesync.reconcile.run import Report
from wanesync.sync.runtime import Runtime
from wanesync.terminal import format_counts, make_console, make_table, pluralize, print_json, print_rows, progress_bars

SHOWN = 20
"""Rows for a person; JSON has all."""


def save_plan(
    runtime: Runtime, report: Report, path: Path, only: frozenset[DifferenceClass], limit: int | None
) -> None:
    """Write the plan file, and say what is in it."""
    saved = PlanFiles(runtime).save(report, path, Extent(only, limit))
    counts = format_counts({str(kind): number for kind, number in sorted(saved.items.items())})
    make_console(error=True).print(f"{path}: {counts}; {pluralize(saved.links, 'pair')} to be linked.", markup=False)


def check_plan(runtime: Runtime, path: Path) -> None:
    """Raises ConfigError for a plan that could not be applied, whatever is listed."""
    PlanFiles(runtime).check(path)


def choose(runtime: Runtime, report: Report, path: Path) -> Chosen:
    """What is still as planned."""
    with progress_bars() as shown:
        chosen = PlanFiles(runtime).choose(report, path, shown.add("people and pairs of the plan"))
        shown.end("people and pairs of the plan")
    return chosen


def _show_skipped(chosen: Chosen) -> None:
    """What was not as planned any more."""
    made = make_table("Key", "DifferenceClass", "Changed meanwhile", title="Skipped")
    rows = [
        (d.key, ", ".join(map(str, d.kinds)) or "to be linked", ", ".join(d.fields) or "it")
        for d in chosen.skipped[:SHOWN]
    ]
    print_rows(make_console(), made, rows)
    if len(chosen.skipped) > SHOWN:
        make_console().print(f"… and {len(chosen.skipped) - SHOWN:,} more (--json has all of them)")


def tell_skipped(chosen: Chosen, result: Result, *, as_json: bool) -> None:
    """On the screen, or in the document of the run; a reason for exit 1 either way."""
    if chosen.skipped:
        result.trouble.append(f"Skipped, as something changed meanwhile: {pluralize(len(chosen.skipped), 'key')}.")
    result.more["skipped"] = _as_json(chosen)
    if not as_json:
        _show_skipped(chosen)


def _as_json(chosen: Chosen) -> list[dict[str, object]]:
    """The same for machines."""
    return [{"key": d.key, "classes": [str(kind) for kind in d.kinds], "fields": [*d.fields]} for d in chosen.skipped]


def take_baseline(runtime: Runtime, report: Report, *, as_json: bool) -> None:
    """Link, and take everything as agreed on; exit 1 when some pairs could not be had."""
    with progress_bars() as shown:
        found = Baseline(runtime).run(report, shown.add("keys looked at"))
        shown.end("keys looked at")
    if as_json:
        print_json({"linked": found.linked, "based": found.based, "kept": found.kept, "left": found.left})
    else:
        make_console().print(
            f"{pluralize(found.linked, 'pair')} linked, {pluralize(found.based, 'base')} recorded, "
            f"{pluralize(found.kept, 'field')} unlike and kept. Nothing is written on either side."
        )
        if found.left:
            make_console().print(f"{pluralize(len(found.left), 'key')} were being worked on: run it again for them.")
    if found.left:
        raise typer.Exit(1)
