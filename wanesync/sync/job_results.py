"""What becomes of jobs whose call failed: the decision of ``core/job`` carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wanesync.core.errors import CallError
from wanesync.core.jobs import (
    LOCK_WAIT_MS,
    Dead,
    Job,
    Pause,
    Retry,
    Wait,
    decide,
    is_unreachable,
    next_probe_ms,
    waits_for,
)
from wanesync.core.model import Side
from wanesync.store.database import Tx
from wanesync.store.tables.settings import OPERATOR
from wanesync.sync.runtime import Runtime

CLOSED_WAIT_MS = 300_000
ECHO_WAITS = "our own write is not answered yet"
"""The reason of a read whose event outran the answer to our write: the answer's commit makes it due."""


def still_held(tx: Tx, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that still run under our token, with our lease alive: nobody else may commit."""
    mine = tx.jobs.still_held(jobs)
    return [job for job in jobs if job.id in mine]


def finish(tx: Tx, job: Job) -> None:
    """Done, locks dropped."""
    tx.locks.drop(job.token)
    tx.jobs.finish(job)


def finish_all(tx: Tx, jobs: Sequence[Job]) -> None:
    """Done, all of them."""
    if jobs:
        tx.locks.drop_many([job.token for job in jobs])
        tx.jobs.finish_many(jobs)


# Two flags with defaults, named at every call.
def reschedule(  # noqa: PLR0913
    tx: Tx, job: Job, delay_ms: int, reason: str, *, count: bool = False, fixed: bool = False
) -> None:
    """Back to ready, locks dropped."""
    tx.locks.drop(job.token)
    tx.jobs.reschedule(job, tx.now_ms + delay_ms, reason, count=count, fixed=fixed)


def wait_turn(tx: Tx, job: Job, reason: str, delay_ms: int = LOCK_WAIT_MS) -> None:
    """Soon again; where a side is away or paused, what is waited for may take hours: then when it is back."""
    closed = next((n for n in tx.pauses.get_all() if n in tuple(Side) or n.startswith(OPERATOR)), "")
    if closed:
        reschedule(tx, job, CLOSED_WAIT_MS, waits_for(closed))
    else:
        reschedule(tx, job, delay_ms, reason)


def fail(runtime: Runtime, tx: Tx, jobs: Sequence[Job], error: CallError, operation: str) -> None:
    """Decide for each job what a failed call means. It lived to hear of it: only deaths in a row make poison."""
    for job in (replace(job, rescues=0) for job in jobs):
        unreachable = is_unreachable(runtime.process.failure_streaks.get(job.lane, []), error.failure)
        decision = decide(error, job.attempts, operation, runtime.rng, unreachable=unreachable)
        match decision:
            case Retry(delay_ms, reason):
                reschedule(tx, job, delay_ms, reason, count=True)
            case Wait(delay_ms, reason, fixed):
                reschedule(tx, job, delay_ms, reason, fixed=fixed)
            case Dead(dead_class, reason):
                tx.locks.drop(job.token)
                tx.jobs.mark_dead(job, dead_class, reason)
                tx.journal.add("dead", job.lane, job.key, "", {"class": dead_class, "reason": reason, "kind": job.kind})
            case Pause():
                _pause(tx, job, decision)


def _pause(tx: Tx, job: Job, pause: Pause) -> None:
    """The side or the operation stops; no attempt counts. Another job than this one makes the next probe."""
    name = f"{job.lane}:{pause.operation}" if pause.operation else str(job.lane)
    known = tx.pauses.get_all().get(name)
    paused_for_ms = tx.now_ms - known.since_ms if known else 0
    probe_ms = next_probe_ms(pause.probe_ms, paused_for_ms, away=pause.away)
    if known is None:
        what = "away" if pause.away else "paused"
        tx.journal.add(what, job.lane, "", "", {"name": name, "reason": pause.reason})
    tx.pauses.set(name, pause.reason, pause.away, tx.now_ms + probe_ms)
    reschedule(tx, job, probe_ms, waits_for(name), fixed=bool(pause.operation))


def resume(tx: Tx, name: str) -> None:
    """A side or an operation goes on: what waited for it is due, the most urgent first."""
    tx.pauses.clear(name)
    waited = tx.jobs.make_due(waits_for(name))
    side, _, _ = name.partition(":")
    tx.journal.add("resumed", Side(side), "", "", {"name": name, "jobs": waited})
