"""The sender: the calls that write, one per customer and one per batch of contacts, and what follows their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import CallError, Failure
from wanesync.core.evidence.answers import settle_answer
from wanesync.core.ids import CUSTOMER_ID_PROPERTY, made_ms
from wanesync.core.jobs import (
    LOCK_WAIT_MS,
    MAX_ATTEMPTS,
    DeadClass,
    Job,
    JobKind,
    JobRequest,
    Priority,
    WaitCode,
    back_off_ms,
)
from wanesync.core.model import (
    Link,
    Parked,
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
from wanesync.sync import plan_effects
from wanesync.sync.agreements import Agreement, close_agreed
from wanesync.sync.calls import DONE, AnyCall, Call, Intent, Next, PlanningRound, Step
from wanesync.sync.job_results import fail, finish, reschedule, still_held
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.restored import may_create
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.recovery import find_created_customer, read_existing_contact
from wanesync.sync.writes.refused_fields import leave_out
from wanesync.sync.writes.writer import DAY_MS, WRITES_OFF, are_writes_off, plan_jobs, read_properties

Outcomes = Mapping[str, Record | CallError]
"""Trace id (the pending write's id) -> the contact after the write, or why it was not written."""
UNREAD = frozenset({Failure.RATE_LIMITED, Failure.UNREACHED})
"""Failures of calls that certainly changed nothing: there was no room for them, or no connection."""


@dataclass(frozen=True, slots=True)
class CustomerWritten:
    """Stripe's answer to a write. ``revision``: our copy's when the call began, 0 for a create."""

    intent: Intent
    revision: int
    answer: CustomerAnswer


def send_writes(runtime: Runtime, tx: Tx, intents: Sequence[Intent]) -> list[AnyCall]:
    """The calls for stored writes of one lane: contacts in batches, customers one by one."""
    if not intents:
        return []
    for intent in intents:
        tx.pending_writes.mark_sent(intent.pending.id)
    if intents[0].pending.side is Side.STRIPE:
        targets = {(Side.STRIPE, i.pending.target_id) for i in intents if i.pending.target_id}
        known = tx.records.get_many(targets)
        return [_write_customer(runtime, i, known.get((Side.STRIPE, i.pending.target_id))) for i in intents]
    creates = [i for i in intents if i.pending.kind is WriteKind.CREATE]
    updates = [i for i in intents if i.pending.kind is WriteKind.UPDATE]
    return [_write_contacts(runtime, batch) for batch in (creates, updates) if batch]


# -- Stripe


def _write_customer(runtime: Runtime, intent: Intent, stored: StoredRecord | None) -> Call[CustomerWritten]:
    pending, port = intent.pending, runtime.stripe
    revision = stored.revision if stored else 0
    create = pending.kind is WriteKind.CREATE

    def send() -> CustomerWritten:
        if create:
            answer = port.create_customer(pending.body, pending.idempotency_key)
        else:
            answer = port.update_customer(pending.target_id, pending.body, pending.idempotency_key)
        return CustomerWritten(intent, revision, answer)

    def then(tx: Tx, answer: CustomerWritten | CallError) -> Next:
        if not isinstance(answer, CallError):
            return commit_customers(runtime, tx, [answer])
        if not still_held(tx, [intent.job]):
            return DONE
        _note_unsent(tx, [intent], answer)
        return _handle_refusal(runtime, tx, intent, answer)

    operation = "customers.create" if create else "customers.update"
    return Call(Side.STRIPE, operation, [intent.job], send, then, commit_customers)


def commit_customers(runtime: Runtime, tx: Tx, written: Sequence[CustomerWritten]) -> Next:
    """Store what Stripe answered to some writes, then commit those whose jobs are still held."""
    held = {job.id for job in still_held(tx, [one.intent.job for one in written])}
    mine = [one for one in written if one.intent.job.id in held]
    if not mine:
        return DONE
    steps: list[Step] = []
    # The block ends after the link is stored, so that the two linked records are not queued again.
    with RecordWriter(runtime, tx, Priority(min(one.intent.job.priority for one in mine))) as records:
        records.load(Side.STRIPE, [one.answer.record.id for one in mine if one.answer.record])
        for one in mine:
            records.store_customer(one.answer, one.revision)
        records.write()
        good = []
        for one in mine:
            intent, record = one.intent, one.answer.record
            stored = records.get(Side.STRIPE, record.id) if record else None
            if record is None:
                tx.pending_writes.record_result(intent.pending.id, WriteResult.NOT_FOUND)
                records.delete(Side.STRIPE, intent.pending.target_id)
                reschedule(tx, intent.job, 0, WaitCode.NONE, "its customer is deleted")
            elif intent.pending.kind is WriteKind.CREATE and stored is not None and stored.deleted:
                _close_create_of_deleted(tx, intent, stored.id)
            else:
                good.append((intent, record))
        steps += commit_written(runtime, tx, good, {one.intent.pending.id: one.answer.timing.to_ms for one in mine})
    return steps


# -- HubSpot


def _write_contacts(runtime: Runtime, intents: Sequence[Intent]) -> Call[Outcomes]:
    create = intents[0].pending.kind is WriteKind.CREATE
    by_trace = {intent.pending.id: intent for intent in intents}
    properties = {trace: read_properties(intent.pending) for trace, intent in by_trace.items()}

    def send() -> Outcomes:
        if create:
            return runtime.hubspot.create_contacts([CreateItem(t, p) for t, p in properties.items()])
        items = [UpdateItem(t, by_trace[t].pending.target_id, p) for t, p in properties.items()]
        return runtime.hubspot.update_contacts(items)

    operation = "contacts.batch_create" if create else "contacts.batch_update"

    def then(tx: Tx, answer: Outcomes | CallError) -> Next:
        held = {job.id for job in still_held(tx, [intent.job for intent in intents])}
        mine = {t: intent for t, intent in by_trace.items() if intent.job.id in held}
        if isinstance(answer, CallError):
            _note_unsent(tx, [*mine.values()], answer)
            fail(runtime, tx, [intent.job for intent in mine.values()], answer, operation)
            return DONE
        return _commit_contacts(runtime, tx, mine, answer)

    return Call(Side.HUBSPOT, operation, [intent.job for intent in intents], send, then)


def _commit_contacts(runtime: Runtime, tx: Tx, intents: Mapping[str, Intent], outcomes: Outcomes) -> Next:
    """Store and commit what was written; each item that was refused or left out is handled by itself."""
    good = {t: record for t, record in outcomes.items() if isinstance(record, Record) and t in intents}
    priority = Priority(min((i.job.priority for i in intents.values()), default=Priority.LIVE))
    # The block ends after the link is stored, so that the two linked records are not queued again.
    with RecordWriter(runtime, tx, priority) as records:
        # A target that was merged away meanwhile is answered with its survivor.
        answers = {intents[t].pending.target_id or record.id: record for t, record in good.items()}
        store_contacts(records, answers, are_answers=True)
        records.write()
        steps = [*commit_written(runtime, tx, [(intents[t], record) for t, record in good.items()])]
    for trace, intent in intents.items():
        if trace not in good:
            error = outcomes.get(trace)
            if not isinstance(error, CallError):
                error = CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer left this item out")
            steps += _handle_refusal(runtime, tx, intent, error)
    return steps


# -- answers


def commit_written(
    runtime: Runtime,
    tx: Tx,
    results: Sequence[tuple[Intent, Record]],
    landed_ms: Mapping[str, int] | None = None,
    *,
    found: bool = False,
) -> Next:
    """Commit answered writes: the base of the fields written, the link of a create; then plan what is left.

    ``landed_ms``: write id -> by when it had taken effect, on Stripe; a contact carries the time itself. ``found``: the
    records were read later, so that they are no answers.
    """
    planning = PlanningRound({}, send=False)
    links = {k.id: k for k in tx.links.get_many([i.pending.link_id for i, _ in results if i.pending.link_id])}
    survivors = tx.records.merged_into([i.pending.source_id for i, _ in results if i.pending.side is Side.STRIPE])
    wanted: dict[str, set[str]] = {}
    rebased, agreements = [], list[Agreement]()
    for intent, record in results:
        pending = intent.pending
        settled = settle_answer(pending, record, runtime.rules.fields)
        plan_effects.note_write(tx, pending, record, settled)
        if pending.kind is WriteKind.UPDATE:
            _record_update(tx, pending, record.id, (landed_ms or {}).get(pending.id, record.modified_ms))
            if pending.link_id in links:
                rebased.append(plan_effects.rebase(tx, links[pending.link_id], settled))
                agreements += _list_agreements(rebased[-1], pending)
            planning.key_of[intent.job.id] = intent.job.key
        else:
            if not found:
                planning.answers[pending.id] = settled
            source_id = survivors.get(pending.source_id, pending.source_id)
            wanted[intent.job.token] = _name_pair(
                planning, intent, {pending.side: record.id, pending.side.other: source_id}
            )
    tx.links.put_many(rebased)
    close_agreed(tx, runtime.rules.fields, agreements)
    steps = plan_jobs(runtime, tx, _lock_pairs(runtime, tx, [intent.job for intent, _ in results], wanted), planning)
    ended = [i.pending for i, _ in results if i.pending.kind is WriteKind.CREATE and i.job.id in planning.ended]
    _close_creates(tx, ended)
    echoed = [record.id for intent, record in results if intent.pending.side is Side.STRIPE]
    tx.jobs.make_keys_due(Side.STRIPE, JobKind.READ, echoed, WaitCode.OWN_ANSWER)
    return steps


def _record_update(tx: Tx, pending: PendingWrite, answered_id: str, landed_ms: int) -> None:
    # The answer of a contact that was merged away is its survivor.
    tx.pending_writes.record_result(pending.id, WriteResult.OK, answered_id, landed_ms=landed_ms)
    # A commit without an acknowledgement may have been done twice: the first one's write has no job left.
    tx.pending_writes.mark_others_lost(pending)


def _list_agreements(link: Link, pending: PendingWrite) -> list[Agreement]:
    """Return what both sides agree on after an update, a field each. ``link``: with its new base."""
    return [Agreement(link, name, 0 if name in link.put_back else made_ms(pending.id)) for name in pending.changes]


def _name_pair(planning: PlanningRound, intent: Intent, ends: Mapping[Side, str]) -> set[str]:
    """Plan the job of a create on under its new pair, and return the keys that it must hold for that."""
    planning.key_of[intent.job.id] = contact_key(ends[Side.HUBSPOT])
    keys = {intent.job.key, planning.key_of[intent.job.id], customer_key(ends[Side.STRIPE])}
    planning.held[intent.job.id] = keys
    return keys


def _lock_pairs(runtime: Runtime, tx: Tx, jobs: Sequence[Job], wanted: Mapping[str, set[str]]) -> list[Job]:
    """Lock the keys of new pairs, and return the jobs that may go on; the others wait. ``wanted``: by job token."""
    locked = runtime.lock_each(tx, wanted)
    ready = []
    for job in jobs:
        if job.token in locked or job.token not in wanted:
            ready.append(job)
        else:
            reschedule(tx, job, LOCK_WAIT_MS, WaitCode.LOCK, "a lock of the new pair is taken")
    return ready


def _close_creates(tx: Tx, creates: Sequence[PendingWrite]) -> None:
    """Close creates that were planned to their end, even where their record could not be linked.

    Our ids on the record show the rest. Left open, a create would be sent again by every later job of its key.
    """
    still_open = tx.pending_writes.open_ids([pending.id for pending in creates])
    for pending in creates:
        if pending.id in still_open:
            tx.pending_writes.record_result(pending.id, WriteResult.LOST)
            tx.jobs.put(JobRequest(pending.side, JobKind.WRITE, pending.link_key))


def _close_create_of_deleted(tx: Tx, intent: Intent, customer_id: str) -> None:
    """Close a create whose answer came after its customer was deleted: it is not created again, and not looked up."""
    pending = intent.pending
    tx.pending_writes.record_result(pending.id, WriteResult.NOT_FOUND, customer_id)
    tx.tombstones.put(Side.STRIPE, customer_id, pending.hmacs)
    tx.journal.add("orphaned", Side.STRIPE, customer_id, "", {"reason": "deleted there; its other record is kept"})
    reschedule(tx, intent.job, 0, WaitCode.NONE, "its customer is deleted")


# -- refusals


def _note_unsent(tx: Tx, intents: Sequence[Intent], error: CallError) -> None:
    """Note that writes which were never sent before had no effect: a side that had no room refused them unread."""
    if error.failure in UNREAD:
        tx.pending_writes.unmark_sent([intent.pending.id for intent in intents if not intent.pending.sent_ms])


def _handle_refusal(runtime: Runtime, tx: Tx, intent: Intent, error: CallError) -> Next:
    """Decide what follows a refused write (docs/correctness.md#decision-table)."""
    pending, job = intent.pending, intent.job
    match error.failure:
        case Failure.CONFLICT if error.existing_id and _is_address_taken(intent, error):
            return [read_existing_contact(runtime, intent, error.existing_id)]
        case Failure.CONFLICT if CUSTOMER_ID_PROPERTY in error.fields and error.existing_id:
            _read_other_holder(tx, intent, error.existing_id)
        case Failure.CONFLICT if pending.kind is WriteKind.UPDATE:
            _park_taken(runtime, tx, intent, error.fields or ("email",))
        case Failure.NOT_FOUND:
            _handle_missing_target(runtime, tx, intent)
        case Failure.SERVER | Failure.MISMATCH if pending.kind is WriteKind.CREATE:
            return [find_created_customer(runtime, job, pending, error)]
        case Failure.SERVER:
            _abandon_key(runtime, tx, intent, error)
        case Failure.MISMATCH:
            tx.pending_writes.record_result(pending.id, WriteResult.LOST)
            fail(runtime, tx, [job], error, "write")
        case Failure.REFUSED | Failure.CONFLICT:
            return _send_the_rest(runtime, tx, intent, error)
        case _:
            lists = "contacts.batch_" if pending.side is Side.HUBSPOT else "customers."
            fail(runtime, tx, [job], error, f"{lists}{pending.kind}")
    return DONE


def _send_the_rest(runtime: Runtime, tx: Tx, intent: Intent, error: CallError) -> Next:
    """Send what was not refused of a write; where that may not be sent now, it is planned again."""
    pending, job = intent.pending, intent.job
    plan_effects.note_refusal(tx, pending, error)
    off = are_writes_off(tx)
    waits = pending.kind is WriteKind.CREATE and not may_create(tx)
    steps = None if off or waits else leave_out(runtime, tx, intent, error)
    if steps is not None:
        return steps
    tx.pending_writes.record_result(pending.id, WriteResult.REFUSED)
    if off:
        reschedule(tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)
    elif waits:
        # The rest is a creation of its own: the plan says what it waits for.
        reschedule(tx, job, 0, WaitCode.NONE, "a part of it was refused, and nothing may be created now")
    else:
        fail(runtime, tx, [job], error, "write")
    return DONE


def _read_other_holder(tx: Tx, intent: Intent, contact_id: str) -> None:
    """Another contact carries our id: read it, so that the next plan sends the values without the id."""
    tx.pending_writes.record_result(intent.pending.id, WriteResult.REFUSED)
    tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority(intent.job.priority)))
    reason = "its id is on another contact, which is being read"
    reschedule(tx, intent.job, LOCK_WAIT_MS, WaitCode.READ_PENDING, reason, count=True)


