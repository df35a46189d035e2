"""Jobs: rows of work without values, and the one table that decides what a failed one does next.

Decisions follow CORRECTNESS section 7: a wait counts no attempt, a retry does, a dead letter carries
its class and reason, a side or an operation can pause or be away so that no job dies of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side


class JobKind(StrEnum):
    """``read``: see a record. ``write``: bring a key in order. ``purchase``: put a payment on its contact."""

    READ = "read"
    WRITE = "write"
    PURCHASE = "purchase"


class JobState(StrEnum):
    """There is no fifth state."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Priority(IntEnum):
    """Lower goes first."""

    PURCHASE = 0
    LIVE = 10
    BULK = 20


class DeadClass(StrEnum):
    """Why a job was given up."""

    VALIDATION = "validation"
    REFUSED = "refused"
    GONE = "gone"
    POISON = "poison"
    UNMATCHED = "unmatched"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Work to be queued; ``due_ms`` None is now. ``run_id``: the reconcile run that asks for it."""

    lane: Side
    kind: JobKind
    key: str
    priority: Priority = Priority.LIVE
    due_ms: int | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed or listed job. ``token`` fences it: a newer claim has another one."""

    id: str
    lane: Side
    kind: JobKind
    key: str
    state: JobState
    priority: int
    due_ms: int
    arrived_ms: int
    attempts: int = 0
    rescues: int = 0
    token: str = ""
    owner: str = ""
    reason: str = ""
    dead_class: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay_ms``; the attempt counts."""

    delay_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after ``delay_ms``; no attempt counts. ``fixed``: a newer event must not cut it short."""

    delay_ms: int
    reason: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Give up; listed, retried by hand or when the record changes."""

    dead_class: DeadClass
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The whole side (``operation`` "") or one operation stops and is probed; no attempt counts."""

    operation: str
    reason: str
    away: bool
    probe_ms: int


Decision = Retry | Wait | Dead | Pause

MAX_ATTEMPTS = 12
BACKOFF_FIRST_MS = 500
BACKOFF_CAP_MS = 300_000
PROBE_AWAY_MS = 5_000
PROBE_PAUSED_MS = 60_000
LOCK_WAIT_MS = 200
POISON_ALONE = 2
POISON_DEAD = 5

_WAITS = {Failure.BUSY: 2_000, Failure.IN_FLIGHT: 500, Failure.RATE_LIMITED: 1_000}


def back_off_ms(attempts: int, rng: random.Random) -> int:
    """Capped exponential backoff with full jitter, at least a tenth of the cap of its step."""
    step = min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** min(attempts, 20))
    return int(step * (0.1 + 0.9 * rng.random()))


# One table, one return a row.
def decide(error: CallError, attempts: int, operation: str, rng: random.Random) -> Decision:  # noqa: PLR0911
    """What a job does after a failed call: ``attempts`` are those made before this one."""
    match error.failure:
        case Failure.BUSY | Failure.IN_FLIGHT | Failure.RATE_LIMITED:
            floor = error.retry_after_ms if error.retry_after_ms is not None else _WAITS[error.failure]
            return Wait(floor + rng.randrange(250), f"{error.failure}: {error.reason}", fixed=True)
        case Failure.UNREACHED | Failure.UNAVAILABLE:
            return Pause("", error.reason, away=True, probe_ms=error.retry_after_ms or PROBE_AWAY_MS)
        case Failure.MOVING | Failure.DAILY_LIMIT:
            return Pause("", error.reason, away=False, probe_ms=error.retry_after_ms or PROBE_PAUSED_MS)
        case Failure.UNAUTHORISED:
            return Pause("", error.reason, away=False, probe_ms=PROBE_PAUSED_MS)
        case Failure.FORBIDDEN:
            return Pause(operation, error.reason, away=False, probe_ms=PROBE_PAUSED_MS)
        case Failure.REFUSED | Failure.CONFLICT:
            return Dead(DeadClass.VALIDATION if error.fields else DeadClass.REFUSED, error.reason)
        case Failure.NOT_FOUND:
            return Dead(DeadClass.GONE, error.reason)
        case Failure.NO_ANSWER | Failure.SERVER | Failure.MISMATCH:
            if attempts + 1 >= MAX_ATTEMPTS:
                return Dead(DeadClass.EXHAUSTED, f"{error.reason} ({attempts + 1} attempts)")
            return Retry(back_off_ms(attempts, rng), f"{error.failure}: {error.reason}")


def judge_rescues(rescues: int) -> Dead | None:
    """Poison is isolated by counting how often a job's process died with it."""
    if rescues >= POISON_DEAD:
        return Dead(
            DeadClass.POISON, f"its worker died {rescues} times while it ran; look at the record, then retry it"
        )
    return None
