"""``diff`` and ``reconcile``: show what is not the same on both sides, and have it repaired."""

from __future__ import annotations

from dataclasses import replace

import typer

from wanesync.cli.commands import reconcile_modes as planning
from wanesync.cli.commands import reconcile_options as options
from wanesync.cli.commands.comparison_run import Looking, ShownIn
from wanesync.cli.commands.reconcile_result import Result
from wanesync.cli.context import AsJson, ConfigFile, opened
from wanesync.cli.reports import differences
from wanesync.core.diff.decisions import read_decisions, refuse
from wanesync.core.errors import GuardError
from wanesync.reconcile.run import Report, Selection
from wanesync.sync.runtime import Runtime
from wanesync.terminal import make_console, pluralize


# A command's options are its arguments: a line for each.
def diff(
    *,
    strict: options.Strict = False,
    since: options.Since = None,
    parallel: options.Parallel = False,
    max_requests: options.MaxRequests = None,
    csv_file: options.CsvFile = None,
    html_file: options.HtmlFile = None,
    snapshot: options.SnapshotFile = None,
    show_values: options.ShowValues = False,
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


# A command's options are its arguments: a line for each.
def reconcile(
    *,
    dry_run: options.DryRun = False,
    wait: options.Wait = False,
    since: options.Since = None,
    only: options.Only = None,
    limit: options.Limit = None,
    force: options.Force = None,
    max_creates: options.MaxCreates = None,
    quiet_property: options.QuietProperty = None,
    plan_out: options.PlanOut = None,
    apply: options.ApplyFile = None,
    decisions: options.DecisionsFile = None,
    baseline: options.BaselineFlag = False,
    parallel: options.Parallel = False,
    max_requests: options.MaxRequests = None,
    csv_file: options.CsvFile = None,
    html_file: options.HtmlFile = None,
    snapshot: options.SnapshotFile = None,
    show_values: options.ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Compare both sides and queue a repair of what differs. The workers carry it out."""
    wish = options.Wish(
        dry_run, wait, since, frozenset(only or ()), limit, force, max_creates, quiet_property,
        plan_out, apply, decisions, baseline,
    )  # fmt: skip
    looking = Looking(since, max_requests, snapshot, parallel=parallel)
    shown = ShownIn(csv_file, html_file, show_values=show_values, as_json=as_json)
    with opened(config_file) as (config, store):
        with looking.begin(config, store, writes=not dry_run, check=lambda runtime: _check(wish, runtime)) as report:
            result = _go(wish, looking, shown, report)
        if result is not None:
            if wait:
                result.drain()
            result.finish(waited=wait, as_json=as_json)


def _check(wish: options.Wish, runtime: Runtime) -> None:
    """Raises ConfigError for files that no listing would make right."""
    if wish.apply is not None:
        planning.check_plan(runtime, wish.apply)
    if wish.decided is not None:
        _, problems = read_decisions(wish.decided, runtime.rules.fields.by_name)
        if problems:
            raise refuse(problems)


def _go(wish: options.Wish, looking: Looking, shown: ShownIn, report: Report) -> Result | None:
    """The way that was asked for; what was queued, None where nothing is to be."""
    if wish.dry_run or wish.plan_out is not None:
        shown.show(report)
        if wish.plan_out is not None:
            planning.save_plan(looking.runtime, report, wish.plan_out, wish.only, wish.limit)
        elif report.actionable:
            raise typer.Exit(1)
        return None
    shown.write_files(report)
    if wish.baseline:
        looking.check()
        planning.take_baseline(looking.runtime, report, as_json=shown.as_json)
        return None
    selection = _select(wish, report)
    chosen = planning.choose(looking.runtime, report, wish.apply) if wish.apply is not None else None
    if chosen is not None:
        selection = replace(selection, keys=frozenset(chosen.keys))
    run_id = looking.queue(report, selection, wish.quiet_property, wish.decided)
    if not shown.as_json:
        make_console().print(differences.counts_table(report))
    counts = {str(kind): number for kind, number in sorted(report.counts.items())}
    result = Result(looking.runtime, run_id, looking.queued, counts, report.to_link)
    result.trouble += looking.trouble
    if chosen is not None:
        planning.tell_skipped(chosen, result, as_json=shown.as_json)
    return result


def _select(wish: options.Wish, report: Report) -> Selection:
    """What is to be queued. Raises GuardError when ``force`` does not name the right number."""
    overwritten = report.volume.overwritten
    if wish.force is not None and wish.force != overwritten:
        raise GuardError(
            f"--force {wish.force} does not fit: {pluralize(overwritten, 'linked person').replace('persons', 'people')} "
            "would have values overwritten; look at wanesync diff, then give that number"
        )
    return Selection(wish.force is not None, wish.only, wish.limit, wish.most_creates)
