"""``jobs``: what waits and runs, what was given up and why, one job with its timeline, and bulk runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.commands.queue_jobs.dead_letter_options import Choice
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, ShowValues, open_configured
from wanesync.cli.option_groups import spread_options
from wanesync.cli.reports.differences import ValueFormatter, make_value_formatter
from wanesync.cli.times import format_time
from wanesync.core.errors import ConfigError
from wanesync.core.operating.bulk_runs import BulkRun
from wanesync.core.operating.queue_filter import ListedJob, QueueState
from wanesync.ops.queue.bulk_runs import list_bulk_runs
from wanesync.ops.queue.job_details import JobDetails, read_job
from wanesync.ops.queue.jobs import list_jobs
from wanesync.ops.queue.queue_lists import read_queue_up_to
from wanesync.store.database import Store
from wanesync.store.tables.jobs import Depth
from wanesync.terminal import format_duration, make_table, make_wide_console, print_json, print_rows

JobId = Annotated[str | None, typer.Argument(metavar="ID", help="A job: shown with its states in order of time.")]


@spread_options
def jobs(
    job_id: JobId = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters only.")] = False,
    state: Annotated[QueueState | None, typer.Option("--state", help="The jobs of one state only.")] = None,
    choice: Choice,
    runs: Annotated[bool, typer.Option("--runs", help="Bulk runs: what retry and discard did.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many jobs.")
    ] = 100,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List queued jobs and dead letters. A dead letter is shown with its record, reason, time and attempts."""
    if [job_id is not None, runs, dead or state is not None].count(True) > 1:
        raise ConfigError(["jobs: an ID, --runs, and --dead or --state are for themselves"])
    with open_configured(config_file) as (_, store):
        if job_id is not None:
            _show_job(read_job(store, job_id), make_value_formatter(show_values), as_json=as_json)
        elif runs:
            _show_runs(list_bulk_runs(store, None, limit), as_json=as_json)
        else:
            shown = QueueState.DEAD if dead or state is None else state
            _list(store, choice, shown, limit, only=dead or state is not None, as_json=as_json)


def _list(store: Store, choice: Choice, state: QueueState, limit: int, *, only: bool, as_json: bool) -> None:
    wanted = choice.make_filter(store, state)
    depth = [] if only else list_jobs(store, choice.side, choice.kind)
    found, now_ms = read_queue_up_to(store, wanted, limit)
    if as_json:
        listed = [_as_json(one, now_ms) for one in found]
        name = "dead" if state is QueueState.DEAD else "jobs"
        print_json({name: listed} if only else {"queued": depth, "dead": listed})
        return
    screen = make_wide_console()
    if choice.since and state is QueueState.DEAD:
        screen.print(f"Dead letters given up since {format_time(now_ms - wanted.newer_ms)}.")
    if not only:
        _show_depth(screen, depth, now_ms)
    _show_jobs(screen, found, state, now_ms)
    if len(found) == limit:
        which = "newest" if state is QueueState.DEAD else "first"
        screen.print(f"The {which} {limit:,}; --limit shows more, --class, --side, --kind and --since show fewer.")


def shorten_key(key: str) -> str:
    """Return a job's key as it is shown, ``contact:7``; of the keyed hash of a guest's address only the beginning."""
    return key[:14] + "…" if key.startswith("guest:") else key


def _as_json(listed: ListedJob, now_ms: int) -> Mapping[str, object]:
    job, state = listed.job, listed.state(now_ms)
    document: dict[str, object] = {
        "id": job.id,
        "lane": str(job.lane),
        "kind": str(job.kind),
        "key": job.key,
        "class": job.dead_class,
        "reason": job.reason,
        "attempts": job.attempts,
        "arrived_ms": job.arrived_ms,
        "died_ms": listed.ended_ms,
    }
    if state is not QueueState.DEAD:
        more = {"state": str(state), "priority": job.priority, "due_ms": job.due_ms, "waits_for": job.waits_for}
        document |= {**more, "ended_ms": document.pop("died_ms"), "claimed_ms": listed.claimed_ms}
    return document


