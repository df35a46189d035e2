"""``/api/v1/jobs``, ``/dead-letters`` and ``/bulk-runs``: the queue, retry and discard."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.queue_filters import QueueQuery
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.operators import Via
from wanesync.core.operating.queue_filter import ListedJob, QueueState
from wanesync.ops.queue.bulk_runs import (
    MAX_MARKED,
    BulkRequest,
    cancel_bulk_run,
    list_bulk_runs,
    preview_bulk_run,
    read_bulk_run,
    read_outcomes,
    start_bulk_run,
)
from wanesync.ops.queue.job_details import JobDetails, describe_wait, read_job
from wanesync.ops.queue.jobs import try_now
from wanesync.ops.queue.queue_lists import read_queue
from wanesync.store.tables.operating.job_lists import Position

router = make_router("queue")
JobId = Annotated[str, Path(max_length=64, description="The id of a job.")]
RunId = Annotated[str, Path(max_length=64, description="The id of a bulk run.")]
Reader = Annotated[Visitor, require(Permission.SEE)]
AGE = "A span (`30m`, `2h`, `5d`), or a date or time (UTC)."
MAX_TEXT = 200


class JobItem(ApiModel):
    """A job. Times are milliseconds since 1970, 0 for what has not happened."""

    id: str
    state: QueueState
    side: Side = Field(description="The side whose lane it is in.")
    kind: JobKind
    key: str = Field(description="Of the contact, customer, guest or payment.")
    priority: int = Field(description="Lower values go first.")
    attempts: int
    dead_class: str = Field(description="Why it was given up, empty for any other job.")
    waits_for: str = Field(description="The code of what a job waits for that is not claimed, empty for nothing.")
    reason: str
    arrived_ms: int
    due_ms: int
    claimed_ms: int
    ended_ms: int
    is_superseded: bool = Field(description="A newer job of the same key did its work.")
    run_id: str = Field(description="The reconcile run that asked for it, empty for live work.")


class JobStep(ApiModel):
    """A line of the timeline of a job. ``at_ms``: 0 where it is not known, in the future for what is to come."""

    at_ms: int
    name: str
    text: str


class JobRecord(ApiModel):
    """A record that a job concerns."""

    side: Side
    id: str


class JobEvent(ApiModel):
    """A webhook that a job came from; values are masked."""

    key: str
    side: Side
    record_id: str
    kind: str
    received_ms: int
    values: dict[str, str]


class JobPage(ApiModel):
    """One job with its timeline."""

    job: JobItem
    waits_for_text: str = Field(description="What it waits for, in words.")
    records: list[JobRecord]
    events: list[JobEvent]
    steps: list[JobStep]
    is_unanswered: bool = Field(description="A write of it has no answer yet: it cannot be discarded.")


class ValueItem(ApiModel):
    """A value of a filter and how many jobs it would show; ``is_more``: at least so many."""

    value: str
    count: int
    is_more: bool


class QueueValues(ApiModel):
    """Numbers of jobs: of each state but ``done``, and of each value of a filter, the other filters as they are."""

    states: dict[QueueState, int]
    values: dict[str, list[ValueItem]]


class DeadLetterFilter(ApiModel):
    """Which dead letters: all that fit every value. At least one value is needed."""

    side: Side | None = None
    kind: JobKind | None = None
    dead_class: DeadClass | None = None
    reason: str = Field(default="", max_length=MAX_TEXT, description="A part of the reason, in any case.")
    newer: str = Field(default="", max_length=MAX_TEXT, description=f"Given up after then. {AGE}", examples=["1d"])
    older: str = Field(default="", max_length=MAX_TEXT, description=f"Given up before then. {AGE}", examples=[""])
    person: str = Field(default="", max_length=MAX_TEXT, description="An address, or ids with commas between.")


class BulkBody(ApiModel):
    """What is to be done: the jobs of ``ids``, or all that ``filter`` shows; one of the two.

    ``expected``: the number of dead letters that was shown and confirmed. If there are more or fewer by now, nothing is
    done (409). Without it nothing is done but to count (``dry_run=true``).
    """

    ids: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=MAX_MARKED)
    filter: DeadLetterFilter | None = None
    expected: int | None = Field(default=None, ge=0)


class JobIds(ApiModel):
    """Some jobs."""

    ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=MAX_MARKED)


class MadeDue(ApiModel):
    """How many of the jobs waited after a failed attempt, and are due now."""

    made_due: int


class BulkRunItem(ApiModel):
    """A bulk run: dead letters that are retried or discarded in slices, and how far it is."""

    id: str
    action: BulkAction
    state: BulkState
    operator: str
    via: Via
    total: int = Field(description="Dead letters that were confirmed.")
    changed: int = Field(description="Retried or discarded.")
    kept: int = Field(description="Left as they are.")
    gone: int = Field(description="No dead letters any more when the run came to them; 0 before its end.")
    percent: int
    created_ms: int
    ended_ms: int
    ended_by: str = Field(description="Who cancelled it, empty if it was not cancelled.")


class BulkRunPage(ApiModel):
    """A bulk run, and what its jobs are now: waiting, running, done, dead, kept, discarded, removed."""

    run: BulkRunItem
    outcomes: dict[str, int]


class BulkAnswer(ApiModel):
    """How many dead letters, by class, and the run that was started; null for a dry run."""

    count: int
    classes: dict[str, int]
    run: BulkRunItem | None


class _JobQuery:
    """Dependency: the filters of a list of jobs."""

    def __init__(
        self,
        state: Annotated[QueueState, Query()] = QueueState.DEAD,
        side: Annotated[Side | None, Query()] = None,
        kind: Annotated[JobKind | None, Query()] = None,
        code: Annotated[str, Query(max_length=MAX_TEXT, description="Class, or what a job waits for.")] = "",
        reason: Annotated[str, Query(max_length=MAX_TEXT, description="A part of the reason, in any case.")] = "",
        newer: Annotated[str, Query(max_length=MAX_TEXT, description=AGE)] = "",
        older: Annotated[str, Query(max_length=MAX_TEXT, description=AGE)] = "",
        person: Annotated[str, Query(max_length=MAX_TEXT, description="An address, or ids with commas between.")] = "",
    ) -> None:
        self.query = QueueQuery(state, side or "", kind or "", code, reason, newer, older, person)


JobQuery = Annotated[_JobQuery, Depends()]


@router.get("/jobs", summary="List jobs of one state")
def show_jobs(_visitor: Reader, services: Services, asked: JobQuery, paging: PagingQuery) -> Page[JobItem]:
    """Dead, finished and discarded jobs: the last ended first; the others: those that are due first, first."""
    store, query = services.store, asked.query
    listing = f"jobs {query}"
    after = decode_cursor(store, listing, paging.cursor)
    position = Position(int(after[0]), str(after[1])) if after else None
    page = read_queue(store, query.read(store.now_ms()), position, paging.limit)
    following = encode_cursor(store, listing, page.after) if page.after else None
    return Page(items=[_describe(one, page.now_ms) for one in page.jobs], next=following)


@router.get("/jobs/values", summary="Count jobs by state and by value of each filter")
def show_values(_visitor: Reader, services: Services, asked: JobQuery) -> QueueValues:
    """Suggestions for filters. At most 5,000 jobs of a state are counted; ``is_more`` says that there are others."""
    page = read_queue(services.store, asked.query.read(services.store.now_ms()), None, 1)
    return QueueValues(
        states={state: one.count for state, one in page.counts.items()},
        values={
            name: [ValueItem(value=one.value, count=one.count, is_more=one.is_more) for one in values]
            for name, values in page.suggestions.items()
        },
    )


@router.get("/jobs/{job_id}", summary="Show one job with its timeline")
def show_job(visitor: Reader, services: Services, job_id: JobId) -> JobPage:
    """One job in any state: its records, the webhooks it came from, its states in order of time."""
    return _describe_details(visitor, read_job(services.store, job_id))


@router.post("/jobs/try-now", summary="Try jobs at once that wait after a failed attempt")
def try_jobs_now(visitor: Annotated[Visitor, require(Permission.RETRY)], services: Services, body: JobIds) -> MadeDue:
    """End the wait after a failed attempt; a wait that the vendor asked for, or for a condition, goes on."""
    return MadeDue(made_due=try_now(services.store, body.ids, visitor.operator))


@router.post("/dead-letters/retry", summary="Retry dead letters")
def retry_dead_letters(
    visitor: Annotated[Visitor, require(Permission.RETRY)],
    services: Services,
    body: BulkBody,
    dry_run: Annotated[bool, Query(description="Only count.")] = False,
) -> BulkAnswer:
    """Queue dead letters again. A process of the admin service does it in slices: follow the bulk run."""
    return _change(visitor, services, BulkAction.RETRY, body, dry_run=dry_run)


@router.post("/dead-letters/discard", summary="Discard dead letters")
def discard_dead_letters(
    visitor: Annotated[Visitor, require(Permission.DISCARD)],
    services: Services,
    body: BulkBody,
    dry_run: Annotated[bool, Query(description="Only count.")] = False,
) -> BulkAnswer:
    """Close dead letters without another attempt; one with a write that has no answer yet is kept."""
    return _change(visitor, services, BulkAction.DISCARD, body, dry_run=dry_run)


@router.get("/bulk-runs", summary="List bulk runs")
def show_runs(_visitor: Reader, services: Services, paging: PagingQuery) -> Page[BulkRunItem]:
    """What was retried and discarded, the newest first."""
    store = services.store
    after = decode_cursor(store, "bulk-runs", paging.cursor)
    found = list_bulk_runs(store, Position(int(after[0]), str(after[1])) if after else None, paging.limit + 1)
    shown = found[: paging.limit]
    following = (
        encode_cursor(store, "bulk-runs", (shown[-1].created_ms, shown[-1].id)) if found[paging.limit :] else None
    )
    return Page(items=[_describe_run(run) for run in shown], next=following)


@router.get("/bulk-runs/{run_id}", summary="Show one bulk run")
def show_run(_visitor: Reader, services: Services, run_id: RunId) -> BulkRunPage:
    """How far a run is, and what its jobs are now."""
    run = read_bulk_run(services.store, run_id)
    return BulkRunPage(run=_describe_run(run), outcomes=dict(read_outcomes(services.store, run_id)))


@router.post("/bulk-runs/{run_id}/cancel", summary="Cancel a bulk run")
def cancel_run(
    visitor: Annotated[Visitor, require(Permission.RETRY)], services: Services, run_id: RunId
) -> BulkRunItem:
    """Stop a run behind its present slice; one that has ended stays as it is."""
    return _describe_run(cancel_bulk_run(services.store, run_id, visitor.operator))


def _change(
    visitor: Visitor, services: AdminServices, action: BulkAction, body: BulkBody, *, dry_run: bool
) -> BulkAnswer:
    request = _make_request(services, action, body)
    if dry_run:
        shown = preview_bulk_run(services.store, request)
        return BulkAnswer(count=shown.count, classes=dict(shown.classes), run=None)
    if body.expected is None:
        raise ConfigError(["expected: give the number of dead letters that dry_run=true counts"])
    run = start_bulk_run(services.store, request, visitor.operator)
    return BulkAnswer(count=run.total, classes={}, run=_describe_run(run))


def _make_request(services: AdminServices, action: BulkAction, body: BulkBody) -> BulkRequest:
    if bool(body.ids) == (body.filter is not None):
        raise ConfigError(["give either ids or a filter"])
    if body.filter is None:
        return BulkRequest(action, ids=frozenset(body.ids), expected=body.expected)
    asked = body.filter
    query = QueueQuery(
        state=QueueState.DEAD,
        side=asked.side or "",
        kind=asked.kind or "",
        code=asked.dead_class or "",
        reason=asked.reason,
        newer=asked.newer,
        older=asked.older,
        person=asked.person,
    )
    return BulkRequest(action, query.read(services.store.now_ms()), expected=body.expected)


def _describe(one: ListedJob, now_ms: int) -> JobItem:
    job, state = one.job, one.state(now_ms)
    ended = state in {QueueState.DEAD, QueueState.DONE, QueueState.DISCARDED}
    return JobItem(
        id=job.id,
        state=state,
        side=job.lane,
        kind=job.kind,
        key=job.key,
        priority=job.priority,
        attempts=job.attempts,
        dead_class=job.dead_class,
        waits_for="" if ended else job.waits_for,
        reason=job.reason,
        arrived_ms=job.arrived_ms,
        due_ms=job.due_ms,
        claimed_ms=one.claimed_ms,
        ended_ms=one.ended_ms,
        is_superseded=one.is_superseded and state is QueueState.DONE,
        run_id=job.run_id,
    )


def _describe_details(visitor: Visitor, details: JobDetails) -> JobPage:
    ready = details.state in {QueueState.DUE, QueueState.WAITING, QueueState.RETRYING}
    return JobPage(
        job=_describe(details.listed, details.now_ms),
        waits_for_text=describe_wait(details.listed.job) if ready else "",
        records=[JobRecord(side=side, id=record_id) for side, record_id in details.refs],
        events=[
            JobEvent(
                key=event.key,
                side=event.side,
                record_id=event.record_id,
                kind=event.kind,
                received_ms=event.received_ms,
                values={name: visitor.mask(name, value) for name, value in event.values.items()},
            )
            for event in details.events
        ],
        steps=[JobStep(at_ms=step.at_ms, name=step.name, text=step.text) for step in details.steps],
        is_unanswered=details.is_unanswered,
    )


def _describe_run(run: BulkRun) -> BulkRunItem:
    return BulkRunItem(
        id=run.id,
        action=run.action,
        state=run.state,
        operator=run.operator.name,
        via=run.operator.via,
        total=run.total,
        changed=run.changed,
        kept=run.kept,
        gone=run.gone,
        percent=run.percent,
        created_ms=run.created_ms,
        ended_ms=run.ended_ms,
        ended_by=run.ended_by,
    )
