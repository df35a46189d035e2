"""The reader: read jobs store the newest copy of a record and decide whether anything is to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import CallError, Failure
from wanesync.core.event_order import read_stripe_events
from wanesync.core.jobs import LOCK_WAIT_MS, Job, JobKind, JobRequest, Priority
from wanesync.core.lost_updates import is_answered
from wanesync.core.model import Record, Side
from wanesync.core.planner import plan
from wanesync.core.ports import CustomerAnswer
from wanesync.store.database import Tx
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.job_results import ECHO_WAITS, fail, finish_all, reschedule, still_held
from wanesync.sync.loader import key_of, load_scenes
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.record_versions import RecordWriter, store_contacts
from wanesync.sync.runtime import Runtime

ANSWER_DUE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Reader:
    """The read jobs of both lanes."""

    runtime: Runtime

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """One batch read for contacts; customers are read only where their events leave the newest state unknown."""
        if not jobs:
            return []
        if jobs[0].lane is Side.HUBSPOT:
            return [self._read_contacts(list(jobs))]
        return self._take_events(tx, jobs)

    # -- HubSpot

    def _read_contacts(self, jobs: list[Job]) -> Call[Mapping[str, Record | None]]:
        ids = [job.key for job in jobs]
        operation = "contacts.batch_read"

        def then(tx: Tx, answer: Mapping[str, Record | None] | CallError) -> Next:
            mine = still_held(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.runtime, tx, mine, answer, operation)
            else:
                self._store_contacts(tx, mine, answer)
            return DONE

        return Call(Side.HUBSPOT, operation, jobs, lambda: self.runtime.hubspot.read_contacts(ids), then)

    def _store_contacts(self, tx: Tx, jobs: Sequence[Job], answers: Mapping[str, Record | None]) -> None:
        if not jobs:
            return
        priority = Priority(min(job.priority for job in jobs))
        recorder = RecordWriter(self.runtime, tx, priority)
        store_contacts(recorder, {job.key: answers.get(job.key) for job in jobs})
        recorder.flush()
        survivors = [record.id for asked, record in answers.items() if record and record.id != asked]
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.READ, i, priority) for i in survivors])
        tx.events.mark_read_of(Side.HUBSPOT, [job.key for job in jobs])
        self.end(tx, jobs)

    # -- Stripe

    def _take_events(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        ids = [job.key for job in jobs]
        unread = tx.events.unread(Side.STRIPE, ids)
        recorder = RecordWriter(self.runtime, tx, Priority(min(job.priority for job in jobs)))
        recorder.load(Side.STRIPE, ids)
        keys = [e.request_key for events in unread.values() for e in events if e.request_key]
        writes = tx.pending_writes.by_keys(Side.STRIPE, keys) if keys else {}
        answered = {key for key, own in writes.items() if is_answered(own)}
        young_ms = tx.now_ms - ANSWER_DUE_MS
        pending = {k: own.sent_ms for k, own in writes.items() if own.result is None and own.sent_ms > young_ms}
        calls: list[AnyCall] = []
        settled: list[Job] = []
        echoes: list[Job] = []
        taken: list[str] = []
        for job in jobs:
            events = unread.get(job.key, [])
            waits = [pending[event.request_key] for event in events if event.request_key in pending]
            if waits:
                # The echo outran the answer, which tells the same without a read, and makes it due.
                reschedule(tx, job, max(waits) + ANSWER_DUE_MS - tx.now_ms, ECHO_WAITS)
                continue
            seen = recorder.get(Side.STRIPE, job.key)
            reading = read_stripe_events(seen, events, answered)
            if reading.deleted:
                recorder.delete(Side.STRIPE, job.key)
            elif reading.store is not None:
                recorder.store_customer_event(reading.store, reading.at_ms)
            seen = recorder.get(Side.STRIPE, job.key)
            gone = seen is not None and seen.deleted
            if not gone and (reading.needs_read or not events or seen is None or seen.stale):
                if seen is not None and not seen.stale and events:
                    recorder.want_read(job.key)
                    seen = recorder.get(Side.STRIPE, job.key)
                calls.append(self._read_customer(job, seen.revision if seen else 0))
            elif not gone and reading.store is None and all(event.request_key in answered for event in events):
                echoes.append(job)
            else:
                settled.append(job)
            taken += [event.key for event in events]
        tx.events.mark_read(taken)
        recorder.flush()
        self.end(tx, settled)
        keys_of = key_of(tx, [(Side.STRIPE, job.key) for job in echoes]) if echoes else {}
        # Nothing new was stored, so there is nothing to plan: whoever stored the answers did.
        self._judge(tx, [(job, keys_of[Side.STRIPE, job.key]) for job in echoes])
        return calls

    def _read_customer(self, job: Job, revision: int) -> Call[CustomerAnswer]:
        operation = "customers.retrieve"

        def then(tx: Tx, answer: CustomerAnswer | CallError) -> Next:
            if not still_held(tx, [job]):
                return DONE
            if isinstance(answer, CallError) and answer.failure is not Failure.NOT_FOUND:
                fail(self.runtime, tx, [job], answer, operation)
                return DONE
            recorder = RecordWriter(self.runtime, tx, Priority(job.priority))
            if isinstance(answer, CustomerAnswer) and answer.record is not None:
                recorder.store_customer(answer, revision)
            else:
                recorder.delete(Side.STRIPE, job.key)
            recorder.flush()
            self.end(tx, [job])
            return DONE

        return Call(Side.STRIPE, operation, [job], lambda: self.runtime.stripe.read_customer(job.key), then)

    # -- both

    def end(self, tx: Tx, jobs: Sequence[Job]) -> None:
        """Plan what was read: queue a write, or judge the events under the lock and be done."""
        if not jobs:
            return
        lane = jobs[0].lane
        keys = key_of(tx, [(lane, job.key) for job in jobs])
        contexts = load_scenes(tx, sorted(set(keys.values())))
        quiet: list[tuple[Job, str]] = []
        requests: list[JobRequest] = []
        for job in jobs:
            key = keys[(lane, job.key)]
            context = contexts[key]
            context.reading -= {(lane, job.key)}
            outcome = plan(context, self.runtime.rules, "dry")
            priority = Priority(job.priority)
            if outcome.is_empty:
                quiet.append((job, key))
            elif outcome.actions and not outcome.wait:
                requests += [JobRequest(side, JobKind.WRITE, key, priority) for side in outcome.actions]
            else:
                requests.append(JobRequest(lane, JobKind.WRITE, key, priority))
        tx.jobs.put_many(requests)
        done = {job.id for job, _ in quiet}
        finish_all(tx, [job for job in jobs if job.id not in done])
        self._judge(tx, quiet)

    def _judge(self, tx: Tx, quiet: Sequence[tuple[Job, str]]) -> None:
        """Events are judged under the lock of their key; where another job holds it, a write job will judge them."""
        pending = set(tx.events.with_unjudged(quiet[0][0].lane, [job.key for job, _ in quiet])) if quiet else set()
        tokens = self.runtime.lock_each(tx, {job.token: [key] for job, key in quiet if job.key in pending})
        locked = [(job, key) for job, key in quiet if job.token in tokens]
        late = [(job, key) for job, key in quiet if job.key in pending and job.token not in tokens]
        due = tx.now_ms + LOCK_WAIT_MS
        tx.jobs.put_many([JobRequest(job.lane, JobKind.WRITE, key, Priority(job.priority), due) for job, key in late])
        if locked:
            judge_records(self.runtime, tx, {locked[0][0].lane: {job.key: key for job, key in locked}})
        finish_all(tx, [job for job, _ in quiet])
