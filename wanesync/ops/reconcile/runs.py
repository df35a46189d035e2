"""Reconciles that operators start, approve and apply: in the admin service, by its API, and by ``wanesync runs``.

Every change is a row of the audit log. The work itself is done by a process with both API keys (``reconcile_work``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wanesync.core.diff.difference import ACTIONABLE, MEANING, DifferenceClass
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.operating.operators import Via
from wanesync.core.operating.reconcile_runs import Approvals, Run, RunFacts, RunOptions, RunState, name_person
from wanesync.reconcile.lock import AlreadyRunning
from wanesync.reconcile.plan_files import PlanReader
from wanesync.store.session import ConstraintViolated, PrivilegeDenied

if TYPE_CHECKING:
    from wanesync.core.operating.operators import Operator
    from wanesync.store.database import Store, Tx

LOST = "its process ended in the middle: start it again"
NEVER_TAKEN = "no process took it up within an hour"
PLAN_GONE = "its plan is not kept any more: start a new comparison"
BUSY = "another run is asked for or at work: wait for it, or cancel it"
MAX_LIMIT = 10_000_000
"""People of one run: more than there can be."""


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One field of a difference: what both sides hold, and what is written where ("" for nothing)."""

    name: str
    hubspot: str
    stripe: str
    writes: str = ""
    after: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One difference of a run's report. ``planned``: the run would repair it. ``place``: where the next page begins."""

    kind: DifferenceClass
    key: str
    hubspot_id: str
    stripe_id: str
    note: str
    fields: Sequence[PlannedField]
    planned: bool
    place: str


# -- reading


def read_runs(store: Store, before: str = "", limit: int = 50) -> list[Run]:
    """Return runs, the newest first; one whose process is gone is marked as broken first."""
    # A login that only reads sees it as it is stored.
    with suppress(PrivilegeDenied):
        mark_lost(store)
    with store.reading() as tx:
        return tx.reconcile_runs.find(before, limit)


def read_run(store: Store, run_id: str) -> Run:
    """Return one run. Raises NotFound."""
    with suppress(PrivilegeDenied):
        mark_lost(store)
    with store.reading() as tx:
        return _get(tx, run_id)


def read_changes(reader: PlanReader, run_id: str, kind: DifferenceClass, after: str, limit: int) -> list[PlannedChange]:
    """Return differences of one class of a run's report, in the order of its plan, with their values.

    ``after``: the place of the last one of the page before, "" for the first page. Raises DecryptionFailed where the
    plan was made with a key that was removed since.
    """
    with reader.store.reading() as tx:
        items = tx.reconcile_runs.items(run_id, kind, after, limit)
    return [
        _read_planned(reader, item.data, item.id) if item.is_planned else _read_shown(item.data, item.id)
        for item in items
    ]


def _read_planned(reader: PlanReader, text: str, place: str) -> PlannedChange:
    found = reader.read_line(text)
    fields = [
        PlannedField(name, value.hubspot, value.stripe, value.writes, value.after, value.why)
        for name, value in found.fields.items()
    ]
    return PlannedChange(found.kind, found.key, found.hubspot_id, found.stripe_id, "", fields, True, place)


def _read_shown(text: str, place: str) -> PlannedChange:
    data = json.loads(text)
    fields = [PlannedField(**values) for values in data["fields"]]
    ids = data["key"], data["hubspot_id"], data["stripe_id"], data["note"]
    return PlannedChange(DifferenceClass(data["class"]), *ids, fields, False, place)


def list_classes(facts: RunFacts) -> list[tuple[DifferenceClass, int, bool, str]]:
    """Return the classes that a run found: with how many, whether it repairs them, and what they mean."""
    return [
        (kind, number, kind in ACTIONABLE, MEANING[kind])
        for kind in DifferenceClass
        if (number := facts.counts.get(kind, 0))
    ]


# -- changing


def start_run(store: Store, operator: Operator, options: RunOptions) -> str:
    """Ask for a comparison, which writes nothing; return the run's id. Raises ConfigError and AlreadyRunning."""
    unknown = [one for one in options.only if one not in set(ACTIONABLE)]
    if unknown:
        raise ConfigError([f"only {unknown[0]}: must be one of {', '.join(sorted(ACTIONABLE))}"])
    if options.limit is not None and not 1 <= options.limit <= MAX_LIMIT:
        raise ConfigError([f"limit: must be between 1 and {MAX_LIMIT:,}"])
    mark_lost(store)

    def start(tx: Tx) -> str:
        if tx.reconcile_runs.active():
            raise AlreadyRunning(BUSY)
        run_id = tx.reconcile_runs.add(RunFacts(options, operator.name, made_ms=tx.now_ms))
        chosen = {"only": list(options.only), "limit": options.limit, "parallel": options.parallel}
        tx.audit.add(operator, "reconcile.start", run_id, None, chosen)
        return run_id

    try:
        return store.run(start)
    except ConstraintViolated as error:
        raise AlreadyRunning(BUSY) from error


def approve_run(store: Store, operator: Operator, run_id: str, *, approval: bool) -> None:
    """Approve a compared run, as another person than the one who started it. Raises NotFound and GuardError.

    On a page it takes a second factor: a user who made a second account and its password could approve by it.
    """

    def approve(tx: Tx) -> None:
        run = _get(tx, run_id)
        run.check_approve(approval, operator)
        _check_tokens(tx, run, operator)
        user = tx.admin_users.get(operator.name) if operator.via is Via.PAGE else None
        if user is not None and user.has_password and not user.has_totp:
            raise GuardError("an approval takes a second factor: turn yours on, on the page of your account")
        facts = replace(run.facts, approved_by=operator.name, approved_ms=tx.now_ms)
        _change(tx, run, RunState.APPROVED, facts)
        tx.audit.add(operator, "reconcile.approve", run_id, {"state": run.state}, {"started_by": facts.started_by})

    store.run(approve)


