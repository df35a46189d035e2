"""The effect of a call's result on the job table: a job is done, ready again or dead, or its side is paused.

The decisions are those of ``core.jobs.decide`` (docs/correctness.md#decision-table).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import (
    LOCK_WAIT_MS,
    Dead,
    Job,
    Pause,
    Retry,
    Wait,
    WaitCode,
    back_off_ms,
    decide,
    describe_pause,
    idle_wait_ms,
    is_unreachable,
    next_probe_ms,
    pause_code,
)
from wanesync.core.model import Side
from wanesync.store.database import Tx
from wanesync.store.tables.settings import OPERATOR
from wanesync.sync.runtime import Runtime

CLOSED_WAIT_MS = 300_000
"""How long a job waits, in ms, for one that cannot go on while a side is unreachable or paused."""


def still_held(tx: Tx, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that still run under our token while our lease lasts: no other process may commit for them."""
    if tx.part is not None:
        jobs = [job for job in jobs if job.id in tx.part]
    mine = tx.jobs.still_held(jobs)
    tx.has_refused |= len(mine) < len(jobs)
    return [job for job in jobs if job.id in mine]


def finish(tx: Tx, job: Job) -> None:
    """Mark a job done and drop its locks."""
    tx.locks.drop(job.token)
    tx.jobs.finish(job)


def finish_all(tx: Tx, jobs: Sequence[Job]) -> None:
    """Mark jobs done and drop their locks."""
    if jobs:
        tx.locks.drop_many([job.token for job in jobs])
        tx.jobs.finish_many(jobs)


def reschedule(  # noqa: PLR0913 - what it waits for, as code and as text, and two flags, named at every call
    tx: Tx, job: Job, delay_ms: int, waits_for: str, reason: str, *, count: bool = False, fixed: bool = False
) -> None:
    """Put a job back to ready after ``delay_ms`` and drop its locks.

    ``waits_for``: a ``WaitCode`` or ``pause_code``. ``count``: it was an attempt. ``fixed``: no newer event may cut
    the wait short. A job that was claimed often without news waits longer (docs/correctness.md#wake-ups).
    """
    tx.locks.drop(job.token)
    delay_ms = max(delay_ms, idle_wait_ms(job.turns))
    tx.jobs.reschedule(job, tx.now_ms + delay_ms, reason, count=count, fixed=fixed, waits_for=waits_for)


def reschedule_all(tx: Tx, delays: Sequence[tuple[Job, int]], waits_for: str, reason: str) -> None:
    """As ``reschedule`` does with each job and its delay in ms, without counting an attempt."""
    if delays:
        tx.locks.drop_many([job.token for job, _ in delays])
        due = [(job, tx.now_ms + max(delay_ms, idle_wait_ms(job.turns))) for job, delay_ms in delays]
        tx.jobs.reschedule_many(due, reason, waits_for=waits_for)


def wait_turn(tx: Tx, job: Job, waits_for: WaitCode, reason: str, delay_ms: int = LOCK_WAIT_MS) -> None:
    """Put back a job that waits for another one: soon, or, while a side is unreachable or paused, until it resumes."""
    closed = next((n for n in tx.pauses.get_all() if n in tuple(Side) or n.startswith(OPERATOR)), "")
    if closed:
        reschedule(tx, job, CLOSED_WAIT_MS, pause_code(closed), describe_pause(closed))
    else:
        reschedule(tx, job, delay_ms, waits_for, reason)


def fail(runtime: Runtime, tx: Tx, jobs: Sequence[Job], error: CallError, operation: str) -> None:
    """Decide for each job what a failed call means.

    Resets the crash counter: only consecutive crashes mark a job as poison (docs/correctness.md#poison).
    """
    for job in (replace(job, rescues=0) for job in jobs):
        unreachable = is_unreachable(runtime.process.failure_streaks.get(job.lane, []), error.failure)
        decision = decide(error, job.attempts, operation, runtime.rng, unreachable=unreachable)
        match decision:
            case Retry(delay_ms, reason):
                reschedule(tx, job, delay_ms, WaitCode.BACKOFF, reason, count=True)
            case Wait(delay_ms, reason, fixed):
                reschedule(tx, job, delay_ms, WaitCode.VENDOR, reason, fixed=fixed)
            case Dead(dead_class, reason):
                tx.locks.drop(job.token)
                tx.jobs.mark_dead(job, dead_class, reason)
                tx.journal.add("dead", job.lane, job.key, "", {"class": dead_class, "reason": reason, "kind": job.kind})
            case Pause() if error.failure is Failure.UNAVAILABLE and _is_alone_to_blame(runtime, tx, job):
                # It still waits for the side, so that it is not the one that pauses it again.
                delay_ms, code = back_off_ms(job.attempts, runtime.rng), pause_code(str(job.lane))
                reschedule(tx, job, delay_ms, code, error.reason, count=True)
            case Pause():
                _pause(tx, job, decision)


def _is_alone_to_blame(runtime: Runtime, tx: Tx, job: Job) -> bool:
    """Whether a side answers everything but this job's calls (docs/correctness.md#circuit).

    The job waited until the side resumed, which another call's answer showed, and no other call has failed since.
    """
    streak = set(runtime.process.failure_streaks.get(job.lane, []))
    return job.waits_for == pause_code(str(job.lane)) and str(job.lane) not in tx.pauses.get_all() and len(streak) < 2


def _pause(tx: Tx, job: Job, pause: Pause) -> None:
    """Pause the side or the operation; no attempt counts (docs/correctness.md#circuit)."""
    name = f"{job.lane}:{pause.operation}" if pause.operation else str(job.lane)
    known = tx.pauses.get_all().get(name)
    paused_for_ms = tx.now_ms - known.since_ms if known else 0
    probe_ms = next_probe_ms(pause.probe_ms, paused_for_ms, away=pause.away)
    if known is None:
        what = "away" if pause.away else "paused"
        tx.journal.add(what, job.lane, "", "", {"name": name, "reason": pause.reason})
    tx.pauses.set(name, pause.reason, pause.away, tx.now_ms + probe_ms)
    reschedule(tx, job, probe_ms, pause_code(name), describe_pause(name), fixed=bool(pause.operation))


def resume(tx: Tx, name: str) -> None:
    """Resume a side or an operation: the jobs that waited for it are due."""
    tx.pauses.clear(name)
    waited = tx.jobs.make_due(pause_code(name))
    side, _, _ = name.partition(":")
    tx.journal.add("resumed", Side(side), "", "", {"name": name, "jobs": waited})


def resume_refused(tx: Tx, side: Side) -> None:
    """Resume a side and its operations that refused our key, because it has another one now."""
    for name, pause in tx.pauses.get_all().items():
        if (name == side or name.startswith(f"{side}:")) and not pause.away:
            resume(tx, name)
