"""How long the jobs of a killed process stand still."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import Job, JobState
from wanesync.core.model import Side
from wanesync.store.database import Store, Tx
from wanesync.store.tables.jobs import job_of


def find_running(store: Store, owner: str) -> list[Job]:
    """The jobs leased to a process. Raises DatabaseUnavailable."""
    with store.reading() as tx:
        session = tx.jobs._session
        # Without the query's row locks: a stopped process may hold them.
        text = session.queries["running_of_owner"].text.replace("FOR UPDATE", "")
        return [job_of(row) for row in session.execute(text, {"owner": owner}).fetchall()]


@dataclass(slots=True)
class Recoveries:
    """``spans_s``: for each job that ran in a process when it was killed, until it ran again; ``slowest``: the longest.

    Never too short: a job whose key is due again when we look counts as still waiting. Only time in which a worker
    could have taken it counts: a worker and the database were up, and its side was not paused (five lost answers in a
    row pause it), while no process that the campaign stopped inside a transaction held SQLite's lock.
    """

    store: Store
    spans_s: list[float] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    _waiting: list[tuple[float, str, Job]] = field(default_factory=list)
    _looked_s: float = field(default_factory=time.monotonic)
    _passed_s: dict[Side, float] = field(default_factory=lambda: dict.fromkeys(Side, 0.0))

    def begin(self, what: str, owner: str) -> int:
        """A process was killed or stopped just now: how many jobs it held. 0 too while the database is down."""
        try:
            jobs = find_running(self.store, owner)
        except DatabaseUnavailable:
            return 0
        self._waiting += [(self._passed_s[job.lane], f"{what}: {job.lane} {job.kind} {job.key}", job) for job in jobs]
        return len(jobs)

    def look(self, *, possible: bool) -> None:
        """See which run again. ``possible``: whether anybody could have taken them since the last look."""
        now_s = time.monotonic()
        passed_s, self._looked_s = (now_s - self._looked_s) * possible, now_s
        if not self._waiting:
            return
        try:
            with self.store.reading() as tx:
                still = [_stands_still(tx, job) for _, _, job in self._waiting]
                paused = {name.partition(":")[0] for name in tx.pauses.get_all()}
        except DatabaseUnavailable:
            return
        for side in Side:
            self._passed_s[side] += passed_s * (side not in paused)
        runs = [entry for entry, stands in zip(self._waiting, still, strict=True) if not stands]
        spans = [(self._passed_s[job.lane] - began_s, what) for began_s, what, job in runs]
        self.spans_s += [span_s for span_s, _ in spans]
        self.slowest = sorted([*self.slowest, *spans], reverse=True)[:10]
        self._waiting = [entry for entry, stands in zip(self._waiting, still, strict=True) if stands]

    @property
    def left(self) -> Sequence[Job]:
        """Jobs that do not run again yet."""
        return [job for _, _, job in self._waiting]


def _stands_still(tx: Tx, job: Job) -> bool:
    row = tx.jobs.get(job.id)
    if row is None:
        return False
    if row.state is JobState.RUNNING:
        return row.token == job.token
    # Done may mean that a newer one of its key stands for it, which then must run.
    waiting = tx.jobs._session.rows("ready_job", lane=job.lane, kind=job.kind, key=job.key)
    newer = [tx.jobs.get(str(found[0])) for found in waiting]
    return any(other is not None and other.due_ms <= tx.now_ms for other in newer)
