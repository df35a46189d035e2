"""Write jobs: lock, settle what is open, plan again, send; and the loop that carries out what follows an answer.

``prepare`` runs in one transaction and ends in calls; the continuation of each call runs in another. A process may die
between the two: the open pending write shows the next one what to settle (docs/correctness.md#planning-round).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.ids import made_ms
from wanesync.core.jobs import LOCK_WAIT_MS, Job, WaitCode
from wanesync.core.model import PendingWrite, Side, WriteKind
from wanesync.store.database import Tx
from wanesync.sync.calls import AnyCall, Call, CommitCreated, Intent, Next, PlanJobs, PlanningRound, SendWrites
from wanesync.sync.job_results import reschedule
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.recovery import find_created_customer, reread_targets
from wanesync.sync.writes.sender import commit_written, send_writes
from wanesync.sync.writes.writer import DAY_MS, WRITES_OFF, abandon_writes, are_writes_off, plan_jobs

KEY_LIFE_MS = 23 * 3_600_000
"""How old a create may be and still be sent again under its key: Stripe may remove keys after 24 hours."""


@dataclass(frozen=True, slots=True)
class WriteJobs:
    """The write jobs of both lanes."""

    runtime: Runtime

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """Lock, settle open writes, plan the rest; returns the calls to be made."""
        if not jobs:
            return []
        lane = jobs[0].lane
        locked = self.runtime.lock_each(tx, {job.token: [job.key] for job in jobs})
        held = [job for job in jobs if job.token in locked]
        for job in jobs:
            if job.token not in locked:
                reschedule(tx, job, LOCK_WAIT_MS, WaitCode.LOCK, "its lock is taken")
        opened: dict[str, list[PendingWrite]] = {}
        for pending in tx.pending_writes.open_for_keys([job.key for job in held], lane):
            opened.setdefault(pending.link_key, []).append(pending)
        fresh = [job for job in held if job.key not in opened]
        fresh += _abandon_creates_of_deleted(tx, held, opened)
        resend, reread, lookups = self._settle(tx, held, opened)
        reads = reread_targets(self.runtime, tx, lane, reread, opened)
        planning = PlanningRound({job.id: job.key for job in fresh}, resend=resend)
        return self.carry_out(tx, [*lookups, *reads, PlanJobs(fresh, planning)])

    def carry_out(self, tx: Tx, steps: Next) -> list[AnyCall]:
        """Carry out what follows an answer until only calls are left; returns those."""
        calls: list[AnyCall] = []
        for step in steps:
            match step:
                case Call():
                    calls.append(step)
                case PlanJobs(jobs, planning):
                    calls += self.carry_out(tx, plan_jobs(self.runtime, tx, jobs, planning))
                case SendWrites(intents):
                    calls += send_writes(self.runtime, tx, intents)
                case CommitCreated(intent, record):
                    calls += self.carry_out(tx, commit_written(self.runtime, tx, [(intent, record)], found=True))
        return calls

    def _settle(
        self, tx: Tx, jobs: Sequence[Job], opened: Mapping[str, list[PendingWrite]]
    ) -> tuple[list[Intent], list[Job], list[AnyCall]]:
        """Sort open writes: creates to send again, jobs whose update is read first, look-ups of creates.

        A create is sent again as it was: its idempotency key or unique id makes that safe
        (docs/correctness.md#unknown-outcomes).
        """
        resend: list[Intent] = []
        reread: list[Job] = []
        lookups: list[AnyCall] = []
        off = bool(opened) and are_writes_off(tx)
        for job in jobs:
            creates = [pending for pending in opened.get(job.key, ()) if pending.kind is WriteKind.CREATE]
            old = bool(creates) and tx.now_ms - made_ms(creates[0].id) > KEY_LIFE_MS
            if creates and job.lane is Side.STRIPE and (old or _is_source_deleted(tx, creates[0])):
                lookups.append(find_created_customer(self.runtime, job, creates[0]))
            elif creates and off:
                reschedule(tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)
            elif creates:
                resend.append(Intent(job, creates[0]))
            elif job.key in opened:
                reread.append(job)
        return resend, reread, lookups


def _abandon_creates_of_deleted(tx: Tx, jobs: Sequence[Job], opened: dict[str, list[PendingWrite]]) -> list[Job]:
    """Abandon creates of contacts whose customer was deleted before an answer came; returns their jobs.

    If HubSpot created the contact all the same, its own event shows it, and the intent id on it identifies it.
    """
    abandoned = []
    for job in jobs:
        pendings = opened.get(job.key, [])
        is_contact = bool(pendings) and pendings[0].side is Side.HUBSPOT
        if is_contact and all(_is_source_deleted(tx, pending) for pending in pendings):
            abandon_writes(tx, job, opened.pop(job.key))
            abandoned.append(job)
    return abandoned


def _is_source_deleted(tx: Tx, pending: PendingWrite) -> bool:
    """Whether a create is one for a record that was deleted since."""
    stored = tx.records.get(pending.side.other, pending.source_id) if pending.kind is WriteKind.CREATE else None
    return stored is not None and stored.deleted
