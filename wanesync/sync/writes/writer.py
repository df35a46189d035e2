"""The writer: plans jobs whose keys are locked and stores the pending writes, exact body and key, before any call.

A value that may be a late write of ours is not planned from before its author is known
(docs/correctness.md#late-writes); what a hold stops is planned around (docs/correctness.md#change-guard).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from wanesync.core.ids import CONTACT_ID_KEY, CUSTOMER_ID_PROPERTY, INTENT_PROPERTY, PORTAL_ID_KEY
from wanesync.core.jobs import LOCK_WAIT_MS, Job, Priority, WaitCode, pass_on
from wanesync.core.model import MAX_FREE_KEYS, PendingWrite, Side, WriteKind, WriteResult, has_room, split_key
from wanesync.core.plan import CONFIRMATION_WAIT, WAIT_TEXTS, Action, Plan, PlanContext
from wanesync.core.planner import plan
from wanesync.core.setup.portal_checks import SETUP_WAIT
from wanesync.store.database import Tx
from wanesync.sync import plan_effects
from wanesync.sync.agreements import close_planned
from wanesync.sync.calls import Intent, Next, PlanningRound, SendWrites, Step
from wanesync.sync.job_results import finish, finish_all, reschedule, wait_turn
from wanesync.sync.loader import hold_stale, key_of, load_contexts, lock_portal_state
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.provenance import find_confirmed_base, find_suspects
from wanesync.sync.restored import CONFIRMATION_WAIT_MS
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.change_guard import find_overwrites, stop_sources
from wanesync.sync.writes.recovery import read_authors
from wanesync.sync.writes.run_property import find_mark

WRITES = "writes"
"""The setting of the writes switch, ``on`` or ``off``."""
WRITES_OFF = "writes are off"
"""The reason shown for jobs that wait for the switch."""
SUSPECT_WAIT_MS = 2_000
"""How often a job looks, in ms, for the event that shows who wrote a value: Stripe mostly sends it within seconds."""
DAY_MS = 86_400_000
"""How long a job waits, in ms, for the writes switch, which makes it due earlier."""


def are_writes_off(tx: Tx) -> bool:
    """Whether nothing may be written. If so, the switch cannot be turned on before this commits.

    So jobs put back because of it are there when the switch makes them due (docs/correctness.md#writes-switch).
    """
    return tx.settings.get(WRITES) == "off" and tx.settings.get_shared(WRITES) == "off"


def plan_jobs(runtime: Runtime, tx: Tx, jobs: Sequence[Job], planning: PlanningRound) -> Next:
    """Plan jobs whose keys are locked and carry out everything but vendor writes; returns what is to be sent."""
    return _Round(runtime, tx, planning).run(jobs)


def abandon_writes(tx: Tx, job: Job, opened: Sequence[PendingWrite]) -> None:
    """Close open writes that are not needed any more.

    A target may belong to another key by now (a merge). The job of that key left its events unjudged while this write
    was open, so that key is queued.
    """
    for pending in opened:
        tx.pending_writes.record_result(pending.id, WriteResult.LOST)
    keys = key_of(tx, [(pending.side, pending.target_id) for pending in opened if pending.target_id]) if opened else {}
    moved = [(side, key) for (side, _), key in keys.items() if key != job.key]
    tx.jobs.put_many([pass_on(job, side, key) for side, key in moved])


def read_properties(pending: PendingWrite) -> Mapping[str, str]:
    """The raw properties of a stored contact write."""
    body: dict[str, str] = json.loads(pending.body)
    return body


class _Planned(NamedTuple):
    """A job with its plan, and what it was planned from."""

    job: Job
    context: PlanContext
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Draft:
    """A write that was composed for a job. ``stored``: an open write that is sent once more, with its body and key."""

    job: Job
    action: Action
    pending: PendingWrite
    stored: bool = False


@dataclass(slots=True)
class _Round:
    """One planning round inside one transaction. ``steps``: what is to be read or sent first, in order.

    ``off``: whether nothing may be written, once a plan would.
    """

    runtime: Runtime
    tx: Tx
    planning: PlanningRound
    steps: list[Step] = field(default_factory=list)
    off: bool | None = None

    def run(self, jobs: Sequence[Job]) -> Next:
        """Plan, carry out the effects of the plans, store the pending writes."""
        ready: list[_Planned] = []
        planned = self._plan_all(jobs)
        if self.planning.send:
            planned = [self._plan_on_confirmed(one) for one in planned]
        _number_creates(self.tx, planned)
        for one in self._hold_back(planned) if self.planning.send else planned:
            if one.plan.wait is WaitCode.SETUP:
                # A check that ended since the plan was made has made due what waited by then: this job goes on now.
                delay_ms = DAY_MS if lock_portal_state(self.tx).blocked else 0
                reschedule(self.tx, one.job, delay_ms, WaitCode.SETUP, SETUP_WAIT, fixed=True)
            elif one.plan.wait is WaitCode.CONFIRMATION:
                reschedule(self.tx, one.job, CONFIRMATION_WAIT_MS, one.plan.wait, CONFIRMATION_WAIT)
            elif one.plan.wait:
                wait_turn(self.tx, one.job, one.plan.wait, WAIT_TEXTS[one.plan.wait])
            elif not (self.planning.send and self._is_suspect(one)):
                ready.append(one)
        waiting = [one for one in planned if one.plan.wait]
        plan_effects.queue_reads(self.tx, [(one.plan, Priority(one.job.priority)) for one in waiting])
        plan_effects.apply_plans(
            self.tx, [plan_effects.Planned(one.plan, Priority(one.job.priority), one.job) for one in ready]
        )
        close_planned(self.tx, self.runtime.rules.fields, [one.plan for one in ready])
        drafts: list[_Draft] = []
        ended: list[_Planned] = []
        for one in ready:
            found = self._decide(one)
            if found is None:
                ended.append(one)
                self.planning.ended.add(one.job.id)
            else:
                drafts += found
        self._end(ended)
        intents = [*self.planning.resend, *self._store(drafts)]
        return [*self.steps, SendWrites(intents)] if intents else self.steps

    # -- planning

    def _plan_all(self, jobs: Sequence[Job]) -> list[_Planned]:
        """Plan all jobs; a plan that needs more locks is made again once they are taken."""
        key_of_job, held = self.planning.key_of, self.planning.held
        contexts = self._load(jobs)
        plans = {job.id: self._plan(contexts[key_of_job[job.id]]) for job in jobs}
        short = [job for job in jobs if plans[job.id].locks - {job.key} - held.get(job.id, set())]
        locked = self.runtime.lock_each(self.tx, self._let_one_pass(short, plans))
        relocked = [job for job in short if job.token in locked]
        for job in short:
            if job.token not in locked:
                reschedule(self.tx, job, LOCK_WAIT_MS, WaitCode.LOCK, "another record's lock is taken")
                del plans[job.id]
        if relocked:
            contexts |= self._load(relocked)
            plans |= {job.id: self._plan(contexts[key_of_job[job.id]]) for job in relocked}
        return [_Planned(job, contexts[key_of_job[job.id]], plans[job.id]) for job in jobs if job.id in plans]

    def _let_one_pass(self, short: Sequence[Job], plans: Mapping[str, Plan]) -> dict[str, Collection[str]]:
        """Token -> the locks that jobs want; a job that has or wants one of an earlier job's gives its own up.

        Jobs that want each other's locks, those of merged contacts, would otherwise fail together for ever.
        """
        wanted: dict[str, Collection[str]] = {}
        claimed: set[str] = set()
        for job in sorted(short, key=lambda job: (job.id not in self.planning.held, job.key)):
            locks = {job.key, *self.planning.held.get(job.id, ()), *plans[job.id].locks}
            if locks.isdisjoint(claimed):
                wanted[job.token] = plans[job.id].locks
                claimed |= locks
            else:
                self.tx.locks.drop(job.token)
        return wanted

    def _load(self, jobs: Sequence[Job]) -> dict[str, PlanContext]:
        contexts = load_contexts(self.tx, sorted({self.planning.key_of[job.id] for job in jobs}))
        hold_stale(self.tx, contexts)
        for context in contexts.values():
            context.answers = self.planning.answers
        return contexts

    def _plan(self, context: PlanContext) -> Plan:
        return plan(context, self.runtime.rules, self.runtime.new_id(self.tx.now_ms))

    def _plan_on_confirmed(self, planned: _Planned) -> _Planned:
        """Plan again where a user's edit shows that a write without an answer arrived before it."""
        planned.context.landed = (
            {} if planned.plan.wait else find_confirmed_base(self.tx, planned.context, planned.plan)
        )
        return planned._replace(plan=self._plan(planned.context)) if planned.context.landed else planned

    def _hold_back(self, planned: list[_Planned]) -> list[_Planned]:
        """Plan jobs again without the changes that the change guard stops."""
        wanted = find_overwrites(planned, self.runtime.rules.fields)
        if not wanted or self._are_writes_off():
            return planned
        stopped = stop_sources(self.runtime, self.tx, wanted)
        return [one._replace(plan=self._plan(one.context)) if one.job.id in stopped else one for one in planned]

    def _is_suspect(self, planned: _Planned) -> bool:
        """Whether a plan would spread a value that may be a late write of our own; if so, that is settled first."""
        job, context, _ = planned
        found = find_suspects(self.runtime, self.tx, context, planned.plan, self.planning.origins)
        if found.unknown:
            self._ask_authors(job, found.unknown)
            return True
        if not found.late:
            return False
        context.late = context.late | found.late
        again = planned._replace(plan=self._plan(context))
        plan_effects.apply_plans(self.tx, [plan_effects.Planned(again.plan, Priority(job.priority), job)])
        close_planned(self.tx, self.runtime.rules.fields, [again.plan])
        drafts = self._decide(again)
        if drafts is None:
            self._end([again])
        elif intents := self._store(drafts):
            self.steps.append(SendWrites(intents))
        return True

    def _ask_authors(self, job: Job, unknown: frozenset[tuple[Side, str, str]]) -> None:
        """Find out who wrote some values: HubSpot's history is read on its lane, Stripe's event is waited for."""
        on_hubspot = [side is Side.HUBSPOT for side, _, _ in unknown]
        if job.lane is Side.HUBSPOT and all(on_hubspot):
            self.steps.append(read_authors(self.runtime, job, unknown, self.planning))
        elif any(on_hubspot) and job.lane is Side.STRIPE:
            self.tx.jobs.put(pass_on(job, Side.HUBSPOT, job.key, is_news=False))
            # No later job may come back here for a write of this lane that is open.
            abandon_writes(self.tx, job, self.planning.opened.get(job.key, []))
            finish(self.tx, job)
        else:
            reschedule(
                self.tx, job, SUSPECT_WAIT_MS, WaitCode.AUTHOR, "waiting for the event that shows who wrote a value"
            )

    # -- from a plan to a write

    def _decide(self, planned: _Planned) -> list[_Draft] | None:
        """Turn actions into a write of this lane and jobs of the other; None: nothing is left to do here."""
        job, context, outcome = planned
        planning, lane = self.planning, job.lane
        queue = [side for side in outcome.actions if side is not lane or not planning.send]
        key = planning.key_of[job.id]
        self.tx.jobs.put_many([pass_on(job, side, key, is_news=False) for side in queue])
        action = outcome.actions.get(lane) if planning.send else None
        opened = planning.opened.get(job.key, [])
        if action is None:
            abandon_writes(self.tx, job, opened)
            return None
        if self._are_writes_off():
            plan_effects.note_would_write(self.tx, action)
            reschedule(self.tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)
            return []
        return [self._draft(job, context, action, opened)]

    def _are_writes_off(self) -> bool:
        if self.off is None:
            self.off = are_writes_off(self.tx)
        return self.off

    def _draft(self, job: Job, context: PlanContext, action: Action, opened: Sequence[PendingWrite]) -> _Draft:
        """Compose the exact body and key. On Stripe the same body keeps its key until it has an answer."""
        pending = _compose(self.runtime, self.tx, job, context, action)
        same = next(
            (o for o in opened if o.side is Side.STRIPE and (o.body, o.target_id) == (pending.body, pending.target_id)),
            None,
        )
        abandon_writes(self.tx, job, [o for o in opened if o is not same])
        if same is not None:
            again = replace(same, changes=pending.changes, planned_ms=pending.planned_ms)
            return _Draft(job, action, again, stored=True)
        return _Draft(job, action, pending)

    def _store(self, drafts: Sequence[_Draft]) -> list[Intent]:
        """Store the exact bodies and keys, and the conflicts of the actions, before the calls."""
        taken = self.tx.pending_writes.put_many([draft.pending for draft in drafts if not draft.stored])
        intents = []
        for draft in drafts:
            if draft.pending.id in taken:
                wait_turn(
                    self.tx, draft.job, WaitCode.EMAIL_BEING_CREATED, "its e-mail is being created by another job"
                )
                continue
            if draft.stored:
                self.tx.pending_writes.refresh(draft.pending)
            for conflict in draft.action.conflicts:
                self.tx.conflicts.put(conflict, draft.action.link_id)
                plan_effects.note_conflict(self.tx, conflict, draft.action.link_id)
            intents.append(Intent(draft.job, draft.pending))
        return intents

    def _end(self, ended: Sequence[_Planned]) -> None:
        """Finish jobs that have nothing left to write: judge the events of the records whose locks are held."""
        records: dict[Side, dict[str, str]] = {Side.HUBSPOT: {}, Side.STRIPE: {}}
        for _, context, outcome in ended:
            key_kind, record_id = split_key(context.key)
            side = Side.HUBSPOT if key_kind == "contact" else Side.STRIPE
            records[side][record_id] = context.key
            # A link that was just made counts: no other job may have a reason to look at its other end.
            for link in [*context.links, *outcome.links.values()]:
                if link.id_on(side) == record_id:
                    records[side.other][link.id_on(side.other)] = context.key
            for at, merged_id in context.records:
                # Its own jobs may have ended while a write of it was still open.
                if at is side is Side.HUBSPOT and context.survivor(merged_id) == record_id:
                    records[at][merged_id] = context.key
        judge_records(self.runtime, self.tx, records)
        finish_all(self.tx, [one.job for one in ended])


def _number_creates(tx: Tx, planned: Sequence[_Planned]) -> None:
    """Set how often the creation of a record was given up before: that number is part of its idempotency key."""
    for side in Side:
        made = [(context, outcome.actions[side]) for _, context, outcome in planned if side in outcome.actions]
        creates = [(context, action) for context, action in made if action.kind is WriteKind.CREATE]
        if creates:
            spent = tx.pending_writes.next_generations(side.other, sorted({action.source_id for _, action in creates}))
            for context, action in creates:
                context.generation = spent.get(action.source_id, 0)


# -- bodies: made once, stored, and sent as they are stored


def _compose(runtime: Runtime, tx: Tx, job: Job, context: PlanContext, action: Action) -> PendingWrite:
    """An action as a pending write: id, idempotency key or intent id, body, what each field goes from and to."""
    write_id = runtime.new_id(tx.now_ms)
    generation = context.generation if action.kind is WriteKind.CREATE else 0
    changes = action.changes
    if action.side is Side.STRIPE:
        key, body = _compose_customer(runtime, context, action, write_id, generation)
    else:
        key, body = write_id, _compose_contact(runtime, context, action, write_id)
        changes = context.definitions.name_options(runtime.rules.fields, changes)
        if action.kind is WriteKind.CREATE and job.run_id:
            body = {**find_mark(tx, job.run_id), **body}
    return PendingWrite(
        id=write_id,
        side=action.side,
        kind=action.kind,
        link_key=job.key,
        source_id=action.source_id,
        target_id=action.target_id,
        idempotency_key=key,
        body=json.dumps(body, ensure_ascii=False, sort_keys=True),
        changes=changes,
        planned_ms=_modified_ms(context, action),
        hmacs=action.hmacs,
        link_id=action.link_id,
        generation=generation,
    )


def _modified_ms(context: PlanContext, action: Action) -> int:
    """``lastmodifieddate`` of the contact that an action writes to; 0 without one."""
    target = context.find(action.side, action.target_id)
    return target.record.modified_ms if target is not None else 0


def _compose_customer(
    runtime: Runtime, context: PlanContext, action: Action, write_id: str, generation: int
) -> tuple[str, Mapping[str, object]]:
    """Idempotency key and parameters (docs/correctness.md#stripe-create)."""
    create = action.kind is WriteKind.CREATE
    target = context.find(Side.STRIPE, action.target_id)
    body = dict(runtime.translator.customer_params(_values(action), target.record if target else None))
    portal = runtime.options.portal_id
    has_place = not _are_ids_parked(context, action, CONTACT_ID_KEY)
    if create or (target is not None and target.record.other_id != action.source_id and has_place):
        metadata = body.get("metadata")
        ids = {CONTACT_ID_KEY: action.source_id, PORTAL_ID_KEY: portal}
        body["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **ids}
    key = f"wane-c-{portal}-{action.source_id}-{generation}" if create else f"wane-u-{action.target_id}-{write_id}"
    return key, body


def _compose_contact(runtime: Runtime, context: PlanContext, action: Action, write_id: str) -> Mapping[str, str]:
    """Raw properties; a create carries its intent id in a unique property (docs/correctness.md#hubspot-create)."""
    create = action.kind is WriteKind.CREATE
    values = context.definitions.choose_options(runtime.rules.fields, _values(action))
    body = dict(runtime.translator.contact_properties(values))
    target = context.find(Side.HUBSPOT, action.target_id)
    # The property is unique: for an id that another contact carries, HubSpot would refuse the whole write.
    taken = any(
        s.side is Side.HUBSPOT and s.alive and s.id != action.target_id and s.record.other_id == action.source_id
        for s in context.records.values()
    )
    parked = _are_ids_parked(context, action, CUSTOMER_ID_PROPERTY)
    taken = taken or parked or Side.HUBSPOT in context.blocked
    if create or (target is not None and target.record.other_id != action.source_id and not taken):
        body[CUSTOMER_ID_PROPERTY] = action.source_id
    if create:
        body[INTENT_PROPERTY] = write_id
    return body


def _are_ids_parked(context: PlanContext, action: Action, name: str) -> bool:
    """Whether the target refused our ids, which are parked under this name, the last time they were sent."""
    parked = next((link.parked.get(name) for link in context.links if link.id == action.link_id), None)
    if parked is None or parked.value != action.source_id:
        return False
    target = context.find(action.side, action.target_id)
    return target is None or not has_room(parked, target.record, target.valid_from_ms, MAX_FREE_KEYS)


def _values(action: Action) -> dict[str, str]:
    """The values an action sends; a create has no blanks to send."""
    create = action.kind is WriteKind.CREATE
    return {name: change.after for name, change in action.changes.items() if change.after or not create}
