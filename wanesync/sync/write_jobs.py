"""The only writer. Write jobs: lock, settle what is open, plan again, store the exact body, call once, commit.

CORRECTNESS sections 5 and 6. ``prepare`` runs in one transaction and ends in calls; each call's
``then`` runs in another. Between the two a process may die: the open intent tells the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.ids import made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority
from wanesync.core.matching import Scene
from wanesync.core.model import Answer, OwnWrite, Side, WriteKind, split_key
from wanesync.core.plan import Action, Plan
from wanesync.core.planner import plan
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync import request_bodies as bodies
from wanesync.sync.brake import find_overwrites, stop_sources
from wanesync.sync.intents import Draft, Intent, Pass
from wanesync.sync.job_results import again, finish, finish_all, wait_turn
from wanesync.sync.loader import key_of, load_scenes
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.provenance import find_landed, suspects
from wanesync.sync.recovery import Finding
from wanesync.sync.requests import Sending
from wanesync.sync.runtime import Call, Engine

WRITES = "writes"
WRITES_OFF = "writes are off"
KEY_LIFE_MS = 23 * 3_600_000
SUSPECT_WAIT_MS = 2_000
DAY_MS = 86_400_000


def are_writes_off(tx: Tx) -> bool:
    """Whether nothing may be written. If so, nobody turns them on before this commits: who does, wakes what waits."""
    return tx.settings.get(WRITES) == "off" and tx.settings.get_for_now(WRITES) == "off"


@dataclass(slots=True)
class Apply:
    """The write jobs of both lanes."""

    engine: Engine
    finding: Finding = field(init=False)
    sending: Sending = field(init=False)

    def __post_init__(self) -> None:
        """The rooms around this one plan through it."""
        self.finding = Finding(self.engine, self.plan_jobs, self._send)
        self.sending = Sending(self.engine, self.plan_jobs, self.finding)

    def _send(self, tx: Tx, lane: Side, intents: Sequence[Intent]) -> list[Call]:
        return self.sending.send(tx, lane, intents)

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[Call]:
        """Lock, settle, plan; returns the calls to be made."""
        if not jobs:
            return []
        lane = jobs[0].lane
        locked = self.engine.lock_each(tx, {job.token: [job.key] for job in jobs})
        held = [job for job in jobs if job.token in locked]
        for job in jobs:
            if job.token not in locked:
                again(tx, job, LOCK_WAIT_MS, "its lock is taken")
        opened: dict[str, list[OwnWrite]] = {}
        for own in tx.writes.open_for_keys([job.key for job in held], lane):
            opened.setdefault(own.link_key, []).append(own)
        fresh = [job for job in held if job.key not in opened]
        fresh += self._give_up_gone(tx, held, opened)
        resend, reread, look = self._settle(tx, held, opened)
        calls = [*look, *self.finding.reread(tx, lane, reread, opened)]
        intents = self.plan_jobs(tx, fresh, Pass({job.id: job.key for job in fresh}), calls)
        return calls + self.sending.send(tx, lane, [*resend, *intents])

    def _give_up_gone(self, tx: Tx, jobs: Sequence[Job], opened: dict[str, list[OwnWrite]]) -> list[Job]:
        """Jobs whose contact is not to be made any more: its customer was deleted before anybody answered.

        Should it have been made all the same, its own event tells, and it is known by the intent it carries.
        """
        gone = []
        for job in jobs:
            owns = opened.get(job.key, ())
            if owns and owns[0].side is Side.HUBSPOT and all(_is_source_gone(tx, own) for own in owns):
                self._give_up(tx, job, opened.pop(job.key))
                gone.append(job)
        return gone

    def _settle(
        self, tx: Tx, jobs: Sequence[Job], opened: Mapping[str, list[OwnWrite]]
    ) -> tuple[list[Intent], list[Job], list[Call]]:
        """Open creates are sent again as they were (their key or unique id makes that safe); updates are read first."""
        resend, reread, look = [], [], []
        off = bool(opened) and are_writes_off(tx)
        for job in jobs:
            creates = [own for own in opened.get(job.key, ()) if own.kind is WriteKind.CREATE]
            old = bool(creates) and tx.now_ms - made_ms(creates[0].id) > KEY_LIFE_MS
            if creates and job.lane is Side.STRIPE and (old or _is_source_gone(tx, creates[0])):
                look.append(self.finding.look_for(job, creates[0]))
            elif creates and off:
                again(tx, job, DAY_MS, WRITES_OFF, fixed=True)
            elif creates:
                resend.append(Intent(job, creates[0]))
            elif job.key in opened:
                reread.append(job)
        return resend, reread, look

    # -- planning

    def plan_jobs(self, tx: Tx, jobs: Sequence[Job], round_: Pass, calls: list[Call]) -> list[Intent]:
        """Plan jobs whose key is locked; remember what is to be remembered; returns the writes to send."""
        drafts: list[Draft] = []
        ready: list[tuple[Job, Scene, Plan]] = []
        ended: list[tuple[Job, Scene, Plan]] = []
        planned = self._plan_all(tx, jobs, round_)
        if round_.send:
            planned = [(job, scene, self._build_on_landed(tx, scene, outcome)) for job, scene, outcome in planned]
        _number_creates(tx, planned)
        for job, scene, outcome in self._hold_back(tx, planned) if round_.send else planned:
            if outcome.wait:
                wait_turn(tx, job, outcome.wait)
                continue
            if round_.send and self._is_suspect(tx, job, scene, outcome, round_, calls):
                continue
            ready.append((job, scene, outcome))
        memory.remember_all(tx, [(outcome, Priority(job.priority)) for job, _, outcome in ready])
        for job, scene, outcome in ready:
            found = self._decide(tx, job, scene, outcome, round_)
            if found is None:
                ended.append((job, scene, outcome))
                round_.ended.add(job.id)
            else:
                drafts += found
        self._end(tx, ended)
        return self._write_down(tx, drafts)

    def _plan_all(self, tx: Tx, jobs: Sequence[Job], round_: Pass) -> list[tuple[Job, Scene, Plan]]:
        """Scenes and plans of all jobs; a plan that needs more locks is made anew once they are taken."""
        scenes = load_scenes(tx, sorted({round_.key_of[job.id] for job in jobs}))
        plans = {job.id: self._plan(tx, scenes[round_.key_of[job.id]]) for job in jobs}
        short = [job for job in jobs if plans[job.id].locks - {job.key} - round_.held.get(job.id, set())]
        locked = self.engine.lock_each(tx, {job.token: plans[job.id].locks for job in short})
        relocked = [job for job in short if job.token in locked]
        for job in short:
            if job.token not in locked:
                again(tx, job, LOCK_WAIT_MS, "another record's lock is taken")
                del plans[job.id]
        if relocked:
            scenes |= load_scenes(tx, sorted({round_.key_of[job.id] for job in relocked}))
            plans |= {job.id: self._plan(tx, scenes[round_.key_of[job.id]]) for job in relocked}
        return [(job, scenes[round_.key_of[job.id]], plans[job.id]) for job in jobs if job.id in plans]

    def _hold_back(self, tx: Tx, planned: list[tuple[Job, Scene, Plan]]) -> list[tuple[Job, Scene, Plan]]:
        """What the brake stops is held: those jobs are planned anew, without it."""
        wanted = find_overwrites(planned)
        if not wanted or are_writes_off(tx):
            return planned
        stopped = stop_sources(self.engine, tx, wanted)
        return [
            (job, scene, self._plan(tx, scene) if job.id in stopped else outcome) for job, scene, outcome in planned
        ]

    def _build_on_landed(self, tx: Tx, scene: Scene, outcome: Plan) -> Plan:
        """Planned anew, where events tell that a write without an answer had arrived before somebody edited."""
        scene.landed = {} if outcome.wait else find_landed(tx, scene, outcome)
        return self._plan(tx, scene) if scene.landed else outcome

    def _plan(self, tx: Tx, scene: Scene) -> Plan:
        return plan(scene, self.engine.rules, self.engine.new_id(tx.now_ms))

    # Everything one round knows of a job: splitting it would only hide that.
    def _is_suspect(self, tx: Tx, job: Job, scene: Scene, outcome: Plan, round_: Pass, calls: list[Call]) -> bool:  # noqa: PLR0913, PLR0917
        """A value that may be a late write of our own is not planned from before its origin is known."""
        found = suspects(self.engine, tx, scene, outcome, round_.origins)
        if not found.unknown:
            if not found.late:
                return False
            scene.late = scene.late | found.late
            fresh = self._plan(tx, scene)
            memory.remember_all(tx, [(fresh, Priority(job.priority))])
            decided = self._decide(tx, job, scene, fresh, round_)
            if decided is None:
                self._end(tx, [(job, scene, fresh)])
            calls += self.sending.send(tx, job.lane, self._write_down(tx, decided or []))
            return True
        if job.lane is Side.HUBSPOT and all(side is Side.HUBSPOT for side, _, _ in found.unknown):
            calls.append(self.finding.ask_origin(job, found.unknown, round_))
        elif any(side is Side.HUBSPOT for side, _, _ in found.unknown) and job.lane is Side.STRIPE:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.WRITE, job.key, Priority(job.priority)))
            # Nobody may come back here for a write of this lane that is open.
            self._give_up(tx, job, round_.opened.get(job.key, []))
            finish(tx, job)
        else:
            again(tx, job, SUSPECT_WAIT_MS, "waiting for the event that tells who wrote a value")
        return True

    def _decide(self, tx: Tx, job: Job, scene: Scene, outcome: Plan, round_: Pass) -> list[Draft] | None:
        """Turn actions into a write of this lane and jobs of the other; None: nothing is left to do here."""
        lane, priority = job.lane, Priority(job.priority)
        queue = [side for side in outcome.actions if side is not lane or not round_.send]
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, round_.key_of[job.id], priority) for side in queue])
        action = outcome.actions.get(lane) if round_.send else None
        opened = round_.opened.get(job.key, [])
        if action is None:
            self._give_up(tx, job, opened)
            return None
        if are_writes_off(tx):
            memory.note_would_write(tx, action)
            again(tx, job, DAY_MS, WRITES_OFF, fixed=True)
            return []
        return [self._draft(tx, job, scene, action, opened)]

    def _draft(self, tx: Tx, job: Job, scene: Scene, action: Action, opened: Sequence[OwnWrite]) -> Draft:
        """The exact body and key. On Stripe the same body keeps its key."""
        own = bodies.compose(self.engine, tx, job, scene, action)
        same = next(
            (o for o in opened if o.side is Side.STRIPE and (o.body, o.target_id) == (own.body, own.target_id)), None
        )
        self._give_up(tx, job, [o for o in opened if o is not same])
        if same is not None:
            return Draft(job, action, replace(same, changes=own.changes), anew=True)
        return Draft(job, action, own)

    def _write_down(self, tx: Tx, drafts: Sequence[Draft]) -> list[Intent]:
        """Store the exact bodies and keys before the calls."""
        taken = tx.writes.put_many([draft.own for draft in drafts if not draft.anew])
        intents = []
        for draft in drafts:
            if draft.own.id in taken:
                wait_turn(tx, draft.job, "its e-mail is being created by another job")
                continue
            if draft.anew:
                tx.writes.refresh(draft.own)
            for conflict in draft.action.conflicts:
                tx.conflicts.put(conflict, draft.action.link_id)
                memory.note_conflict(tx, conflict, draft.action.link_id)
            intents.append(Intent(draft.job, draft.own))
        return intents

    def _give_up(self, tx: Tx, job: Job, opened: Sequence[OwnWrite]) -> None:
        """Its record may belong to another key by now (a merge): whose pass left its events until this was closed."""
        for own in opened:
            tx.writes.answer(own.id, Answer.LOST)
        keys = key_of(tx, [(own.side, own.target_id) for own in opened if own.target_id]) if opened else {}
        moved = [(side, key) for (side, _), key in keys.items() if key != job.key]
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, key, Priority(job.priority)) for side, key in moved])

    def _end(self, tx: Tx, ended: Sequence[tuple[Job, Scene, Plan]]) -> None:
        """Nothing left to write: judge the events of the records whose locks are held, and be done."""
        records: dict[Side, dict[str, str]] = {Side.HUBSPOT: {}, Side.STRIPE: {}}
        for _, scene, outcome in ended:
            key_kind, record_id = split_key(scene.key)
            side = Side.HUBSPOT if key_kind == "contact" else Side.STRIPE
            records[side][record_id] = scene.key
            # A link that was just made counts: nobody else may have a reason to look at its other end.
            for link in [*scene.links, *outcome.links.values()]:
                if link.id_on(side) == record_id:
                    records[side.other][link.id_on(side.other)] = scene.key
            for at, merged_id in scene.records:
                # Its own jobs may have ended while a write of it was still open.
                if at is side is Side.HUBSPOT and scene.survivor(merged_id) == record_id:
                    records[at][merged_id] = scene.key
        judge_records(self.engine, tx, records)
        finish_all(tx, [job for job, _, _ in ended])


def _is_source_gone(tx: Tx, own: OwnWrite) -> bool:
    """Whether a creation is one for a record that was deleted since."""
    seen = tx.records.get(own.side.other, own.source_id) if own.kind is WriteKind.CREATE else None
    return seen is not None and seen.deleted


def _number_creates(tx: Tx, planned: Sequence[tuple[Job, Scene, Plan]]) -> None:
    """Tell the scenes whose record is to be created how often that was given up before."""
    for side in Side:
        made = [(scene, outcome.actions[side]) for _, scene, outcome in planned if side in outcome.actions]
        creates = [(scene, action) for scene, action in made if action.kind is WriteKind.CREATE]
        if creates:
            spent = tx.writes.next_generations(side.other, sorted({action.source_id for _, action in creates}))
            for scene, action in creates:
                scene.generation = spent.get(action.source_id, 0)
