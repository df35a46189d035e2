"""Settling answers: several in one transaction, each isolated from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.jobs import MAX_UNUSABLE_ANSWERS
from wanesync.ratelimit.budget import lower_refused_limits
from wanesync.store.database import Tx
from wanesync.sync.calls import AnyCall
from wanesync.sync.job_results import resume, still_held
from wanesync.sync.runtime import Runtime
from wanesync.sync.write_jobs import WriteJobs
from wanesync.worker.lane import reschedule_failed

Answered = tuple[AnyCall, object]

NO_USE = frozenset({Failure.UNREACHED, Failure.UNAVAILABLE, Failure.NO_ANSWER, Failure.SERVER})
PAUSING = NO_USE | frozenset(
    {
        Failure.UNAUTHORISED,
        Failure.FORBIDDEN,
        Failure.MOVING,
        Failure.DAILY_LIMIT,
    }
)

log = structlog.get_logger()


def commit_answers(runtime: Runtime, tx: Tx, batch: Sequence[Answered]) -> list[AnyCall]:
    """Commit some answers together; one that is no trouble ends the pause of its side and operation."""
    _count_strikes(runtime, batch)
    _lift_pauses(tx, batch)
    lower_refused_limits(tx, [(call.operation, error) for call, answer in batch for error in _find_errors(answer)])
    alone: list[Answered] = []
    groups: dict[object, list[Answered]] = {}
    for call, answer in batch:
        good = call.commit_together is not None and not isinstance(answer, CallError)
        (groups.setdefault(call.commit_together, []) if good else alone).append((call, answer))
    follow_ups = [f for group in groups.values() for f in _settle_group(runtime, tx, group, alone)]
    return follow_ups + [f for call, answer in alone for f in _settle(runtime, tx, call, answer)]


def _find_errors(answer: object) -> list[CallError]:
    """What a call was refused, as a whole or for some of its items (by a further request), and what that came of."""
    found = [answer] if isinstance(answer, CallError) else []
    if isinstance(answer, Mapping):
        found = list({id(item): item for item in answer.values() if isinstance(item, CallError)}.values())
    return found + [error.__cause__ for error in found if isinstance(error.__cause__, CallError)]


def reschedule_all(runtime: Runtime, tx: Tx, batch: Sequence[Answered], error: Exception) -> None:
    """Answers that cannot be committed at all: their jobs come again later, each counting an attempt."""
    for call, _ in batch:
        for job in still_held(tx, call.jobs):
            reschedule_failed(runtime, tx, job, error)


def _count_strikes(runtime: Runtime, batch: Sequence[Answered]) -> None:
    """Calls in a row without a usable answer. Counted twice if the transaction runs again, which does no harm."""
    for call, answer in batch:
        if isinstance(answer, CallError) and answer.failure in NO_USE:
            struck = runtime.process.failure_streaks.setdefault(call.lane, [])
            struck += [job.key for job in call.jobs[:1] if len(struck) < MAX_UNUSABLE_ANSWERS or job.key not in struck]
        else:
            runtime.process.failure_streaks.pop(call.lane, None)


def _lift_pauses(tx: Tx, batch: Sequence[Answered]) -> None:
    paused = set(tx.pauses.get_all())
    for call, answer in batch:
        if not (isinstance(answer, CallError) and answer.failure in PAUSING):
            for name in paused & {str(call.lane), f"{call.lane}:{call.operation}"}:
                resume(tx, name)
                paused.discard(name)


def _settle_group(runtime: Runtime, tx: Tx, group: Sequence[Answered], alone: list[Answered]) -> list[AnyCall]:
    """Answers of one kind, committed at once; if that fails, each goes alone."""
    together = group[0][0].commit_together
    try:
        with tx.savepoint():
            steps = together(runtime, tx, [answer for _, answer in group]) if together else ()
            return WriteJobs(runtime).carry_out(tx, steps)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one bad answer must not take the others with it
        log.info("answers are committed one by one", error=type(error).__name__)
        alone += group
        return []


def _settle(runtime: Runtime, tx: Tx, call: AnyCall, answer: object) -> list[AnyCall]:
    """One answer, isolated: what cannot be committed sets back its own jobs only."""
    try:
        with tx.savepoint():
            return WriteJobs(runtime).carry_out(tx, call.then(tx, answer))
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - what cannot be committed sets back its own jobs only
        log.error("outcome failed", operation=call.operation, error=type(error).__name__)
        for job in still_held(tx, call.jobs):
            reschedule_failed(runtime, tx, job, error)
        return []
