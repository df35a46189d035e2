"""Recovery: reads that come before a write can be planned again, or called done, after its answer was lost.

docs/correctness.md#unknown-outcomes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority, WaitCode
from wanesync.core.model import PendingWrite, Record, Side, WriteResult
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.ports import Authors, CustomerAnswer
from wanesync.store.database import Tx
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.sync.calls import DONE, AnyCall, Call, CommitCreated, Intent, Next, PlanJobs, PlanningRound
from wanesync.sync.job_results import fail, reschedule, still_held
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.runtime import Runtime

CHANGED_WAIT_MS = 1_000
"""What a job waits, in ms, for the read of a contact that changed while its history was read."""
LISTING_MARGIN_S = 60
"""By how many seconds the ``created`` window of a look-up begins before our own time of the create: clock skew."""
KEPT_KEYS_S = 72 * 3600
"""How far back, in seconds, the customer of a reused key is looked for: Stripe keeps keys for 24 hours or more."""

FORGOTTEN_MS = 3_600_000
"""After this time without a job, in ms, a write counts as forgotten (our choice)."""
MAX_FORGOTTEN = 500
"""Forgotten writes that one transaction queues."""

Contacts = Mapping[str, Record | CallError | None]


def reread_targets(
    runtime: Runtime, tx: Tx, lane: Side, jobs: Sequence[Job], opened: Mapping[str, Sequence[PendingWrite]]
) -> list[AnyCall]:
    """Calls for jobs with an update without an answer: read the target, then plan again."""
    if not jobs:
        return []
    if lane is Side.STRIPE:
        return [_reread_customer(runtime, tx, job, opened[job.key][0].target_id) for job in jobs]
    return [_reread_contacts(runtime, {job: opened[job.key][0].target_id for job in jobs})]


def _reread_contacts(runtime: Runtime, targets: Mapping[Job, str]) -> Call[Contacts]:
    operation, jobs, ids = "contacts.batch_read", list(targets), sorted(set(targets.values()))

    def then(tx: Tx, answer: Contacts | CallError) -> Next:
        mine = still_held(tx, jobs)
        if isinstance(answer, CallError):
            fail(runtime, tx, mine, answer, operation)
            return DONE
        asked = {targets[job] for job in mine}
        with RecordWriter(runtime, tx) as records:
            store_contacts(records, {i: record for i, record in answer.items() if i in asked})
        read = [job for job in mine if not isinstance(answer.get(targets[job]), CallError)]
        for job in mine:
            error = answer.get(targets[job])
            if isinstance(error, CallError):
                fail(runtime, tx, [job], error, operation)
        return [_plan_with_open_writes(tx, read)]

    return Call(Side.HUBSPOT, operation, jobs, lambda: runtime.hubspot.read_contacts(ids), then)


def _reread_customer(runtime: Runtime, tx: Tx, job: Job, target_id: str) -> Call[CustomerAnswer]:
    operation = "customers.retrieve"
    stored = tx.records.get(Side.STRIPE, target_id)
    revision = stored.revision if stored else 0

    def then(tx: Tx, answer: CustomerAnswer | CallError) -> Next:
        mine = still_held(tx, [job])
        if isinstance(answer, CallError):
            with RecordWriter(runtime, tx) as records:
                records.set_aside(Side.STRIPE, target_id, answer)
            fail(runtime, tx, mine, answer, operation)
            return DONE
        with RecordWriter(runtime, tx) as records:
            if answer.record is not None:
                records.store_customer(answer, revision)
            elif answer.deleted:
                records.delete(Side.STRIPE, target_id)
            else:
                records.mark_absent(Side.STRIPE, target_id)
        return [_plan_with_open_writes(tx, mine)]

    return Call(Side.STRIPE, operation, [job], lambda: runtime.stripe.read_customer(target_id), then)


def _plan_with_open_writes(tx: Tx, jobs: Sequence[Job]) -> PlanJobs:
    """Plan jobs with the writes that are still open for their keys."""
    opened: dict[str, list[PendingWrite]] = {}
    if jobs:
        for pending in tx.pending_writes.open_for_keys([job.key for job in jobs], jobs[0].lane):
            opened.setdefault(pending.link_key, []).append(pending)
    return PlanJobs(jobs, PlanningRound({job.id: job.key for job in jobs}, opened=opened))


def queue_forgotten(tx: Tx) -> int:
    """Queue jobs for writes without a result that no job settles, which a defect may have left; returns how many."""
    forgotten = tx.pending_writes.forgotten(tx.now_ms - FORGOTTEN_MS, MAX_FORGOTTEN)
    tx.jobs.put_many([JobRequest(side, JobKind.WRITE, key, Priority.BULK) for side, key in forgotten])
    if forgotten:
        tx.journal.add("forgotten writes queued", None, "", "", {"jobs": len(forgotten)})
    return len(forgotten)


def read_existing_contact(runtime: Runtime, intent: Intent, existing_id: str) -> Call[Contacts]:
    """Read the contact that has the address, after a CONFLICT; it is planned like any other and never overwritten.

    docs/correctness.md#conflict-answer
    """
    pending, job = intent.pending, intent.job
    operation = "contacts.batch_read"

    def then(tx: Tx, answer: Contacts | CallError) -> Next:
        if not still_held(tx, [job]):
            return DONE
        if isinstance(answer, CallError):
            fail(runtime, tx, [job], answer, operation)
            return DONE
        with RecordWriter(runtime, tx, Priority(job.priority)) as records:
            store_contacts(records, answer)
        record = next((r for r in answer.values() if r is not None), None)
        if isinstance(record, CallError):
            fail(runtime, tx, [job], record, operation)
            return DONE
        if record is not None and record.intent == pending.idempotency_key:
            return [CommitCreated(intent, record)]
        tx.pending_writes.record_result(pending.id, WriteResult.CONFLICT)
        reschedule(
            tx, job, LOCK_WAIT_MS, WaitCode.NONE, "the address belongs to a contact that was not known", count=True
        )
        return DONE

    return Call(Side.HUBSPOT, operation, [job], lambda: runtime.hubspot.read_contacts([existing_id]), then)


def find_created_customer(
    runtime: Runtime, job: Job, pending: PendingWrite, error: CallError | None = None
) -> Call[CustomerAnswer]:
    """Find the customer of a create whose answer will not come, by when it was sent and by our id in its metadata.

    ``error``: the answer that came instead; where no customer was created, the job fails with it. A mismatch means that
    a create that is not remembered, of a backup's time, used the key with another body: its customer is older, and
    nothing is known about the values it was created with (docs/correctness.md#stripe-create).
    """
    is_mismatch = error is not None and error.failure is Failure.MISMATCH
    sent_ms = made_ms(pending.id)
    # A create that is dated in the future was stamped by a clock that was wrong by an unknown time.
    is_dated_wrong = sent_ms > runtime.store.clock.now_ms() + CLOCK_TOLERANCE_MS
    margin_s = KEPT_KEYS_S if is_mismatch or is_dated_wrong else LISTING_MARGIN_S
    operation = "customers.list"

    def send() -> CustomerAnswer:
        from_s = sent_ms // 1000 - margin_s
        answer = _search_customers(runtime, pending.source_id, from_s)
        # Stripe dates its customers by its own clock: where ours is ahead, so is the time at which it was sent.
        ahead_s = (runtime.store.clock.now_ms() - answer.timing.to_ms) // 1000
        if answer.record is None and ahead_s > margin_s // 2:
            answer = _search_customers(runtime, pending.source_id, from_s - ahead_s)
        return answer

    def then(tx: Tx, answer: CustomerAnswer | CallError) -> Next:
        if not still_held(tx, [job]):
            return DONE
        if isinstance(answer, CallError):
            fail(runtime, tx, [job], answer, operation)
            return DONE
        tx.pending_writes.record_result(pending.id, WriteResult.REFUSED if is_mismatch else WriteResult.LOST)
        # Stored at once: a plan made without it would create the customer once more.
        with RecordWriter(runtime, tx) as records:
            records.store_customer(answer, 0)
        if answer.record is None and error is not None:
            fail(runtime, tx, [job], error, "customers.create")
        else:
            found = "its customer was found" if answer.record else "nothing was made; it is sent anew"
            reschedule(tx, job, 0, WaitCode.NONE, found)
        return DONE

    return Call(Side.STRIPE, operation, [job], send, then)


def _search_customers(runtime: Runtime, contact_id: str, from_s: int) -> CustomerAnswer:
    """Return the customer of a contact among those created since a time; raises ``CallError`` where one is in doubt."""
    after, unread = "", list[str]()
    while True:
        page = runtime.stripe.list_customers(after, from_s, 0)
        found = next((r for r in page.records if r.other_id == contact_id), None)
        used = {record.id for record in page.records}  # of these only a field is set aside
        unread += [one.id for one in page.set_aside if one.id not in used]
        if found is not None or not page.next:
            return CustomerAnswer(found or _find_unread(runtime, unread, contact_id), page.timing)
        after = page.next


def _find_unread(runtime: Runtime, customer_ids: Sequence[str], contact_id: str) -> Record | None:
    """Return the customer of a contact among those that a page showed and that could not be read there.

    Raises ``CallError`` where one cannot be read by itself either: it may be the one that is looked for.
    """
    for customer_id in dict.fromkeys(customer_ids):
        if not customer_id:
            raise CallError(Side.STRIPE, Failure.NO_ANSWER, "a page with a customer that has no usable id")
        record = runtime.stripe.read_customer(customer_id).record
        if record is not None and record.other_id == contact_id:
            return record
    return None


def read_authors(
    runtime: Runtime, job: Job, unknown: frozenset[tuple[Side, str, str]], planning: PlanningRound
) -> Call[Authors]:
    """Read from HubSpot's history who wrote some values of one contact; stored until the contact changes.

    docs/correctness.md#late-writes
    """
    contact_id = next(record_id for _, record_id, _ in unknown)
    names = sorted({name for _, _, name in unknown})
    specs = runtime.rules.fields.by_name
    properties = [p for name in names for p in specs[name].hubspot]
    operation = "contacts.retrieve"

    def then(tx: Tx, answer: Authors | CallError) -> Next:
        mine = still_held(tx, [job])
        if isinstance(answer, CallError):
            fail(runtime, tx, mine, answer, operation)
            return DONE
        stored = tx.records.get(Side.HUBSPOT, contact_id)
        if stored is None or stored.record.modified_ms != answer.modified_ms:
            # The history belongs to another state than the one that was planned from.
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority(job.priority)))
            for each in mine:
                reschedule(tx, each, CHANGED_WAIT_MS, WaitCode.READ_PENDING, "the contact changed meanwhile")
            return DONE
        ours = _record_authors(runtime, tx, contact_id, names, answer)
        for name in names:
            planning.origins.add(Side.HUBSPOT, contact_id, name, ours=name in ours)
        return [PlanJobs(mine, planning)]

    return Call(Side.HUBSPOT, operation, [job], lambda: runtime.hubspot.wrote_current(contact_id, properties), then)


def _record_authors(runtime: Runtime, tx: Tx, contact_id: str, names: Sequence[str], authors: Authors) -> set[str]:
    """Store with each unanswered write whether its values are ours; returns the fields whose values are."""
    specs, ours = runtime.rules.fields.by_name, set[str]()
    for pending in tx.pending_writes.lock_unanswered(Side.HUBSPOT, contact_id):
        found = {n: _is_author(pending, n, specs[n].hubspot, authors) for n in names if n in pending.changes}
        ours |= {name for name, is_ours in found.items() if is_ours}
        if found:
            news = {name: (authors.modified_ms, is_ours) for name, is_ours in found.items()}
            tx.pending_writes.record_authorship(replace(pending, authorship={**pending.authorship, **news}))
    return ours


def _is_author(pending: PendingWrite, name: str, properties: Sequence[str], authors: Authors) -> bool:
    """Whether we wrote a field: of a name only the parts that the write changed count, the others keep their author."""
    change = pending.changes[name]
    halves = [change.before.split(NAME_PARTS), change.after.split(NAME_PARTS)]
    if len(properties) > 1 and all(len(half) == len(properties) for half in halves):
        changed = [p for p, before, after in zip(properties, *halves, strict=True) if before != after]
    else:
        changed = list(properties)
    return all(authors.ours.get(p, False) for p in changed or properties)
