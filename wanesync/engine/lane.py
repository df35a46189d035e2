"""One lane's next round: which jobs to claim for the slots at hand, and the calls they come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wanesync.core.errors import StoreDown, WanesyncError
from wanesync.core.job import MAX_ATTEMPTS, DeadClass, Job, JobKind, back_off_ms
from wanesync.core.model import Side
from wanesync.engine.apply import Apply
from wanesync.engine.context import Call, Engine
from wanesync.engine.guests import Guests
from wanesync.engine.ledger import Ledger
from wanesync.engine.reads import Reads
from wanesync.store.store import Tx

BATCH = 100
ROUNDS = 4
PROBE_AGAIN_MS = 5_000


@dataclass(slots=True)
class Lane:
    """The jobs of one side. ``waiting``: prepared calls that have no slot yet."""

    engine: Engine
    side: Side
    reads: Reads
    apply: Apply
    ledger: Ledger
    guests: Guests
    waiting: deque[Call] = field(default_factory=deque)

    @classmethod
    def of(cls, engine: Engine, side: Side) -> Lane:
        """The rooms of one lane."""
        return cls(engine, side, Reads(engine), Apply(engine), Ledger(engine), Guests(engine))

    def fill(self, tx: Tx, room: int) -> list[Call]:
        """Calls for about ``room`` slots, in one transaction: the most urgent jobs, claimed, planned, written down.

        Nothing outside ``tx`` is touched: a transaction that collides runs again. Stripe's reads mostly
        take what events brought and need no call: they never queue behind writes that wait for slots.
        """
        calls: list[Call] = []
        if not self._open(tx):
            return calls
        if self.side is Side.STRIPE:
            calls += self._prepare(tx, tx.jobs.claim(self.side, [JobKind.READ], BATCH, self.engine.name))
        for _ in range(ROUNDS):
            if len(calls) >= room:
                break
            jobs = self._claim(tx, room - len(calls))
            if not jobs:
                break
            calls += self._prepare(tx, jobs)
        return calls

    def _open(self, tx: Tx) -> bool:
        """A lane that is away or paused lets one round through when its probe is due."""
        pause = tx.pauses.get_all().get(str(self.side))
        if pause is None:
            return True
        if tx.now_ms < pause.probe_ms:
            return False
        tx.pauses.set(str(self.side), pause.reason, bool(pause.away), tx.now_ms + PROBE_AGAIN_MS)
        return True

    def _claim(self, tx: Tx, room: int) -> list[Job]:
        """The most urgent kind of job; as many as one call or the slots at hand can take."""
        top = tx.jobs.peek(self.side)
        if top is None:
            return []
        kind, _ = top
        limit = room if self.side is Side.STRIPE and kind is JobKind.WRITE else BATCH
        return tx.jobs.claim(self.side, [kind], limit, self.engine.name)

    def _prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[Call]:
        if not jobs:
            return []
        kind = jobs[0].kind
        if kind is JobKind.READ:
            return self._guarded(tx, jobs, self.reads.prepare)
        if kind is JobKind.PURCHASE:
            return self._guarded(tx, jobs, self.ledger.prepare)
        guests = [job for job in jobs if job.key.startswith("guest:")]
        records = [job for job in jobs if not job.key.startswith("guest:")]
        return [*self._guarded(tx, guests, self.guests.prepare), *self._guarded(tx, records, self.apply.prepare)]

    def _guarded(self, tx: Tx, jobs: Sequence[Job], prepare: Callable[[Tx, Sequence[Job]], list[Call]]) -> list[Call]:
        """One job that cannot be prepared must not take the others with it: then each is tried alone."""
        if not jobs:
            return []
        try:
            with tx.savepoint():
                return prepare(tx, jobs)
        except StoreDown:
            raise
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            if len(jobs) > 1:
                return [call for job in jobs for call in self._guarded(tx, [job], prepare)]
            set_back(self.engine, tx, jobs[0], error)
            return []


def set_back(engine: Engine, tx: Tx, job: Job, error: Exception) -> None:
    """A job whose own data is in the way: again later, dead in the end. The reason names the kind of error only."""
    reason = str(error) if isinstance(error, WanesyncError) else type(error).__name__
    tx.locks.drop(job.token)
    if job.attempts + 1 >= MAX_ATTEMPTS:
        tx.jobs.kill(job, DeadClass.POISON, reason)
    else:
        tx.jobs.again(job, tx.now_ms + back_off_ms(job.attempts, engine.rng), reason, count=True)
