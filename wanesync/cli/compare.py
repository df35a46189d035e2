"""``diff`` and ``reconcile``: show what is not the same on both sides, and have it repaired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli import differences, planning
from wanesync.cli.looking import Looking, ShownIn, read_decisions_file
from wanesync.cli.outcome import Result
from wanesync.cli.program import AsJson, ConfigFile, opened
from wanesync.cli.screen import console, plural
from wanesync.core.difference import Class

if TYPE_CHECKING:
    from wanesync.engine.reconcile import Report, Selection

DEFAULT_CREATES = 100
"""So many people are created without being asked for by number."""

ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only what changed since: 2h, 3d, 2026-08-01T10:00, or last (run)."),
]
Parallel = Annotated[
    bool,
    typer.Option("--parallel-listing", help="List contacts by ranges of ids (undocumented by HubSpot)."),
]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", metavar="N", min=1, help="Stop before more; the next run goes on.")
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write all differences, for a decision each.")
]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page to look at and search.")]
SnapshotFile = Annotated[
    Path | None, typer.Option("--snapshot", metavar="FILE", help="Where the run keeps what it listed until it is done.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("diff")(diff)
    app.command("reconcile")(reconcile)


def diff(
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 also for what a person has to settle.")] = False,
    since: Since = None,
    parallel: Parallel = False,
    max_requests: MaxRequests = None,
    csv_file: CsvFile = None,
    html_file: HtmlFile = None,
    snapshot: SnapshotFile = None,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List both sides and show what is not the same; changes nothing. Exit 1: a reconcile would repair something."""
    looking = Looking(since, max_requests, snapshot, parallel=parallel)
    shown = ShownIn(csv_file, html_file, show_values=show_values, as_json=as_json)
    with opened(config_file) as (config, store), looking.begin(config, store) as report:
        shown.show(report)
        different = report.actionable or (strict and differences.count_parked(report))
    if different:
        raise typer.Exit(1)


def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing, as diff does.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until the workers have done it.")] = False,
    since: Since = None,
    only: Annotated[
        list[Class] | None, typer.Option("--only", metavar="CLASS", help="Only differences of this class; repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="So many, as a canary.")] = None,
    force: Annotated[
        int | None, typer.Option("--force", metavar="N", help="Overwrite values of exactly N people despite the guard.")
    ] = None,
    max_creates: Annotated[
        int | None,
        typer.Option(
            "--max-creates", metavar="N", min=0, help="Create at most so many people; above 100 it has to be said."
        ),
    ] = None,
    quiet_property: Annotated[
        str | None,
        typer.Option("--quiet-property", metavar="NAME=VALUE", help="Mark contacts it creates, for workflows to skip."),
    ] = None,
    plan_out: Annotated[
        Path | None, typer.Option("--plan-out", metavar="FILE", help="Save what would be done, and do nothing.")
    ] = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", metavar="FILE", help="Do what a saved plan says, where it still stands.")
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", metavar="FILE", help="A table of --csv, its column decision filled in."),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Link pairs and take everything as agreed on; write nothing.")
    ] = False,
    parallel: Parallel = False,
    max_requests: MaxRequests = None,
    csv_file: CsvFile = None,
    html_file: HtmlFile = None,
    snapshot: SnapshotFile = None,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Bring both sides in order: compare everything, and hand what differs to the workers."""
    _check_together(dry_run, plan_out is not None, apply is not None, decisions is not None, baseline)
    _check_fits(apply is not None or baseline, since=since, only=only, limit=limit if baseline else None)
    decided = read_decisions_file(decisions) if decisions is not None else None
    looking = Looking(since, max_requests, snapshot, parallel=parallel)
    shown = ShownIn(csv_file, html_file, show_values=show_values, as_json=as_json)
    with opened(config_file) as (config, store):
        with looking.begin(config, store, writes=not dry_run) as report:
            if dry_run:
                shown.show(report)
                raise typer.Exit(1 if report.actionable else 0)
            shown.write_files(report)
            if baseline:
                planning.take_baseline(looking.engine, report, as_json=as_json)
                return
            selection = _select(report, only, limit, force, DEFAULT_CREATES if max_creates is None else max_creates)
            if plan_out is not None:
                looking.guard(report, selection)
                shown.show(report)
                planning.save_plan(looking.engine, report, plan_out, only, limit)
                return
            chosen = planning.choose(looking.engine, report, apply) if apply is not None else None
            if chosen is not None:
                selection = replace(selection, keys=frozenset(chosen.keys))
            run_id, left = looking.queue(report, selection, quiet_property, decided)
            if not as_json:
                console().print(differences.counts_table(report))
            counts = {str(kind): number for kind, number in sorted(report.counts.items())}
            result = Result(looking.engine, run_id, looking.queued, counts, report.to_link)
            result.trouble += [f"{key} was not decided: {why}; give the file again" for key, why in left.items()]
            if chosen is not None:
                planning.tell_skipped(chosen, result, as_json=as_json)
        if wait:
            result.drain()
        result.finish(waited=wait, as_json=as_json)


def _check_together(*ways: bool) -> None:
    """Raises ConfigError for two ways to go at once."""
    from wanesync.core.errors import ConfigError  # noqa: PLC0415 - only here

    if sum(ways) > 1:
        raise ConfigError(["--dry-run, --plan-out, --apply, --decisions and --baseline exclude one another: give one"])


def _check_fits(alone: bool, *, since: str | None, only: list[Class] | None, limit: int | None) -> None:
    """Raises ConfigError for an option that would have no effect on a plan or a baseline."""
    from wanesync.core.errors import ConfigError  # noqa: PLC0415 - only here

    if alone and (since is not None or only or limit is not None):
        raise ConfigError(["--since, --only and --limit do not go with this: a plan and a baseline are whole"])


def _select(
    report: Report, only: list[Class] | None, limit: int | None, force: int | None, max_creates: int | None
) -> Selection:
    """What is to be queued. Raises GuardError when ``force`` does not name the right number."""
    from wanesync.core.errors import GuardError  # noqa: PLC0415 - only here
    from wanesync.engine.reconcile import Selection  # noqa: PLC0415 - keeps --help fast

    overwritten = report.volume.overwritten
    if force is not None and force != overwritten:
        raise GuardError(
            f"--force {force} does not fit: {plural(overwritten, 'linked person').replace('persons', 'people')} would "
            f"have values overwritten; look at wanesync diff, then give that number"
        )
    return Selection(force is not None, frozenset(only or ()), limit, max_creates)
