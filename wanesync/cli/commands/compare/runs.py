"""``runs``: reconciles that are started, approved and applied in steps, as in the admin service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.commands.compare import reconcile_options as options
from wanesync.cli.commands.compare.wait_notes import showing_waits
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, ShowValues, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.reports.differences import ValueFormatter, make_value_formatter
from wanesync.config.model import API_KEYS
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.model import Side
from wanesync.core.operating.reconcile_runs import MEANING, Approvals, Run, RunOptions, RunState
from wanesync.core.operating.times import format_time
from wanesync.ops.reconcile import runs as ops
from wanesync.ops.reconcile.work import carry_out, claim_run
from wanesync.output import print_line
from wanesync.store.patience import RUN_PATIENCE_S, Patience
from wanesync.terminal import make_console, make_table, make_wide_console, pluralize, print_json, print_rows

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.reconcile.session import ReconcileSession
    from wanesync.store.database import Store

HELP = "Start, review, approve and apply reconciles in steps."
app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, as wanesync runs list shows it.")]
DEFAULT_ROWS = 50
"""Runs, or differences of one class, shown without ``--limit``."""
Rows = Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many rows.")]


@app.command(name="list")
def list_runs(*, limit: Rows = DEFAULT_ROWS, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """List runs, the newest first."""
    with open_configured(config_file) as (_, store):
        runs = ops.read_runs(store, limit=limit)
    if as_json:
        print_json({"runs": [_as_json(run) for run in runs]})
        return
    rows = [
        (
            run.id, format_time(run.facts.made_ms), run.facts.started_by, str(run.state).replace("_", " "),
            _count_repairs(run), run.facts.problem,
        )
        for run in runs
    ]  # fmt: skip
    if rows:
        print_rows(make_wide_console(), make_table("#Run", "Started at", "By", "State", ">Repairs", "Problem"), rows)
    else:
        print_line("There was no run yet: start one with wanesync runs start.")


@app.command()
def start(
    *,
    only: options.Only = None,
    limit: options.Limit = None,
    parallel: options.Parallel = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Compare both sides and store the plan of a reconcile; nothing is written."""
    chosen = RunOptions(tuple(str(kind) for kind in only or ()), limit, parallel)
    with _opened(config_file) as (config, store):
        run_id = ops.start_run(store, find_operator(), chosen)
        _work(config, store, run_id, as_json=as_json)


