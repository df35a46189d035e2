"""Settling answers: several in one transaction, each isolated from the others."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from wanesync.core.errors import CallError, Failure, StoreDown
from wanesync.engine.context import Call, Engine
from wanesync.engine.lane import set_back
from wanesync.engine.outcome import still_ours
from wanesync.store.store import Tx

Answered = tuple[Call, object]

PAUSING = frozenset(
    {
        Failure.UNREACHED,
        Failure.UNAVAILABLE,
        Failure.UNAUTHORISED,
        Failure.FORBIDDEN,
        Failure.MOVING,
        Failure.DAILY_LIMIT,
        Failure.NO_ANSWER,
    }
)

log = structlog.get_logger()


def settle_all(engine: Engine, tx: Tx, batch: Sequence[Answered]) -> list[Call]:
    """Commit some answers together; one that is no trouble ends the pause of its side and operation."""
    _lift_pauses(tx, batch)
    alone: list[Answered] = []
    groups: dict[object, list[Answered]] = {}
    for call, answer in batch:
        good = call.together is not None and not isinstance(answer, CallError)
        (groups.setdefault(call.together, []) if good else alone).append((call, answer))
    follow_ups = [f for group in groups.values() for f in _settle_group(tx, group, alone)]
    return follow_ups + [f for call, answer in alone for f in _settle(engine, tx, call, answer)]


def _lift_pauses(tx: Tx, batch: Sequence[Answered]) -> None:
    paused = set(tx.pauses.get_all())
    for call, answer in batch:
        if not (isinstance(answer, CallError) and answer.failure in PAUSING):
            for name in paused & {str(call.lane), f"{call.lane}:{call.operation}"}:
                tx.pauses.clear(name)


def _settle_group(tx: Tx, group: Sequence[Answered], alone: list[Answered]) -> list[Call]:
    """Answers of one kind, committed at once; if that fails, each goes alone."""
    together = group[0][0].together
    try:
        with tx.savepoint():
            return together(tx, group) if together else []
    except StoreDown:
        raise
    except Exception as error:  # noqa: BLE001 - one bad answer must not take the others with it
        log.info("answers are committed one by one", error=type(error).__name__)
        alone += group
        return []


def _settle(engine: Engine, tx: Tx, call: Call, answer: object) -> list[Call]:
    """One answer, isolated: what cannot be committed sets back its own jobs only."""
    try:
        with tx.savepoint():
            return call.then(tx, answer)
    except StoreDown:
        raise
    except Exception as error:  # noqa: BLE001 - what cannot be committed sets back its own jobs only
        log.error("outcome failed", operation=call.operation, error=type(error).__name__)
        for job in still_ours(tx, call.jobs):
            set_back(engine, tx, job, error)
        return []
