"""The queue: who may run which job, and what becomes of one that ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from wanesync.core.errors import WanesyncError
from wanesync.core.jobs import POISON_ALONE_RESCUES, DeadClass, Job, JobKind, JobRequest, check_poison
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import ConstraintViolated
from wanesync.store.tables.backlog import Backlog, job_of
from wanesync.store.tables.processes import LEASE_MS

_KINDS = tuple(JobKind)
SUSPECT_PATIENCE_MS = 30_000
EVERY_PRIORITY = 1_000
"""Later than any."""


class Best(NamedTuple):
    """What a claim would begin with. ``rescues``: how often its process died with it."""

    kind: JobKind
    priority: int
    rescues: int


class LeaseLost(WanesyncError):
    """The job is no longer ours: it was rescued, or another process runs it. Nothing of this transaction may stay."""


class Jobs(Backlog):
    """The table ``jobs`` (CORRECTNESS section 7): one ready and one running row per (lane, kind, key)."""

    __slots__ = ()

    def put(self, request: JobRequest) -> None:
        """Queues one job, or joins the one that is ready."""
        self.put_many([request])

    def put_many(self, requests: Sequence[JobRequest]) -> None:
        """Queues jobs, or joins those that are ready.

        A ready one takes the higher priority and the earliest arrival, and stops backing off unless its wait is fixed.
        A dead one of the same key is done: the new one stands for it.
        """
        if not requests:
            return
        now_ms = self._session.now_ms
        groups: dict[tuple[Side, JobKind], set[str]] = defaultdict(set)
        batch: list[dict[str, Value]] = []
        for request in sorted(requests, key=_order):
            groups[request.lane, request.kind].add(request.key)
            batch.append(
                {
                    "id": self._session.make_id(),
                    "lane": request.lane,
                    "kind": request.kind,
                    "key": request.key,
                    "priority": int(request.priority),
                    "due_ms": now_ms if request.due_ms is None else request.due_ms,
                    "run_id": request.run_id,
                    "now": now_ms,
                }
            )
        self._session.each("queue_job", batch)
        for (lane, kind), keys in sorted(groups.items()):
            self._session.rows("supersede_dead_jobs", lane=lane, kind=kind, keys=sorted(keys), now=now_ms)
            self._session.lanes_to_wake.add(lane)

    # Where, what, how many, for whom; and of which priorities.
    def claim(  # noqa: PLR0913
        self,
        lane: Side,
        kinds: Sequence[JobKind] | None,
        limit: int,
        owner: str,
        *,
        least: int = 0,
        below: int = EVERY_PRIORITY,
    ) -> list[Job]:
        """Up to ``limit`` due jobs: best priority, then earliest arrival first, of priorities ``least`` to ``below``.

        At most one per key, and none whose key runs. A job whose processes died twice comes alone: to a process that
        runs nothing (or after 30 s of waiting for one), and while it runs, its process gets no other.
        """
        wanted = tuple(kinds or _KINDS)
        values: dict[str, Value] = {"lane": lane, "kinds": wanted, "owner": owner, "now": self._session.now_ms}
        values |= {"least": int(least), "below": int(below)}
        token = f"{self._session.rng.getrandbits(64):016x}."
        suspects = {row[0] for row in self._session.rows("suspects", lane=lane, owner=owner, now=self._session.now_ms)}
        if "runs" in suspects:
            return []
        if "waits" in suspects:
            best = self.next_claimable(lane, wanted, least=least, below=below)
            if best and best.rescues >= POISON_ALONE_RESCUES:
                starved_ms = self._session.now_ms - SUSPECT_PATIENCE_MS
                alone = self._session.rows("claim_suspect", token=token, starved_ms=starved_ms, **values)
                if alone:
                    return [job_of(row) for row in alone]
        jobs = [job_of(row) for row in self._session.rows("claim_jobs", token=token, limit=limit, **values)]
        jobs.sort(key=lambda job: (job.priority, job.arrived_ms, job.id))
        return self._one_per_key(jobs) if len(wanted) > 1 else jobs

    def _one_per_key(self, jobs: list[Job]) -> list[Job]:
        best: dict[str, Job] = {}
        for job in jobs:
            best.setdefault(job.key, job)
        others = [job.id for job in jobs if best[job.key] is not job]
        if others:
            self._session.rows("unclaim_jobs", ids=others)
        return list(best.values())

    def next_claimable(
        self, lane: Side, kinds: Sequence[JobKind] = _KINDS, *, least: int = 0, below: int = EVERY_PRIORITY
    ) -> Best | None:
        """The job the next claim of these kinds would begin with."""
        band: dict[str, Value] = {"least": int(least), "below": int(below), "now": self._session.now_ms}
        row = self._session.row("best_job", lane=lane, kinds=tuple(kinds), **band)
        return Best(JobKind(row[0]), row[1], row[2]) if row else None

    def next_due_ms(self, lane: Side) -> int | None:
        """When the next ready job whose key does not run is due (it may be past)."""
        row = self._session.row("next_due", lane=lane)
        return int(row[0]) if row else None

    def still_held(self, jobs: Collection[Job]) -> set[str]:
        """Ids of those that still run under our token while their owner's lease lasts.

        In a writing transaction they cannot be rescued before it ends.
        """
        if not jobs:
            return set()
        query = "lock_running_in_lease" if self._session.writing else "running_in_lease"
        fresh_ms = self._session.now_ms - LEASE_MS
        running: dict[str, str] = dict(self._session.rows(query, ids=[job.id for job in jobs], fresh_ms=fresh_ms))
        return {job.id for job in jobs if running.get(job.id) == job.token}

    def finish(self, job: Job) -> None:
        """Done. Raises LeaseLost."""
        self.finish_many([job])

    def finish_many(self, jobs: Collection[Job]) -> None:
        """A batch is done. Raises LeaseLost if any of them is."""
        now_ms = self._session.now_ms
        ordered = sorted(jobs, key=lambda job: job.id)
        batch: list[dict[str, Value]] = [{"id": job.id, "token": job.token, "now": now_ms} for job in ordered]
        rows = self._session.each("finish_job", batch)
        ended = {row[0] for row in rows}
        for job in ordered:
            if job.id not in ended:
                raise _lost(job)
        # A newer one may have waited for a key to be free.
        waited = {row[0] for row in rows if row[1]}
        self._session.lanes_to_wake.update(job.lane for job in ordered if job.id in waited)
        given_up = {row[0] for row in rows if row[2]}
        if given_up:
            self._close_dead_letters([job for job in ordered if job.id in given_up])

    def _close_dead_letters(self, done: Collection[Job]) -> None:
        """What was given up is done after all: two transactions of Postgres may leave a key both dead and ready."""
        now_ms = self._session.now_ms
        for lane, kind in sorted({(job.lane, job.kind) for job in done}):
            keys = sorted(job.key for job in done if (job.lane, job.kind) == (lane, kind))
            self._session.rows("supersede_dead_jobs", lane=lane, kind=kind, keys=keys, now=now_ms)

    def reschedule(self, job: Job, due_ms: int, reason: str, *, count: bool, fixed: bool = False) -> None:
        """Ready once more at ``due_ms``; ``count``: it was an attempt; ``fixed``: no newer event cuts the wait short.

        If a newer one is ready this one is done instead, and the newer takes its arrival, priority and fixed wait.
        Raises LeaseLost.
        """
        self._back(job, due_ms, reason, attempts=int(count), fixed=fixed)

    def mark_dead(self, job: Job, dead_class: DeadClass, reason: str) -> None:
        """Dead, unless a newer one is ready: then it is done as superseded. Raises LeaseLost."""
        if self._session.rows("pending_ready", lane=job.lane, kind=job.kind, key=job.key):
            self._supersede(job, reason)
            return
        now_ms = self._session.now_ms
        if not self._session.row(
            "kill_job", id=job.id, token=job.token, dead_class=dead_class, reason=reason, now=now_ms
        ):
            raise _lost(job)

    def release(self, owner: str, keep: Collection[str] = ()) -> int:
        """Every running job of a process, but those it keeps, goes back, no attempt counted; how many."""
        rows = [row for row in self._session.rows("running_of_owner", owner=owner) if row[0] not in keep]
        for row in rows:
            self._back(job_of(row), self._session.now_ms, "", attempts=0, fixed=False)
        return len(rows)

    def requeue_abandoned(self, lease_ms: int = LEASE_MS) -> list[Job]:
        """Takes back the jobs of processes without a fresh heartbeat, or gives them up as poison; as they are now."""
        swept = []
        for row in self._session.rows("abandoned_jobs", fresh_ms=self._session.now_ms - lease_ms):
            job = job_of(row)
            verdict = check_poison(job.rescues + 1)
            if verdict:
                values: dict[str, Value] = {
                    "id": job.id,
                    "token": job.token,
                    "reason": verdict.reason,
                    "now": self._session.now_ms,
                }
                self._session.rows("poison_job", **values)
            else:
                self._back(job, self._session.now_ms, job.reason, attempts=0, fixed=False, rescues=1)
            self._session.rows("drop_locks", tokens=[job.token])
            after = self.get(job.id)
            if after:
                swept.append(after)
        return swept

    def _back(self, job: Job, due_ms: int, reason: str, *, attempts: int, fixed: bool, rescues: int = 0) -> None:  # noqa: PLR0913 - the columns it sets
        for last in (False, False, True):
            joined = self._session.row(
                "join_newer",
                lane=job.lane,
                kind=job.kind,
                key=job.key,
                priority=job.priority,
                arrived_ms=job.arrived_ms,
                rescues=job.rescues + rescues,
                due_ms=due_ms,
                fixed=int(fixed),
            )
            if joined:
                self._supersede(job, reason)
                return
            values: dict[str, Value] = {"due_ms": due_ms, "fixed": int(fixed), "attempts": attempts}
            values["rescues"] = job.rescues + rescues
            try:
                with self._session.savepoint():
                    row = self._session.row("ready_again", id=job.id, token=job.token, reason=reason, **values)
            except ConstraintViolated:
                # Another transaction queued a newer one in between: join that one.
                if last:
                    raise
                continue
            if row is None:
                raise _lost(job)
            self._session.lanes_to_wake.add(job.lane)
            return

    def _supersede(self, job: Job, reason: str) -> None:
        values: dict[str, Value] = {"id": job.id, "token": job.token, "reason": reason, "now": self._session.now_ms}
        if not self._session.row("supersede_running", **values):
            raise _lost(job)
        self._session.lanes_to_wake.add(job.lane)

    def make_due(self, reason: str) -> int:
        """What waits for exactly this reason is due now, with a clean slate; how many there were."""
        hurried = self._session.rows("hurry_jobs", reason=reason, now=self._session.now_ms)
        self._session.lanes_to_wake.update(Side)
        return len(hurried)

    def make_keys_due(self, lane: Side, kind: JobKind, keys: Collection[str], reason: str) -> int:
        """What waits for exactly this reason under some keys is due now; how many there were."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"lane": lane, "kind": kind, "keys": sorted(keys), "reason": reason, "now": now_ms}
        hurried = self._session.rows("hurry_keys", **values) if keys else []
        if hurried:
            self._session.lanes_to_wake.add(lane)
        return len(hurried)


def _order(request: JobRequest) -> tuple[str, str, str]:
    return request.lane, request.kind, request.key


def _lost(job: Job) -> LeaseLost:
    return LeaseLost(f"job {job.id} is no longer run by {job.owner}: another process took it over")
