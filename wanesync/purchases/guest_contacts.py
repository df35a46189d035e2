"""Guests: a contact for the address of a payment without a customer, created once (docs/correctness.md#guests)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import INTENT_PROPERTY, made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority, WaitCode
from wanesync.core.model import LinkState, PendingWrite, Record, Side, WriteKind, WriteResult, customer_key, split_key
from wanesync.core.plan import CONFIRMATION_WAIT
from wanesync.core.ports import CreateItem
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.core.setup.portal_checks import SETUP_WAIT
from wanesync.purchases.recipients import Recipients
from wanesync.store.database import Tx
from wanesync.store.tables.pending_writes import EmailIntentTaken
from wanesync.store.tables.settings import UNCONFIRMED
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.job_results import fail, finish, reschedule, still_held, wait_turn
from wanesync.sync.loader import LISTED, lock_portal_state
from wanesync.sync.plan_effects import wake_purchases
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.restored import CONFIRMATION_WAIT_MS
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.writer import DAY_MS, WRITES_OFF, are_writes_off, read_properties

OTHER_JOB = "another job is linking or creating its e-mail"
PREREQUISITE_MS = 500
"""How long a guest waits, in ms, for another job that links or creates its address: mostly one commit away."""
DECISION_WAIT_MS = 30_000
"""How long it waits, in ms, where a customer with its address needs a decision."""
LISTING_WAIT_MS = 7_200_000
"""How long it waits, in ms, for the first listing, whose end makes it due unless the two commit at the same moment."""
NOT_LISTED = "both sides have not been listed completely yet: wanesync reconcile does it"

Contacts = Mapping[str, Record | CallError | None]
"""Requested id -> the contact, its survivor, None if it is gone, or why there is no answer for it."""


@dataclass(frozen=True, slots=True)
class GuestContacts:
    """Write jobs of ``guest:`` keys, on the hubspot lane."""

    runtime: Runtime

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """Lock, look again, and create the contacts that are still missing."""
        intents: list[tuple[Job, PendingWrite]] = []
        for job in jobs:
            if not self.runtime.take_locks(tx, job, {job.key}):
                reschedule(tx, job, LOCK_WAIT_MS, WaitCode.LOCK, "its lock is taken")
                continue
            pending = self._plan_contact(tx, job)
            if pending is not None:
                tx.pending_writes.mark_sent(pending.id)
                intents.append((job, pending))
        return [self._create(intents)] if intents else []

    def _plan_contact(self, tx: Tx, job: Job) -> PendingWrite | None:
        """The open or new intent of a guest, or None when the job was ended otherwise."""
        off = are_writes_off(tx)
        hmac = split_key(job.key)[1]
        grave = tx.tombstones.match([hmac]).get(hmac)
        opened = tx.pending_writes.open_for_keys([job.key], Side.HUBSPOT)
        if opened and not off:
            if grave is None or not grave.blocks(made_ms(opened[0].id)):
                return opened[0]
            # It was created and deleted meanwhile: a deleted person is not created again.
            tx.pending_writes.record_result(opened[0].id, WriteResult.LOST)
            opened = []
        waiting = tx.purchases.get_many(tx.purchases.waiting_for_hmacs([hmac]))
        # Of an erased person's payment the address is empty.
        guests = [payment for payment in _of_guests(waiting.values()) if payment.email]
        # A payment made after the deletion is a new sign of the person (docs/correctness.md#tombstones).
        newest_ms = max((payment.occurred_ms for payment in guests), default=0)
        carriers = tx.records.by_hmacs([hmac]).get(hmac, set())
        customers = [i for side, i in carriers if side is Side.STRIPE]
        # Where a customer carries the address, that customer decides: its contact was deleted.
        deleted = grave is not None and (bool(customers) or grave.blocks(newest_ms))
        contact = any(side is Side.HUBSPOT for side, _ in carriers)
        links = tx.links.of_records([(Side.STRIPE, i) for i in customers]) if customers else []
        linked = any(link.state is LinkState.ACTIVE for link in links)
        if not opened and (not guests or contact or linked or deleted):
            self._wake_settled(tx, job, waiting)
            finish(tx, job)
            return None
        if (obstacle := _find_obstacle(tx, off=off)) is not None:
            wait_ms, code, reason = obstacle
            reschedule(tx, job, wait_ms, code, reason, fixed=True)
            return None
        if customers or tx.pending_writes.open_for_hmacs([hmac]):
            self._wait_for_others(tx, job, customers, guests)
            return None
        try:
            return self._store_pending(tx, job, hmac, guests[0].email)
        except EmailIntentTaken:
            wait_turn(tx, job, WaitCode.EMAIL_BEING_CREATED, OTHER_JOB, PREREQUISITE_MS)
            return None

    def _wait_for_others(self, tx: Tx, job: Job, customers: Sequence[str], guests: Sequence[Purchase]) -> None:
        """Wait for the jobs that link or create the address; for a customer's decision no longer than its payments do.

        A payment that was given up comes back, with a job of its guest, when something is linked or made.
        """
        stored = tx.records.get_many([(Side.STRIPE, i) for i in customers])
        noted = any(one.note for one in stored.values())
        given_up = bool(guests) and all(row.state is PurchaseState.UNMATCHED for row in guests)
        if noted and given_up and not tx.pending_writes.open_for_hmacs([split_key(job.key)[1]]):
            finish(tx, job)
            return
        keys = [customer_key(i) for i in customers]
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.WRITE, k, Priority.PURCHASE, woken_by=job) for k in keys])
        delay_ms = DECISION_WAIT_MS if noted else PREREQUISITE_MS
        wait_turn(tx, job, WaitCode.EMAIL_BEING_CREATED, OTHER_JOB, delay_ms)

    def _wake_settled(self, tx: Tx, job: Job, waiting: Mapping[str, Purchase]) -> None:
        """Queue the payments that have a contact now, or will get none; the others would only queue this job again."""
        recipients = Recipients(self.runtime, tx)
        recipients.load(waiting.values())
        settled = [i for i, row in waiting.items() if recipients.find(row) or recipients.find_final_reason(row)]
        wake_purchases(tx, sorted(settled), job)

    def _store_pending(self, tx: Tx, job: Job, hmac: str, email: str) -> PendingWrite:
        own_id = self.runtime.new_id(tx.now_ms)
        properties = {**self.runtime.translator.contact_properties({"email": email}), INTENT_PROPERTY: own_id}
        body = json.dumps(properties, sort_keys=True)
        pending = PendingWrite(
            own_id, Side.HUBSPOT, WriteKind.CREATE, job.key, "", "", own_id, body, {}, hmacs=frozenset({hmac})
        )
        tx.pending_writes.put(pending)
        return pending

    def _create(self, intents: Sequence[tuple[Job, PendingWrite]]) -> Call[Mapping[str, Record | CallError]]:
        items = [CreateItem(pending.id, read_properties(pending)) for _, pending in intents]
        operation = "contacts.batch_create"

        def send() -> Mapping[str, Record | CallError]:
            return self.runtime.hubspot.create_contacts(items)

        def then(tx: Tx, answer: Mapping[str, Record | CallError] | CallError) -> Next:
            held = {job.id for job in still_held(tx, [job for job, _ in intents])}
            mine = [(job, pending) for job, pending in intents if job.id in held]
            if isinstance(answer, CallError):
                fail(self.runtime, tx, [job for job, _ in mine], answer, operation)
                return DONE
            return self._commit_created(tx, mine, answer)

        return Call(Side.HUBSPOT, operation, [job for job, _ in intents], send, then)

    def _commit_created(
        self, tx: Tx, mine: Sequence[tuple[Job, PendingWrite]], answers: Mapping[str, Record | CallError]
    ) -> Next:
        calls = []
        for job, pending in mine:
            answer = answers.get(pending.id)
            if isinstance(answer, Record):
                self._commit_contact(tx, job, pending, WriteResult.OK, {answer.id: answer})
            elif isinstance(answer, CallError) and answer.failure is Failure.CONFLICT and answer.existing_id:
                calls.append(self._read_existing(job, pending, answer.existing_id))
            else:
                error = answer or CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer left this item out")
                if error.failure in (Failure.REFUSED, Failure.CONFLICT):
                    tx.pending_writes.record_result(pending.id, WriteResult.REFUSED)
                fail(self.runtime, tx, [job], error, "contacts.batch_create")
        return calls

    def _read_existing(self, job: Job, pending: PendingWrite, contact_id: str) -> Call[Contacts]:
        operation = "contacts.batch_read"

        def then(tx: Tx, answer: Contacts | CallError) -> Next:
            if not still_held(tx, [job]):
                return DONE
            unread = answer if isinstance(answer, CallError) else answer.get(contact_id)
            if isinstance(unread, CallError):
                fail(self.runtime, tx, [job], unread, operation)
            elif not isinstance(answer, CallError):
                self._commit_contact(tx, job, pending, WriteResult.CONFLICT, answer)
            return DONE

        return Call(Side.HUBSPOT, operation, [job], lambda: self.runtime.hubspot.read_contacts([contact_id]), then)

    def _commit_contact(self, tx: Tx, job: Job, pending: PendingWrite, answer: WriteResult, records: Contacts) -> None:
        """Store the contact, queue its purchases, and let it be planned like any other."""
        tx.pending_writes.record_result(pending.id, answer)
        with RecordWriter(self.runtime, tx) as stored:
            store_contacts(stored, records)
        waiting = tx.purchases.waiting_for_hmacs(sorted(pending.hmacs))
        made = next(
            (r.id for r in records.values() if isinstance(r, Record) and r.intent == pending.idempotency_key), ""
        )
        if made:
            # It is this guest's, even if a user changed its address before our create was answered.
            for payment in _of_guests(tx.purchases.get_many(waiting).values()):
                tx.purchases.set_state(payment.payment_id, PurchaseState.TODO, contact_id=made)
        wake_purchases(tx, waiting)
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.READ, i) for i in records])
        finish(tx, job)


def _of_guests(rows: Iterable[Purchase]) -> list[Purchase]:
    """The payments without a customer: only these go to a guest's contact, whatever address the others name."""
    return sorted((row for row in rows if not row.customer_id), key=lambda row: (row.created_ms, row.payment_id))


def _find_obstacle(tx: Tx, *, off: bool) -> tuple[int, WaitCode, str] | None:
    """What no guest's contact is created without: how long a job waits for it, in ms, and what makes the job due."""
    if off:
        return DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF
    if lock_portal_state(tx).blocked:
        return DAY_MS, WaitCode.SETUP, SETUP_WAIT
    if tx.settings.get(LISTED) is None:
        return LISTING_WAIT_MS, WaitCode.FIRST_LISTING, NOT_LISTED
    if tx.settings.get(UNCONFIRMED) is not None:
        return CONFIRMATION_WAIT_MS, WaitCode.CONFIRMATION, CONFIRMATION_WAIT
    return None
