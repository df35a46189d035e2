"""One lane's next round: which jobs to claim for the slots at hand, and the calls they come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.jobs import (
    MAX_ATTEMPTS,
    DeadClass,
    Job,
    JobKind,
    Priority,
    WaitCode,
    back_off_ms,
    describe_pause,
    pause_code,
)
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, room_left, share_of
from wanesync.purchases.guest_contacts import GuestContacts
from wanesync.purchases.sender import PurchaseSender
from wanesync.ratelimit.pacer import Pacer
from wanesync.store.database import Tx
from wanesync.store.tables.jobs import EVERY_PRIORITY, ClaimableJob
from wanesync.store.tables.settings import PauseRow, operator_pause
from wanesync.sync.calls import AnyCall
from wanesync.sync.reader import Reader
from wanesync.sync.runtime import Runtime
from wanesync.sync.write_jobs import WriteJobs

Prepare = Callable[[Tx, Sequence[Job]], list[AnyCall]]

BATCH = 100
ROUNDS = 4
IDLE_MS = 1_000
HELD_MS = 250
ELSEWHERE_MS = 25
LOW_TURN = 1 / 16
"""How often the lower classes go first, crowds and bulk work by turns, whatever else waits: nothing waits for ever."""
PROBE_AGAIN_MS = 25_000
"""Longer than a call waits for its answer, so that only one probes; should its process die, still within 30 s."""


@dataclass(slots=True)
class Lane:
    """The jobs of one side. ``waiting``: prepared calls that have no slot yet.

    ``took``: jobs claimed in the last round, whether or not they came to calls.
    ``held``: kinds of which bulk jobs are left where they are, because a limit has nothing for them now.
    """

    runtime: Runtime
    side: Side
    reader: Reader
    write_jobs: WriteJobs
    purchase_sender: PurchaseSender
    guest_contacts: GuestContacts
    waiting: deque[AnyCall] = field(default_factory=deque)
    held: frozenset[JobKind] = frozenset()
    took: int = 0

    @classmethod
    def of(cls, runtime: Runtime, side: Side) -> Lane:
        """The rooms of one lane."""
        return cls(runtime, side, Reader(runtime), WriteJobs(runtime), PurchaseSender(runtime), GuestContacts(runtime))

    def make_room(self, pacer: Pacer, ahead: int) -> int:
        """For how many more calls, when ``ahead`` are to be ready; bulk jobs no limit has slots for are held."""
        budget = pacer.budget
        wants = [call.slot_request for call in self.waiting.copy()]
        self.held = frozenset({JobKind.READ} if MONTHLY_READS in budget.shut else ())
        if DAILY in budget.shut or sum(w.bulk for w in wants) >= share_of(BULK, ahead, budget.limits, self.side):
            self.held = frozenset(JobKind)
        return room_left(ahead, [pacer.narrow(want) for want in wants], budget.limits, self.side)

    def fill(self, tx: Tx, room: int, *, alone: bool = False) -> list[AnyCall]:
        """Calls for about ``room`` slots, in one transaction: the most urgent jobs, claimed, planned, written down.

        ``alone``: the most urgent job and no other. Nothing outside ``tx`` is touched but ``took``, which begins
        anew: a transaction that collides runs again. Stripe's reads mostly take what events brought and need no
        call: they never queue behind writes that wait for slots.
        """
        self.took = 0
        pauses = tx.pauses.get_all()
        before = pauses.get(str(self.side))
        if operator_pause(self.side) in pauses or (before and not _begin_probe(tx, pauses, str(self.side))):
            return []
        if alone:
            calls = self._prepare(tx, self._claim(tx, 1, alone=True), pauses)
        else:
            calls = self._fill(tx, room, pauses, probing=before is not None)
        if before and not calls:
            # Nobody asked: the probe is still due.
            tx.pauses.set(str(self.side), before.reason, before.away, before.probe_ms)
        return calls

    def _fill(self, tx: Tx, room: int, pauses: dict[str, PauseRow], *, probing: bool) -> list[AnyCall]:
        calls: list[AnyCall] = []
        if self.side is Side.STRIPE and not probing:
            calls += self._prepare(tx, self._take(tx, JobKind.READ, BATCH), pauses)
        for _ in range(ROUNDS):
            if len(calls) >= room:
                break
            jobs = self._claim(tx, 1 if probing else room - len(calls), alone=probing)
            if not jobs:
                break
            made = self._prepare(tx, jobs, pauses)
            calls += made
            # Jobs that came to no call (thousands may be linked, or held) cost time all the same: others write, too.
            if bool(made) == probing:
                break
        return calls

    def _claim(self, tx: Tx, room: int, *, alone: bool) -> list[Job]:
        """The most urgent kind of job; as many as one call or the slots at hand can take; ``alone``: one by itself."""
        least = Priority.PURCHASE if alone else choose_least(self.runtime.rng.random())
        best = self.best(tx, least=least) or self.best(tx)
        if best is None:
            return []
        limit = room if alone or (self.side is Side.STRIPE and best.kind is JobKind.WRITE) else BATCH
        return self._take(tx, best.kind, limit, least=best.priority if least > Priority.PURCHASE else least)

    def next_claimable(self, tx: Tx) -> ClaimableJob | None:
        """The most urgent job; None, too, while the lane stands still and may not be probed yet."""
        pauses = tx.pauses.get_all()
        pause = pauses.get(str(self.side))
        open_ = operator_pause(self.side) not in pauses and (pause is None or tx.now_ms >= pause.probe_ms)
        return self.best(tx) if open_ else None

    def count_wait_ms(self, tx: Tx, now_ms: int) -> int:
        """How long to wait for work when there was none to be had: at most a second."""
        due_ms, pauses, wait_ms = tx.jobs.next_due_ms(self.side), tx.pauses.get_all(), IDLE_MS
        pause = pauses.get(str(self.side))
        if due_ms is not None:
            # What is due and could not be had is just being claimed by another process.
            wait_ms = min(IDLE_MS, due_ms - now_ms) if due_ms > now_ms else ELSEWHERE_MS
        if self.held:
            wait_ms = max(wait_ms, HELD_MS)
        if pause is not None:
            wait_ms = max(wait_ms, min(IDLE_MS, pause.probe_ms - now_ms))
        return IDLE_MS if operator_pause(self.side) in pauses else wait_ms

    def best(self, tx: Tx, *, least: int = Priority.PURCHASE) -> ClaimableJob | None:
        """The most urgent job that may be claimed now, of priority ``least`` or later."""
        if not self.held:
            return tx.jobs.next_claimable(self.side, least=least)
        free = [kind for kind in JobKind if kind not in self.held]
        live = tx.jobs.next_claimable(self.side, least=least, below=Priority.BULK)
        return live or (tx.jobs.next_claimable(self.side, free, least=least) if free else None)

    def _take(self, tx: Tx, kind: JobKind, limit: int, *, least: int = Priority.PURCHASE) -> list[Job]:
        below = Priority.BULK if kind in self.held else EVERY_PRIORITY
        jobs = tx.jobs.claim(self.side, [kind], limit, self.runtime.name, least=least, below=below)
        self.took += len(jobs)
        return jobs

    def _prepare(self, tx: Tx, jobs: Sequence[Job], pauses: dict[str, PauseRow]) -> list[AnyCall]:
        if not jobs:
            return []
        kind = jobs[0].kind
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
        """One job that cannot be prepared, or whose operation is paused, must not take the others with it."""
        if not jobs:
            return []
        try:
            with tx.savepoint():
                calls = prepare(tx, jobs)
                self._check_operations(tx, jobs, calls, pauses)
                return calls
        except DatabaseUnavailable:
            raise
        except _Stopped as stop:
            if stop.everything or len(jobs) == 1:
                for job in jobs:
                    tx.locks.drop(job.token)
                    tx.jobs.reschedule(
                        job,
                        stop.until_ms,
                        describe_pause(stop.name),
                        count=False,
                        fixed=True,
                        waits_for=pause_code(stop.name),
                    )
                return []
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            if len(jobs) == 1:
                reschedule_failed(self.runtime, tx, jobs[0], error)
                return []
        return [call for job in jobs for call in self._guarded(tx, [job], prepare, pauses)]

    def _check_operations(
        self, tx: Tx, jobs: Sequence[Job], calls: Sequence[AnyCall], pauses: dict[str, PauseRow]
    ) -> None:
        """Undo what was prepared for a paused operation: its jobs wait, but for one call when its probe is due."""
        names = [f"{call.lane}:{call.operation}" for call in calls]
        stopped = {name for name in names if name in pauses}
        if not stopped:
            return
        name = min(stopped)
        if (len(calls) == 1 or len(jobs) == 1) and _begin_probe(tx, pauses, name):
            return
        everything = tx.now_ms < pauses[name].probe_ms and set(names) == {name}
        raise _Stopped(name, max(pauses[name].probe_ms, tx.now_ms), everything=everything)


def choose_least(chance: float) -> Priority:
    """The class that goes first this time, by a chance from 0 to 1: mostly the most urgent there is."""
    if chance >= LOW_TURN:
        return Priority.PURCHASE
    return Priority.BULK if chance < LOW_TURN / 2 else Priority.LIVE_BULK


class _Stopped(Exception):
    """Some of the prepared calls belong to a paused operation; ``everything``: all of them do, and none may probe."""

    def __init__(self, name: str, until_ms: int, *, everything: bool) -> None:
        super().__init__(name)
        self.name, self.until_ms, self.everything = name, until_ms, everything


def _begin_probe(tx: Tx, pauses: dict[str, PauseRow], name: str) -> bool:
    """What is away or paused lets one call through when its probe is due; until that is answered, no other."""
    pause = pauses[name]
    if tx.now_ms < pause.probe_ms:
        return False
    pauses[name] = replace(pause, probe_ms=tx.now_ms + PROBE_AGAIN_MS)
    tx.pauses.set(name, pause.reason, pause.away, tx.now_ms + PROBE_AGAIN_MS)
    return True


def reschedule_failed(runtime: Runtime, tx: Tx, job: Job, error: Exception) -> None:
    """A job whose own data is in the way: again later, dead in the end. The reason names the kind of error only."""
    reason = str(error) if isinstance(error, WanesyncError) else type(error).__name__
    tx.locks.drop(job.token)
    if job.attempts + 1 >= MAX_ATTEMPTS:
        tx.jobs.mark_dead(job, DeadClass.POISON, reason)
    else:
        tx.jobs.reschedule(
            job, tx.now_ms + back_off_ms(job.attempts, runtime.rng), reason, count=True, waits_for=WaitCode.BACKOFF
        )
