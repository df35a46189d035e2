"""The queue and dead letters: lists, one job with its timeline, and what an operator does about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.queue_filters import InAddress, InForm, QueueQuery, read_position, write_position
from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.queue_filter import MAX_SUGGESTIONS, STATE_TEXTS, ListedJob, QueueState, Suggestion
from wanesync.ops.queue.bulk_runs import (
    MAX_MARKED,
    BulkPreview,
    BulkRequest,
    CountChanged,
    cancel_bulk_run,
    describe_selection,
    find_record,
    list_bulk_runs,
    preview_bulk_run,
    read_bulk_run,
    read_outcomes,
    start_bulk_run,
)
from wanesync.ops.queue.job_details import CLASS_TEXTS, describe_wait, read_job
from wanesync.ops.queue.jobs import try_now
from wanesync.ops.queue.queue_lists import name_person, read_queue

router = APIRouter(prefix="/queue", include_in_schema=False)
NAV = NavEntry("/queue", "Queue", 30)
Reader = Annotated[Visitor, require(Permission.SEE)]
Retrier = Annotated[Visitor, require(Permission.RETRY)]
Discarder = Annotated[Visitor, require(Permission.DISCARD)]

PAGE_JOBS = 50
PAGE_RUNS = 20
TABS = (
    QueueState.DEAD,
    QueueState.RETRYING,
    QueueState.WAITING,
    QueueState.DUE,
    QueueState.RUNNING,
    QueueState.DONE,
    QueueState.DISCARDED,
)


@router.get("")
def show(request: Request, services: Services, visitor: Reader, query: InAddress, after: str = "") -> Response:
    """A page of the jobs of one state."""
    problem, page, now_ms = "", None, services.store.now_ms()
    try:
        page = read_queue(services.store, query.read(now_ms), read_position(after), PAGE_JOBS)
    except ConfigError as error:
        problem = "; ".join(error.problems)
    state = page.wanted.state if page else QueueState.DEAD
    acts = state in {QueueState.DEAD, QueueState.RETRYING} and visitor.may(Permission.RETRY)
    return render(
        request,
        "queue/page.html",
        status=422 if problem else 200,
        fragment="results",
        query=query,
        state=str(state),
        state_text=STATE_TEXTS[state],
        problem=problem,
        jobs=page.jobs if page else [],
        now_ms=page.now_ms if page else now_ms,
        tabs=[(str(one), page.counts.get(one) if page else None) for one in TABS],
        choices=_list_choices(query, state, page.suggestions if page else {}),
        records=_list_records(page.jobs if page else ()),
        following=query.address(after=write_position(page.after)) if page and page.after else "",
        first=query.address() if after else "",
        refresh="" if after or problem else query.address(),
        acts=acts and page is not None,
        is_empty=page.wanted.is_empty if page else True,
        describe_wait=describe_wait,
        total=_sum(page.suggestions.get("side", ())) if page else 0,
    )


def _sum(found: Sequence[Suggestion]) -> int:
    return sum(one.count for one in found)


def _list_choices(query: QueueQuery, state: QueueState, suggestions: object) -> dict[str, list[tuple[str, str]]]:
    """Return the choices of each filter: value, and text with the number of jobs it would show."""
    known: dict[str, list[str]] = {
        "side": [str(one) for one in Side],
        "kind": [str(one) for one in JobKind],
        "code": [str(one) for one in DeadClass] if state in {QueueState.DEAD, QueueState.DISCARDED} else [],
        "reason": [],
        "newer": [],
    }
    found: dict[str, list[tuple[str, str]]] = {}
    for name, values in known.items():
        suggested: Sequence[Suggestion] = suggestions.get(name, ()) if isinstance(suggestions, dict) else ()
        counted = {one.value: f"{one.count:,}{'+' if one.is_more else ''}" for one in suggested}
        order = [*counted, *(value for value in values if value not in counted)]
        typed = getattr(query, name)
        order += [typed] if typed and typed not in order and name == "code" else []
        found[name] = [(value, f"{value} ({counted.get(value, 0)})") for value in order]
    return found


def _list_records(jobs: Sequence[ListedJob]) -> list[tuple[str, str]]:
    """Return the records of the jobs that are shown, those with most jobs first: id, and how many."""
    counts = Counter(record_id for one in jobs if (record_id := find_record(one.job)[1]))
    return [(record_id, f"{count} on this page") for record_id, count in counts.most_common(MAX_SUGGESTIONS)]


@router.post("/find")
def find(services: Services, _visitor: Reader, query: InForm) -> Response:
    """Filters as they were typed become an address; an e-mail address becomes ids, which may stand in one."""
    person = name_person(services.store, query.person) if query.person.strip() else ""
    return RedirectResponse(replace(query, person=person).address(), 303)


@router.get("/jobs/{job_id}")
def show_job(request: Request, services: Services, visitor: Reader, job_id: str) -> Response:
    """One job: its facts, its states in order of time, the webhooks it came from."""
    details = read_job(services.store, job_id)
    events = [
        (event, [(name, visitor.mask(name, value)) for name, value in sorted(event.values.items())])
        for event in details.events
    ]
    return render(
        request,
        "queue/job.html",
        fragment="details",
        details=details,
        job=details.listed.job,
        events=events,
        state_text=STATE_TEXTS[details.state],
        describe_wait=describe_wait,
        acts=visitor.may(Permission.RETRY),
    )


# -- retry and discard


@dataclass(frozen=True, slots=True)
class Chosen:
    """The dead letters of a form: the marked, or with ``scope`` "all" those that its filters show."""

    query: QueueQuery
    ids: tuple[str, ...]
    expected: int

    def make_request(self, services: AdminServices, action: BulkAction) -> BulkRequest:
        """Return what is to be done. Raises ConfigError."""
        if self.ids:
            return BulkRequest(action, ids=frozenset(self.ids))
        return BulkRequest(action, self.query.read(services.store.now_ms()))


def _read_choice(
    query: InForm,
    ids: Annotated[tuple[str, ...], Form(max_length=MAX_MARKED)] = (),
    scope: Annotated[str, Form(max_length=10)] = "",
    expected: Annotated[int, Form(ge=0)] = 0,
) -> Chosen:
    if scope == "marked" and not ids:
        raise ConfigError(["mark at least one job"])
    return Chosen(query, () if scope == "all" else ids, expected)


InChoice = Annotated[Chosen, Depends(_read_choice)]


def _confirm(
    request: Request, services: AdminServices, action: BulkAction, chosen: Chosen, changed: CountChanged | None = None
) -> Response:
    """Return the question that shows how many of which class, with the number as it is now."""
    shown, problem, status = BulkPreview(0, {}), str(changed or ""), 409 if changed else 200
    try:
        wanted = chosen.make_request(services, action)
        shown = preview_bulk_run(services.store, replace(wanted, expected=0 if changed else None))
    except (ConfigError, NotFound) as error:
        problem, status = str(error), 422
    return render(
        request,
        "queue/confirm.html",
        status=status,
        fragment="question",
        action=str(action),
        ids=chosen.ids,
        query=chosen.query,
        shown=shown,
        problem=problem,
        class_texts=CLASS_TEXTS,
        back=chosen.query.address(),
    )


def _start(request: Request, services: AdminServices, visitor: Visitor, action: BulkAction, chosen: Chosen) -> Response:
    wanted = replace(chosen.make_request(services, action), expected=chosen.expected)
    try:
        run = start_bulk_run(services.store, wanted, visitor.operator)
    except CountChanged as changed:
        return _confirm(request, services, action, chosen, changed)
    return RedirectResponse(f"/queue/runs/{run.id}", 303)


@router.post("/retry")
def ask_to_retry(request: Request, services: Services, _visitor: Retrier, chosen: InChoice) -> Response:
    """How many would be retried."""
    return _confirm(request, services, BulkAction.RETRY, chosen)


@router.post("/retry/start")
def retry(request: Request, services: Services, visitor: Retrier, chosen: InChoice) -> Response:
    """Retry as many as were shown."""
    return _start(request, services, visitor, BulkAction.RETRY, chosen)


@router.post("/discard")
def ask_to_discard(request: Request, services: Services, _visitor: Discarder, chosen: InChoice) -> Response:
    """How many would be discarded."""
    return _confirm(request, services, BulkAction.DISCARD, chosen)


@router.post("/discard/start")
def discard(request: Request, services: Services, visitor: Discarder, chosen: InChoice) -> Response:
    """Discard as many as were shown."""
    return _start(request, services, visitor, BulkAction.DISCARD, chosen)


@router.post("/try-now")
def make_due(
    services: Services,
    visitor: Retrier,
    query: InForm,
    ids: Annotated[tuple[str, ...], Form(max_length=MAX_MARKED)] = (),
) -> Response:
    """Try jobs at once that wait after a failed attempt."""
    try_now(services.store, ids, visitor.operator)
    back = f"/queue/jobs/{quote(ids[0], safe='')}" if not query.state else query.address()
    return RedirectResponse(back, 303)


# -- bulk runs


@router.get("/runs")
def show_runs(request: Request, services: Services, _visitor: Reader, after: str = "") -> Response:
    """Bulk runs, the newest first."""
    found = list_bulk_runs(services.store, read_position(after), PAGE_RUNS + 1)
    shown = found[:PAGE_RUNS]
    following = f"/queue/runs?after={shown[-1].created_ms}.{shown[-1].id}" if found[PAGE_RUNS:] else ""
    return render(request, "queue/runs.html", runs=shown, following=following, first="/queue/runs" if after else "")


@router.get("/runs/{run_id}")
def show_run(request: Request, services: Services, visitor: Reader, run_id: str) -> Response:
    """One bulk run: how far it is, and what became of its jobs."""
    run = read_bulk_run(services.store, run_id)
    return render(
        request,
        "queue/run.html",
        fragment="progress",
        run=run,
        now_ms=services.store.now_ms(),
        is_running=run.state is BulkState.RUNNING,
        left_ms=_estimate(run, services.store.now_ms()),
        outcomes=read_outcomes(services.store, run_id),
        about=describe_selection(run.selection),
        acts=run.state is BulkState.RUNNING and visitor.may(Permission.RETRY),
    )


def _estimate(run: BulkRun, now_ms: int) -> int:
    """Return in how many ms a run will be done, as fast as it was so far; 0 where that is not known."""
    took_ms = now_ms - run.created_ms
    return took_ms * (run.total - run.handled) // run.handled if run.handled and took_ms > 0 else 0


@router.post("/runs/{run_id}/cancel")
def cancel(services: Services, visitor: Retrier, run_id: str) -> Response:
    """Stop a bulk run behind its present slice."""
    run = cancel_bulk_run(services.store, run_id, visitor.operator)
    return RedirectResponse(f"/queue/runs/{run.id}", 303)
