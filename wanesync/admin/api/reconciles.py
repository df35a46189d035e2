"""``/api/v1/reconciles``: comparisons of both sides whose repair is reviewed, approved and applied."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.run_views import find_missing, list_steps, read_page, show_fields, start_process
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.model import Side
from wanesync.core.operating.reconcile_runs import Approvals, Run, RunOptions, RunState
from wanesync.ops.reconcile import runs as ops

router = make_router("reconciles")
RunId = Annotated[str, Path(max_length=64, description="The id of a run.")]
Reader = Annotated[Visitor, require(Permission.SEE)]
Starter = Annotated[Visitor, require(Permission.RECONCILE)]
Approver = Annotated[Visitor, require(Permission.APPROVE)]


class StepProgress(ApiModel):
    """How far one step of a run at work is."""

    label: str
    done: int
    total: int | None = Field(description="null while unknown")


class ReconcileRun(ApiModel):
    """A run: who did what when, and what the comparison found. Times are milliseconds since 1970, 0 before."""

    id: str
    state: RunState
    started_by: str
    approved_by: str
    applied_by: str
    made_ms: int
    compared_ms: int
    approved_ms: int
    applied_ms: int
    cancel_asked: bool
    only: list[str] = Field(description="Classes it repairs; empty for all.")
    limit: int | None = Field(description="At most so many people.")
    counts: dict[str, int] = Field(description="Differences by class.")
    volume: dict[str, int] = Field(description="What it would do, in people.")
    links: int = Field(description="Pairs to be linked without a write.")
    set_aside: int = Field(description="Records that could not be used.")
    steps: list[StepProgress]
    waits_for: dict[Side, str] = Field(description="What the listing of a side waits for; empty where nothing waits.")
    result: dict[str, int] = Field(description="What was queued: jobs, linked, skipped.")
    problem: str = Field(description="Why it stopped.")
    may_apply: bool
    needs_approval: bool
    missing_keys: list[str] = Field(
        description="API keys this service lacks: where there are some, `wanesync runs work ID` carries the run out."
    )


class NewRun(ApiModel):
    """What a run compares and repairs."""

    only: list[DifferenceClass] = Field(default=[], description="Classes to repair; empty for all.")
    limit: int | None = Field(default=None, ge=1, le=10_000_000, description="At most so many people, as a canary.")
    parallel: bool = Field(default=False, description="List contacts by ranges of ids (undocumented by HubSpot).")


class Application(ApiModel):
    """The numbers of people that the guards ask to be confirmed."""

    force: int | None = Field(default=None, ge=0, le=10_000_000, description="People whose values are overwritten.")
    max_creations: int | None = Field(default=None, ge=0, le=10_000_000, description="People who may be created.")


class FieldChange(ApiModel):
    """A field of a difference; values are masked. Without ``writes``: both sides keep their own."""

    name: str
    writes: Side | None
    before: str = Field(description="What the written side has; without a write HubSpot's value.")
    after: str = Field(description="What is written there; without a write Stripe's value.")
    why: str


class PlannedDifference(ApiModel):
    """A difference of one person between both sides."""

    kind: DifferenceClass
    contact_id: str
    customer_id: str
    note: str
    planned: bool = Field(description="Whether the run repairs it.")
    fields: list[FieldChange]


@router.get("/reconciles", summary="List reconcile runs")
def show_runs(_visitor: Reader, services: Services, paging: PagingQuery) -> Page[ReconcileRun]:
    """Runs, the newest first."""
    after = decode_cursor(services.store, "reconciles", paging.cursor)
    runs = ops.read_runs(services.store, str(after[0]) if after else "", paging.limit + 1)
    shown = runs[: paging.limit]
    following = encode_cursor(services.store, "reconciles", (shown[-1].id,)) if runs[paging.limit :] else None
    missing = find_missing(services)
    return Page(items=[_describe(services, run, missing) for run in shown], next=following)


@router.post("/reconciles", summary="Start a comparison", status_code=201)
def start_run(visitor: Starter, services: Services, new: NewRun) -> ReconcileRun:
    """Compare both sides and store a plan; nothing is written. One run is at work at a time."""
    options = RunOptions(tuple(str(kind) for kind in new.only), new.limit, new.parallel)
    run_id = ops.start_run(services.store, visitor.operator, options)
    start_process(services, run_id)
    return _read(services, run_id)


@router.get("/reconciles/{run_id}", summary="Show a reconcile run")
def show_run(_visitor: Reader, services: Services, run_id: RunId) -> ReconcileRun:
    """One run, with its progress while it is at work."""
    return _read(services, run_id)


@router.get("/reconciles/{run_id}/differences", summary="List the differences of a run")
def show_differences(
    visitor: Reader,
    services: Services,
    run_id: RunId,
    kind: Annotated[DifferenceClass, Query(description="The class of differences.")],
    paging: PagingQuery,
) -> Page[PlannedDifference]:
    """Differences of one class, in the order of the plan; kept for `[retention] plan_days`."""
    ops.read_run(services.store, run_id)
    listing = f"reconciles/{run_id}/{kind}"
    after = decode_cursor(services.store, listing, paging.cursor)
    changes, place = read_page(services, run_id, kind, str(after[0]) if after else "", paging.limit)
    items = [_describe_change(visitor, change) for change in changes]
    return Page(items=items, next=encode_cursor(services.store, listing, (place,)) if place else None)


@router.post("/reconciles/{run_id}/approve", summary="Approve a reconcile run")
def approve_run(visitor: Approver, services: Services, run_id: RunId) -> ReconcileRun:
    """Approve a run that another operator started, where `[admin] approval` asks for that."""
    ops.approve_run(services.store, visitor.operator, run_id, approval=services.config.admin.approval)
    return _read(services, run_id)


@router.post("/reconciles/{run_id}/apply", summary="Apply the plan of a run")
def apply_run(visitor: Starter, services: Services, run_id: RunId, confirmed: Application) -> ReconcileRun:
    """List both sides again, and queue what is still due exactly as it was planned."""
    numbers = Approvals(confirmed.force, confirmed.max_creations)
    ops.ask_apply(services.store, visitor.operator, run_id, numbers, approval=services.config.admin.approval)
    start_process(services, run_id)
    return _read(services, run_id)


@router.post("/reconciles/{run_id}/cancel", summary="Cancel a reconcile run")
def cancel_run(visitor: Starter, services: Services, run_id: RunId) -> ReconcileRun:
    """Cancel a run that waits or is at work; its process ends within a few seconds."""
    ops.cancel_run(services.store, visitor.operator, run_id)
    return _read(services, run_id)


@router.post("/reconciles/{run_id}/discard", summary="Discard a reconcile run")
def discard_run(visitor: Starter, services: Services, run_id: RunId) -> ReconcileRun:
    """Close a compared run without applying it."""
    ops.discard_run(services.store, visitor.operator, run_id)
    return _read(services, run_id)


def _read(services: AdminServices, run_id: str) -> ReconcileRun:
    return _describe(services, ops.read_run(services.store, run_id), find_missing(services))


def _describe(services: AdminServices, run: Run, missing: list[str]) -> ReconcileRun:
    facts, approval = run.facts, services.config.admin.approval
    return ReconcileRun(
        id=run.id,
        state=run.state,
        started_by=facts.started_by,
        approved_by=facts.approved_by,
        applied_by=facts.applied_by,
        made_ms=facts.made_ms,
        compared_ms=facts.compared_ms,
        approved_ms=facts.approved_ms,
        applied_ms=facts.applied_ms,
        cancel_asked=run.cancel_asked,
        only=list(facts.options.only),
        limit=facts.options.limit,
        counts=dict(facts.counts),
        volume=dict(facts.volume),
        links=facts.links,
        set_aside=facts.set_aside,
        steps=[StepProgress(label=step.label, done=step.done, total=step.total) for step in list_steps(run)],
        waits_for={Side(side): reason for side, reason in run.waits_for.items()},
        result=dict(facts.result),
        problem=facts.problem,
        may_apply=run.may_apply(approval),
        needs_approval=run.needs_approval(approval),
        missing_keys=missing,
    )


def _describe_change(visitor: Visitor, change: ops.PlannedChange) -> PlannedDifference:
    fields = [
        FieldChange(
            name=one.name, writes=Side(one.writes) if one.writes else None, before=one.before, after=one.after,
            why=one.why,
        )
        for one in show_fields(visitor, change)
    ]  # fmt: skip
    return PlannedDifference(
        kind=change.kind, contact_id=change.hubspot_id, customer_id=change.stripe_id, note=change.note,
        planned=change.planned, fields=fields,
    )  # fmt: skip
