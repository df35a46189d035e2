"""The only writer. Write jobs: lock, settle what is open, plan again, store the exact body, call once, commit.

CORRECTNESS sections 5 and 6. ``prepare`` runs in one transaction and ends in calls; each call's
``then`` runs in another. Between the two a process may die: the open intent tells the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.ids import made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority
from wanesync.core.model import PendingWrite, Side, WriteKind, WriteResult, split_key
from wanesync.core.plan import WAIT_TEXTS, Action, Plan, PlanContext
from wanesync.core.planner import plan
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync import request_bodies as bodies
from wanesync.sync.change_guard import find_overwrites, stop_sources
from wanesync.sync.intents import Draft, Intent, PlanningRound
from wanesync.sync.job_results import finish, finish_all, reschedule, wait_turn
from wanesync.sync.loader import key_of, load_scenes
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.provenance import find_landed, suspects
from wanesync.sync.recovery import Recovery
from wanesync.sync.runtime import Call, Runtime
from wanesync.sync.sender import Sender

WRITES = "writes"
WRITES_OFF = "writes are off"
KEY_LIFE_MS = 23 * 3_600_000
SUSPECT_WAIT_MS = 2_000
DAY_MS = 86_400_000


def are_writes_off(tx: Tx) -> bool:
    """Whether nothing may be written. If so, nobody turns them on before this commits: who does, wakes what waits."""
    return tx.settings.get(WRITES) == "off" and tx.settings.get_for_now(WRITES) == "off"


@dataclass(slots=True)
class Writer:
    """The write jobs of both lanes."""

    runtime: Runtime
    recovery: Recovery = field(init=False)
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        """The rooms around this one plan through it."""
        self.recovery = Recovery(self.runtime, self.plan_jobs, self._send)
        self.sender = Sender(self.runtime, self.plan_jobs, self.recovery)

    def _send(self, tx: Tx, lane: Side, intents: Sequence[Intent]) -> list[Call]:
        return self.sender.send(tx, lane, intents)

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[Call]:
        """Lock, settle, plan; returns the calls to be made."""
        if not jobs:
            return []
        lane = jobs[0].lane
        locked = self.runtime.lock_each(tx, {job.token: [job.key] for job in jobs})
        held = [job for job in jobs if job.token in locked]
        for job in jobs:
            if job.token not in locked:
                reschedule(tx, job, LOCK_WAIT_MS, "its lock is taken")
        opened: dict[str, list[PendingWrite]] = {}
        for pending in tx.pending_writes.open_for_keys([job.key for job in held], lane):
            opened.setdefault(pending.link_key, []).append(pending)
        fresh = [job for job in held if job.key not in opened]
        fresh += self._give_up_gone(tx, held, opened)
        resend, reread, look = self._settle(tx, held, opened)
        calls = [*look, *self.recovery.reread(tx, lane, reread, opened)]
        intents = self.plan_jobs(tx, fresh, PlanningRound({job.id: job.key for job in fresh}), calls)
        return calls + self.sender.send(tx, lane, [*resend, *intents])

    def _give_up_gone(self, tx: Tx, jobs: Sequence[Job], opened: dict[str, list[PendingWrite]]) -> list[Job]:
        """Jobs whose contact is not to be made any more: its customer was deleted before anybody answered.

        Should it have been made all the same, its own event tells, and it is known by the intent it carries.
        """
        gone = []
        for job in jobs:
            pendings = opened.get(job.key, ())
            if (
                pendings
                and pendings[0].side is Side.HUBSPOT
                and all(_is_source_gone(tx, pending) for pending in pendings)
            ):
                self._give_up(tx, job, opened.pop(job.key))
                gone.append(job)
        return gone

    def _settle(
        self, tx: Tx, jobs: Sequence[Job], opened: Mapping[str, list[PendingWrite]]
    ) -> tuple[list[Intent], list[Job], list[Call]]:
        """Open creates are sent again as they were (their key or unique id makes that safe); updates are read first."""
        resend, reread, look = [], [], []
        off = bool(opened) and are_writes_off(tx)
        for job in jobs:
            creates = [pending for pending in opened.get(job.key, ()) if pending.kind is WriteKind.CREATE]
            old = bool(creates) and tx.now_ms - made_ms(creates[0].id) > KEY_LIFE_MS
            if creates and job.lane is Side.STRIPE and (old or _is_source_gone(tx, creates[0])):
                look.append(self.recovery.look_for(job, creates[0]))
            elif creates and off:
                reschedule(tx, job, DAY_MS, WRITES_OFF, fixed=True)
            elif creates:
                resend.append(Intent(job, creates[0]))
            elif job.key in opened:
                reread.append(job)
        return resend, reread, look

    # -- planning

    def plan_jobs(self, tx: Tx, jobs: Sequence[Job], planning: PlanningRound, calls: list[Call]) -> list[Intent]:
        """Plan jobs whose key is locked; remember what is to be remembered; returns the writes to send."""
        drafts: list[Draft] = []
        ready: list[tuple[Job, PlanContext, Plan]] = []
        ended: list[tuple[Job, PlanContext, Plan]] = []
        planned = self._plan_all(tx, jobs, planning)
        if planning.send:
            planned = [(job, context, self._build_on_landed(tx, context, outcome)) for job, context, outcome in planned]
        _number_creates(tx, planned)
        for job, context, outcome in self._hold_back(tx, planned) if planning.send else planned:
            if outcome.wait:
                wait_turn(tx, job, WAIT_TEXTS[outcome.wait])
                continue
            if planning.send and self._is_suspect(tx, job, context, outcome, planning, calls):
                continue
            ready.append((job, context, outcome))
        memory.remember_all(tx, [(outcome, Priority(job.priority)) for job, _, outcome in ready])
        for job, context, outcome in ready:
            found = self._decide(tx, job, context, outcome, planning)
            if found is None:
                ended.append((job, context, outcome))
                planning.ended.add(job.id)
            else:
                drafts += found
        self._end(tx, ended)
        return self._write_down(tx, drafts)

    def _plan_all(self, tx: Tx, jobs: Sequence[Job], planning: PlanningRound) -> list[tuple[Job, PlanContext, Plan]]:
        """Scenes and plans of all jobs; a plan that needs more locks is made anew once they are taken."""
        contexts = load_scenes(tx, sorted({planning.key_of[job.id] for job in jobs}))
        plans = {job.id: self._plan(tx, contexts[planning.key_of[job.id]]) for job in jobs}
        short = [job for job in jobs if plans[job.id].locks - {job.key} - planning.held.get(job.id, set())]
        locked = self.runtime.lock_each(tx, {job.token: plans[job.id].locks for job in short})
        relocked = [job for job in short if job.token in locked]
        for job in short:
            if job.token not in locked:
                reschedule(tx, job, LOCK_WAIT_MS, "another record's lock is taken")
                del plans[job.id]
        if relocked:
            contexts |= load_scenes(tx, sorted({planning.key_of[job.id] for job in relocked}))
            plans |= {job.id: self._plan(tx, contexts[planning.key_of[job.id]]) for job in relocked}
        return [(job, contexts[planning.key_of[job.id]], plans[job.id]) for job in jobs if job.id in plans]

    def _hold_back(self, tx: Tx, planned: list[tuple[Job, PlanContext, Plan]]) -> list[tuple[Job, PlanContext, Plan]]:
        """What the brake stops is held: those jobs are planned anew, without it."""
        wanted = find_overwrites(planned)
        if not wanted or are_writes_off(tx):
            return planned
        stopped = stop_sources(self.runtime, tx, wanted)
        return [
            (job, context, self._plan(tx, context) if job.id in stopped else outcome)
            for job, context, outcome in planned
        ]

    def _build_on_landed(self, tx: Tx, context: PlanContext, outcome: Plan) -> Plan:
        """Planned anew, where events tell that a write without an answer had arrived before somebody edited."""
        context.landed = {} if outcome.wait else find_landed(tx, context, outcome)
        return self._plan(tx, context) if context.landed else outcome

    def _plan(self, tx: Tx, context: PlanContext) -> Plan:
        return plan(context, self.runtime.rules, self.runtime.new_id(tx.now_ms))

    # Everything one round knows of a job: splitting it would only hide that.
    def _is_suspect(  # noqa: PLR0913, PLR0917
        self, tx: Tx, job: Job, context: PlanContext, outcome: Plan, planning: PlanningRound, calls: list[Call]
    ) -> bool:
        """A value that may be a late write of our own is not planned from before its origin is known."""
        found = suspects(self.runtime, tx, context, outcome, planning.origins)
        if not found.unknown:
            if not found.late:
                return False
            context.late = context.late | found.late
            fresh = self._plan(tx, context)
            memory.remember_all(tx, [(fresh, Priority(job.priority))])
            decided = self._decide(tx, job, context, fresh, planning)
            if decided is None:
                self._end(tx, [(job, context, fresh)])
            calls += self.sender.send(tx, job.lane, self._write_down(tx, decided or []))
            return True
        if job.lane is Side.HUBSPOT and all(side is Side.HUBSPOT for side, _, _ in found.unknown):
            calls.append(self.recovery.ask_origin(job, found.unknown, planning))
        elif any(side is Side.HUBSPOT for side, _, _ in found.unknown) and job.lane is Side.STRIPE:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.WRITE, job.key, Priority(job.priority)))
            # Nobody may come back here for a write of this lane that is open.
            self._give_up(tx, job, planning.opened.get(job.key, []))
            finish(tx, job)
        else:
            reschedule(tx, job, SUSPECT_WAIT_MS, "waiting for the event that tells who wrote a value")
        return True

    def _decide(
        self, tx: Tx, job: Job, context: PlanContext, outcome: Plan, planning: PlanningRound
    ) -> list[Draft] | None:
        """Turn actions into a write of this lane and jobs of the other; None: nothing is left to do here."""
        lane, priority = job.lane, Priority(job.priority)
        queue = [side for side in outcome.actions if side is not lane or not planning.send]
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, planning.key_of[job.id], priority) for side in queue])
        action = outcome.actions.get(lane) if planning.send else None
        opened = planning.opened.get(job.key, [])
        if action is None:
            self._give_up(tx, job, opened)
            return None
        if are_writes_off(tx):
            memory.note_would_write(tx, action)
            reschedule(tx, job, DAY_MS, WRITES_OFF, fixed=True)
            return []
        return [self._draft(tx, job, context, action, opened)]

    def _draft(self, tx: Tx, job: Job, context: PlanContext, action: Action, opened: Sequence[PendingWrite]) -> Draft:
        """The exact body and key. On Stripe the same body keeps its key."""
        pending = bodies.compose(self.runtime, tx, job, context, action)
        same = next(
            (o for o in opened if o.side is Side.STRIPE and (o.body, o.target_id) == (pending.body, pending.target_id)),
            None,
        )
        self._give_up(tx, job, [o for o in opened if o is not same])
        if same is not None:
            return Draft(job, action, replace(same, changes=pending.changes), anew=True)
        return Draft(job, action, pending)

    def _write_down(self, tx: Tx, drafts: Sequence[Draft]) -> list[Intent]:
        """Store the exact bodies and keys before the calls."""
        taken = tx.pending_writes.put_many([draft.pending for draft in drafts if not draft.anew])
        intents = []
        for draft in drafts:
            if draft.pending.id in taken:
                wait_turn(tx, draft.job, "its e-mail is being created by another job")
                continue
            if draft.anew:
                tx.pending_writes.refresh(draft.pending)
            for conflict in draft.action.conflicts:
                tx.conflicts.put(conflict, draft.action.link_id)
                memory.note_conflict(tx, conflict, draft.action.link_id)
            intents.append(Intent(draft.job, draft.pending))
        return intents

    def _give_up(self, tx: Tx, job: Job, opened: Sequence[PendingWrite]) -> None:
        """Its record may belong to another key by now (a merge): whose pass left its events until this was closed."""
        for pending in opened:
            tx.pending_writes.record_result(pending.id, WriteResult.LOST)
        keys = (
            key_of(tx, [(pending.side, pending.target_id) for pending in opened if pending.target_id]) if opened else {}
        )
        moved = [(side, key) for (side, _), key in keys.items() if key != job.key]
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, key, Priority(job.priority)) for side, key in moved])

    def _end(self, tx: Tx, ended: Sequence[tuple[Job, PlanContext, Plan]]) -> None:
        """Nothing left to write: judge the events of the records whose locks are held, and be done."""
        records: dict[Side, dict[str, str]] = {Side.HUBSPOT: {}, Side.STRIPE: {}}
        for _, context, outcome in ended:
            key_kind, record_id = split_key(context.key)
            side = Side.HUBSPOT if key_kind == "contact" else Side.STRIPE
            records[side][record_id] = context.key
            # A link that was just made counts: nobody else may have a reason to look at its other end.
            for link in [*context.links, *outcome.links.values()]:
                if link.id_on(side) == record_id:
                    records[side.other][link.id_on(side.other)] = context.key
            for at, merged_id in context.records:
                # Its own jobs may have ended while a write of it was still open.
                if at is side is Side.HUBSPOT and context.survivor(merged_id) == record_id:
                    records[at][merged_id] = context.key
        judge_records(self.runtime, tx, records)
        finish_all(tx, [job for job, _, _ in ended])


def _is_source_gone(tx: Tx, pending: PendingWrite) -> bool:
    """Whether a creation is one for a record that was deleted since."""
    seen = tx.records.get(pending.side.other, pending.source_id) if pending.kind is WriteKind.CREATE else None
    return seen is not None and seen.deleted


def _number_creates(tx: Tx, planned: Sequence[tuple[Job, PlanContext, Plan]]) -> None:
    """Tell the scenes whose record is to be created how often that was given up before."""
    for side in Side:
        made = [(context, outcome.actions[side]) for _, context, outcome in planned if side in outcome.actions]
        creates = [(context, action) for context, action in made if action.kind is WriteKind.CREATE]
        if creates:
            spent = tx.pending_writes.next_generations(side.other, sorted({action.source_id for _, action in creates}))
            for context, action in creates:
                context.generation = spent.get(action.source_id, 0)
