"""The only writer. Write jobs: lock, settle what is open, plan again, store the exact body, call once, commit.

CORRECTNESS sections 5 and 6. ``prepare`` runs in one transaction and ends in calls; each call's
``then`` runs in another. Between the two a process may die: the open intent tells the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.action import Action, Plan
from wanesync.core.errors import CallError, Failure
from wanesync.core.job import LOCK_WAIT_MS, DeadClass, Job, JobKind, JobRequest, Priority
from wanesync.core.match import Scene
from wanesync.core.model import Answer, Conflict, Link, OwnWrite, Record, Side, WriteKind, contact_key, split_key
from wanesync.core.plan import plan
from wanesync.core.ports import CreateItem, CustomerAnswer, UpdateItem
from wanesync.engine import bodies, memory
from wanesync.engine.context import Call, Engine
from wanesync.engine.judging import judge_refs
from wanesync.engine.origin import Origins, suspects
from wanesync.engine.outcome import again, fail, finish, still_ours
from wanesync.engine.scene import load_scenes
from wanesync.engine.sight import Sight, store_contacts
from wanesync.store.store import Tx
from wanesync.store.writes import IntentTaken

WRITES = "writes"
WRITES_OFF = "writes are off"
KEY_LIFE_MS = 23 * 3_600_000
SUSPECT_WAIT_MS = 2_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Intent:
    """One write that is about to be sent for a job."""

    job: Job
    own: OwnWrite


@dataclass(slots=True)
class Pass:
    """One round of planning: ``key_of`` says under which key each job plans (its own, or its new contact's).

    ``send``: whether actions become intents now, or are queued. ``opened``: open updates of the jobs'
    keys, read again before this round. ``origins``: whose value a suspect one turned out to be.
    """

    key_of: dict[str, str]
    send: bool = True
    opened: dict[str, list[OwnWrite]] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)


@dataclass(slots=True)
class Apply:
    """The write jobs of both lanes."""

    engine: Engine

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[Call]:
        """Lock, settle, plan; returns the calls to be made."""
        if not jobs:
            return []
        lane = jobs[0].lane
        held = []
        for job in jobs:
            if self.engine.take_locks(tx, job, {job.key}):
                held.append(job)
            else:
                again(tx, job, LOCK_WAIT_MS, "its lock is taken")
        opened: dict[str, list[OwnWrite]] = {}
        for own in tx.writes.open_for_keys([job.key for job in held], lane):
            opened.setdefault(own.link_key, []).append(own)
        fresh = [job for job in held if job.key not in opened]
        resend, reread, look = self._settle(tx, held, opened)
        calls = [*look, *self._reread(tx, lane, reread, opened)]
        intents = self.plan_jobs(tx, fresh, Pass({job.id: job.key for job in fresh}), calls)
        return calls + self._send(tx, lane, [*resend, *intents])

    def _settle(
        self, tx: Tx, jobs: Sequence[Job], opened: Mapping[str, list[OwnWrite]]
    ) -> tuple[list[Intent], list[Job], list[Call]]:
        """Open creates are sent again as they were (their key or unique id makes that safe); updates are read first."""
        resend, reread, look = [], [], []
        for job in jobs:
            creates = [own for own in opened.get(job.key, ()) if own.kind is WriteKind.CREATE]
            if creates and job.lane is Side.STRIPE and tx.now_ms - creates[0].sent_ms > KEY_LIFE_MS:
                look.append(self._look_for(job, creates[0]))
            elif creates:
                resend.append(Intent(job, creates[0]))
            elif job.key in opened:
                reread.append(job)
        return resend, reread, look

    # -- planning

    def plan_jobs(self, tx: Tx, jobs: Sequence[Job], round_: Pass, calls: list[Call]) -> list[Intent]:
        """Plan jobs whose key is locked; remember what is to be remembered; returns the writes to send."""
        intents: list[Intent] = []
        scenes = load_scenes(tx, sorted({round_.key_of[job.id] for job in jobs}))
        for job in jobs:
            key = round_.key_of[job.id]
            scene = scenes[key]
            outcome = self._plan(tx, job, scene)
            if outcome.locks - {job.key}:
                if not self.engine.take_locks(tx, job, outcome.locks):
                    again(tx, job, LOCK_WAIT_MS, "another record's lock is taken")
                    continue
                scene = load_scenes(tx, [key])[key]
                outcome = self._plan(tx, job, scene)
            if outcome.wait:
                again(tx, job, LOCK_WAIT_MS, outcome.wait)
                continue
            if round_.send and self._is_suspect(tx, job, scene, outcome, round_, calls):
                continue
            memory.remember(self.engine, tx, outcome, Priority(job.priority))
            intents += self._decide(tx, job, scene, outcome, round_)
        return intents

    def _plan(self, tx: Tx, job: Job, scene: Scene) -> Plan:
        return plan(scene, self.engine.rules, self.engine.new_id(tx.now_ms))

    def _is_suspect(self, tx: Tx, job: Job, scene: Scene, outcome: Plan, round_: Pass, calls: list[Call]) -> bool:
        """A value that may be a late write of our own is not planned from before its origin is known."""
        found = suspects(self.engine, tx, scene, outcome, round_.origins)
        if found.late:
            scene.late = scene.late | found.late
            fresh = self._plan(tx, job, scene)
            memory.remember(self.engine, tx, fresh, Priority(job.priority))
            calls += self._send(tx, job.lane, self._decide(tx, job, scene, fresh, round_))
            return True
        if not found.unknown:
            return False
        if job.lane is Side.HUBSPOT and all(side is Side.HUBSPOT for side, _, _ in found.unknown):
            calls.append(self._ask_origin(job, found.unknown, round_))
        elif any(side is Side.HUBSPOT for side, _, _ in found.unknown) and job.lane is Side.STRIPE:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.WRITE, job.key, Priority(job.priority)))
            finish(tx, job)
        else:
            again(tx, job, SUSPECT_WAIT_MS, "waiting for the event that tells who wrote a value")
        return True

    def _decide(self, tx: Tx, job: Job, scene: Scene, outcome: Plan, round_: Pass) -> list[Intent]:
        """Turn actions into an intent of this lane and jobs of the other; without any, judge and finish."""
        lane, priority = job.lane, Priority(job.priority)
        queue = [side for side in outcome.actions if side is not lane or not round_.send]
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, round_.key_of[job.id], priority) for side in queue])
        action = outcome.actions.get(lane) if round_.send else None
        opened = round_.opened.get(job.key, [])
        if action is None:
            self._give_up(tx, opened)
            self._end(tx, job, scene)
            return []
        if tx.settings.get(WRITES) == "off":
            memory.note_would_write(tx, action)
            again(tx, job, DAY_MS, WRITES_OFF, fixed=True)
            return []
        try:
            own = self._intend(tx, job, scene, action, opened)
        except IntentTaken:
            again(tx, job, LOCK_WAIT_MS, "its e-mail is being created by another job")
            return []
        for conflict in action.conflicts:
            tx.conflicts.put(conflict, action.link_id)
            memory.note_conflict(tx, conflict, action.link_id)
        return [Intent(job, own)]

    def _intend(self, tx: Tx, job: Job, scene: Scene, action: Action, opened: Sequence[OwnWrite]) -> OwnWrite:
        """Store the exact body and key before the call. On Stripe the same body keeps its key."""
        own = bodies.compose(self.engine, tx, job, scene, action)
        same = next(
            (o for o in opened if o.side is Side.STRIPE and (o.body, o.target_id) == (own.body, own.target_id)), None
        )
        self._give_up(tx, [o for o in opened if o is not same])
        if same is not None:
            again_sent = replace(same, changes=own.changes)
            tx.writes.refresh(again_sent)
            return again_sent
        tx.writes.put(own)
        return own

    def _give_up(self, tx: Tx, opened: Iterable[OwnWrite]) -> None:
        for own in opened:
            tx.writes.answer(own.id, Answer.LOST)

    def _end(self, tx: Tx, job: Job, scene: Scene) -> None:
        key_kind, record_id = split_key(scene.key)
        side = Side.HUBSPOT if key_kind == "contact" else Side.STRIPE
        linked = [(side.other, k.id_on(side.other)) for k in scene.links if k.id_on(side) == record_id]
        judge_refs(self.engine, tx, [(side, record_id), *linked], scene.key)
        finish(tx, job)

    # -- sending

    def _send(self, tx: Tx, lane: Side, intents: Sequence[Intent]) -> list[Call]:
        for intent in intents:
            tx.writes.sent(intent.own.id)
        if lane is Side.STRIPE:
            return [self._send_stripe(tx, intent) for intent in intents]
        creates = [i for i in intents if i.own.kind is WriteKind.CREATE]
        updates = [i for i in intents if i.own.kind is WriteKind.UPDATE]
        return [self._send_contacts(batch) for batch in (creates, updates) if batch]

    def _send_stripe(self, tx: Tx, intent: Intent) -> Call:
        own, port = intent.own, self.engine.stripe
        seen = tx.records.get(Side.STRIPE, own.target_id) if own.target_id else None
        moved = seen.moved if seen else 0
        create = own.kind is WriteKind.CREATE

        def send() -> object:
            if create:
                return port.create_customer(own.body, own.key)
            return port.update_customer(own.target_id, own.body, own.key)

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [intent.job]):
                return []
            if isinstance(answer, CallError):
                return self._failed(tx, intent, answer)
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx, Priority(intent.job.priority))
            sight.store_customer(answer, moved)
            sight.close()
            if answer.record is None:
                return self._failed(tx, intent, CallError(Side.STRIPE, Failure.NOT_FOUND, "the customer is deleted"))
            return self._answered(tx, [(intent, answer.record)])

        operation = "customers.create" if create else "customers.update"
        return Call(Side.STRIPE, operation, [intent.job], send, then)

    def _send_contacts(self, intents: Sequence[Intent]) -> Call:
        create = intents[0].own.kind is WriteKind.CREATE
        by_trace = {intent.own.id: intent for intent in intents}
        properties = {own_id: bodies.properties_of(intent.own) for own_id, intent in by_trace.items()}

        def send() -> object:
            if create:
                return self.engine.hubspot.create_contacts([CreateItem(t, p) for t, p in properties.items()])
            items = [UpdateItem(t, by_trace[t].own.target_id, p) for t, p in properties.items()]
            return self.engine.hubspot.update_contacts(items)

        operation = "contacts.batch_create" if create else "contacts.batch_update"

        def then(tx: Tx, answer: object) -> list[Call]:
            ours = {job.id for job in still_ours(tx, [intent.job for intent in intents])}
            mine = {t: intent for t, intent in by_trace.items() if intent.job.id in ours}
            if isinstance(answer, CallError):
                fail(self.engine, tx, [intent.job for intent in mine.values()], answer, operation)
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            return self._contacts_answered(tx, mine, answer)

        return Call(Side.HUBSPOT, operation, [intent.job for intent in intents], send, then)

    # -- answers

    def _contacts_answered(
        self, tx: Tx, intents: Mapping[str, Intent], answers: Mapping[str, Record | CallError]
    ) -> list[Call]:
        good = {t: a for t, a in answers.items() if isinstance(a, Record) and t in intents}
        sight = Sight(self.engine, tx, Priority(min((i.job.priority for i in intents.values()), default=Priority.LIVE)))
        store_contacts(sight, {a.id: a for a in good.values()})
        sight.close()
        calls = self._answered(tx, [(intents[t], record) for t, record in good.items()])
        for trace, intent in intents.items():
            if trace not in good:
                missing = CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer left this item out")
                error = answers.get(trace, missing)
                calls += self._failed(tx, intent, error if isinstance(error, CallError) else missing)
        return calls

    def _answered(self, tx: Tx, results: Sequence[tuple[Intent, Record]]) -> list[Call]:
        """Commit what a call came to: base of the fields written, link of a creation; then plan what is left."""
        round_ = Pass({}, send=False)
        links = {k.id: k for k in tx.links.get_many([i.own.link_id for i, _ in results if i.own.link_id])}
        for intent, record in results:
            own = intent.own
            memory.note_write(tx, own, record)
            if own.kind is WriteKind.UPDATE:
                tx.writes.answer(own.id, Answer.OK)
                memory.rebase(tx, links.get(own.link_id), own, record)
                round_.key_of[intent.job.id] = intent.job.key
            else:
                target = record.id if own.side is Side.HUBSPOT else self._survivor(tx, own.source_id)
                round_.key_of[intent.job.id] = contact_key(target)
        calls: list[Call] = []
        ready = []
        for intent, _ in results:
            key = round_.key_of[intent.job.id]
            if key == intent.job.key or self.engine.take_locks(tx, intent.job, {intent.job.key, key}):
                ready.append(intent.job)
            else:
                again(tx, intent.job, LOCK_WAIT_MS, "the new contact's lock is taken")
        self.plan_jobs(tx, ready, round_, calls)
        self._close_creates(tx, [i.own for i, _ in results if i.own.kind is WriteKind.CREATE])
        return calls

    def _close_creates(self, tx: Tx, creates: Sequence[OwnWrite]) -> None:
        """A create that was answered is closed even where its record could not be linked: our ids on it tell the rest."""
        still_open = tx.writes.open_ids([own.id for own in creates])
        for own in creates:
            if own.id in still_open and not self._job_waits(tx, own):
                tx.writes.answer(own.id, Answer.LOST)
                tx.jobs.put(JobRequest(own.side, JobKind.WRITE, own.link_key))

    def _job_waits(self, tx: Tx, own: OwnWrite) -> bool:
        return bool(tx.jobs.pending_keys(own.side, JobKind.WRITE, [own.link_key]))

    def _survivor(self, tx: Tx, contact_id: str) -> str:
        return tx.records.merged_into([contact_id]).get(contact_id, contact_id)

    # -- failures

    def _failed(self, tx: Tx, intent: Intent, error: CallError) -> list[Call]:
        own, job = intent.own, intent.job
        match error.failure:
            case Failure.CONFLICT if own.kind is WriteKind.CREATE and error.existing_id:
                return [self._read_existing(intent, error.existing_id)]
            case Failure.CONFLICT if own.kind is WriteKind.UPDATE:
                self._park(tx, intent, error.fields or ("email",), Answer.REFUSED)
            case Failure.REFUSED if own.kind is WriteKind.UPDATE and set(error.fields) & set(own.changes):
                self._park(tx, intent, error.fields, Answer.REFUSED)
            case Failure.NOT_FOUND:
                self._target_gone(tx, intent)
            case Failure.SERVER if own.kind is WriteKind.CREATE:
                return [self._look_for(job, own)]
            case Failure.MISMATCH:
                tx.writes.answer(own.id, Answer.LOST)
                fail(self.engine, tx, [job], error, "write")
            case Failure.REFUSED | Failure.CONFLICT:
                tx.writes.answer(own.id, Answer.REFUSED)
                memory.note_refusal(tx, own, error)
                fail(self.engine, tx, [job], error, "write")
            case _:
                operation = f"contacts.batch_{own.kind}" if own.side is Side.HUBSPOT else f"customers.{own.kind}"
                fail(self.engine, tx, [job], error, operation)
        return []

    def _park(self, tx: Tx, intent: Intent, fields: Sequence[str], answer: Answer) -> None:
        """The refused field is parked and reported, the others are sent again."""
        own = intent.own
        link = tx.links.get(own.link_id)
        tx.writes.answer(own.id, answer)
        refused = [name for name in fields if name in own.changes]
        if link is None or not refused:
            tx.locks.drop(intent.job.token)
            tx.jobs.kill(intent.job, DeadClass.REFUSED, "refused, and no field of this write is to blame")
            return
        memory.park(tx, link, own, refused)
        again(tx, intent.job, 0, "a field was parked")

    def _target_gone(self, tx: Tx, intent: Intent) -> None:
        own, job = intent.own, intent.job
        tx.writes.answer(own.id, Answer.NOT_FOUND)
        if own.side is Side.STRIPE:
            sight = Sight(self.engine, tx, Priority(job.priority))
            sight.delete(Side.STRIPE, own.target_id)
            sight.close()
            again(tx, job, 0, "its customer is deleted")
        else:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, own.target_id, Priority(job.priority)))
            finish(tx, job)

    # -- calls that find out

    def _reread(self, tx: Tx, lane: Side, jobs: Sequence[Job], opened: Mapping[str, list[OwnWrite]]) -> list[Call]:
        """Updates without an answer: read the target, then plan again."""
        if not jobs:
            return []
        if lane is Side.STRIPE:
            return [self._reread_customer(tx, job, opened[job.key]) for job in jobs]
        targets = {job.id: opened[job.key][0].target_id for job in jobs}

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx)
            store_contacts(sight, answer)
            sight.close()

        ids = sorted(set(targets.values()))
        return [
            self._found_out(jobs, "contacts.batch_read", lambda: self.engine.hubspot.read_contacts(ids), store, opened)
        ]

    def _reread_customer(self, tx: Tx, job: Job, opened: Sequence[OwnWrite]) -> Call:
        target = opened[0].target_id
        seen = tx.records.get(Side.STRIPE, target)
        moved = seen.moved if seen else 0

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx)
            if answer.record is None:
                sight.delete(Side.STRIPE, target)
            else:
                sight.store_customer(answer, moved)
            sight.close()

        return self._found_out(
            [job],
            "customers.retrieve",
            lambda: self.engine.stripe.read_customer(target),
            store,
            {job.key: list(opened)},
        )

    def _found_out(
        self,
        jobs: Sequence[Job],
        operation: str,
        send: Callable[[], object],
        store: Callable[[Tx, object], None],
        opened: Mapping[str, list[OwnWrite]],
    ) -> Call:
        """Read, store, then plan with the open writes known."""
        lane = jobs[0].lane

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_ours(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.engine, tx, mine, answer, operation)
                return []
            store(tx, answer)
            calls: list[Call] = []
            round_ = Pass({job.id: job.key for job in mine}, opened={job.key: opened[job.key] for job in mine})
            intents = self.plan_jobs(tx, mine, round_, calls)
            return calls + self._send(tx, lane, intents)

        return Call(lane, operation, list(jobs), send, then)

    def _read_existing(self, intent: Intent, existing_id: str) -> Call:
        """The address is taken: the contact that has it is read, never overwritten, and planned like any other."""
        own, job = intent.own, intent.job

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.engine, tx, [job], answer, "contacts.batch_read")
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx, Priority(job.priority))
            store_contacts(sight, answer)
            sight.close()
            record = next((r for r in answer.values() if r is not None), None)
            if record is not None and record.intent == own.key:
                return self._answered(tx, [(intent, record)])
            tx.writes.answer(own.id, Answer.CONFLICT)
            again(tx, job, LOCK_WAIT_MS, "the address belongs to a contact that was not known", count=True)
            return []

        return Call(
            Side.HUBSPOT, "contacts.batch_read", [job], lambda: self.engine.hubspot.read_contacts([existing_id]), then
        )

    def _look_for(self, job: Job, own: OwnWrite) -> Call:
        """A create whose answer will not come: look for its record by the time it was made and our id on it."""
        from_s, to_s = own.sent_ms // 1000 - 60, 0

        def send() -> object:
            after, found = "", None
            while found is None:
                page = self.engine.stripe.list_customers(after, from_s, to_s)
                found = next((r for r in page.records if r.other_id == own.source_id), None)
                if not page.next:
                    return found
                after = page.next
            return found

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.engine, tx, [job], answer, "customers.list")
            elif isinstance(answer, Record):
                tx.writes.answer(own.id, Answer.LOST)
                Sight(self.engine, tx).want_read(answer.id)
                again(tx, job, LOCK_WAIT_MS, "its customer was found and is being read")
            else:
                tx.writes.answer(own.id, Answer.LOST)
                again(tx, job, 0, "nothing was made; it is sent anew")
            return []

        return Call(Side.STRIPE, "customers.list", [job], send, then)

    def _ask_origin(self, job: Job, unknown: frozenset[tuple[Side, str, str]], round_: Pass) -> Call:
        """Ask HubSpot's history who wrote the values in question."""
        contact_id = next(i for _, i, _ in unknown)
        specs = self.engine.rules.fields.by_name
        names = sorted({name for _, _, name in unknown})
        properties = [p for name in names for p in specs[name].hubspot]

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            for name in names:
                ours = all(answer.get(p, False) for p in specs[name].hubspot)
                round_.origins.tell(Side.HUBSPOT, contact_id, name, ours=ours)

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_ours(tx, [job])
            if isinstance(answer, CallError):
                fail(self.engine, tx, mine, answer, "contacts.retrieve")
                return []
            store(tx, answer)
            calls: list[Call] = []
            intents = self.plan_jobs(tx, mine, round_, calls)
            return calls + self._send(tx, job.lane, intents)

        return Call(
            Side.HUBSPOT,
            "contacts.retrieve",
            [job],
            lambda: self.engine.hubspot.wrote_current(contact_id, properties),
            then,
        )
