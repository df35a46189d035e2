"""Effects of plans and writes in the store: links, conflicts, notes, tombstones, journal, and the jobs they queue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.change_guard import HoldState
from wanesync.core.errors import CallError
from wanesync.core.evidence.answers import Settled
from wanesync.core.jobs import Job, JobKind, JobRequest, Priority
from wanesync.core.model import (
    Conflict,
    Link,
    Parked,
    PendingWrite,
    Record,
    Side,
    WriteKind,
    contact_key,
    customer_key,
    guest_key,
)
from wanesync.core.plan import Action, Plan
from wanesync.core.purchases import PurchaseState
from wanesync.store.database import Tx

UNANSWERED_WAITS_MS = (0, 10_000, 60_000, 600_000)
"""When a record is read again, in ms, after 0, 1, 2, 3 answers that lacked a field of the map; later ones are not read
for it (docs/correctness.md#unknown-fields)."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the priority of what it queues. ``job``: the job that made it, None for a person's decision.

    ``decided``: without a job, whether its notes replace what an operator decided before; those of a planner never do.
    """

    plan: Plan
    priority: Priority
    job: Job | None = None
    decided: bool = True


def apply_plans(tx: Tx, planned: Sequence[Planned]) -> None:
    """Store everything of some plans that is not a vendor write, and queue what they concern."""
    plans = [one.plan for one in planned]
    # The old primary is stored first: the database refuses two primary links of one contact.
    tx.links.put_many(sorted((k for plan in plans for k in plan.links.values()), key=lambda k: k.primary))
    put_back = {held.hold_id for plan in plans for _, _, held in plan.new_holds if held.state is HoldState.OPEN}
    tx.holds.lock_open(put_back)
    for one in planned:
        _apply_plan(tx, one)
    pairs = [pair for plan in plans for pair in (*plan.linked, *plan.revived)]
    linked = {ref for h, s in pairs for ref in ((Side.HUBSPOT, h), (Side.STRIPE, s))}
    _wake_purchases(tx, [customer_id for _, customer_id in pairs])
    tx.jobs.put_many(find_dead_letters(tx, linked, ()))
    queue_reads(tx, [(one.plan, one.priority) for one in planned])
    tx.jobs.put_many(
        [
            # A link that was made or moved is news; without one this job only passes the work on.
            JobRequest(
                lane,
                JobKind.WRITE,
                key,
                one.priority,
                woken_by=None if one.plan.links else one.job,
                arrived_ms=one.job.arrived_ms if one.job else None,
            )
            for one in planned
            for lane, key in sorted(one.plan.wake)
        ]
    )


def queue_reads(tx: Tx, plans: Iterable[tuple[Plan, Priority]]) -> None:
    """Queue the reads of records whose copies lack a field, later after each answer that lacked it again."""
    requests: dict[tuple[Side, str], JobRequest] = {}
    for plan, priority in plans:
        for (side, record_id), unanswered in plan.reads.items():
            if unanswered < len(UNANSWERED_WAITS_MS):
                wait_ms = UNANSWERED_WAITS_MS[unanswered]
                due_ms = tx.now_ms + wait_ms if wait_ms else None
                requests[side, record_id] = JobRequest(side, JobKind.READ, record_id, priority, due_ms)
    tx.jobs.put_many([requests[ref] for ref in sorted(requests)])


def _apply_plan(tx: Tx, planned: Planned) -> None:
    plan = planned.plan
    decided = planned.decided and planned.job is None
    set_note = tx.records.set_note if decided else tx.records.set_planned_note
    for pending, answer in plan.matched_creates:
        tx.pending_writes.record_result(pending.id, answer)
    for (side, record_id), note in plan.notes.items():
        set_note(side, record_id, note)
    for grave in plan.tombstones:
        tx.tombstones.put(grave.side, grave.record_id, grave.hmacs, grave.at_ms, erased=grave.erased)
        reason = "deleted there; its other record is kept"
        tx.journal.add("orphaned", grave.side, grave.record_id, "", {"reason": reason})
    for conflict, link_id in plan.conflicts:
        tx.conflicts.put(conflict, link_id)
        note_conflict(tx, conflict, link_id)
    for link_id, name in plan.dropped_holds:
        tx.holds.drop(link_id, name)
    for link_id, name, held in plan.new_holds:
        tx.holds.put(link_id, name, held)
        tx.journal.add("held", held.side, "", link_id, {"field": name, "hold": held.hold_id})
    for contact_id, customer_id in plan.parted:
        reason = "its customer was unlinked by decision from a contact that was merged with it"
        tx.journal.add("orphaned", Side.HUBSPOT, contact_id, "", {"customer": customer_id, "reason": reason})
    for contact_id, customer_id in plan.linked:
        tx.journal.add("linked", Side.HUBSPOT, contact_id, "", {"customer": customer_id})
    for contact_id, customer_id in plan.revived:
        tx.journal.add("linked", Side.HUBSPOT, contact_id, "", {"customer": customer_id, "reason": "restored"})


def _wake_purchases(tx: Tx, customer_ids: Sequence[str]) -> None:
    """Queue the purchases that wait for the links of some customers."""
    if customer_ids:
        waiting = tx.purchases.waiting_for(customer_ids)
        wake_purchases(tx, waiting)


def wake_purchases(tx: Tx, payment_ids: Sequence[str], woken_by: Job | None = None) -> None:
    """Queue purchases ahead of everything; ``woken_by``: the job that does so without news."""
    tx.jobs.put_many(
        [JobRequest(Side.HUBSPOT, JobKind.PURCHASE, p, Priority.PURCHASE, woken_by=woken_by) for p in payment_ids]
    )


def move_purchases(tx: Tx, contact_id: str, survivor_id: str) -> None:
    """Move a merged contact's purchases, and queue its survivor's roll-up: HubSpot keeps one record's properties."""
    rolled_up = tx.purchases.move(contact_id, survivor_id)
    if rolled_up:
        tx.purchases.set_state(rolled_up, PurchaseState.TODO, reason="its contact was merged", reopens=True)
        wake_purchases(tx, [rolled_up])


def find_dead_letters(tx: Tx, refs: Collection[tuple[Side, str]], hmacs: Collection[str]) -> list[JobRequest]:
    """Jobs that replace dead letters of some changed records, of those linked with them, and of their purchases.

    Those of contacts that were merged into one of them count as its own.

    ``hmacs``: addresses that came or went, for which the job of a guest may be dead. Each has its letter's priority.
    """
    if not refs or not tx.jobs.any_dead():
        return []
    near = set(refs)
    for link in tx.links.of_records(sorted(refs)):
        near |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
    ids = {i for side, i in near if side is Side.HUBSPOT}
    # A read of a contact that was merged into one of them was a read of that one.
    contacts = sorted(ids | tx.records.merged_from(ids))
    customers = sorted(i for side, i in near if side is Side.STRIPE)
    keys = [*map(contact_key, contacts), *map(customer_key, customers), *map(guest_key, sorted(hmacs))]
    found = [
        *tx.jobs.dead_of_keys(list(Side), [JobKind.WRITE], keys),
        *tx.jobs.dead_of_keys([Side.HUBSPOT], [JobKind.READ], contacts),
        *tx.jobs.dead_of_keys([Side.STRIPE], [JobKind.READ], customers),
        *tx.jobs.dead_of_keys([Side.HUBSPOT], [JobKind.PURCHASE], tx.purchases.todo_of(contacts)),
    ]
    return [JobRequest(lane, kind, key, Priority(priority)) for lane, kind, key, priority in found]


def rebase(tx: Tx, link: Link, settled: Settled) -> Link:
    """The link after an answered update: the base of the fields written is what each side now holds.

    Values that did not take become conflicts (docs/correctness.md#answers).
    """
    for conflict in settled.conflicts:
        tx.conflicts.put(conflict, link.id)
        note_conflict(tx, conflict, link.id)
    put_back = {
        name: back for name, back in link.put_back.items() if name not in settled.refused.keys() | settled.put_back
    }
    return replace(link, base={**link.base, **settled.base}, put_back=put_back, version=link.version + 1)


def park(tx: Tx, link: Link, target_id: str, parked: Mapping[str, Parked]) -> None:
    """Park and report fields that a side refused (docs/correctness.md#parked-fields)."""
    tx.links.put(replace(link, parked={**link.parked, **parked}, version=link.version + 1))
    for name, refused in parked.items():
        conflict = Conflict(refused.side, target_id, name, refused.value, "parked")
        tx.conflicts.put(conflict, link.id)
        note_conflict(tx, conflict, link.id, reason=refused.reason)


def note_write(tx: Tx, pending: PendingWrite, record: Record, settled: Settled) -> None:
    """Add a write to the journal, with each field before and after it, so that it can be explained and undone."""
    stands = {name: refused[1] for name, refused in settled.refused.items()}
    after = {name: change.after for name, change in pending.changes.items()} | stands
    changes = {name: [c.before, after[name]] for name, c in pending.changes.items() if c.before != after[name]}
    kind = "created" if pending.kind is WriteKind.CREATE else "updated"
    data = {"write": pending.id, "source": pending.source_id, "fields": changes}
    tx.journal.add(kind, pending.side, record.id, pending.link_id, data)


def note_conflict(tx: Tx, conflict: Conflict, link_id: str, reason: str = "") -> None:
    """Add a value that did not win to the journal."""
    why = {"reason": reason} if reason else {}
    data = {"field": conflict.field, "kind": conflict.kind, **why, "fields": {conflict.field: conflict.value}}
    tx.journal.add("conflict", conflict.side, conflict.record_id, link_id, data)


def note_would_write(tx: Tx, action: Action) -> None:
    """Add to the journal what would have been written if writes were on."""
    fields = {name: [c.before, c.after] for name, c in sorted(action.changes.items()) if c.after != c.before}
    record_id = action.target_id or action.source_id
    tx.journal.add("would write", action.side, record_id, action.link_id, {"kind": action.kind, "fields": fields})


def note_refusal(tx: Tx, pending: PendingWrite, error: CallError) -> None:
    """Add a refused write to the journal."""
    data = {"write": pending.id, "reason": error.reason, "fields": list(error.fields)}
    tx.journal.add("refused", pending.side, pending.target_id or pending.source_id, pending.link_id, data)
