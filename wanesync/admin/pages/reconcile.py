"""Reconcile: a comparison is started, watched and read, then approved and applied, or discarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.run_views import (
    FieldView,
    StepView,
    find_confirmations,
    find_missing,
    list_steps,
    list_waits,
    read_page,
    show_fields,
    start_process,
)
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.diff.difference import ACTIONABLE, MEANING, DifferenceClass
from wanesync.core.errors import ConfigError, DecryptionFailed, GuardError
from wanesync.core.operating.reconcile_runs import MEANING as STATES
from wanesync.core.operating.reconcile_runs import WORKING, Approvals, Run, RunOptions, RunState
from wanesync.ops.people.record_pages import NO_PAGES, RecordPages, find_record_pages
from wanesync.ops.reconcile import runs as ops
from wanesync.reconcile.plan_files import PINS

router = APIRouter(prefix="/reconcile", include_in_schema=False)
NAV = NavEntry("/reconcile", "Reconcile", 60)
Reader = Annotated[Visitor, require(Permission.SEE)]
Starter = Annotated[Visitor, require(Permission.RECONCILE)]
Approver = Annotated[Visitor, require(Permission.APPROVE, fresh=True)]

PAGE_RUNS, PAGE_ROWS = 20, 25
KINDS_OF_STATE = {
    RunState.APPLIED: "ok", RunState.PLANNED: "warn", RunState.APPROVED: "warn", RunState.FAILED: "bad",
    RunState.BROKEN: "bad",
}  # fmt: skip
Number = Annotated[str, Form(max_length=12, pattern=r"^\s*\d*\s*$")]


@router.get("")
def show_runs(
    request: Request, services: Services, visitor: Reader, before: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Runs, the newest first, and the form that starts one."""
    return _show_runs(request, services, visitor, before)


def _show_runs(
    request: Request, services: AdminServices, visitor: Visitor, before: str = "", problem: str = "", status: int = 200
) -> Response:
    runs = ops.read_runs(services.store, before, PAGE_RUNS + 1)
    shown = runs[:PAGE_RUNS]
    return render(
        request,
        "reconcile/runs.html",
        status=status,
        runs=shown,
        following=f"/reconcile?{urlencode({'before': shown[-1].id})}" if runs[PAGE_RUNS:] else "",
        newest="/reconcile" if before else "",
        active=next((run for run in runs if run.active), None),
        missing=find_missing(services),
        classes=[(str(kind), MEANING[kind]) for kind in DifferenceClass if kind in ACTIONABLE],
        may_start=visitor.may(Permission.RECONCILE),
        approval=services.config.admin.approval,
        kinds_of_state=KINDS_OF_STATE,
        states=STATES,
        repairs=_count_repairs,
        list_waits=list_waits,
        problem=problem,
    )


@router.post("")
def start(
    request: Request,
    services: Services,
    visitor: Starter,
    only: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    limit: Number = "",
    parallel: Annotated[bool, Form()] = False,
) -> Response:
    """Start a comparison, which writes nothing."""
    options = RunOptions(tuple(only), _read_number(limit), parallel)
    try:
        run_id = ops.start_run(services.store, visitor.operator, options)
    except (ConfigError, GuardError) as error:
        problem = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        return _show_runs(request, services, visitor, problem=problem, status=409)
    start_process(services, run_id)
    return _go_to(run_id)


