"""A lane: which jobs of one side to claim next, and the calls they lead to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.errors import DecryptionFailed, WanesyncError
from wanesync.core.jobs import (
    LIVE_PRIORITIES,
    MAX_ATTEMPTS,
    SHARED_CLAIM_INTERVAL,
    SHARED_STARTS,
    ClaimStart,
    DeadClass,
    Job,
    JobKind,
    Priority,
    WaitCode,
    back_off_ms,
    choose_start,
    describe_pause,
    find_fresh_ms,
    pause_code,
)
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, room_left, share_of
from wanesync.purchases.guest_contacts import GuestContacts
from wanesync.purchases.sender import PurchaseSender
from wanesync.ratelimit.pacer import Pacer
from wanesync.store.database import Tx
from wanesync.store.session import TransactionTooLong
from wanesync.store.tables.jobs import EVERY_PRIORITY, ClaimableJob, Fresh
from wanesync.store.tables.settings import PauseRow, operator_pause
from wanesync.sync.bad_rows import find_fault, in_halves, note_damaged
from wanesync.sync.calls import AnyCall
from wanesync.sync.reader import Reader
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.write_jobs import WriteJobs
from wanesync.worker.claim_size import MAX_BATCH_JOBS, MAX_REPEATS, ClaimSize
from wanesync.worker.send_time import SendTime

Prepare = Callable[[Tx, Sequence[Job]], list[AnyCall]]

MAX_CLAIMS = 4
"""Claims in one transaction, which stays short for those who wait for it."""
MAX_CLAIM_MS = 250
"""After this time, in ms, a transaction makes no further claim (our choice)."""
MAX_IDLE_MS = 1_000
"""Longest wait for work: a notification may be lost."""
HELD_POLL_MS = 250
"""How often a lane looks whether a used-up limit has room again."""
CLAIMED_ELSEWHERE_POLL_MS = 25
"""Wait when the due jobs are just being claimed by another process."""
PROBE_INTERVAL_MS = 25_000
"""Longer than a call waits for its answer, so that only one probes; if its process crashes, the next is within 30 s."""


@dataclass(slots=True)
class Lane:
    """The jobs of one side. ``waiting``: prepared calls that have no slot yet. ``late``: those claimed in vain.

    ``claimed``: number of jobs claimed in the last round, whether or not they led to calls. ``taken``: those jobs, and
    when they were claimed. ``held``: kinds whose
    bulk jobs are not claimed now, because a limit has no slots for them. ``claim_number``, ``hand_out_number``: count
    claims and hand-outs, for the shares of kinds and priorities. ``idle_wakes``: wake-ups in a row that found no work.
    """

    runtime: Runtime
    side: Side
    reader: Reader
    write_jobs: WriteJobs
    purchase_sender: PurchaseSender
    guest_contacts: GuestContacts
    waiting: deque[AnyCall] = field(default_factory=deque)
    late: list[AnyCall] = field(default_factory=list)
    held: frozenset[JobKind] = frozenset()
    claimed: int = 0
    taken: list[tuple[Job, int]] = field(default_factory=list)
    size: ClaimSize = field(default_factory=ClaimSize)
    claim_number: int = 0
    hand_out_number: int = 0
    idle_wakes: int = 0
    send_time: SendTime = field(default_factory=SendTime)

    @classmethod
    def of(cls, runtime: Runtime, side: Side) -> Lane:
        """Make the lane of one side. Its first claim has a random number: a process may not live for many claims."""
        purchases, guests = PurchaseSender(runtime), GuestContacts(runtime)
        lane = cls(runtime, side, Reader(runtime), WriteJobs(runtime), purchases, guests)
        lane.claim_number = runtime.rng.randrange(SHARED_CLAIM_INTERVAL * len(SHARED_STARTS))
        return lane

    def make_room(self, pacer: Pacer, ahead: int) -> int:
        """Return how many more calls to prepare if ``ahead`` are to be ready; hold bulk jobs without slots."""
        budget = pacer.budget
        requests = [call.slot_request for call in self.waiting.copy()]
        self.held = frozenset({JobKind.READ} if MONTHLY_READS in budget.shut else ())
        if DAILY in budget.shut or sum(request.bulk for request in requests) >= share_of(
            BULK, ahead, budget.limits, self.side
        ):
            self.held = frozenset(JobKind)
        return room_left(ahead, [pacer.limited_scopes(request) for request in requests], budget.limits, self.side)

    def take_waiting(self) -> list[AnyCall]:
        """Take the waiting calls out, the most urgent first, of these the ones that can be in time.

        Once in 16 times those of the oldest jobs go first.

        Otherwise a bulk call that was claimed would never be sent while urgent ones use every slot.
        """
        calls = [self.waiting.popleft() for _ in range(len(self.waiting))]
        self.hand_out_number += 1
        if self.hand_out_number % SHARED_CLAIM_INTERVAL:
            return sorted(calls, key=lambda call: (call.urgency, self.send_time.was_late(call)))
        return sorted(calls, key=lambda call: min((job.arrived_ms for job in call.jobs), default=0))

    def fill(self, tx: Tx, room: int, *, alone: bool = False, late: Sequence[AnyCall] = ()) -> list[AnyCall]:
        """Claim and plan the most urgent jobs in one transaction; return their calls, for about ``room`` slots.

        ``alone``: the most urgent job and no other. ``late``: calls whose jobs are given back. Nothing outside ``tx``
        is touched but ``claimed``, which begins anew: a transaction that conflicts with another runs again. Stripe's
        reads mostly use what events brought and need no call, so they never queue behind writes that wait for slots.
        """
        self.claimed, self.taken = 0, []
        tx.jobs.give_back([job for call in late for job in call.jobs])
        pauses = tx.pauses.get_all()
        before = pauses.get(str(self.side))
        if operator_pause(self.side) in pauses or (before and not _begin_probe(tx, pauses, str(self.side))):
            return []
        if self.size.fault is not None:
            for job in self._claim(tx, 1, alone=True):
                reschedule_failed(self.runtime, tx, job, self.size.fault)
            return []
        if alone:
            calls = self._prepare(tx, self._claim(tx, 1, alone=True), pauses)
        else:
            calls = self._fill(tx, room, pauses, probing=before is not None)
        if before and not calls:
            # It led to no call: the probe is still due.
            tx.pauses.move_probe(str(self.side), pauses[str(self.side)].probe_ms, before.probe_ms)
        return calls

    def _fill(self, tx: Tx, room: int, pauses: dict[str, PauseRow], *, probing: bool) -> list[AnyCall]:
        calls: list[AnyCall] = []
        kinds, goal = set(JobKind), room
        if self.side is Side.STRIPE and not probing and not self.size.is_reduced:
            calls += self._prepare(tx, self._take(tx, JobKind.READ, MAX_BATCH_JOBS), pauses)
            if calls:
                # Reads that need calls after all take at most their share: writes are claimed beside them.
                kinds.discard(JobKind.READ)
                goal = max(room, len(calls) + room // 2)
        began_ms = self.runtime.store.clock.monotonic_ms()
        for _ in range(1 if self.size.is_reduced else MAX_CLAIMS):
            if len(calls) >= goal or self.runtime.store.clock.monotonic_ms() - began_ms > MAX_CLAIM_MS:
                break
            single = probing or self.size.jobs == 1
            jobs = self._claim_probe(tx, kinds) if probing else []
            jobs = jobs or self._claim(tx, 1 if single else goal - len(calls), kinds, alone=single)
            if not jobs:
                break
            made = self._prepare(tx, jobs, pauses)
            calls += made
            if made and probing:
                break
            if not made:
                # Jobs without a call (thousands may only be linked, or held) take time, too, so their kind ends here;
                # the other kinds go on, because these jobs may be there again in every round.
                kinds.discard(jobs[0].kind)
        return calls

    def _claim_probe(self, tx: Tx, kinds: Collection[JobKind]) -> list[Job]:
        """Claim another job than the one that the side did not answer last: that may be the cause of it."""
        jobs = tx.jobs.claim_probe(self.side, kinds, self.runtime.name)
        self._note(tx, jobs)
        return jobs

    def _note(self, tx: Tx, jobs: Sequence[Job]) -> None:
        self.claimed += len(jobs)
        self.taken += ((job, tx.now_ms) for job in jobs)

    def _claim(self, tx: Tx, room: int, kinds: Collection[JobKind] = tuple(JobKind), *, alone: bool) -> list[Job]:
        """Claim jobs of the most urgent kind, as many as one call or the free slots take; ``alone``: one job only."""
        self.claim_number += 1
        start = ClaimStart(Priority.PURCHASE) if alone else choose_start(self.claim_number)
        least, best = start.priority, None
        if start.kind is not None and start.kind in kinds:
            best = self.best(tx, [start.kind], least=least)
        best = best or self.best(tx, kinds, least=least) or self.best(tx, kinds)
        if best is None:
            return []
        limit = room if alone or (self.side is Side.STRIPE and best.kind is JobKind.WRITE) else MAX_BATCH_JOBS
        limit = min(limit, self.size.jobs)
        if least > Priority.PURCHASE:
            # One of the oldest, whether or not it can still be in time; the rest of the claim is as any other.
            oldest = self._take(tx, best.kind, 1, least=best.priority)
            return [*oldest, *self._take(tx, best.kind, limit - len(oldest), least=best.priority, fresh=best.priority)]
        return self._take(tx, best.kind, limit, fresh=best.priority)

    def next_claimable(self, tx: Tx) -> ClaimableJob | None:
        """Return the most urgent job; None also while the lane is paused and no probe is due."""
        best = self.best(tx)
        if best is None:
            return None
        pauses = tx.pauses.get_all()
        pause = pauses.get(str(self.side))
        open_ = operator_pause(self.side) not in pauses and (pause is None or tx.now_ms >= pause.probe_ms)
        return best if open_ else None

    def find_wait_ms(self, tx: Tx) -> int:
        """Return how long to wait for work after a round without any: at most a second."""
        now_ms = tx.now_ms
        due_ms, pauses, wait_ms = tx.jobs.next_due_ms(self.side), tx.pauses.get_all(), MAX_IDLE_MS
        pause = pauses.get(str(self.side))
        if due_ms is not None:
            # Due jobs that could not be claimed are just being claimed by another process.
            wait_ms = min(MAX_IDLE_MS, due_ms - now_ms) if due_ms > now_ms else CLAIMED_ELSEWHERE_POLL_MS
        if self.held:
            wait_ms = max(wait_ms, HELD_POLL_MS)
        if pause is not None:
            wait_ms = max(wait_ms, min(MAX_IDLE_MS, pause.probe_ms - now_ms))
        return MAX_IDLE_MS if operator_pause(self.side) in pauses else wait_ms

    def best(
        self, tx: Tx, kinds: Collection[JobKind] = tuple(JobKind), *, least: int = Priority.PURCHASE
    ) -> ClaimableJob | None:
        """Return the most urgent job of some kinds that may be claimed now, of priority ``least`` or later."""
        if not kinds:
            return None
        if not self.held:
            return tx.jobs.next_claimable(self.side, kinds, least=least)
        free = [kind for kind in kinds if kind not in self.held]
        live = tx.jobs.next_claimable(self.side, kinds, least=least, below=Priority.BULK)
        return live or (tx.jobs.next_claimable(self.side, free, least=least) if free else None)

    def _take(
        self, tx: Tx, kind: JobKind, limit: int, *, least: int = Priority.PURCHASE, fresh: int | None = None
    ) -> list[Job]:
        """``fresh``: the priority of which the jobs that can still be in time go first, if it is of live work."""
        if limit < 1:
            return []
        below = Priority.BULK if kind in self.held else EVERY_PRIORITY
        first = None
        if fresh is not None and fresh in LIVE_PRIORITIES:
            now_ms, target_ms, took = tx.now_ms, self.runtime.options.target_ms, self.send_time
            since_ms, last_ms = (find_fresh_ms(now_ms, target_ms, ms) for ms in (took.ms, took.call_ms))
            first = Fresh(fresh, since_ms, min(since_ms, last_ms))
        jobs = tx.jobs.claim(self.side, [kind], limit, self.runtime.name, least=least, below=below, fresh=first)
        self._note(tx, jobs)
        return jobs

    def _prepare(self, tx: Tx, jobs: Sequence[Job], pauses: dict[str, PauseRow]) -> list[AnyCall]:
        if not jobs:
            return []
        kind = jobs[0].kind
        if self.runtime.tracing.is_on:
            traces = tx.job_traces.of(self.side, kind, [job.key for job in jobs])
            jobs = [replace(job, trace=traces.get(job.key, "")) for job in jobs]
        if kind is JobKind.READ:
            return self._guarded(tx, jobs, self.reader.prepare, pauses)
        if kind is JobKind.PURCHASE:
            return self._guarded(tx, jobs, self.purchase_sender.prepare, pauses)
        guests = [job for job in jobs if job.key.startswith("guest:")]
        records = [job for job in jobs if not job.key.startswith("guest:")]
        return [
            *self._guarded(tx, guests, self.guest_contacts.prepare, pauses),
            *self._guarded(tx, records, self.write_jobs.prepare, pauses),
        ]

    def _guarded(self, tx: Tx, jobs: Sequence[Job], prepare: Prepare, pauses: dict[str, PauseRow]) -> list[AnyCall]:
        """Prepare jobs so that one that fails, or whose operation is paused, does not affect the others."""

        def try_all(some: Sequence[Job]) -> list[AnyCall]:
            try:
                with tx.savepoint():
                    calls = prepare(tx, some)
                    self._check_operations(tx, some, calls, pauses)
                    tx.jobs.note_calls([job for call in calls for job in call.jobs])
                    return calls
            except _OperationPaused as paused:
                if not paused.everything and len(some) > 1:
                    return [call for job in some for call in try_all([job])]
                return _wait_for_operation(tx, some, paused)

        def set_aside(job: Job, error: Exception) -> list[AnyCall]:
            reschedule_failed(self.runtime, tx, job, error)
            return []

        return in_halves(jobs, try_all, set_aside) if jobs else []

    def _check_operations(
        self, tx: Tx, jobs: Sequence[Job], calls: Sequence[AnyCall], pauses: dict[str, PauseRow]
    ) -> None:
        """Raise ``_OperationPaused`` for calls of a paused operation, except one call when its probe is due."""
        names = [f"{call.lane}:{call.operation}" for call in calls]
        stopped = {name for name in names if name in pauses}
        if not stopped:
            return
        name = min(stopped)
        if (len(calls) == 1 or len(jobs) == 1) and _begin_probe(tx, pauses, name):
            return
        everything = tx.now_ms < pauses[name].probe_ms and set(names) == {name}
        raise _OperationPaused(name, max(pauses[name].probe_ms, tx.now_ms), everything=everything)


class _OperationPaused(Exception):
    """Prepared calls belong to a paused operation; ``everything``: all of them do, and none may probe."""

    def __init__(self, name: str, until_ms: int, *, everything: bool) -> None:
        super().__init__(name)
        self.name, self.until_ms, self.everything = name, until_ms, everything


def _wait_for_operation(tx: Tx, jobs: Sequence[Job], paused: _OperationPaused) -> list[AnyCall]:
    for job in jobs:
        tx.locks.drop(job.token)
        reason, waits_for = describe_pause(paused.name), pause_code(paused.name)
        tx.jobs.reschedule(job, paused.until_ms, reason, count=False, fixed=True, waits_for=waits_for)
    return []


def _begin_probe(tx: Tx, pauses: dict[str, PauseRow], name: str) -> bool:
    """Half-open circuit: allow one probe call when it is due, and no other until that is answered."""
    pause = pauses[name]
    if tx.now_ms < pause.probe_ms:
        return False
    next_ms = tx.now_ms + PROBE_INTERVAL_MS
    if not tx.pauses.move_probe(name, pause.probe_ms, next_ms):
        # Another process probes now.
        return False
    pauses[name] = replace(pause, probe_ms=next_ms)
    return True


def reschedule_failed(runtime: Runtime, tx: Tx, job: Job, error: Exception) -> None:
    """Reschedule a job whose own data made it fail, or mark it dead (docs/correctness.md#bad-rows).

    The reason names the kind of error only.
    """
    reason = str(error) if isinstance(error, WanesyncError) else type(error).__name__
    tx.locks.drop(job.token)
    max_attempts = MAX_REPEATS + 1 if isinstance(error, TransactionTooLong) else MAX_ATTEMPTS
    fault = find_fault(error) or (DeadClass.POISON if job.attempts + 1 >= max_attempts else None)
    if fault:
        tx.jobs.mark_dead(job, fault, reason)
        if isinstance(error, DecryptionFailed):
            note_damaged(tx, error)
        tx.journal.add("dead", job.lane, job.key, "", {"class": fault, "reason": reason, "kind": job.kind})
    else:
        tx.jobs.reschedule(
            job, tx.now_ms + back_off_ms(job.attempts, runtime.rng), reason, count=True, waits_for=WaitCode.BACKOFF
        )
