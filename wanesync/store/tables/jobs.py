"""The job queue: putting, claiming, ending, counting and reviving jobs (docs/correctness.md#jobs)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypedDict

from wanesync.core.errors import WanesyncError
from wanesync.core.ids import bound
from wanesync.core.jobs import (
    FREE_TURNS,
    POISON_ALONE_RESCUES,
    DeadClass,
    Ending,
    Job,
    JobKind,
    JobReport,
    JobRequest,
    JobState,
    Priority,
    WaitCode,
    check_poison,
    idle_wait_ms,
)
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import ConstraintViolated, Row, Table
from wanesync.store.tables.operating.job_traces import JobTraces
from wanesync.store.tables.processes import LEASE_MS, lease_bounds

_KINDS = tuple(JobKind)
SUSPECT_WAIT_MS = 30_000
"""How long a job suspected of crashing its process waits for a process that runs nothing else."""
FAR_MS = 5_000
"""A job that is due so much later is out of the index that claims walk (our choice)."""
MAX_FAR = 1_000
"""Of those jobs so many come back in one claim once they are due, those that are due longest first: it stays short."""
EVERY_PRIORITY = 1_000
"""Above every priority: an upper bound that excludes none."""
_MAX_RESCHEDULE_ATTEMPTS = 3  # another transaction may queue a job of the same key in between


class LeaseLost(WanesyncError):
    """Another process has taken the job over; nothing of this transaction may be committed."""


class ClaimableJob(NamedTuple):
    """What the next claim begins with. ``rescues``: how often a process crashed while it ran the job."""

    kind: JobKind
    priority: int
    rescues: int


class Fresh(NamedTuple):
    """Live work that can still be done in time: of one priority, arrived at or after ``since_ms``.

    If there is none, what arrived from ``last_ms`` on can, as nothing waits before it.
    """

    priority: int
    since_ms: int
    last_ms: int


class DueJob(NamedTuple):
    """A job that is due now. ``linked``: its contact has a link, so that a write will be an update."""

    id: str
    kind: JobKind
    due_ms: int
    linked: bool


class Overdue(NamedTuple):
    """Jobs that wait for longer than they should; of the oldest: its arrival, lane and key."""

    number: int = 0
    arrived_ms: int = 0
    lane: str = ""
    key: str = ""


class Depth(TypedDict):
    """Number of ready and running jobs of one lane, kind and priority.

    ``due``: ready and due now. ``retrying``: an attempt has failed. ``oldest_arrived_ms``: arrival of the oldest job
    that is due or runs; without one, of the oldest that waits.
    """

    lane: str
    kind: str
    priority: int
    ready: int
    running: int
    oldest_arrived_ms: int
    due: int
    retrying: int


class Jobs(Table):
    """The table ``jobs``: at most one ready and one running row per (lane, kind, key)."""

    __slots__ = ()

    def put(self, request: JobRequest) -> None:
        """Queues one job, or joins the one that is ready."""
        self.put_many([request])

    def put_many(self, requests: Sequence[JobRequest]) -> None:
        """Queues jobs, or joins those that are ready.

        A ready one takes the higher priority and the earlier arrival, and its backoff ends unless its wait is fixed.
        A dead one of the same key is closed as superseded. A request without news (``woken_by``) takes over the turns
        of the job that makes it, and the wait that follows from them (docs/correctness.md#wake-ups).
        """
        if not requests:
            return
        now_ms = self._session.now_ms
        turns_of = self._turns_of({request.woken_by for request in requests if request.woken_by})
        groups: dict[tuple[Side, JobKind], set[str]] = defaultdict(set)
        batch: list[dict[str, Value]] = []
        for request in sorted(requests, key=_order):
            groups[request.lane, request.kind].add(bound(request.key))
            batch.append(self.as_row(request, turns_of[request.woken_by] if request.woken_by else 0))
        self._session.each("queue_job", batch)
        if any(request.trace for request in requests):
            JobTraces(self._session).put({(one.lane, one.kind, one.key): one.trace for one in requests})
        for (lane, kind), keys in sorted(groups.items()):
            self._session.rows("supersede_dead_jobs", lane=lane, kind=kind, keys=sorted(keys), now=now_ms)
            self._session.lanes_to_wake.add(lane)

    def as_row(self, request: JobRequest, turns: int = 0) -> dict[str, Value]:
        """The row of a job that is queued. ``turns``: those it takes over."""
        now_ms = self._session.now_ms
        due_ms = max(now_ms + idle_wait_ms(turns), request.due_ms or 0)
        return {
            "id": self._session.make_id(),
            "lane": request.lane,
            "kind": request.kind,
            "key": bound(request.key),
            "priority": int(request.priority),
            "due_ms": due_ms,
            "arrived_ms": now_ms if request.arrived_ms is None else min(now_ms, request.arrived_ms),
            "run_id": request.run_id,
            "turns": turns,
            "is_far": self._is_far(due_ms),
        }

    def _is_far(self, due_ms: int) -> int:
        """1 for a job that is due only much later, so that claims do not walk past it (docs/correctness.md#claims)."""
        return int(due_ms > self._session.now_ms + FAR_MS)

    def _turns_of(self, jobs: Collection[Job]) -> dict[Job, int]:
        """The turns of some jobs; of those with many the stored number counts, which a call has set back."""
        many = [job.id for job in jobs if job.turns > FREE_TURNS]
        stored: dict[str, int] = dict(self._session.rows("turns_of", ids=many)) if many else {}
        return {job: stored.get(job.id, job.turns) for job in jobs}

    def claim(  # noqa: PLR0913 - a claim has that many conditions
        self,
        lane: Side,
        kinds: Sequence[JobKind] | None,
        limit: int,
        owner: str,
        *,
        least: int = 0,
        below: int = EVERY_PRIORITY,
        fresh: Fresh | None = None,
    ) -> list[Job]:
        """Up to ``limit`` due jobs: best priority, then earliest arrival first, of priorities ``least`` to ``below``.

        ``fresh``: what goes before that order (docs/correctness.md#claims), earliest arrival first.
        At most one per key, and none whose key runs. A job during which two processes crashed is claimed alone, by a
        process that runs nothing (after 30 s: by any), and while it runs its process claims no other
        (docs/correctness.md#poison).
        """
        wanted = tuple(kinds or _KINDS)
        values: dict[str, Value] = {"lane": lane, "kinds": wanted, "owner": owner, "now": self._session.now_ms}
        values |= {"least": int(least), "below": int(below)}
        token = f"{self._session.rng.getrandbits(64):016x}."
        found = {row[0] for row in self._session.rows("before_claim", lane=lane, owner=owner, now=self._session.now_ms)}
        if "far" in found:
            self._session.rows("queue_far_jobs", lane=lane, now=self._session.now_ms, limit=MAX_FAR)
        if "runs" in found:
            return []
        if "waits" in found:
            best = self.next_claimable(lane, wanted, least=least, below=below)
            if best and best.rescues >= POISON_ALONE_RESCUES:
                starved_ms = self._session.now_ms - SUSPECT_WAIT_MS
                alone = self._session.rows("claim_suspect", token=token, starved_ms=starved_ms, **values)
                if alone:
                    return [job_of(row) for row in alone]
        # One statement a kind: the rows of one kind lie in the order of the index.
        values["token"] = token
        jobs: list[Job] = []
        if fresh is not None:
            band: dict[str, Value] = {"lane": lane, "owner": owner, "now": self._session.now_ms, "token": token}
            band["priority"] = fresh.priority
            for since_ms in sorted({fresh.since_ms, fresh.last_ms}, reverse=True):
                jobs = jobs or self._claim_each("claim_fresh_jobs", wanted, limit, band | {"since_ms": since_ms})
        if len(jobs) < limit:
            jobs += self._claim_each("claim_jobs", wanted, limit - len(jobs), values)
        return self._one_per_key(jobs, limit) if len(wanted) > 1 else jobs

    def _claim_each(self, query: str, kinds: Sequence[JobKind], limit: int, values: Mapping[str, Value]) -> list[Job]:
        rows = [row for kind in kinds for row in self._session.rows(query, limit=limit, kind=kind, **values)]
        return sorted(map(job_of, rows), key=lambda job: (job.priority, job.arrived_ms, job.id))

    def claim_probe(self, lane: Side, kinds: Collection[JobKind], owner: str) -> list[Job]:
        """One due job for the probe of a paused side: the one that has been due longest, so that each has its turn."""
        token = f"{self._session.rng.getrandbits(64):016x}."
        values: dict[str, Value] = {"lane": lane, "kinds": sorted(kinds), "owner": owner, "now": self._session.now_ms}
        return [job_of(row) for row in self._session.rows("claim_probe", token=token, **values)]

    def _one_per_key(self, jobs: list[Job], limit: int) -> list[Job]:
        best: dict[str, Job] = {}
        for job in jobs:
            if len(best) < limit:
                best.setdefault(job.key, job)
        others = [job.id for job in jobs if best.get(job.key) is not job]
        if others:
            self._session.rows("unclaim_jobs", ids=others)
        return list(best.values())

    def next_claimable(
        self, lane: Side, kinds: Collection[JobKind] = _KINDS, *, least: int = 0, below: int = EVERY_PRIORITY
    ) -> ClaimableJob | None:
        """The job with which the next claim of these kinds begins; None without one."""
        band: dict[str, Value] = {"least": int(least), "below": int(below), "now": self._session.now_ms}
        band |= {str(kind): int(kind in kinds) for kind in JobKind}
        row = self._session.row("next_claimable_job", lane=lane, **band)
        return ClaimableJob(JobKind(row[0]), row[1], row[2]) if row else None

    def next_due_ms(self, lane: Side) -> int | None:
        """When the next ready job whose key does not run is due, which may be in the past; None without one."""
        row = self._session.row("next_due", lane=lane)
        return int(row[0]) if row else None

    def newly_due(self, lane: Side, from_ms: int, limit: int) -> list[DueJob]:
        """Up to ``limit`` ready jobs that became due after ``from_ms`` and are due now, the last ones first."""
        rows = self._session.rows("newly_due_jobs", lane=lane, from_ms=from_ms, now=self._session.now_ms, limit=limit)
        return [DueJob(row[0], JobKind(row[1]), row[2], bool(row[3])) for row in rows]

    def next_due_after_ms(self, lane: Side) -> int | None:
        """When the next job that is not due yet will be; None without one."""
        row = self._session.row("next_due_after", lane=lane, now=self._session.now_ms)
        return int(row[0]) if row else None

    def still_held(self, jobs: Collection[Job]) -> set[str]:
        """Ids of those that still run under their token while their owner's lease lasts.

        In a writing transaction their rows are locked: no other process can requeue them before it ends.
        """
        if not jobs:
            return set()
        query = "lock_running_in_lease" if self._session.writing else "running_in_lease"
        lease = lease_bounds(self._session.now_ms)
        running: dict[str, str] = dict(self._session.rows(query, ids=[job.id for job in jobs], **lease))
        return {job.id for job in jobs if running.get(job.id) == job.token}

    def finish(self, job: Job) -> None:
        """Marks a job done. Raises LeaseLost."""
        self.finish_many([job])

    def finish_many(self, jobs: Collection[Job]) -> None:
        """Marks jobs done. Raises LeaseLost if the lease of any of them is lost."""
        if not jobs:
            return
        now_ms = self._session.now_ms
        ordered = sorted(jobs, key=lambda job: job.id)
        tokens = [job.token for job in ordered]
        rows = self._session.rows("finish_jobs", ids=[job.id for job in ordered], tokens=tokens, now=now_ms)
        ended = {row[0] for row in rows}
        for job in ordered:
            if job.id not in ended:
                raise _lost(job)
        self._session.job_reports += (JobReport(job.id, job.lane, job.kind, Ending.DONE) for job in ordered)
        # A newer job of the key may wait for this one to end.
        waited = {row[0] for row in rows if row[1]}
        self._session.lanes_to_wake.update(job.lane for job in ordered if job.id in waited)
        given_up = {row[0] for row in rows if row[2]}
        if given_up:
            self._close_dead_letters([job for job in ordered if job.id in given_up])

    def _close_dead_letters(self, done: Collection[Job]) -> None:
        """Closes dead jobs of keys that are done now: concurrent transactions can leave a key both dead and ready."""
        now_ms = self._session.now_ms
        for lane, kind in sorted({(job.lane, job.kind) for job in done}):
            keys = sorted(job.key for job in done if (job.lane, job.kind) == (lane, kind))
            self._session.rows("supersede_dead_jobs", lane=lane, kind=kind, keys=keys, now=now_ms)

    def reschedule(  # noqa: PLR0913 - two flags with defaults, and what it waits for, as code and as text
        self,
        job: Job,
        due_ms: int,
        reason: str,
        *,
        count: bool,
        fixed: bool = False,
        waits_for: str = WaitCode.NONE,
    ) -> None:
        """Makes a running job ready again at ``due_ms``.

        ``count``: counts as an attempt. ``fixed``: a newer event does not shorten the wait. If a newer job of the key
        is ready, this one ends as superseded, and the newer one takes over its arrival, priority and fixed wait.
        Raises LeaseLost.
        """
        self._make_ready(job, due_ms, (waits_for, reason), attempts=int(count), fixed=fixed)
        if count:
            self._note_attempt(job, "retry", waits_for, reason)
        ending = Ending.RETRY if count else Ending.WAIT
        self._session.job_reports.append(JobReport(job.id, job.lane, job.kind, ending, waits_for, reason))

    def reschedule_many(self, due: Sequence[tuple[Job, int]], reason: str, *, waits_for: str) -> None:
        """As ``reschedule`` does with several running jobs, each with its ``due_ms``, for the cost of one.

        None of them counts an attempt. Raises LeaseLost.
        """
        self._make_all_ready(due, (waits_for, reason))
        self._session.job_reports += (
            JobReport(job.id, job.lane, job.kind, Ending.WAIT, waits_for, reason) for job, _ in due
        )

    def mark_dead(self, job: Job, dead_class: DeadClass, reason: str) -> None:
        """Marks a job dead, or superseded if a newer one of its key is ready. Raises LeaseLost."""
        if self._session.rows("ready_job", lane=job.lane, kind=job.kind, key=job.key):
            self._supersede(job, reason)
            return
        now_ms, self._session.none_dead = self._session.now_ms, False
        if not self._session.row(
            "mark_job_dead", id=job.id, token=job.token, dead_class=dead_class, reason=reason, now=now_ms
        ):
            raise _lost(job)
        self._note_attempt(job, "dead", dead_class, reason)
        self._session.job_reports.append(JobReport(job.id, job.lane, job.kind, Ending.DEAD, dead_class, reason))

    def release(self, owner: str, keep: Collection[str] = ()) -> int:
        """Makes the running jobs of a process ready, without their locks and without counting an attempt; how many.

        ``keep``: ids of jobs that stay running.
        """
        rows = [row for row in self._session.rows("running_of_owner", owner=owner) if row[0] not in keep]
        self.give_back([job_of(row) for row in rows])
        return len(rows)

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Makes running jobs ready, without their locks and without counting an attempt. Raises LeaseLost."""
        if jobs:
            self._make_all_ready([(job, self._session.now_ms) for job in jobs], (WaitCode.NONE, ""))
            # The process may live on: no other use of the token would end them.
            self._session.rows("drop_locks", tokens=[job.token for job in jobs])

    def requeue_abandoned(self, lease_ms: int = LEASE_MS) -> list[Job]:
        """Makes the jobs of processes without a fresh heartbeat ready, or dead as poison; the jobs as they are now."""
        requeued = []
        for row in self._session.rows("abandoned_jobs", **lease_bounds(self._session.now_ms, lease_ms)):
            job = job_of(row)
            verdict = check_poison(job.rescues + 1)
            if verdict:
                values: dict[str, Value] = {
                    "id": job.id,
                    "token": job.token,
                    "reason": verdict.reason,
                    "now": self._session.now_ms,
                }
                self._session.rows("mark_job_poison", **values)
                self._session.none_dead = False
            else:
                # What it waited for before it was claimed is over.
                self._make_ready(job, self._session.now_ms, (WaitCode.NONE, ""), attempts=0, fixed=False, rescues=1)
            crash = "its process ended without giving it back"
            self._note_attempt(job, "crash", DeadClass.POISON if verdict else WaitCode.NONE, crash)
            self._session.rows("drop_locks", tokens=[job.token])
            after = self.get(job.id)
            if after:
                requeued.append(after)
        return requeued

    def _note_attempt(self, job: Job, outcome: str, code: str, reason: str) -> None:
        """Keep what came of a claim that counts: the page of the job shows each (docs/operating.md#dead-letters)."""
        attempt = (job.rescues if outcome == "crash" else job.attempts) + 1
        values: dict[str, Value] = {"job_id": job.id, "attempt": attempt, "outcome": outcome, "code": code}
        self._session.defer("add_job_attempt", now=self._session.now_ms, reason=reason, **values)

    def _make_ready(  # noqa: PLR0913 - the columns it sets
        self, job: Job, due_ms: int, wait: tuple[str, str], *, attempts: int, fixed: bool, rescues: int = 0
    ) -> None:
        for attempt in range(1, _MAX_RESCHEDULE_ATTEMPTS + 1):
            merged = self._session.row(
                "merge_into_ready_job", **self._merge_values(job, due_ms, job.rescues + rescues, fixed=fixed)
            )
            if merged:
                self._supersede(job, wait[1])
                return
            values = self._ready_values(job, due_ms, wait, attempts=attempts, fixed=fixed, rescues=rescues)
            try:
                with self._session.savepoint():
                    row = self._session.row("reschedule_job", **values)
            except ConstraintViolated:
                # Another transaction queued a newer job of the key in between: merge into that one.
                if attempt == _MAX_RESCHEDULE_ATTEMPTS:
                    raise
                continue
            if row is None:
                raise _lost(job)
            self._session.lanes_to_wake.add(job.lane)
            return

    def _make_all_ready(self, due: Sequence[tuple[Job, int]], wait: tuple[str, str]) -> None:
        """As ``_make_ready`` does with several jobs, each with its ``due_ms``, for the cost of one."""
        ordered = sorted(due, key=lambda one: _key(one[0]))
        merges = [self._merge_values(job, due_ms, job.rescues, fixed=False) for job, due_ms in ordered]
        merged = {tuple(row) for row in self._session.each("merge_into_ready_job", merges)}
        rest = [(job, due_ms) for job, due_ms in ordered if _key(job) not in merged]
        try:
            with self._session.savepoint():
                batch = [self._ready_values(job, due_ms, wait) for job, due_ms in rest]
                ready = {row[0] for row in self._session.each("reschedule_job", batch)}
        except ConstraintViolated:
            # Another transaction queued a newer job of one of the keys in between.
            for job, due_ms in rest:
                self._make_ready(job, due_ms, wait, attempts=0, fixed=False)
        else:
            for job, _ in rest:
                if job.id not in ready:
                    raise _lost(job)
                self._session.lanes_to_wake.add(job.lane)
        for job, _ in ordered:
            if _key(job) in merged:
                self._supersede(job, wait[1])

    def _merge_values(self, job: Job, due_ms: int, rescues: int, *, fixed: bool) -> dict[str, Value]:
        """What the ready job of its key takes over from a running one."""
        return {
            "lane": job.lane,
            "kind": job.kind,
            "key": job.key,
            "priority": job.priority,
            "arrived_ms": job.arrived_ms,
            "rescues": rescues,
            "turns": job.turns,
            "due_ms": due_ms,
            "fixed": int(fixed),
            "is_far": self._is_far(due_ms),
        }

    def _ready_values(  # noqa: PLR0913 - the columns it sets
        self, job: Job, due_ms: int, wait: tuple[str, str], *, attempts: int = 0, fixed: bool = False, rescues: int = 0
    ) -> dict[str, Value]:
        """The columns of a running job that becomes ready again; ``rescues`` and ``attempts`` are added."""
        return {
            "id": job.id,
            "token": job.token,
            "due_ms": due_ms,
            "is_far": self._is_far(due_ms),
            "fixed": int(fixed),
            "waits_for": wait[0],
            "reason": wait[1],
            "attempts": attempts,
            "rescues": job.rescues + rescues,
        }

    def _supersede(self, job: Job, reason: str) -> None:
        values: dict[str, Value] = {"id": job.id, "token": job.token, "reason": reason, "now": self._session.now_ms}
        if not self._session.row("supersede_job", **values):
            raise _lost(job)
        self._session.lanes_to_wake.add(job.lane)

    def make_due(self, waits_for: str) -> int:
        """Make the jobs due that wait for this code, with no attempts counted; returns how many there were."""
        made_due = self._session.rows("make_jobs_due", waits_for=waits_for, now=self._session.now_ms)
        self._session.lanes_to_wake.update(Side)
        return len(made_due)

    def make_keys_due(self, lane: Side, kind: JobKind, keys: Collection[str], waits_for: str) -> int:
        """Make the jobs of some keys due that wait for this code; returns how many there were."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"lane": lane, "kind": kind, "keys": sorted(keys), "now": now_ms}
        values["waits_for"] = waits_for
        made_due = self._session.rows("make_keys_due", **values) if keys else []
        if made_due:
            self._session.lanes_to_wake.add(lane)
        return len(made_due)

    def note_calls(self, jobs: Collection[Job]) -> None:
        """Set the turns of running jobs back that now make a call: what they wait for is on its way."""
        idle = sorted({job.id for job in jobs if job.turns > 1})
        if idle:
            self._session.rows("reset_turns", ids=idle)

    def idle(self, limit: int) -> list[Job]:
        """Jobs that were claimed 20 times or more in a row without news and without a call, the worst first."""
        return [job_of(row) for row in self._session.rows("idle_jobs", limit=limit)]

    def failing(self, limit: int) -> list[Job]:
        """Jobs that wait after six failed attempts or more, the worst first."""
        return [job_of(row) for row in self._session.rows("failing_jobs", limit=limit)]

    # -- counts

    def pending_keys(self, lane: Side, kind: JobKind, keys: Collection[str]) -> set[str]:
        """Those of ``keys`` that have a ready or running job."""
        return (
            {row[0] for row in self._session.rows("pending_keys", lane=lane, kind=kind, keys=keys)} if keys else set()
        )

    def keys_due_later(self, lane: Side, kind: JobKind, keys: Collection[str]) -> set[str]:
        """Those of ``keys`` whose only job is ready, was queued for a later time and waits for nothing else."""
        rows = self._session.rows("keys_due_later", lane=lane, kind=kind, keys=keys, now=self._session.now_ms)
        return {row[0] for row in rows}

    def depth(self) -> list[Depth]:
        """Number of ready and running jobs per lane, kind and priority."""
        names = "lane kind priority ready running oldest_arrived_ms due retrying".split()
        rows = self._session.rows("job_depth", now=self._session.now_ms)
        return [Depth(**dict(zip(names, row, strict=True))) for row in rows]  # type: ignore[typeddict-item] # a row

    def overdue(self, kinds: Sequence[JobKind], before_ms: int) -> Overdue:
        """Live work of some kinds that arrived before a time and is not done."""
        values: dict[str, Value] = {"lanes": list(Side), "kinds": list(kinds), "before_ms": before_ms}
        values |= {"live": int(Priority.LIVE), "live_bulk": int(Priority.LIVE_BULK)}
        row = self._session.row("count_overdue", **values)
        if row is None or not row[0]:
            return Overdue()
        del values["before_ms"]
        oldest = self._session.row("oldest_overdue", arrived_ms=row[1], **values)
        return Overdue(int(row[0]), int(row[1]), *(oldest or ("", "")))

    # -- dead letters

    def any_dead(self) -> bool:
        """Whether there is a dead letter; asked again and again whenever records change, so one answer is kept."""
        if not self._session.none_dead:
            self._session.none_dead = self._session.row("any_dead") is None
        return not self._session.none_dead

    def dead_of_keys(
        self, lanes: Sequence[Side], kinds: Sequence[JobKind], keys: Collection[str]
    ) -> list[tuple[Side, JobKind, str, int]]:
        """(lane, kind, key, best priority) of the dead letters of some keys."""
        rows = self._session.rows("dead_of_keys", lanes=lanes, kinds=kinds, keys=keys) if keys else []
        return [(Side(lane), JobKind(kind), key, priority) for lane, kind, key, priority in rows]

    # -- single jobs and runs

    def get(self, job_id: str) -> Job | None:
        """One job in any state."""
        row = self._session.row("get_job", id=job_id)
        return job_of(row) if row else None

    def open_of_keys(self, keys: Collection[str]) -> list[Job]:
        """Jobs of some keys that run or are ready, and their dead letters, in this order."""
        values: dict[str, Value] = {"keys": keys, "lanes": list(Side), "kinds": _KINDS}
        return [job_of(row) for row in self._session.rows("open_jobs_of_keys", **values)] if keys else []

    def run_pending(self, run_id: str) -> int:
        """How many jobs of a reconcile run are ready or running."""
        return self._session.number("run_pending", run_id=run_id)

    def done_since(self, lane: Side, kind: JobKind, since_ms: int) -> tuple[int, int]:
        """(jobs done at or after a time without superseded ones, failed attempts they had)."""
        row = self._session.row("count_done", lane=lane, kind=kind, since_ms=since_ms)
        return (int(row[0]), int(row[1] or 0)) if row else (0, 0)


def job_of(row: Row) -> Job:
    """The job of a row: the columns in the order of the queries."""
    job_id, lane, kind, key, state, priority, due_ms, arrived_ms, attempts, rescues, *rest = row
    token, owner, waits_for, reason, dead_class, run_id, turns = rest
    return Job(
        id=job_id,
        lane=Side(lane),
        kind=JobKind(kind),
        key=key,
        state=JobState(state),
        priority=priority,
        due_ms=due_ms,
        arrived_ms=arrived_ms,
        attempts=attempts,
        rescues=rescues,
        token=token,
        owner=owner,
        waits_for=waits_for,
        reason=reason,
        dead_class=dead_class,
        run_id=run_id,
        turns=turns,
    )


def _order(request: JobRequest) -> tuple[str, str, str]:
    return request.lane, request.kind, request.key


def _key(job: Job) -> tuple[str, str, str]:
    return job.lane, job.kind, job.key


def _lost(job: Job) -> LeaseLost:
    return LeaseLost(f"job {job.id} is no longer run by {job.owner}: another process took it over")
