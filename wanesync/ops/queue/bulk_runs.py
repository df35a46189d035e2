"""Dead letters retried or discarded by operators: one, the marked, or all that a filter shows.

A run is a row in the database. Each slice of it is one transaction that changes at most ``SLICE_JOBS`` jobs, stores
how far the run is, and keeps what became of each job: after a crash another process goes on behind the last slice, so
no job is done twice and none is left out (docs/operating.md#dead-letters).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import ConfigError, DatabaseUnavailable, GuardError, NotFound
from wanesync.core.jobs import Job, JobKind
from wanesync.core.model import Side, split_key
from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.operators import Operator
from wanesync.core.operating.queue_filter import JobSelection, QueueFilter, QueueState
from wanesync.ops.queue.queue_lists import select_jobs
from wanesync.store.tables.operating.bulk_runs import NewBulkRun
from wanesync.store.tables.operating.job_lists import Position

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

SLICE_JOBS = 200
"""Jobs of one transaction: it stays short, and the workers go on in between."""
MAX_MARKED = 1_000
"""Most jobs that are chosen by their ids: more than a page marks (our choice)."""
MAX_NAMED = 10
"""Marked jobs that the audit log names; of more it has the number, and ``bulk_run_jobs`` names each (our choice)."""
POLL_INTERVAL_S = 0.5
"""How soon a process begins a run that another one has stored, or left."""

log = structlog.get_logger()


class EmptyFilter(ConfigError):
    """A bulk run without a filter: it would take every dead letter there is."""

    def __init__(self) -> None:
        super().__init__(["name the dead letters: choose a side, kind, class, age, person or reason, or mark them"])


class CountChanged(GuardError):
    """There are more or fewer dead letters than were shown; nothing was done."""

    def __init__(self, expected: int, found: int) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            f"there are {found:,} dead letters now, {expected:,} were shown: nothing was done; confirm the new number"
        )


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """What an operator wants done. Either ``ids`` (marked jobs), or all that ``wanted`` shows.

    ``every``: an empty filter is meant (``wanesync retry --all``). ``expected``: the number that was shown and
    confirmed, None where none was.
    """

    action: BulkAction
    wanted: QueueFilter = field(default_factory=QueueFilter)
    ids: frozenset[str] = frozenset()
    every: bool = False
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """How many dead letters a request is about now, by class."""

    count: int
    classes: Mapping[str, int]


def preview_bulk_run(store: Store, request: BulkRequest) -> BulkPreview:
    """Count what a request is about. Raises EmptyFilter, NotFound for an id that no dead letter has, ConfigError."""
    with store.reading() as tx:
        return _preview(tx, request, _select(store, tx, request))


def start_bulk_run(store: Store, request: BulkRequest, operator: Operator, owner: str = "") -> BulkRun:
    """Store a run, which ``owner`` or the first process that is free carries out.

    Raises CountChanged, EmptyFilter, NotFound, ConfigError.
    """

    def start(tx: Tx) -> BulkRun:
        selection = _select(store, tx, request)
        found = _preview(tx, request, selection)
        if request.expected is not None and request.expected != found.count:
            raise CountChanged(request.expected, found.count)
        run_id = tx.bulk_runs.add(NewBulkRun(request.action, selection, operator, found.count, owner))
        about = {"jobs": found.count, "classes": dict(found.classes), "filter": describe_selection(selection)}
        tx.audit.add(operator, f"jobs.{request.action}", run_id, None, about)
        return _get(tx, run_id)

    return store.run(start)


def cancel_bulk_run(store: Store, run_id: str, operator: Operator) -> BulkRun:
    """Stop a run behind its present slice; one that has ended stays as it is. Raises NotFound."""

    def cancel(tx: Tx) -> BulkRun:
        run = tx.bulk_runs.lock(run_id) or _get(tx, run_id)
        if tx.bulk_runs.end(run_id, BulkState.CANCELLED, str(operator)):
            _note_end(tx, run, operator, "cancelled")
            state = {"state": str(run.state), "changed": run.changed}
            tx.audit.add(operator, "jobs.cancel", run_id, state, {"state": "cancelled"})
        return _get(tx, run_id)

    return store.run(cancel)


def read_bulk_run(store: Store, run_id: str) -> BulkRun:
    """Read a run. Raises NotFound."""
    with store.reading() as tx:
        return _get(tx, run_id)


def list_bulk_runs(store: Store, after: Position | None = None, limit: int = 20) -> list[BulkRun]:
    """List runs behind a position (time of creation, id), the newest first."""
    with store.reading() as tx:
        return tx.bulk_runs.page(after, limit)


def read_outcomes(store: Store, run_id: str) -> Mapping[str, int]:
    """Count what became of the jobs of a run: waiting, running, done, dead, kept, ``removed`` by retention."""
    with store.reading() as tx:
        states = tx.bulk_runs.job_states(run_id)
    names = {"ready": "waiting", "": "removed"}
    counts: dict[str, int] = {}
    for (outcome, state), count in states.items():
        name = outcome if outcome in {"kept", "discarded"} else names.get(state, state)
        counts[name] = counts.get(name, 0) + count
    return counts


def describe_selection(selection: JobSelection) -> dict[str, object]:
    """Return which jobs a run is about, without personal data: ids, codes and times; of many ids their number."""
    about: dict[str, object] = {
        name: value
        for name in ("side", "kind", "dead_class", "reason", "since_ms")
        if (value := getattr(selection, name))
    }
    if selection.keys is not None:
        about["person"] = [key for key in sorted(selection.keys) if ":" in key and not key.startswith("guest:")][:4]
    if selection.ids is not None:
        about["marked"] = sorted(selection.ids) if len(selection.ids) <= MAX_NAMED else len(selection.ids)
    return about


def _select(store: Store, tx: Tx, request: BulkRequest) -> JobSelection:
    if request.ids:
        if len(request.ids) > MAX_MARKED:
            raise ConfigError([f"at most {MAX_MARKED:,} jobs can be marked: choose them by a filter"])
        return JobSelection(ids=request.ids)
    if request.wanted.state is not QueueState.DEAD:
        raise ConfigError(["only dead letters are retried or discarded: choose the state dead"])
    if request.wanted.is_empty and not request.every:
        raise EmptyFilter
    return select_jobs(store, tx, request.wanted)


def _preview(tx: Tx, request: BulkRequest, selection: JobSelection) -> BulkPreview:
    classes = tx.job_lists.count_dead(selection)
    count = sum(classes.values())
    if request.ids and count < len(request.ids) and request.expected is None:
        known = {one.job.id for one in tx.job_lists.dead_of(selection)}
        missing = min(request.ids - known)
        raise NotFound(f"no dead job has the id {missing[:60]}: wanesync jobs --dead lists them; nothing was changed")
    return BulkPreview(count, classes)


def _get(tx: Tx, run_id: str) -> BulkRun:
    run = tx.bulk_runs.get(run_id)
    if run is None:
        raise NotFound(f"no bulk run has the id {run_id[:60]}: wanesync jobs --runs lists them")
    return run


# -- carrying out


def carry_out(
    store: Store,
    run_id: str,
    owner: str,
    progress: Callable[[int], object] = int,
    stopping: threading.Event | None = None,
) -> BulkRun:
    """Carry a run out to its end, unless it is cancelled, another process owns it, or ``stopping`` is set.

    ``progress`` is called with the number of jobs of each slice. Between two slices it rests as long as the last one
    took, so that webhooks and workers get the database in between. Raises NotFound, DatabaseUnavailable.
    """
    stopping = stopping or threading.Event()
    if store.run(lambda tx: tx.bulk_runs.take(run_id, owner)):
        while not stopping.is_set():
            began_s = time.monotonic()
            handled = store.run(lambda tx: carry_out_slice(tx, run_id, owner))
            if handled is None:
                break
            progress(handled)
            stopping.wait(min(1.0, time.monotonic() - began_s))
    return read_bulk_run(store, run_id)


def carry_out_slice(tx: Tx, run_id: str, owner: str) -> int | None:
    """Do one slice of a run: how many jobs it was done with; None if the run has ended, or is not this process's."""
    run = tx.bulk_runs.lock(run_id)
    if run is None or run.state is not BulkState.RUNNING or run.owner != owner:
        return None
    found = tx.job_lists.dead_slice(run.selection, Position(run.after_ms, run.after_id), SLICE_JOBS)
    if not found:
        tx.bulk_runs.end(run_id, BulkState.DONE)
        _note_end(tx, run, run.operator, {BulkAction.RETRY: "retried", BulkAction.DISCARD: "discarded"}[run.action])
        return None
    # A clock that was set back can give a job up again before the run began.
    ids = {position.id for position in found} - tx.bulk_runs.handled(run_id, [position.id for position in found])
    jobs = tx.job_lists.get_many(ids)
    retries = run.action is BulkAction.RETRY
    changed = tx.dead_letters.retry_each(ids) if retries else tx.dead_letters.discard(ids)
    outcome = "retried" if retries else "discarded"
    for job_id in sorted(changed):
        _note_job(tx, run, outcome, jobs[job_id].job)
    outcomes = {job_id: outcome if job_id in changed else "kept" for job_id in ids}
    tx.bulk_runs.move(run, found[-1], outcomes, len(changed))
    return len(ids)


