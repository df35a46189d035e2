"""Finding out: reads that must come before a write can be planned or called done (CORRECTNESS section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.errors import CallError
from wanesync.core.ids import made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority
from wanesync.core.model import PendingWrite, Record, Side, WriteResult
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.ports import Authors, CustomerAnswer
from wanesync.store.database import Tx
from wanesync.sync.intents import Intent, PlanJobs, PlanningRound
from wanesync.sync.job_results import fail, reschedule, still_held
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.runtime import Call, Runtime

CHANGED_WAIT_MS = 1_000
Sender = Callable[[Tx, Side, Sequence[Intent]], list[Call]]
Arrival = Callable[[Tx, Sequence[tuple[Intent, Record]]], list[Call]]


@dataclass(slots=True)
class Recovery:
    """Reads for jobs whose earlier write has no answer, or whose values are not known to be a person's."""

    runtime: Runtime
    plan_jobs: PlanJobs
    send: Sender

    def reread(self, tx: Tx, lane: Side, jobs: Sequence[Job], opened: Mapping[str, list[PendingWrite]]) -> list[Call]:
        """Updates without an answer: read the target, then plan again."""
        if not jobs:
            return []
        if lane is Side.STRIPE:
            return [self._reread_customer(tx, job, opened[job.key]) for job in jobs]
        targets = {job.id: opened[job.key][0].target_id for job in jobs}

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            recorder = RecordWriter(self.runtime, tx)
            store_contacts(recorder, answer)
            recorder.flush()

        ids = sorted(set(targets.values()))
        return [self._found_out(jobs, "contacts.batch_read", lambda: self.runtime.hubspot.read_contacts(ids), store)]

    def _reread_customer(self, tx: Tx, job: Job, opened: Sequence[PendingWrite]) -> Call:
        target = opened[0].target_id
        seen = tx.records.get(Side.STRIPE, target)
        moved = seen.revision if seen else 0

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            recorder = RecordWriter(self.runtime, tx)
            if answer.record is None:
                recorder.delete(Side.STRIPE, target)
            else:
                recorder.store_customer(answer, moved)
            recorder.flush()

        return self._found_out(
            [job],
            "customers.retrieve",
            lambda: self.runtime.stripe.read_customer(target),
            store,
        )

    def _found_out(
        self,
        jobs: Sequence[Job],
        operation: str,
        send: Callable[[], object],
        store: Callable[[Tx, object], None],
    ) -> Call:
        """Read, store, then plan with the open writes known."""
        lane = jobs[0].lane

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_held(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.runtime, tx, mine, answer, operation)
                return []
            store(tx, answer)
            calls: list[Call] = []
            still: dict[str, list[PendingWrite]] = {}
            for pending in tx.pending_writes.open_for_keys([job.key for job in mine], lane):
                still.setdefault(pending.link_key, []).append(pending)
            planning = PlanningRound({job.id: job.key for job in mine}, opened=still)
            intents = self.plan_jobs(tx, mine, planning, calls)
            return calls + self.send(tx, lane, intents)

        return Call(lane, operation, list(jobs), send, then)

    def read_existing(self, intent: Intent, existing_id: str, answered: Arrival) -> Call:
        """The address is taken: the contact that has it is read, never overwritten, and planned like any other."""
        pending, job = intent.pending, intent.job

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_held(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.runtime, tx, [job], answer, "contacts.batch_read")
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            recorder = RecordWriter(self.runtime, tx, Priority(job.priority))
            store_contacts(recorder, answer)
            recorder.flush()
            record = next((r for r in answer.values() if r is not None), None)
            if record is not None and record.intent == pending.idempotency_key:
                return answered(tx, [(intent, record)])
            tx.pending_writes.record_result(pending.id, WriteResult.CONFLICT)
            reschedule(tx, job, LOCK_WAIT_MS, "the address belongs to a contact that was not known", count=True)
            return []

        return Call(
            Side.HUBSPOT, "contacts.batch_read", [job], lambda: self.runtime.hubspot.read_contacts([existing_id]), then
        )

    def look_for(self, job: Job, pending: PendingWrite, error: CallError | None = None) -> Call:
        """A create whose answer will not come: look for its record by the time it was made and our id on it.

        ``error``: what came instead; where nothing was made, the job has failed with it.
        """
        from_s, to_s = made_ms(pending.id) // 1000 - 60, 0

        def send() -> object:
            after = ""
            while True:
                page = self.runtime.stripe.list_customers(after, from_s, to_s)
                found = next((r for r in page.records if r.other_id == pending.source_id), None)
                if found is not None or not page.next:
                    return CustomerAnswer(found, page.timing)
                after = page.next

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_held(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.runtime, tx, [job], answer, "customers.list")
                return []
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            tx.pending_writes.record_result(pending.id, WriteResult.LOST)
            # Stored at once: a plan that did not know it would make another one.
            recorder = RecordWriter(self.runtime, tx)
            recorder.store_customer(answer, 0)
            recorder.flush()
            if answer.record is None and error is not None:
                fail(self.runtime, tx, [job], error, "customers.create")
            else:
                reschedule(
                    tx, job, 0, "its customer was found" if answer.record else "nothing was made; it is sent anew"
                )
            return []

        return Call(Side.STRIPE, "customers.list", [job], send, then)

    def ask_origin(self, job: Job, unknown: frozenset[tuple[Side, str, str]], planning: PlanningRound) -> Call:
        """Ask HubSpot's history who wrote the values in question; the answer is kept until the contact changes."""
        contact_id = next(i for _, i, _ in unknown)
        specs = self.runtime.rules.fields.by_name
        names = sorted({name for _, _, name in unknown})
        properties = [p for name in names for p in specs[name].hubspot]

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_held(tx, [job])
            if isinstance(answer, CallError):
                fail(self.runtime, tx, mine, answer, "contacts.retrieve")
                return []
            assert isinstance(answer, Authors)  # noqa: S101 - narrows what ``send`` returned
            seen = tx.records.get(Side.HUBSPOT, contact_id)
            if seen is None or seen.record.modified_ms != answer.modified_ms:
                # It tells of another state than the one we planned from.
                tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority(job.priority)))
                for each in mine:
                    reschedule(tx, each, CHANGED_WAIT_MS, "the contact changed meanwhile")
                return []
            ours = self._note_told(tx, contact_id, names, answer)
            for name in names:
                planning.origins.tell(Side.HUBSPOT, contact_id, name, ours=name in ours)
            calls: list[Call] = []
            intents = self.plan_jobs(tx, mine, planning, calls)
            return calls + self.send(tx, job.lane, intents)

        return Call(
            Side.HUBSPOT,
            "contacts.retrieve",
            [job],
            lambda: self.runtime.hubspot.wrote_current(contact_id, properties),
            then,
        )

    def _note_told(self, tx: Tx, contact_id: str, names: Sequence[str], authors: Authors) -> set[str]:
        """What history told is kept with each write it tells of; the fields whose values are ours."""
        specs, ours = self.runtime.rules.fields.by_name, set[str]()
        for pending in tx.pending_writes.unanswered(Side.HUBSPOT, contact_id):
            told = {n: _is_author(pending, n, specs[n].hubspot, authors) for n in names if n in pending.changes}
            ours |= {name for name, is_ours in told.items() if is_ours}
            if told:
                news = {name: (authors.modified_ms, is_ours) for name, is_ours in told.items()}
                tx.pending_writes.record_authorship(replace(pending, authorship={**pending.authorship, **news}))
        return ours


def _is_author(pending: PendingWrite, name: str, properties: Sequence[str], authors: Authors) -> bool:
    """Of a name, the halves that the write changed count: one that it sent as it was keeps its author there."""
    change = pending.changes[name]
    halves = [change.before.split(NAME_PARTS), change.after.split(NAME_PARTS)]
    if len(properties) > 1 and all(len(half) == len(properties) for half in halves):
        changed = [p for p, before, after in zip(properties, *halves, strict=True) if before != after]
    else:
        changed = list(properties)
    return all(authors.ours.get(p, False) for p in changed or properties)