@app.command()
def apply(
    run_id: RunId,
    *,
    force: options.Force = None,
    max_creates: options.MaxCreates = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Apply the plan of a run, where it is still valid: the workers carry it out."""
    with _opened(config_file) as (config, store):
        confirmed = Approvals(force, max_creates)
        ops.ask_apply(store, find_operator(), run_id, confirmed, approval=config.admin.approval)
        _work(config, store, run_id, as_json=as_json)


@app.command()
def work(run_id: RunId, *, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Carry out a run that waits for a process with both API keys."""
    with _opened(config_file) as (config, store):
        _work(config, store, run_id, as_json=as_json)


@app.command()
def show(
    run_id: RunId,
    *,
    only: Annotated[
        DifferenceClass | None, typer.Option("--only", metavar="CLASS", help="List the differences of this class.")
    ] = None,
    limit: Rows = DEFAULT_ROWS,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show a run: its state, what it found, and the differences of one class."""
    from wanesync.wiring import build_plan_reader  # noqa: PLC0415 - loads more than the other commands need

    with open_configured(config_file) as (config, store):
        run = ops.read_run(store, run_id)
        reader = build_plan_reader(config, store)
        changes = ops.read_changes(reader, run_id, only, "", limit) if only else []
    format_value = make_value_formatter(show_values)
    if as_json:
        listed = {"differences": [_change_as_json(change, format_value) for change in changes]} if only else {}
        print_json({"run": _as_json(run), **listed})
        return
    _show(run)
    if only:
        rows = [
            (str(change.hubspot_id), str(change.stripe_id), change.note or _describe(change, format_value))
            for change in changes
        ]
        print_rows(make_wide_console(), make_table("#Contact", "#Customer", "Difference"), rows)


@app.command()
def approve(run_id: RunId, *, config_file: ConfigFile = None) -> None:
    """Approve a run that another operator started."""
    with open_configured(config_file) as (config, store):
        ops.approve_run(store, find_operator(), run_id, approval=config.admin.approval)
    print_line(f"Approved: wanesync runs apply {run_id} applies it.")


@app.command()
def cancel(run_id: RunId, *, config_file: ConfigFile = None) -> None:
    """Cancel a run that waits or is at work."""
    with open_configured(config_file) as (_, store):
        ops.cancel_run(store, find_operator(), run_id)
    print_line("Cancelled; a process at work ends within a few seconds.")


@app.command()
def discard(run_id: RunId, *, config_file: ConfigFile = None) -> None:
    """Close a compared run without applying it."""
    with open_configured(config_file) as (_, store):
        ops.discard_run(store, find_operator(), run_id)
    print_line("Discarded: it cannot be applied any more.")


# -- the work


@contextmanager
def _opened(config_file: Path | None) -> Iterator[tuple[Config, Store]]:
    """Open the database with both API keys, and wait for it whenever it is away."""
    patience = Patience(max_s=RUN_PATIENCE_S)
    with open_configured(config_file, uses=API_KEYS.values(), patience=patience) as opened:
        yield opened


def _work(config: Config, store: Store, run_id: str, *, as_json: bool) -> None:
    run = claim_run(store, run_id)
    if not as_json:
        make_console(error=True).print(f"Run {run_id} {MEANING[run.state]}.")
    with showing_waits():
        carry_out(store, run, partial(_open_session, config, store))
    done = ops.read_run(store, run_id)
    if as_json:
        print_json({"run": _as_json(done)})
    else:
        _show(done)


@contextmanager
def _open_session(config: Config, store: Store, run: Run) -> Iterator[ReconcileSession]:
    import threading  # noqa: PLC0415 - as the next ones

    from wanesync.wiring import (  # noqa: PLC0415 - loads both SDKs
        build_generation_marker,
        build_runtime,
        build_session,
        snapshot_path,
    )
    from wanesync.worker.gc_tuning import tune_gc  # noqa: PLC0415 - as above

    runtime = build_runtime(config, store, tuple(Side))
    build_generation_marker(config, store, threading.Event()).check()
    tune_gc()
    writes = run.state is RunState.APPLYING
    path, parallel = snapshot_path(config), run.facts.options.parallel
    with build_session(runtime, path, parallel=parallel, writes=writes) as session:
        yield session


# -- output


def _show(run: Run) -> None:
    facts, screen = run.facts, make_console()
    screen.print(f"Run {run.id}, started by {facts.started_by}: {str(run.state).replace('_', ' ')}.", markup=False)
    rows = [
        (str(kind), f"{number:,}", "yes" if repaired else "no", meaning)
        for kind, number, repaired, meaning in ops.list_classes(facts)
    ]
    if rows:
        print_rows(screen, make_table("Class", ">People", "Repaired", "Meaning"), rows)
    for text, number in ops.describe_volume(facts.volume):
        screen.print(f"{number:,} {text}", markup=False)
    for side, reason in run.waits_for.items():
        screen.print(f"{side} waits: {reason}", markup=False)
    if facts.problem:
        screen.print(f"It stopped: {facts.problem}", markup=False)
    if facts.result:
        jobs, skipped = facts.result.get("jobs", 0), facts.result.get("skipped", 0)
        screen.print(f"{pluralize(jobs, 'job')} queued; {pluralize(skipped, 'key')} skipped because of later changes.")
    elif run.may_apply(approval=False):
        screen.print(
            f"Next: wanesync runs show {run.id} --only CLASS, then wanesync runs apply {run.id}.", markup=False
        )


def _count_repairs(run: Run) -> str:
    if not run.facts.has_plan:
        return "–"
    return f"{sum(number for _, number, repaired, _ in ops.list_classes(run.facts) if repaired):,}"


def _as_json(run: Run) -> dict[str, object]:
    facts = run.facts
    return {
        "id": run.id,
        "state": str(run.state),
        "started_at": format_time(facts.made_ms),
        "started_by": facts.started_by,
        "approved_by": facts.approved_by,
        "applied_by": facts.applied_by,
        "counts": dict(facts.counts),
        "volume": dict(facts.volume),
        "links": facts.links,
        "set_aside": facts.set_aside,
        "progress": {step: [*done] for step, done in facts.progress.items()},
        "waits_for": dict(run.waits_for),
        "result": dict(facts.result),
        "problem": facts.problem,
    }


def _change_as_json(change: ops.PlannedChange, show: ValueFormatter) -> dict[str, object]:
    fields = {
        one.name: {
            "hubspot": show(one.hubspot), "stripe": show(one.stripe), "writes": one.writes, "to": show(one.after),
            "why": one.why,
        }
        for one in change.fields
    }  # fmt: skip
    return {
        "class": str(change.kind), "key": change.key, "hubspot_id": change.hubspot_id, "stripe_id": change.stripe_id,
        "note": change.note, "planned": change.planned, "fields": fields,
    }  # fmt: skip


def _describe(change: ops.PlannedChange, show: ValueFormatter) -> str:
    parts = []
    for one in change.fields:
        if one.writes:
            before = one.stripe if one.writes == Side.STRIPE else one.hubspot
            parts.append(f"{one.name}: {show(before) or 'blank'} → {show(one.after) or 'blank'}")
        else:
            parts.append(f"{one.name}: {show(one.hubspot) or 'blank'} / {show(one.stripe) or 'blank'} ({one.why})")
    return "; ".join(parts)