def _check_tokens(tx: Tx, run: Run, operator: Operator) -> None:
    """Raise GuardError where one of the two is a token of the API that the other one made."""
    if operator.via not in {Via.PAGE, Via.API}:
        return  # the database roles of commands read no tokens
    starter, approver = run.facts.started_by.casefold(), name_person(operator)
    made = {(token.name.casefold(), token.made_by.casefold()) for token in tx.admin_tokens.get_all()}
    if {(starter, approver), (approver, starter)} & made:
        raise GuardError("who started a run cannot approve it by a token of his or her own: another operator must")


def ask_apply(store: Store, operator: Operator, run_id: str, confirmed: Approvals, *, approval: bool) -> None:
    """Ask for the application of a run's plan. Raises NotFound and GuardError.

    ``confirmed``: the numbers of people that the guards want confirmed, as ``--force`` and ``--max-creates``.
    """
    mark_lost(store)

    def ask(tx: Tx) -> None:
        run = _get(tx, run_id)
        run.check_apply(approval)
        if tx.reconcile_runs.active():
            raise AlreadyRunning(BUSY)
        if tx.reconcile_runs.count_planned(run_id) != run.facts.lines:
            raise GuardError(PLAN_GONE)
        facts = replace(
            run.facts, applied_by=operator.name, applied_via=str(operator.via), confirmed=confirmed, problem="",
            progress={}, ended_ms=0,
        )  # fmt: skip
        _change(tx, run, RunState.APPLY_ASKED, facts)
        numbers = {"force": confirmed.force, "max_creations": confirmed.max_creations}
        tx.audit.add(operator, "reconcile.apply", run_id, {"state": run.state}, numbers)

    try:
        store.run(ask)
    except ConstraintViolated as error:
        raise AlreadyRunning(BUSY) from error


def cancel_run(store: Store, operator: Operator, run_id: str) -> None:
    """Cancel a run that is asked for or at work; its process ends within a few seconds. Raises NotFound, GuardError.

    Jobs that an application has queued already stay queued.
    """

    def cancel(tx: Tx) -> None:
        run = _get(tx, run_id)
        if not run.active:
            raise GuardError("this run is not at work: there is nothing to cancel")
        if run.state in {RunState.ASKED, RunState.APPLY_ASKED}:
            _change(tx, run, stop_state(run), replace(run.facts, ended_ms=tx.now_ms, problem=""))
        else:
            tx.reconcile_runs.cancel(run_id)
        tx.audit.add(operator, "reconcile.cancel", run_id, {"state": run.state}, None)

    store.run(cancel)


def discard_run(store: Store, operator: Operator, run_id: str) -> None:
    """Close a compared run without applying it. Raises NotFound and GuardError."""

    def discard(tx: Tx) -> None:
        run = _get(tx, run_id)
        run.check_discard()
        _change(tx, run, RunState.DISCARDED, replace(run.facts, ended_ms=tx.now_ms))
        tx.audit.add(operator, "reconcile.discard", run_id, {"state": run.state}, None)

    store.run(discard)


def stop_state(run: Run) -> RunState:
    """Return the state of a run whose work ends without a result: a plan that was made stays usable."""
    if run.facts.has_plan:
        return RunState.APPROVED if run.facts.approved_by else RunState.PLANNED
    return RunState.CANCELLED


def fail_run(store: Store, run_id: str, problem: str) -> None:
    """Note why a run could not be carried out, if it still is asked for or at work."""

    def fail(tx: Tx) -> None:
        run = tx.reconcile_runs.get(run_id)
        if run is not None and run.active:
            state = stop_state(run) if run.facts.has_plan else RunState.FAILED
            tx.reconcile_runs.change(run, state, replace(run.facts, ended_ms=tx.now_ms, problem=problem))

    store.run(fail)


def mark_lost(store: Store) -> None:
    """Mark the run whose process is gone as broken, so that another one can begin. Changes nothing as a rule."""
    with store.reading() as tx:
        run = tx.reconcile_runs.active()
        if run is None or not run.is_lost(tx.now_ms):
            return
        waited = run.state in {RunState.ASKED, RunState.APPLY_ASKED}

    def mark(tx: Tx) -> None:
        state = RunState.CANCELLED if waited and not run.facts.has_plan else RunState.BROKEN
        problem = NEVER_TAKEN if waited else LOST
        tx.reconcile_runs.change(run, state, replace(run.facts, ended_ms=tx.now_ms, problem=problem))

    store.run(mark)


def _get(tx: Tx, run_id: str) -> Run:
    run = tx.reconcile_runs.get(run_id)
    if run is None:
        raise NotFound("there is no such run: they are kept as long as the journal")
    return run


def _change(tx: Tx, run: Run, state: RunState, facts: RunFacts) -> None:
    if not tx.reconcile_runs.change(run, state, facts):
        raise GuardError("this run was changed at the same moment: look at it again")


def describe_volume(volume: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what a run would do, in words and numbers, without what it does not do."""
    words = {
        "created_customers": "customers created in Stripe",
        "created_contacts": "contacts created in HubSpot",
        "overwritten": "linked people who have a value overwritten",
        "cleared": "of them with a value cleared",
        "fills": "linked people who only gain values",
        "addresses": "e-mail addresses that change",
        "writes_hubspot": "contacts updated",
        "writes_stripe": "customers updated",
        "link_only": "pairs linked without a write",
    }
    return [(text, number) for name, text in words.items() if (number := volume.get(name, 0))]