@router.get("/{run_id}")
def show_run(
    request: Request,
    services: Services,
    visitor: Reader,
    run_id: str,
    kind: Annotated[str, Query(max_length=40)] = "",
    after: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """One run: its progress, its report by class, and what can be done with it."""
    return _show_run(request, services, visitor, run_id, kind=kind, after=after)


@router.get("/{run_id}/progress")
def show_progress(request: Request, services: Services, visitor: Reader, run_id: str) -> Response:
    """The part of the page that changes while a run is at work; the whole page is loaded when it has ended."""
    run = ops.read_run(services.store, run_id)
    if not run.active and request.headers.get("hx-request") == "true":
        return Response(headers={"HX-Refresh": "true"})
    return render(request, "reconcile/progress.html", now=_describe_progress(services, visitor, run))


@dataclass(frozen=True, slots=True)
class ProgressView:
    """The part of the page that changes. ``waits``: for a process. ``waiting``: what its listings wait for.

    ``missing``: the API keys this service lacks.
    """

    run: Run
    kind: str
    meaning: str
    waits: bool
    steps: list[StepView]
    waiting: list[str]
    missing: list[str]
    may_work: bool


def _describe_progress(services: AdminServices, visitor: Visitor, run: Run) -> ProgressView:
    kind, meaning = KINDS_OF_STATE.get(run.state, ""), STATES[run.state]
    missing, may_work = find_missing(services), visitor.may(Permission.RECONCILE)
    return ProgressView(run, kind, meaning, run.state in WORKING, list_steps(run), list_waits(run), missing, may_work)


@dataclass(frozen=True, slots=True)
class DifferencesView:
    """A page of the differences of one class. ``following``, ``newest``: addresses of other pages, "" for none.

    ``unreadable``: why there are none.
    """

    chosen: DifferenceClass | None
    rows: Sequence[tuple[ops.PlannedChange, Sequence[FieldView]]] = ()
    following: str = ""
    newest: str = ""
    unreadable: str = ""


def _choose_class(classes: Sequence[tuple[DifferenceClass, int, bool, str]], kind: str) -> DifferenceClass | None:
    """Return the class that is asked for, else the first that is repaired."""
    chosen = next((one for one, *_ in classes if str(one) == kind), None)
    return chosen or next((one for one, _, repaired, _ in classes if repaired), None)


def _read_differences(
    services: AdminServices, visitor: Visitor, run: Run, chosen: DifferenceClass | None, after: str
) -> DifferencesView:
    if chosen is None:
        return DifferencesView(None)
    address = f"/reconcile/{run.id}"
    newest = f"{address}?{urlencode({'kind': str(chosen)})}#differences" if after else ""
    try:
        changes, place = read_page(services, run.id, chosen, after, PAGE_ROWS)
    except DecryptionFailed:
        unreadable = "the plan was encrypted with a key that was removed since: start a new comparison"
        return DifferencesView(chosen, newest=newest, unreadable=unreadable)
    rows = [(change, show_fields(visitor, change)) for change in changes]
    following = f"{address}?{urlencode({'kind': str(chosen), 'after': place})}#differences" if place else ""
    return DifferencesView(chosen, rows, following, newest)


def _show_run(
    request: Request,
    services: AdminServices,
    visitor: Visitor,
    run_id: str,
    *,
    kind: str = "",
    after: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    run = ops.read_run(services.store, run_id)
    classes = ops.list_classes(run.facts)
    approval = services.config.admin.approval
    return render(
        request,
        "reconcile/run.html",
        status=status,
        now=_describe_progress(services, visitor, run),
        run=run,
        facts=run.facts,
        may_work=visitor.may(Permission.RECONCILE),
        classes=classes,
        volume=ops.describe_volume(run.facts.volume),
        shown=_read_differences(services, visitor, run, _choose_class(classes, kind), after),
        meanings=MEANING,
        confirm=find_confirmations(run),
        jobs_left=_count_left(services, run),
        pages=_find_pages(services),
        people="/people" in {entry.path for entry in request.app.state.nav},
        approval=approval,
        needs_approval=run.needs_approval(approval),
        may_approve=visitor.may(Permission.APPROVE) and run.may_approve(approval, visitor.operator),
        may_apply=visitor.may(Permission.RECONCILE) and run.may_apply(approval),
        is_open=run.may_apply(approval=False),
        problem=problem,
    )


@router.post("/{run_id}/approve")
def approve(request: Request, services: Services, visitor: Approver, run_id: str) -> Response:
    """Approve a run that another operator started."""
    try:
        ops.approve_run(services.store, visitor.operator, run_id, approval=services.config.admin.approval)
    except GuardError as error:
        return _show_run(request, services, visitor, run_id, problem=str(error), status=409)
    return _go_to(run_id)


@router.post("/{run_id}/apply")
def apply(
    request: Request,
    services: Services,
    visitor: Starter,
    run_id: str,
    force: Number = "",
    max_creations: Number = "",
) -> Response:
    """Apply the plan of a run, where it is still valid."""
    wanted = find_confirmations(ops.read_run(services.store, run_id))
    # What is not asked for is not confirmed: the guards look again at what is due by then.
    given = Approvals(
        _read_number(force) if wanted.overwritten else None, _read_number(max_creations) if wanted.created else None
    )
    if (wanted.overwritten and given.force != wanted.overwritten) or (
        wanted.created and given.max_creations != wanted.created
    ):
        text = "type the numbers that the page names, to confirm that so many people are meant"
        return _show_run(request, services, visitor, run_id, problem=text, status=422)
    try:
        approval = services.config.admin.approval
        ops.ask_apply(services.store, visitor.operator, run_id, given, approval=approval)
    except GuardError as error:
        return _show_run(request, services, visitor, run_id, problem=str(error), status=409)
    start_process(services, run_id)
    return _go_to(run_id)


@router.post("/{run_id}/cancel")
def cancel(request: Request, services: Services, visitor: Starter, run_id: str) -> Response:
    """Cancel a run that waits or is at work."""
    try:
        ops.cancel_run(services.store, visitor.operator, run_id)
    except GuardError as error:
        return _show_run(request, services, visitor, run_id, problem=str(error), status=409)
    return _go_to(run_id)


@router.post("/{run_id}/discard")
def discard(request: Request, services: Services, visitor: Starter, run_id: str) -> Response:
    """Close a compared run without applying it."""
    try:
        ops.discard_run(services.store, visitor.operator, run_id)
    except GuardError as error:
        return _show_run(request, services, visitor, run_id, problem=str(error), status=409)
    return _go_to(run_id)


def _go_to(run_id: str) -> Response:
    return RedirectResponse(f"/reconcile/{run_id}", 303)


def _read_number(text: str) -> int | None:
    return int(text) if text.strip() else None


def _count_repairs(run: Run) -> int:
    return sum(number for _, number, repaired, _ in ops.list_classes(run.facts) if repaired)


def _count_left(services: AdminServices, run: Run) -> int:
    """How many jobs of an applied run the workers have still to do."""
    if not run.facts.job_run:
        return 0
    return services.store.read(lambda tx: tx.jobs.run_pending(run.facts.job_run))


def _find_pages(services: AdminServices) -> RecordPages:
    """Return what comes before the id of a record in the address of its page at the vendor."""
    if services.config.is_rehearsal:
        return NO_PAGES
    with services.store.reading() as tx:
        portal, account, mode = (tx.settings.get(name) or "" for name in PINS)
    return find_record_pages(portal, account, mode)
