"""Sending own writes, and what their answers come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import LOCK_WAIT_MS, MAX_ATTEMPTS, DeadClass, JobKind, JobRequest, Priority, back_off_ms
from wanesync.core.model import (
    PendingWrite,
    Record,
    Side,
    StoredRecord,
    WriteKind,
    WriteResult,
    contact_key,
    customer_key,
)
from wanesync.core.ports import CreateItem, CustomerAnswer, UpdateItem
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync import request_bodies as bodies
from wanesync.sync.intents import Intent, PlanJobs, PlanningRound
from wanesync.sync.job_results import ECHO_WAITS, fail, finish, reschedule, still_held
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.recovery import Recovery
from wanesync.sync.runtime import Call, Runtime


@dataclass(slots=True)
class Sender:
    """The calls that write, one per customer and one per batch of contacts."""

    runtime: Runtime
    plan_jobs: PlanJobs
    recovery: Recovery

    def send(self, tx: Tx, lane: Side, intents: Sequence[Intent]) -> list[Call]:
        """The calls for some stored intents: contacts in batches, customers one by one."""
        for intent in intents:
            tx.pending_writes.sent(intent.pending.id)
        if lane is Side.STRIPE:
            seen_of = tx.records.get_many({(Side.STRIPE, i.pending.target_id) for i in intents if i.pending.target_id})
            return [
                self._send_stripe(intent, seen_of.get((Side.STRIPE, intent.pending.target_id))) for intent in intents
            ]
        creates = [i for i in intents if i.pending.kind is WriteKind.CREATE]
        updates = [i for i in intents if i.pending.kind is WriteKind.UPDATE]
        return [self._send_contacts(batch) for batch in (creates, updates) if batch]

    def _send_stripe(self, intent: Intent, stored: StoredRecord | None) -> Call:
        pending, port = intent.pending, self.runtime.stripe
        moved = stored.revision if stored else 0
        create = pending.kind is WriteKind.CREATE

        def send() -> object:
            if create:
                return port.create_customer(pending.body, pending.idempotency_key)
            return port.update_customer(pending.target_id, pending.body, pending.idempotency_key)

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_held(tx, [intent.job]):
                return []
            if isinstance(answer, CallError):
                return self._failed(tx, intent, answer)
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            return self._customers_answered(tx, [(intent, moved, answer)])

        operation = "customers.create" if create else "customers.update"
        return Call(Side.STRIPE, operation, [intent.job], send, then, self._settle_customers, (intent, moved))

    def _settle_customers(self, tx: Tx, answered: Sequence[tuple[Call, object]]) -> list[Call]:
        ours = {job.id for job in still_held(tx, [job for call, _ in answered for job in call.jobs])}
        results = []
        for call, answer in answered:
            if call.jobs[0].id in ours:
                assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
                assert isinstance(call.subject, tuple)  # noqa: S101 - what ``_send_stripe`` put there
                results.append((*call.subject, answer))
        return self._customers_answered(tx, results)

    def _customers_answered(self, tx: Tx, results: Sequence[tuple[Intent, int, CustomerAnswer]]) -> list[Call]:
        """Store what Stripe answered to some writes, then commit them; ``moved`` is from before each call."""
        if not results:
            return []
        recorder = RecordWriter(self.runtime, tx, Priority(min(intent.job.priority for intent, _, _ in results)))
        recorder.load(Side.STRIPE, [answer.record.id for _, _, answer in results if answer.record])
        for _, moved, answer in results:
            recorder.store_customer(answer, moved)
        recorder.keep()
        calls: list[Call] = []
        good = []
        for intent, _, answer in results:
            stored = recorder.get(Side.STRIPE, answer.record.id) if answer.record else None
            if answer.record is None:
                gone = CallError(Side.STRIPE, Failure.NOT_FOUND, "the customer is deleted")
                calls += self._failed(tx, intent, gone)
            elif intent.pending.kind is WriteKind.CREATE and stored is not None and stored.deleted:
                self._made_in_vain(tx, intent, stored.id)
            else:
                good.append((intent, answer.record))
        calls += self.answered(tx, good)
        # Whom a new address concerns is asked when its link stands: the two it joins need no waking.
        recorder.flush()
        return calls

    def _send_contacts(self, intents: Sequence[Intent]) -> Call:
        create = intents[0].pending.kind is WriteKind.CREATE
        by_trace = {intent.pending.id: intent for intent in intents}
        properties = {own_id: bodies.properties_of(intent.pending) for own_id, intent in by_trace.items()}

        def send() -> object:
            if create:
                return self.runtime.hubspot.create_contacts([CreateItem(t, p) for t, p in properties.items()])
            items = [UpdateItem(t, by_trace[t].pending.target_id, p) for t, p in properties.items()]
            return self.runtime.hubspot.update_contacts(items)

        operation = "contacts.batch_create" if create else "contacts.batch_update"

        def then(tx: Tx, answer: object) -> list[Call]:
            ours = {job.id for job in still_held(tx, [intent.job for intent in intents])}
            mine = {t: intent for t, intent in by_trace.items() if intent.job.id in ours}
            if isinstance(answer, CallError):
                fail(self.runtime, tx, [intent.job for intent in mine.values()], answer, operation)
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            return self._contacts_answered(tx, mine, answer)

        return Call(Side.HUBSPOT, operation, [intent.job for intent in intents], send, then)

    # -- answers

    def _contacts_answered(
        self, tx: Tx, intents: Mapping[str, Intent], answers: Mapping[str, Record | CallError]
    ) -> list[Call]:
        good = {t: a for t, a in answers.items() if isinstance(a, Record) and t in intents}
        recorder = RecordWriter(
            self.runtime, tx, Priority(min((i.job.priority for i in intents.values()), default=Priority.LIVE))
        )
        store_contacts(recorder, {a.id: a for a in good.values()})
        recorder.keep()
        calls = self.answered(tx, [(intents[t], record) for t, record in good.items()])
        recorder.flush()
        for trace, intent in intents.items():
            if trace not in good:
                missing = CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer left this item out")
                error = answers.get(trace, missing)
                calls += self._failed(tx, intent, error if isinstance(error, CallError) else missing)
        return calls

    def answered(self, tx: Tx, results: Sequence[tuple[Intent, Record]]) -> list[Call]:
        """Commit what a call came to: base of the fields written, link of a creation; then plan what is left."""
        planning = PlanningRound({}, send=False)
        links = {k.id: k for k in tx.links.get_many([i.pending.link_id for i, _ in results if i.pending.link_id])}
        survivors = tx.records.merged_into([i.pending.source_id for i, _ in results if i.pending.side is Side.STRIPE])
        wanted: dict[str, set[str]] = {}
        rebased = []
        for intent, record in results:
            pending, job = intent.pending, intent.job
            memory.note_write(tx, pending, record)
            if pending.kind is WriteKind.UPDATE:
                tx.pending_writes.record_result(pending.id, WriteResult.OK)
                # A commit without an acknowledgement was done twice, and the first one's intent is in nobody's hands.
                tx.pending_writes.mark_others_lost(pending)
                if pending.link_id in links:
                    rebased.append(memory.rebase(links[pending.link_id], pending, record))
                planning.key_of[job.id] = job.key
            else:
                ends = {
                    pending.side: record.id,
                    pending.side.other: survivors.get(pending.source_id, pending.source_id),
                }
                planning.key_of[job.id] = contact_key(ends[Side.HUBSPOT])
                wanted[job.token] = {job.key, planning.key_of[job.id], customer_key(ends[Side.STRIPE])}
                planning.held[job.id] = wanted[job.token]
        tx.links.put_many(rebased)
        locked = self.runtime.lock_each(tx, wanted)
        calls: list[Call] = []
        ready = []
        for job in (intent.job for intent, _ in results):
            if job.token in locked or job.token not in wanted:
                ready.append(job)
            else:
                reschedule(tx, job, LOCK_WAIT_MS, "a lock of the new pair is taken")
        self.plan_jobs(tx, ready, planning, calls)
        ended = [i.pending for i, _ in results if i.pending.kind is WriteKind.CREATE and i.job.id in planning.ended]
        self._close_creates(tx, ended)
        echoed = [record.id for intent, record in results if intent.pending.side is Side.STRIPE]
        tx.jobs.make_keys_due(Side.STRIPE, JobKind.READ, echoed, ECHO_WAITS)
        return calls

    def _close_creates(self, tx: Tx, creates: Sequence[PendingWrite]) -> None:
        """A create that was planned to its end is closed, even where its record could not be linked.

        Our ids on the record tell the rest. Left open, it would be sent again by the next job of its key, for ever.
        """
        still_open = tx.pending_writes.open_ids([pending.id for pending in creates])
        for pending in creates:
            if pending.id in still_open:
                tx.pending_writes.record_result(pending.id, WriteResult.LOST)
                tx.jobs.put(JobRequest(pending.side, JobKind.WRITE, pending.link_key))

    # -- failures

    def _failed(self, tx: Tx, intent: Intent, error: CallError) -> list[Call]:
        pending, job = intent.pending, intent.job
        match error.failure:
            case Failure.CONFLICT if pending.kind is WriteKind.CREATE and error.existing_id:
                return [self.recovery.read_existing(intent, error.existing_id, self.answered)]
            case Failure.CONFLICT if bodies.CUSTOMER_ID_PROPERTY in error.fields and error.existing_id:
                self._meet_rival(tx, intent, error.existing_id)
            case Failure.CONFLICT if pending.kind is WriteKind.UPDATE:
                self._park(tx, intent, error.fields or ("email",), WriteResult.REFUSED)
            case Failure.REFUSED if pending.kind is WriteKind.UPDATE and set(error.fields) & set(pending.changes):
                self._park(tx, intent, error.fields, WriteResult.REFUSED)
            case Failure.NOT_FOUND:
                self._target_gone(tx, intent)
            case Failure.SERVER if pending.kind is WriteKind.CREATE:
                return [self.recovery.look_for(job, pending, error)]
            case Failure.SERVER:
                self._forsake(tx, intent, error)
            case Failure.MISMATCH:
                tx.pending_writes.record_result(pending.id, WriteResult.LOST)
                fail(self.runtime, tx, [job], error, "write")
            case Failure.REFUSED | Failure.CONFLICT:
                tx.pending_writes.record_result(pending.id, WriteResult.REFUSED)
                memory.note_refusal(tx, pending, error)
                fail(self.runtime, tx, [job], error, "write")
            case _:
                operation = (
                    f"contacts.batch_{pending.kind}" if pending.side is Side.HUBSPOT else f"customers.{pending.kind}"
                )
                fail(self.runtime, tx, [job], error, operation)
        return []

    def _meet_rival(self, tx: Tx, intent: Intent, contact_id: str) -> None:
        """Another contact carries our id: it is read, so that the next plan knows, and the values go without the id."""
        tx.pending_writes.record_result(intent.pending.id, WriteResult.REFUSED)
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority(intent.job.priority)))
        reschedule(tx, intent.job, LOCK_WAIT_MS, "its id is on another contact, which is being read", count=True)

    def _forsake(self, tx: Tx, intent: Intent, error: CallError) -> None:
        """Stripe keeps a 500 under its key for good: the customer is read, then planned anew under another key."""
        tx.pending_writes.record_result(intent.pending.id, WriteResult.LOST)
        recorder = RecordWriter(self.runtime, tx, Priority(intent.job.priority))
        recorder.want_read(intent.pending.target_id)
        recorder.flush()
        fail(self.runtime, tx, [intent.job], error, "customers.update")

    def _park(self, tx: Tx, intent: Intent, fields: Sequence[str], answer: WriteResult) -> None:
        """The refused field is parked and reported, the others are sent again."""
        pending = intent.pending
        link = tx.links.get(pending.link_id)
        tx.pending_writes.record_result(pending.id, answer)
        refused = [name for name in fields if name in pending.changes]
        job = intent.job
        if link is None or not refused or job.attempts + 1 >= MAX_ATTEMPTS:
            tx.locks.drop(job.token)
            tx.jobs.mark_dead(job, DeadClass.VALIDATION, f"refused for {', '.join(fields)}; mend it on either side")
            return
        memory.park(tx, link, pending, refused)
        # Counted: an address that is refused although nobody we know has it is not sent for ever.
        reschedule(tx, job, back_off_ms(job.attempts, self.runtime.rng), "a field was parked", count=True)

    def _made_in_vain(self, tx: Tx, intent: Intent, customer_id: str) -> None:
        """The answer came so late that its customer was deleted meanwhile: it is not made again, and not asked for."""
        pending = intent.pending
        tx.pending_writes.record_result(pending.id, WriteResult.NOT_FOUND, customer_id)
        tx.tombstones.put(Side.STRIPE, customer_id, pending.hmacs)
        tx.journal.add("orphaned", Side.STRIPE, customer_id, "", {"reason": "deleted there; its other record is kept"})
        reschedule(tx, intent.job, 0, "its customer is deleted")

    def _target_gone(self, tx: Tx, intent: Intent) -> None:
        pending, job = intent.pending, intent.job
        tx.pending_writes.record_result(pending.id, WriteResult.NOT_FOUND)
        if pending.side is Side.STRIPE:
            recorder = RecordWriter(self.runtime, tx, Priority(job.priority))
            recorder.delete(Side.STRIPE, pending.target_id)
            recorder.flush()
            reschedule(tx, job, 0, "its customer is deleted")
        else:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, pending.target_id, Priority(job.priority)))
            finish(tx, job)
