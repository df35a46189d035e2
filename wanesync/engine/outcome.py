"""What becomes of jobs whose call failed: the decision of ``core/job`` carried out."""

from __future__ import annotations

from collections.abc import Sequence

from wanesync.core.errors import CallError
from wanesync.core.job import Dead, Job, Pause, Retry, Wait, decide
from wanesync.engine.context import Engine
from wanesync.store.store import Tx


def still_ours(tx: Tx, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that still run under our token, with our lease alive: nobody else may commit."""
    mine = tx.jobs.mine(jobs)
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
def again(  # noqa: PLR0913
    tx: Tx, job: Job, delay_ms: int, reason: str, *, count: bool = False, fixed: bool = False
) -> None:
    """Back to ready, locks dropped."""
    tx.locks.drop(job.token)
    tx.jobs.again(job, tx.now_ms + delay_ms, reason, count=count, fixed=fixed)


def fail(engine: Engine, tx: Tx, jobs: Sequence[Job], error: CallError, operation: str) -> None:
    """Decide for each job what a failed call means."""
    for job in jobs:
        decision = decide(error, job.attempts, operation, engine.rng)
        match decision:
            case Retry(delay_ms, reason):
                again(tx, job, delay_ms, reason, count=True)
            case Wait(delay_ms, reason, fixed):
                again(tx, job, delay_ms, reason, fixed=fixed)
            case Dead(dead_class, reason):
                tx.locks.drop(job.token)
                tx.jobs.kill(job, dead_class, reason)
                tx.journal.add("dead", job.lane, job.key, "", {"class": dead_class, "reason": reason, "kind": job.kind})
            case Pause(pause_of, reason, away, probe_ms):
                name = f"{job.lane}:{pause_of}" if pause_of else str(job.lane)
                tx.pauses.set(name, reason, away, tx.now_ms + probe_ms)
                again(tx, job, probe_ms, reason)
