"""One job as an operator looks at it: what it was and is, in order of time, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from wanesync.core.errors import NotFound
from wanesync.core.ids import made_ms
from wanesync.core.jobs import DeadClass, Job, JobKind, JobState, WaitCode, describe_pause
from wanesync.core.model import Side, split_key
from wanesync.core.operating.queue_filter import ListedJob, QueueState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wanesync.core.model import Event, RecordRef
    from wanesync.core.purchases import Purchase
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.operating.job_lists import AttemptRow, BulkRunOfJob

MAX_EVENTS = 20
"""Events shown of one job (our choice)."""
EVENT_DELAY_MS = 3 * 86_400_000
"""How long before its arrival an event may have occurred: both vendors repeat deliveries for up to three days."""

WAIT_TEXTS: Mapping[str, str] = {
    WaitCode.NONE: "nothing",
    WaitCode.BACKOFF: "time, after a failed attempt",
    WaitCode.VENDOR: "time, because the vendor asked for it",
    WaitCode.LOCK: "another job of the same person",
    WaitCode.WRITES_OFF: "writes to be switched on (wanesync writes on)",
    WaitCode.FIRST_LISTING: "the first complete listing of both sides",
    WaitCode.CONFIRMATION: "the catch-up of Stripe after the start (wanesync catch-up)",
    WaitCode.SETUP: "properties or an event definition in HubSpot (wanesync doctor)",
    WaitCode.READ_PENDING: "a read of the record that is queued",
    WaitCode.EMAIL_BEING_CREATED: "another creation with the same e-mail address",
    WaitCode.MERGED_BEING_CREATED: "the answer to a creation for a merged contact",
    WaitCode.OWN_ANSWER: "the answer to our own write",
    WaitCode.AUTHOR: "the event that shows who wrote a value",
    WaitCode.CONTACT: "the contact of a payment",
    WaitCode.RIVALS: "which of several contacts with one address a payment belongs to",
    WaitCode.RESEND: "time, before roll-ups are sent again",
    WaitCode.NOTES_READ: "a read of the notes of the contact",
}
"""Wait code -> what a job waits for."""
CLASS_TEXTS: Mapping[str, str] = {
    DeadClass.VALIDATION: "a value was refused: correct it on either side, which queues the job again",
    DeadClass.REFUSED: "the vendor refused the request: the reason says why",
    DeadClass.GONE: "the record does not exist any more",
    DeadClass.POISON: "the process crashed several times while it ran: look at the record before a retry",
    DeadClass.UNMATCHED: "no contact was found for the payment: it is tried again when one has the address",
    DeadClass.SET_ASIDE: "the record holds a value that cannot be used: correct it there, and it is read again",
    DeadClass.EXHAUSTED: "all attempts failed: retry it when the vendor is well again",
    DeadClass.UNSTORABLE: "the database does not take a value of the record: correct it there",
    DeadClass.DAMAGED: "a stored value cannot be decrypted: check the encryption keys (wanesync keys status)",
}
"""Class of a dead letter -> what it means and what helps."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline of a job.

    ``name``: arrived, queued, failed, crashed, dead, retried, discarded, kept, running, waiting, due, done or next.
    ``at_ms``: 0 where it is not known; in the future for what is to come. ``text``: for people, without values.
    """

    name: str
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job with what led to it and what became of it.

    ``refs``: the records it concerns; ``events``: webhooks it came from, the oldest first. ``payment``: of a purchase.
    ``is_unanswered``: a write of it was sent and has no answer yet. ``is_owner_alive``: the process that runs it sends
    heartbeats.
    """

    listed: ListedJob
    state: QueueState
    refs: Sequence[RecordRef]
    events: Sequence[Event]
    payment: Purchase | None
    attempts: Sequence[AttemptRow]
    steps: Sequence[Step]
    is_unanswered: bool
    is_owner_alive: bool
    now_ms: int


def describe_wait(job: Job) -> str:
    """Return what a job waits for, in words."""
    if job.waits_for.startswith("pause:"):
        return describe_pause(job.waits_for.removeprefix("pause:")).removeprefix("waits until ")
    return WAIT_TEXTS.get(job.waits_for, job.waits_for)


def read_job(store: Store, job_id: str) -> JobDetails:
    """Read one job in any state. Raises NotFound."""
    with store.reading() as tx:
        listed = tx.job_lists.get_many([job_id]).get(job_id)
        if listed is None:
            text = f"no job has the id {job_id[:60]}: finished jobs are kept for a week, wanesync jobs lists the others"
            raise NotFound(text)
        job = listed.job
        payment = tx.purchases.get_many([job.key]).get(job.key) if job.kind is JobKind.PURCHASE else None
        refs = _find_refs(tx, job, payment)
        attempts = tx.job_lists.attempts(job_id)
        is_alive = any(process.name == job.owner for process in tx.processes.alive())
        events = _find_events(tx, listed, refs)
        return JobDetails(
            listed=listed,
            state=listed.state(tx.now_ms),
            refs=refs,
            events=events,
            payment=payment,
            attempts=attempts,
            steps=_make_steps(listed, events, attempts, tx.job_lists.bulk_runs(job_id), tx.now_ms, is_alive=is_alive),
            is_unanswered=job.kind is JobKind.WRITE and bool(tx.pending_writes.open_for_keys([job.key], job.lane)),
            is_owner_alive=is_alive,
            now_ms=tx.now_ms,
        )


