"""The reader: read jobs store the newest copy of a record and decide whether anything is to be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.errors import CallError, Failure
from wanesync.core.event_order import MS_PER_SECOND, is_newer_than_copy, read_stripe_events
from wanesync.core.evidence.lost_updates import is_answered
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority, WaitCode, pass_on
from wanesync.core.model import Event, Record, Side
from wanesync.core.plan import Plan
from wanesync.core.planner import plan
from wanesync.core.ports import CustomerAnswer
from wanesync.store.database import Tx
from wanesync.store.tables.events import EventMark
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.job_results import fail, finish_all, reschedule_all, still_held
from wanesync.sync.loader import hold_stale, key_of, load_contexts
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.plan_effects import find_dead_letters, queue_reads
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.runtime import Runtime

Contacts = Mapping[str, Record | CallError | None]
"""Requested id -> the contact, its survivor, None if it is gone, or why there is no answer for it."""
ECHO_REASON = "our own write is not answered yet"
MIN_REREAD_MS = 1_000
"""After how many ms a contact is read again whose copy lacks a change that an event has reported; each wait doubles."""
LIFE_KINDS = ("deleted", "privacy_deleted", "restored")
ERASED_KIND = "privacy_deleted"
MERGED_KIND = "merged"
CREATED_KIND = "created"
MAX_UNREAD = 2_000
"""Unread events of one claim that are looked at one by one; customers with more than their share are read instead."""
ANSWER_DUE_MS = 10_000
"""How long, in ms, the echo of a write waits for the answer to it before the customer is read after all."""


@dataclass(slots=True)
class _EventResult:
    """The result of the unread events of some customers: their keys, the reads still needed, and jobs that need none.

    ``settled``: jobs to be planned; ``echoes``: jobs whose events are all echoes of answered writes.
    """

    event_keys: list[str] = field(default_factory=list)
    calls: list[AnyCall] = field(default_factory=list)
    settled: list[Job] = field(default_factory=list)
    echoes: list[Job] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """The read jobs of both lanes."""

    runtime: Runtime

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """One batch read for contacts; customers are read only where their events leave the newest state unknown."""
        if not jobs:
            return []
        if jobs[0].lane is Side.HUBSPOT:
            deleted = tx.records.deleted_revisions(Side.HUBSPOT, [job.key for job in jobs])
            return [self._read_contacts(list(jobs), deleted)]
        return self._take_events(tx, jobs)

    # -- HubSpot

    def _read_contacts(self, jobs: list[Job], deleted: Mapping[str, int]) -> Call[Contacts]:
        """Read contacts; ``deleted``: those stored as deleted, with the revision of their copy."""
        ids = [job.key for job in jobs]
        operation = "contacts.batch_read"

        def then(tx: Tx, answer: Contacts | CallError) -> Next:
            mine = still_held(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.runtime, tx, mine, answer, operation)
                return DONE
            still_deleted = tx.records.deleted_revisions(Side.HUBSPOT, list(deleted)) if deleted else {}
            revived = {i for i, revision in still_deleted.items() if deleted[i] == revision}
            found = [job for job in mine if answer.get(job.key) is not None]
            self._store_contacts(tx, found, answer, revived)
            unread = {job.key: error for job in found if isinstance(error := answer[job.key], CallError)}
            for job in found:
                if job.key in unread:
                    fail(self.runtime, tx, [job], unread[job.key], operation)
            # Of one that was merged, this answer is no news any more: another of the batch has shown the survivor.
            merged = tx.records.merged_into(sorted(unread)) if unread else {}
            tx.jobs.put_many(find_dead_letters(tx, [(Side.HUBSPOT, i) for i in merged], ()))
            return self._store_absent(tx, [job for job in mine if answer.get(job.key) is None])

        return Call(Side.HUBSPOT, operation, jobs, lambda: self.runtime.hubspot.read_contacts(ids), then)

    def _store_contacts(self, tx: Tx, jobs: Sequence[Job], answers: Contacts, revived: Collection[str]) -> None:
        """Store what was answered, and plan it; a contact without a usable answer is left to its caller."""
        if not jobs:
            return
        priority = Priority(min(job.priority for job in jobs))
        answers = {job.key: answers.get(job.key) for job in jobs}
        with RecordWriter(self.runtime, tx, priority) as records:
            store_contacts(records, answers, revived)
            read = [job for job in jobs if not isinstance(answers[job.key], CallError)]
            marks = tx.events.unread_marks(Side.HUBSPOT, [job.key for job in read])
            _follow_merges(tx, records, marks)
            self._mark_covered(tx, records, read, marks)
        survivors = [found.id for asked, found in answers.items() if isinstance(found, Record) and found.id != asked]
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.READ, i, priority) for i in survivors])
        self.end(tx, read)

    def _mark_covered(self, tx: Tx, records: RecordWriter, jobs: Sequence[Job], marks: Sequence[EventMark]) -> None:
        """Mark the events that the copies cover; a contact whose copy is older than an event is read once more."""
        covered: list[str] = []
        again: dict[str, int] = {}
        for mark in marks:
            stored = records.get(Side.HUBSPOT, mark.record_id)
            modified_ms = stored.record.modified_ms if stored is not None and stored.alive else mark.occurred_ms
            if is_newer_than_copy(mark.occurred_ms, mark.received_ms, modified_ms, tx.now_ms):
                wait_ms = max(MIN_REREAD_MS, tx.now_ms - mark.received_ms)
                again[mark.record_id] = min(wait_ms, again.get(mark.record_id, wait_ms))
            else:
                covered.append(mark.key)
        tx.events.mark_read(covered)
        priority_of = {job.key: Priority(job.priority) for job in jobs}
        tx.jobs.put_many(
            [JobRequest(Side.HUBSPOT, JobKind.READ, i, priority_of[i], tx.now_ms + ms) for i, ms in again.items()]
        )

    def _store_absent(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """Store contacts that were not found as deleted where an event says so; the recycle bin shows the others.

        An absence alone is no deletion (docs/correctness.md#absence).
        """
        if not jobs:
            return []
        events = tx.events.of_kinds(Side.HUBSPOT, [job.key for job in jobs], LIFE_KINDS)
        gone = {job.key: end for job in jobs if (end := _find_deletion(events.get(job.key, ())))}
        priority = Priority(min(job.priority for job in jobs))
        with RecordWriter(self.runtime, tx, priority) as records:
            _follow_merges(tx, records, tx.events.unread_marks(Side.HUBSPOT, [job.key for job in jobs]))
            for contact_id, end in gone.items():
                records.delete(Side.HUBSPOT, contact_id, end.occurred_ms, erased=end.kind == ERASED_KIND)
        ended = [job for job in jobs if job.key in gone]
        _mark_read_of(tx, list(gone))
        self.end(tx, ended)
        left = [job for job in jobs if job.key not in gone]
        return [self._find_archived(left)] if left else []

    def _find_archived(self, jobs: list[Job]) -> Call[frozenset[str]]:
        ids = [job.key for job in jobs]

        def then(tx: Tx, answer: frozenset[str] | CallError) -> Next:
            mine = still_held(tx, jobs)
            # Without an answer they only count as absent: the next read looks there again.
            archived = frozenset() if isinstance(answer, CallError) else answer
            heard: dict[str, int] = {}
            for mark in tx.events.unread_marks(Side.HUBSPOT, ids):
                heard[mark.record_id] = max(mark.received_ms, heard.get(mark.record_id, 0))
            with RecordWriter(self.runtime, tx, Priority(min((job.priority for job in mine), default=0))) as records:
                for job in mine:
                    if job.key in archived:
                        records.delete(Side.HUBSPOT, job.key)
                    else:
                        records.mark_absent(Side.HUBSPOT, job.key, heard.get(job.key, 0))
                copies = [records.get(Side.HUBSPOT, job.key) for job in mine]
            # Events about an absent contact stay unread: they may be newer than the copy that is found at last.
            given_up = [one.id for one in copies if one is not None and (one.missing or not one.alive)]
            _mark_read_of(tx, given_up)
            self.end(tx, mine)
            return DONE

        return Call(Side.HUBSPOT, "contacts.archived", jobs, lambda: self.runtime.hubspot.find_archived(ids), then)

    # -- Stripe

    def _take_events(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """Store what unread events bring where their order is certain; customers that need a read get a call."""
        ids = [job.key for job in jobs]
        unread, crowded = self._load_unread(tx, ids)
        keys = [e.request_key for events in unread.values() for e in events if e.request_key]
        taken, early = _EventResult(), list[tuple[Job, int]]()
        with RecordWriter(self.runtime, tx, Priority(min(job.priority for job in jobs))) as records:
            records.load(Side.STRIPE, ids)
            writes = tx.pending_writes.by_keys(Side.STRIPE, keys) if keys else {}
            answered = {key for key, write in writes.items() if is_answered(write)}
            # One that a wrong clock stamped with a later time is not waited for.
            from_ms, to_ms = tx.now_ms - ANSWER_DUE_MS + 1, tx.now_ms + CLOCK_TOLERANCE_MS
            open_since = {k: w.sent_ms for k, w in writes.items() if w.result is None and from_ms <= w.sent_ms <= to_ms}
            for job in jobs:
                if job.key in crowded:
                    # One read covers all its events, thousands of them.
                    taken.event_keys += [mark.key for mark in crowded[job.key]]
                    self._read_crowded(records, job, max(mark.received_ms for mark in crowded[job.key]), taken)
                    continue
                events = unread.get(job.key, [])
                sent = [open_since[event.request_key] for event in events if event.request_key in open_since]
                if sent:
                    # The echo arrived before the answer, which brings the same without a read and makes this job due.
                    early.append((job, max(sent) + ANSWER_DUE_MS - tx.now_ms))
                else:
                    self._take_events_of(records, job, events, answered, taken)
            tx.events.mark_read(taken.event_keys)
        reschedule_all(tx, early, WaitCode.OWN_ANSWER, ECHO_REASON)
        self.end(tx, taken.settled)
        # Nothing new was stored, so there is nothing to plan: the commit of the answers has planned.
        self._end_echoes(tx, taken.echoes, [event for job in taken.echoes for event in unread.get(job.key, ())])
        return taken.calls

    def _end_echoes(self, tx: Tx, jobs: Sequence[Job], events: Sequence[Event]) -> None:
        """Finish jobs whose events are echoes of answered writes.

        The event of a customer that we created buries nothing, whatever became of the customer since: it is judged
        without the lock. The others, and what was not judged before, need it.
        """
        tx.events.mark_judged([event.key for event in events if event.kind == CREATED_KIND and not event.previous])
        pending = set(tx.events.with_unjudged(Side.STRIPE, [job.key for job in jobs]))
        left = [job for job in jobs if job.key in pending]
        keys_of = key_of(tx, [(Side.STRIPE, job.key) for job in left]) if left else {}
        self._judge(tx, [(job, keys_of[Side.STRIPE, job.key]) for job in left])
        finish_all(tx, [job for job in jobs if job.key not in pending])

    def _load_unread(self, tx: Tx, ids: Sequence[str]) -> tuple[dict[str, list[Event]], dict[str, list[EventMark]]]:
        """The unread events of some customers; of those that have too many, without their values."""
        unread = tx.events.unread(Side.STRIPE, ids, MAX_UNREAD + 1)
        if sum(map(len, unread.values())) <= MAX_UNREAD:
            return unread, {}
        counts = tx.events.count_unread(Side.STRIPE, ids)
        crowded: dict[str, list[EventMark]] = {i: [] for i, count in counts.items() if count > MAX_UNREAD // len(ids)}
        for mark in tx.events.unread_marks(Side.STRIPE, list(crowded)):
            crowded[mark.record_id].append(mark)
        return tx.events.unread(Side.STRIPE, [i for i in ids if i not in crowded]), crowded

    def _read_crowded(self, records: RecordWriter, job: Job, heard_ms: int, taken: _EventResult) -> None:
        stored = records.get(Side.STRIPE, job.key)
        if stored is not None and stored.deleted:
            taken.settled.append(job)
            return
        if stored is not None and not stored.stale:
            records.want_read(job.key)
            stored = records.get(Side.STRIPE, job.key)
        taken.calls.append(self._read_customer(job, stored.revision if stored else 0, heard_ms))

    def _take_events_of(
        self, records: RecordWriter, job: Job, events: Sequence[Event], answered: set[str], taken: _EventResult
    ) -> None:
        """Store what one customer's unread events bring, and sort its job by what is left to do."""
        reading = read_stripe_events(records.get(Side.STRIPE, job.key), events, answered)
        if reading.deleted:
            ends = [event.occurred_ms for event in events if event.kind == "deleted"]
            records.delete(Side.STRIPE, job.key, max(ends) + MS_PER_SECOND - 1)
        elif reading.store is not None:
            records.store_customer_event(reading.store, reading.at_ms)
        stored = records.get(Side.STRIPE, job.key)
        deleted = stored is not None and stored.deleted
        if not deleted and (reading.needs_read or not events or stored is None or stored.stale):
            if stored is not None and not stored.stale and events:
                records.want_read(job.key)
                stored = records.get(Side.STRIPE, job.key)
            heard_ms = max((event.received_ms for event in events), default=0)
            taken.calls.append(self._read_customer(job, stored.revision if stored else 0, heard_ms))
        elif not deleted and reading.store is None and all(event.request_key in answered for event in events):
            taken.echoes.append(job)
        else:
            taken.settled.append(job)
        taken.event_keys += [event.key for event in events]

    def _read_customer(self, job: Job, revision: int, heard_ms: int) -> Call[CustomerAnswer]:
        operation = "customers.retrieve"

        def then(tx: Tx, answer: CustomerAnswer | CallError) -> Next:
            if not still_held(tx, [job]):
                return DONE
            if isinstance(answer, CallError) and answer.failure is not Failure.NOT_FOUND:
                with RecordWriter(self.runtime, tx, Priority(job.priority)) as records:
                    records.set_aside(Side.STRIPE, job.key, answer)
                fail(self.runtime, tx, [job], answer, operation)
                return DONE
            with RecordWriter(self.runtime, tx, Priority(job.priority)) as records:
                if isinstance(answer, CustomerAnswer) and answer.record is not None:
                    records.store_customer(answer, revision)
                elif isinstance(answer, CustomerAnswer) and answer.deleted:
                    records.delete(Side.STRIPE, job.key)
                else:
                    records.mark_absent(Side.STRIPE, job.key, heard_ms)
            self.end(tx, [job])
            return DONE

        return Call(Side.STRIPE, operation, [job], lambda: self.runtime.stripe.read_customer(job.key), then)

    # -- both

    def end(self, tx: Tx, jobs: Sequence[Job]) -> None:
        """Plan what was read: queue a write, or judge the events under the lock and finish."""
        if not jobs:
            return
        lane = jobs[0].lane
        keys = key_of(tx, [(lane, job.key) for job in jobs])
        contexts = load_contexts(tx, sorted(set(keys.values())))
        hold_stale(tx, contexts)
        quiet: list[tuple[Job, str]] = []
        requests: list[JobRequest] = []
        reads: list[tuple[Plan, Priority]] = []
        for job in jobs:
            key = keys[(lane, job.key)]
            context = contexts[key]
            context.reading -= {(lane, job.key)}
            outcome = plan(context, self.runtime.rules, "dry")
            reads.append((outcome, Priority(job.priority)))
            if outcome.is_empty:
                quiet.append((job, key))
            elif outcome.actions and not outcome.wait:
                requests += [pass_on(job, side, key) for side in outcome.actions]
            else:
                requests.append(pass_on(job, lane, key))
        tx.jobs.put_many(requests)
        queue_reads(tx, reads)
        done = {job.id for job, _ in quiet}
        finish_all(tx, [job for job in jobs if job.id not in done])
        self._judge(tx, quiet)

    def _judge(self, tx: Tx, quiet: Sequence[tuple[Job, str]]) -> None:
        """Judge events under the lock of their key; where another job holds it, a write job will judge them."""
        pending = set(tx.events.with_unjudged(quiet[0][0].lane, [job.key for job, _ in quiet])) if quiet else set()
        tokens = self.runtime.lock_each(tx, {job.token: [key] for job, key in quiet if job.key in pending})
        locked = [(job, key) for job, key in quiet if job.token in tokens]
        late = [(job, key) for job, key in quiet if job.key in pending and job.token not in tokens]
        due = tx.now_ms + LOCK_WAIT_MS
        tx.jobs.put_many([pass_on(job, job.lane, key, due_ms=due) for job, key in late])
        if locked:
            judge_records(self.runtime, tx, {locked[0][0].lane: {job.key: key for job, key in locked}})
        finish_all(tx, [job for job, _ in quiet])


def _find_deletion(events: Sequence[Event]) -> Event | None:
    """Return the event that deleted a contact which reads do not find: a privacy deletion, or the last word."""
    erased = next((event for event in events if event.kind == ERASED_KIND), None)
    last = max(events, key=lambda event: (event.occurred_ms, event.kind == "restored"), default=None)
    return erased or (last if last is not None and last.kind == "deleted" else None)


def _follow_merges(tx: Tx, records: RecordWriter, marks: Sequence[EventMark]) -> None:
    """Store what unread merge events say: a survivor that is gone already does not name the contacts merged into it."""
    named = {mark.record_id for mark in marks if mark.kind == MERGED_KIND}
    for survivor, events in tx.events.of_kinds(Side.HUBSPOT, sorted(named), [MERGED_KIND]).items():
        for event in events:
            for contact_id in event.merged_ids:
                records.merge_away(contact_id, survivor)


def _mark_read_of(tx: Tx, ids: Sequence[str]) -> None:
    """Mark every event of some contacts as covered: no read will bring more."""
    tx.events.mark_read([mark.key for mark in tx.events.unread_marks(Side.HUBSPOT, ids)])
