"""``diff`` and ``reconcile``: show the differences between both sides, and queue their repair."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from wanesync.accounts import PORTAL, STRIPE_ACCOUNT, STRIPE_MODE
from wanesync.cli.commands.compare import reconcile_options as options
from wanesync.cli.commands.compare.reconcile_options import ListingOptions, ReconcileOptions
from wanesync.cli.commands.compare.report_places import refuse_places
from wanesync.cli.commands.compare.wait_notes import showing_waits
from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.option_groups import spread_options
from wanesync.cli.reports import differences
from wanesync.cli.reports.csv_report import write_csv
from wanesync.cli.reports.html_report import Heading, write_html
from wanesync.cli.reports.plan_report import show_plan, write_plan_json
from wanesync.cli.times import format_time, parse_since
from wanesync.config.model import API_KEYS, Config
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.people.record_pages import NO_PAGES, find_record_pages
from wanesync.reconcile.apply_decisions import AppliedDecisions
from wanesync.reconcile.atomic_file import check_place
from wanesync.reconcile.compare import Report
from wanesync.reconcile.plan_files import PlanScope, PlanSelection
from wanesync.reconcile.session import (
    ProgressCallback,
    QueuedRun,
    QuotaUse,
    ReconcileSession,
    RunState,
    Step,
    check_decisions,
    check_plan,
    read_run,
    wait_for_workers,
)
from wanesync.store.database import Store
from wanesync.store.patience import RUN_PATIENCE_S, Patience
from wanesync.sync.runtime import Runtime
from wanesync.terminal import (
    format_counts,
    format_duration,
    make_console,
    make_table,
    pluralize,
    print_json,
    print_rows,
    progress_bars,
)
from wanesync.wiring import build_generation_marker, build_plan_reader, build_runtime, build_session, snapshot_path
from wanesync.worker.gc_tuning import tune_gc

LAST = "last"
MAX_SKIPPED_ROWS = 20
"""Rows of the table on the screen, which fit one screen; JSON has all of them."""
LABELS = {
    Step.CONTACTS_LISTED: "HubSpot contacts listed",
    Step.CUSTOMERS_LISTED: "Stripe customers listed",
    Step.CHANGES_READ: "changed records read",
    Step.RECORDS_COMPARED: "records compared",
    Step.PLAN_CHECKED: "people and pairs checked",
    Step.DECISIONS_APPLIED: "decisions applied",
    Step.KEYS_BASELINED: "keys baselined",
    Step.JOBS_DONE: "jobs done",
}


@spread_options
def diff(
    *,
    strict: options.Strict = False,
    since: options.Since = None,
    listing: ListingOptions,
    show_values: options.ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List both sides and show what is not the same; changes nothing.

    Exit 1: a reconcile would repair something, or a record could not be used.
    """
    output = ReportOutput(listing.csv_file, listing.html_file, show_values=show_values, as_json=as_json)
    with _open_runtime(config_file) as (config, _, runtime):
        refuse_places(config, config_file, listing.written, {"--snapshot": listing.snapshot})
        output = replace(output, links=not config.is_rehearsal)
        with _open_session(config, runtime, listing) as session:
            report, since_ms = _compare(session, since, as_json=as_json)
            output.show(report, since_ms)
            if not as_json:
                _print_lines(differences.describe_next_steps(report))
            different = report.actionable or report.set_aside or (strict and differences.count_parked(report))
    if different:
        raise typer.Exit(1)