def _show_depth(screen: Console, depth: Sequence[Depth], now_ms: int) -> None:
    rows = [
        (
            row["lane"],
            row["kind"],
            str(row["priority"]),
            f"{row['ready']:,}",
            f"{row['due']:,}",
            f"{row['running']:,}",
            f"{row['retrying']:,}",
            format_duration(now_ms - row["oldest_arrived_ms"]),
        )
        for row in depth
    ]
    columns = ("Lane", "Kind", ">Priority", ">Ready", ">Due", ">Running", ">Retrying", ">Oldest")
    print_rows(screen, make_table(*columns), rows)
    if not rows:
        screen.print("No job waits or runs.")


def _show_jobs(screen: Console, found: Sequence[ListedJob], state: QueueState, now_ms: int) -> None:
    rows = [
        (
            one.job.id,
            f"{one.job.kind} {one.job.lane}",
            shorten_key(one.job.key),
            one.job.dead_class or one.job.waits_for,
            str(one.job.attempts),
            f"{format_duration(now_ms - one.at_ms)} ago",
            one.job.reason,
        )
        for one in found
    ]
    is_dead = state is QueueState.DEAD
    columns = ("#Dead letter" if is_dead else "#Job", "What", "Record", "Class", ">Tries", ">When", "Reason")
    print_rows(screen, make_table(*columns), rows)
    if not rows:
        screen.print("No dead letters." if is_dead else f"No job is {state}.")
    elif is_dead:
        screen.print("wanesync retry ID, or --class, --side, --since, --all, tries them again; discard closes them.")


def _show_job(details: JobDetails, show: ValueFormatter, *, as_json: bool) -> None:
    if as_json:
        print_json(_details_json(details, show))
        return
    screen, job = make_wide_console(), details.listed.job
    records = ", ".join(f"{side} {record_id}" for side, record_id in details.refs) or shorten_key(job.key)
    facts = [
        ("Job", job.id),
        ("State", str(details.state)),
        ("What", f"{job.kind} {job.lane}"),
        ("Record", records),
        ("Attempts", str(job.attempts)),
        *([("Class", job.dead_class)] if job.dead_class else []),
        *([("Reason", job.reason)] if job.reason else []),
        *([("Open write", "its answer is not known yet")] if details.is_unanswered else []),
    ]
    print_rows(screen, make_table("", ""), facts)
    steps = [(format_time(step.at_ms) if step.at_ms else "", step.name, step.text) for step in details.steps]
    print_rows(screen, make_table("When", "Step", "What"), steps)


def _details_json(details: JobDetails, show: ValueFormatter) -> dict[str, object]:
    events = [
        {
            "key": event.key,
            "side": str(event.side),
            "record": event.record_id,
            "kind": event.kind,
            "received_ms": event.received_ms,
            "values": {name: show(value) for name, value in event.values.items()},
        }
        for event in details.events
    ]
    return {
        **_as_json(details.listed, details.now_ms),
        "state": str(details.state),
        "records": [{"side": str(side), "id": record_id} for side, record_id in details.refs],
        "events": events,
        "unanswered": details.is_unanswered,
        "steps": [{"at_ms": step.at_ms, "name": step.name, "text": step.text} for step in details.steps],
    }


def _show_runs(found: Sequence[BulkRun], *, as_json: bool) -> None:
    if as_json:
        names = ("id", "total", "changed", "kept", "created_ms", "ended_ms", "ended_by")
        rows = [{name: getattr(run, name) for name in names} | _name_run(run) for run in found]
        print_json({"runs": rows})
        return
    shown = [
        (
            run.id,
            str(run.action),
            str(run.state),
            f"{run.handled:,} of {run.total:,}",
            str(run.operator),
            format_time(run.created_ms),
        )
        for run in found
    ]
    screen = make_wide_console()
    print_rows(screen, make_table("#Bulk run", "What", "State", ">Done", "By", "When"), shown)
    if not shown:
        screen.print("No bulk runs.")


def _name_run(run: BulkRun) -> dict[str, str]:
    names = {"action": run.action, "state": run.state, "operator": run.operator.name, "via": run.operator.via}
    return {name: str(value) for name, value in names.items()}