def _abandon_key(runtime: Runtime, tx: Tx, intent: Intent, error: CallError) -> None:
    """Stripe repeats a 500 under its key for good: read the customer, then plan again under another key."""
    tx.pending_writes.record_result(intent.pending.id, WriteResult.LOST)
    with RecordWriter(runtime, tx, Priority(intent.job.priority)) as records:
        records.want_read(intent.pending.target_id)
    fail(runtime, tx, [intent.job], error, "customers.update")


def _is_address_taken(intent: Intent, error: CallError) -> bool:
    """Whether the address of a new contact is taken, or our id; another field that is taken can be left out."""
    other = "email" not in error.fields and not set(error.fields).isdisjoint(intent.pending.changes)
    return intent.pending.kind is WriteKind.CREATE and not other


def _park_taken(runtime: Runtime, tx: Tx, intent: Intent, fields: Sequence[str]) -> None:
    """Park fields whose value another record has, and send the others again (docs/correctness.md#parked-fields)."""
    pending, job = intent.pending, intent.job
    link = tx.links.get(pending.link_id)
    tx.pending_writes.record_result(pending.id, WriteResult.REFUSED)
    refused = [name for name in fields if name in pending.changes]
    if link is None or not refused or job.attempts + 1 >= MAX_ATTEMPTS:
        tx.locks.drop(job.token)
        tx.jobs.mark_dead(job, DeadClass.VALIDATION, f"refused for {', '.join(fields)}; correct it on either side")
        return
    parked = {name: Parked(pending.side, pending.changes[name].after) for name in refused}
    plan_effects.park(tx, link, pending.target_id, parked)
    # Counted as an attempt: an address that is refused although no stored contact has it is not sent for ever.
    reschedule(tx, job, back_off_ms(job.attempts, runtime.rng), WaitCode.BACKOFF, "a field was parked", count=True)


def _handle_missing_target(runtime: Runtime, tx: Tx, intent: Intent) -> None:
    """The target was not found: it is read, which shows whether it was deleted or merged (#absence)."""
    pending, job = intent.pending, intent.job
    tx.pending_writes.record_result(pending.id, WriteResult.NOT_FOUND)
    if pending.side is Side.STRIPE:
        with RecordWriter(runtime, tx, Priority(job.priority)) as records:
            records.want_read(pending.target_id)
    else:
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, pending.target_id, Priority(job.priority)))
    finish(tx, job)