@spread_options
def reconcile(
    *,
    asked: ReconcileOptions,
    listing: ListingOptions,
    show_values: options.ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Compare both sides and queue a repair of what differs. The workers carry it out."""
    if asked.show is not None:
        _show_plan(asked.show, config_file, show_values=show_values, as_json=as_json)
        return
    output = ReportOutput(listing.csv_file, listing.html_file, show_values=show_values, as_json=as_json)
    with _open_runtime(config_file) as (config, store, runtime):
        read = {"--snapshot": listing.snapshot, "--decisions": asked.decisions, "--apply": asked.apply}
        refuse_places(config, config_file, {**listing.written, "--plan-out": asked.plan_out}, read)
        build_generation_marker(config, store, threading.Event()).check()
        if asked.apply is not None:
            check_plan(runtime, asked.apply)
        if asked.decision_file is not None:
            check_decisions(runtime, asked.decision_file)
        output = replace(output, links=not config.is_rehearsal)
        with _open_session(config, runtime, listing, writes=not asked.dry_run) as session:
            _, since_ms = _compare(session, asked.since, as_json=as_json)
            queued = _carry_out(session, asked, output, since_ms)
        if queued is not None:
            _finish(store, queued, asked, as_json=as_json)


@contextmanager
def _open_runtime(config_file: Path | None) -> Iterator[tuple[Config, Store, Runtime]]:
    """Yield what a comparison needs of this installation; an unavailable database is waited for."""
    patience = Patience(max_s=RUN_PATIENCE_S)
    with open_configured(config_file, uses=API_KEYS.values(), patience=patience) as (config, store):
        yield config, store, build_runtime(config, store, tuple(Side))


def _open_session(
    config: Config, runtime: Runtime, listing: ListingOptions, *, writes: bool = False
) -> AbstractContextManager[ReconcileSession]:
    tune_gc()
    path = str(listing.snapshot or snapshot_path(config))
    return build_session(runtime, path, parallel=listing.parallel, max_requests=listing.max_requests, writes=writes)


@dataclass(frozen=True, slots=True)
class Queued:
    """A queued run, and what the command did before it: applied decisions, a plan file."""

    run: QueuedRun
    applied: AppliedDecisions | None = None
    chosen: PlanSelection | None = None
    set_aside: Sequence[tuple[Side, str, str]] = ()

    @property
    def jobs(self) -> int:
        """Jobs of the run, those of the decisions among them."""
        return self.run.jobs + (self.applied.jobs if self.applied else 0)


def _compare(session: ReconcileSession, since: str | None, *, as_json: bool) -> tuple[Report, int | None]:
    """The report, and since when changes were compared; None after a full listing."""
    if since is not None:
        since_ms = _read_since(session, since)
        with _show_progress() as progress:
            report = session.compare_changes(since_ms, progress)
        if report is not None:
            _print_lines([f"Compared what changed since {format_time(since_ms)}."], as_json=as_json)
            return report, since_ms
        make_console(error=True).print(
            "Both sides are listed in full: there was no reconcile or first listing yet, or the 30 days are over for "
            "which Stripe keeps events."
        )
    _print_cost(session)
    with _show_progress() as progress:
        return session.compare(progress), None


def _carry_out(
    session: ReconcileSession, asked: ReconcileOptions, output: ReportOutput, since_ms: int | None
) -> Queued | None:
    """Carry out the options with a finished comparison; None where nothing is queued."""
    report = session.report
    if asked.dry_run or asked.plan_out is not None:
        output.show(report, since_ms)
        if asked.plan_out is not None:
            _save_plan(session, asked.plan_out, PlanScope(asked.classes, asked.limit), as_json=output.as_json)
        else:
            _print_lines(differences.describe_next_steps(report), as_json=output.as_json)
        if report.set_aside or (asked.plan_out is None and report.actionable):
            raise typer.Exit(1)
        return None
    output.write_files(report)
    if asked.baseline:
        _take_baseline(session, as_json=output.as_json)
        return None
    queued = _queue(session, asked)
    if not output.as_json:
        make_console().print(differences.counts_table(report))
        if queued.chosen is not None:
            _print_skipped(queued.chosen)
    return queued


def _queue(session: ReconcileSession, asked: ReconcileOptions) -> Queued:
    selection = session.select(asked.classes, asked.limit, asked.force, asked.max_creates)
    selection = replace(selection, operator=find_operator())
    applied = chosen = None
    if asked.apply is not None:
        with _show_progress() as progress:
            chosen = session.choose_from_plan(asked.apply, progress)
        selection = replace(selection, keys=frozenset(chosen.keys))
    run_property = session.read_run_property(asked.quiet_property)
    if asked.decision_file is not None:
        with _show_progress() as progress:
            applied, selection = session.apply_decisions(asked.decision_file, selection, progress)
        if applied.cleared:
            cleared = pluralize(applied.cleared, "value")
            make_console(error=True).print(f"{cleared} will be cleared: the side that wins has none.")
    return Queued(session.queue(selection, run_property), applied, chosen, session.report.set_aside)


def _save_plan(session: ReconcileSession, path: Path, scope: PlanScope, *, as_json: bool) -> None:
    saved = session.save_plan(path, scope)
    counts = format_counts({str(kind): number for kind, number in sorted(saved.items.items())})
    _print_lines(
        [
            f"Wrote {path}: {counts or 'nothing to repair'}; {pluralize(saved.links, 'pair')} to be linked.",
            f"Next: wanesync reconcile --show {path}, then wanesync reconcile --apply {path}.",
        ],
        as_json=as_json,
    )


def _take_baseline(session: ReconcileSession, *, as_json: bool) -> None:
    """Exit 1 when some pairs were locked all the while."""
    with _show_progress() as progress:
        found = session.take_baseline(progress)
    if as_json:
        print_json({"linked": found.linked, "based": found.based, "kept": found.kept, "left": found.left})
    else:
        make_console().print(
            f"{pluralize(found.linked, 'pair')} linked, {pluralize(found.based, 'base')} recorded, "
            f"{pluralize(found.kept, 'field')} left different on the two sides. Nothing is written on either side."
        )
        if found.left:
            make_console().print(
                f"Left, because other work held the lock: {pluralize(len(found.left), 'key')}. Run it again."
            )
    if found.left:
        raise typer.Exit(1)


# -- the end of a run that queued jobs


def _finish(store: Store, queued: Queued, asked: ReconcileOptions, *, as_json: bool) -> None:
    """Wait for the workers with ``--wait``, and print the result; exit 1 when something was not done."""
    run_id = queued.run.run_id
    if asked.wait:
        with _show_progress() as progress:
            state = wait_for_workers(store, run_id, queued.jobs, progress)
    else:
        state = read_run(store, run_id)
    trouble = _describe_trouble(queued, state, waited=asked.wait)
    if as_json:
        skipped = {} if queued.chosen is None else {"skipped": _skipped_as_json(queued.chosen)}
        print_json(
            {
                "run_id": run_id,
                "counts": queued.run.counts,
                "linked": queued.run.linked,
                "jobs": queued.jobs,
                "left": state.left,
                "dead": state.dead,
                "trouble": trouble,
                **skipped,
            }
        )
    else:
        done = "done" if asked.wait and not state.left else "queued"
        screen = make_console()
        screen.print(f"{pluralize(queued.jobs, 'job')} {done}, {pluralize(queued.run.linked, 'pair')} to be linked.")
        if not state.writes_on:
            screen.print("Writes are off: nothing is written on either side before wanesync writes on.")
        for line in trouble:
            screen.print(line, markup=False)
    if trouble:
        raise typer.Exit(1)


def _describe_trouble(queued: Queued, state: RunState, *, waited: bool) -> list[str]:
    """What was not done, a line each."""
    undecided = queued.applied.left if queued.applied else {}
    trouble = differences.set_aside_lines(queued.set_aside)
    trouble += [f"{key} was not decided: {why}; give the file again" for key, why in undecided.items()]
    trouble += [
        f"Catching up {side} failed, the workers will repeat it: {error}"
        for side, error in queued.run.catch_up_errors.items()
    ]
    if queued.run.events_expired:
        trouble.append("Purchases of more than 30 days ago were not looked for: Stripe keeps no such events.")
    if queued.chosen is not None and queued.chosen.skipped:
        trouble.append(f"Skipped because of changes since the plan: {pluralize(len(queued.chosen.skipped), 'key')}.")
    trouble += [f"No worker runs the {side} lane: start wanesync worker." for side in state.idle_lanes if state.left]
    if state.dead:
        trouble.append(f"{pluralize(state.dead, 'job')} failed for good: look at wanesync jobs --dead.")
    if waited and state.left and not state.idle_lanes:
        trouble.append(f"{pluralize(state.left, 'job')} still waiting.")
    return trouble


def _show_plan(path: Path, config_file: Path | None, *, show_values: bool, as_json: bool) -> None:
    with open_configured(config_file) as (config, store), build_plan_reader(config, store).open(path) as plan:
        if as_json:
            write_plan_json(plan, sys.stdout, show_values=show_values)
        else:
            show_plan(make_console(), plan, show_values=show_values)
            _print_lines([f"Next: wanesync reconcile --apply {path} carries it out, where it is still valid."])


def _print_lines(lines: Sequence[str], *, as_json: bool = False) -> None:
    """Print lines beside the report; beside JSON only where a person sees standard error, so cron mails nothing."""
    screen = make_console(error=as_json)
    if not as_json or screen.is_terminal:
        for line in lines:
            screen.print(line, markup=False)


def _print_skipped(chosen: PlanSelection) -> None:
    made = make_table("Key", "Class", "Changed meanwhile", title="Skipped")
    rows = [
        (d.key, ", ".join(map(str, d.kinds)) or "to be linked", ", ".join(d.fields) or "it")
        for d in chosen.skipped[:MAX_SKIPPED_ROWS]
    ]
    print_rows(make_console(), made, rows)
    if len(chosen.skipped) > MAX_SKIPPED_ROWS:
        make_console().print(f"… and {len(chosen.skipped) - MAX_SKIPPED_ROWS:,} more (--json has all of them)")


def _skipped_as_json(chosen: PlanSelection) -> list[dict[str, object]]:
    return [{"key": d.key, "classes": [str(kind) for kind in d.kinds], "fields": [*d.fields]} for d in chosen.skipped]


# -- input and output


@dataclass(frozen=True, slots=True)
class ReportOutput:
    """Where a report is shown: on the screen or as JSON, and in the files of ``--csv`` and ``--html``.

    ``links``: whether ids in the page lead to the records in HubSpot and Stripe; a sandbox has no such pages.
    """

    csv_file: Path | None
    html_file: Path | None
    show_values: bool = False
    as_json: bool = False
    links: bool = True

    def __post_init__(self) -> None:
        """Raises ConfigError for a file that cannot be written."""
        for path in (self.csv_file, self.html_file):
            if path is not None:
                check_place(path)

    def show(self, report: Report, since_ms: int | None) -> None:
        """Print the report, and write the files of ``--csv`` and ``--html``."""
        self.write_files(report)
        if self.as_json:
            differences.write_json(report, sys.stdout, show_values=self.show_values, since_ms=since_ms)
        else:
            differences.show(make_console(), report, show_values=self.show_values)

    def write_files(self, report: Report) -> None:
        """Write the files of ``--csv`` and ``--html``."""
        if self.csv_file is not None:
            write_csv(report, self.csv_file, show_values=self.show_values)
            _print_lines([f"Wrote {self.csv_file}."], as_json=self.as_json)
        if self.html_file is not None:
            metadata = report.snapshot.metadata()
            stripe = f"Stripe account {metadata[STRIPE_ACCOUNT]} ({metadata[STRIPE_MODE]})"
            compared = f"HubSpot portal {metadata[PORTAL]} and {stripe}"
            names = (metadata[name] for name in (PORTAL, STRIPE_ACCOUNT, STRIPE_MODE))
            pages = find_record_pages(*names) if self.links else NO_PAGES
            heading = Heading(int(metadata["began_ms"]), compared, pages)
            write_html(report, self.html_file, heading, show_values=self.show_values)
            _print_lines([f"Wrote {self.html_file}."], as_json=self.as_json)


@contextmanager
def _show_progress() -> Iterator[ProgressCallback]:
    """Progress bars on standard error that follow a session's steps; none where that is no terminal.

    Above them stands what the session waits for.
    """
    with progress_bars() as shown, showing_waits(shown):
        begun: set[Step] = set()

        def follow(step: Step, done: int, total: int | None) -> None:
            if step not in begun:
                begun.add(step)
                shown.add(LABELS[step], total)
            shown.set(LABELS[step], done, total)
            if done == total:
                shown.end(LABELS[step])

        yield follow


def _read_since(session: ReconcileSession, since: str) -> int:
    """The time ``--since`` names, ms. Raises ConfigError."""
    if since == LAST:
        last_ms = session.read_last_run_ms()
        if last_ms is None:
            raise ConfigError(["--since last: there was no run yet; run it once without --since"])
        return last_ms
    now_ms = session.runtime.store.now_ms()
    since_ms = parse_since(since, now_ms)
    if since_ms > now_ms:
        raise ConfigError(["--since is in the future: nothing can have changed since"])
    return since_ms


def _print_cost(session: ReconcileSession) -> None:
    """What a full listing costs, before it begins; only on a terminal, so that cron has nothing to mail."""
    screen = make_console(error=True)
    cost = session.estimate_cost() if screen.is_terminal else None
    if cost is not None:
        screen.print(
            f"About {pluralize(cost.requests[Side.HUBSPOT], 'request')} to HubSpot (bulk work used "
            f"{_describe(cost.day)} of its day's), {cost.requests[Side.STRIPE]:,} to Stripe (reads of 30 days: "
            f"{_describe(cost.month)}), at least "
            f"{format_duration(cost.least_ms)}."
        )


def _describe(use: QuotaUse) -> str:
    return f"{use.used:,.0f}" if use.allowed is None else f"{use.used:,.0f} of {use.allowed:,.0f}"