def _find_refs(tx: Tx, job: Job, payment: Purchase | None) -> list[RecordRef]:
    """Return the records a job concerns, and those that are linked with them."""
    refs: set[RecordRef] = set()
    if payment:
        refs = {(Side.HUBSPOT, payment.contact_id), (Side.STRIPE, payment.customer_id)}
    elif job.kind is JobKind.READ:
        refs = {(job.lane, job.key)}
    elif job.kind is JobKind.WRITE:
        kind, record_id = split_key(job.key)
        side = {"contact": Side.HUBSPOT, "customer": Side.STRIPE}.get(kind)
        refs = {(side, record_id)} if side else set()
    refs = {(side, record_id) for side, record_id in refs if record_id}
    for link in tx.links.of_records(sorted(refs)):
        refs |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
    return sorted(refs)


def _find_events(tx: Tx, listed: ListedJob, refs: Sequence[RecordRef]) -> list[Event]:
    """Return the webhooks that came from the arrival of a job to its end; they queued it or joined it."""
    since_ms = min(listed.job.arrived_ms, _find_queued_ms(listed.job))
    until_ms = listed.ended_ms or tx.now_ms
    found: list[Event] = []
    for side in Side:
        ids = sorted(record_id for at, record_id in refs if at is side)
        for events in tx.events.newest_first(side, ids, since_ms - EVENT_DELAY_MS).values():
            found += islice((one for one in events if since_ms <= one.received_ms <= until_ms), MAX_EVENTS)
    return sorted(found, key=lambda one: (one.received_ms, one.key))[:MAX_EVENTS]


def _find_queued_ms(job: Job) -> int:
    """Return when a job was queued, which its id holds; the arrival for an id that another program made."""
    try:
        return made_ms(job.id)
    except ValueError:
        return job.arrived_ms


def _make_steps(  # noqa: PLR0913 - what a timeline is made of
    listed: ListedJob,
    events: Sequence[Event],
    attempts: Sequence[AttemptRow],
    runs: Sequence[BulkRunOfJob],
    now_ms: int,
    *,
    is_alive: bool,
) -> list[Step]:
    job = listed.job
    steps = [Step("arrived", one.received_ms, f"{one.side} {one.record_id}: {one.kind}") for one in events]
    if job.run_id:
        steps.append(Step("arrived", 0, f"reconcile run {job.run_id} asked for it"))
    steps.append(Step("queued", _find_queued_ms(job), f"{job.kind} of {job.lane}, priority {job.priority}"))
    steps += map(_make_attempt, attempts)
    steps += map(_make_run, runs)
    died = job.state is JobState.DEAD and not any(one.outcome == "dead" for one in attempts)
    if died:
        steps.append(Step("dead", listed.ended_ms, f"{job.dead_class}: {job.reason}"))
    steps.sort(key=lambda step: step.at_ms)
    return [*steps, *_now_and_next(listed, now_ms, is_alive=is_alive)]


def _make_attempt(row: AttemptRow) -> Step:
    match row.outcome:
        case "crash":
            return Step("crashed", row.at_ms, f"crash {row.attempt}: {row.reason}")
        case "dead":
            return Step("dead", row.at_ms, f"given up as {row.code} after attempt {row.attempt}: {row.reason}")
        case _:
            return Step("failed", row.at_ms, f"attempt {row.attempt}: {row.reason}")


def _make_run(run: BulkRunOfJob) -> Step:
    by = f" by {run.operator} ({run.via})" if run.operator else ""
    return Step(run.outcome, run.at_ms, f"{run.outcome}{by}")


def _now_and_next(listed: ListedJob, now_ms: int, *, is_alive: bool) -> list[Step]:
    """Return what a job does now, and what comes next."""
    job = listed.job
    match listed.state(now_ms):
        case QueueState.RUNNING:
            owner = job.owner if is_alive else f"{job.owner}, which sends no heartbeat: it is queued again in seconds"
            return [Step("running", listed.claimed_ms, f"claimed by {owner}")]
        case QueueState.DUE:
            return [Step("due", job.due_ms, "waits for a worker and a free slot")]
        case QueueState.WAITING | QueueState.RETRYING:
            why = job.reason or f"waits for {describe_wait(job)}"
            fixed = "; a newer event does not shorten the wait" if listed.is_fixed else ""
            return [Step("next", job.due_ms, f"{why}{fixed}")]
        case QueueState.DEAD:
            return [Step("next", 0, CLASS_TEXTS.get(job.dead_class, "it is tried again when its record changes"))]
        case QueueState.DISCARDED:
            return [Step("next", 0, "its record is looked at again at its next change, or by a reconcile")]
        case _:
            text = "a newer job of the same record did its work" if listed.is_superseded else "finished"
            return [Step("done", listed.ended_ms, text)]