def _note_job(tx: Tx, run: BulkRun, outcome: str, job: Job) -> None:
    """Add the end of a dead letter to the journal, where the history of its record shows it."""
    side, record_id = find_record(job)
    data = {"job": job.id, "class": job.dead_class, "kind": job.kind, "lane": job.lane, "run": run.id}
    tx.journal.add(outcome, side, record_id, "", data, operator=run.operator)


def find_record(job: Job) -> tuple[Side, str]:
    """Return the record a job is about: of a purchase the payment; "" for the guest of an address."""
    if job.kind is not JobKind.WRITE:
        return job.lane if job.kind is JobKind.READ else Side.STRIPE, job.key
    kind, record_id = split_key(job.key)
    side = {"contact": Side.HUBSPOT, "customer": Side.STRIPE}.get(kind)
    return (side, record_id) if side else (job.lane, "")


def _note_end(tx: Tx, run: BulkRun, operator: Operator, how: str) -> None:
    data = {"run": run.id, "action": run.action, "jobs": run.changed, "kept": run.kept, "confirmed": run.total}
    tx.journal.add(how, None, "", "", data, operator=operator)


@dataclass(slots=True)
class BulkRunner:
    """Carries out the runs that no process carries out, one after another: ``run`` belongs in a thread of the admin.

    ``owner``: the name of this process, which no other one has.
    """

    store: Store
    owner: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Work until ``stopping`` is set; what fails is logged and tried again."""
        while not self.stopping.wait(POLL_INTERVAL_S):
            self.run_round()
        try:
            self.store.run(lambda tx: tx.bulk_runs.release(self.owner))
        except DatabaseUnavailable:
            log.info("bulk runs are left to their leases", owner=self.owner)

    def run_round(self) -> None:
        """Carry out every run that is free; one that fails does not keep the others."""
        try:
            with self.store.reading() as tx:
                free = tx.bulk_runs.free(self.owner)
        except DatabaseUnavailable as error:
            log.warning("bulk runs wait for the database", reason=str(error))
            return
        for run_id in free:
            try:
                ended = carry_out(self.store, run_id, self.owner, stopping=self.stopping)
            except DatabaseUnavailable as error:
                log.warning("bulk run waits for the database", run=run_id, reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect must not end all later runs
                log.error("bulk run failed in our own code", run=run_id, error=type(error).__name__)
            else:
                if ended.state is not BulkState.RUNNING:
                    log.info("bulk run ended", run=run_id, state=ended.state, changed=ended.changed, kept=ended.kept)
