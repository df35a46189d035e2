"""Jobs: rows of work without values, and the one table that decides what a failed one does next.

Decisions follow CORRECTNESS section 7: a wait counts no attempt, a retry does, a dead letter carries
its class and reason, a side or an operation can pause or be away so that no job dies of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    """Lower goes first. ``LIVE_BULK``: a live change that comes with hundreds of others of its source."""

    PURCHASE = 0
    LIVE = 10
    LIVE_BULK = 15
    BULK = 20


class DeadClass(StrEnum):
    """Why a job was given up."""

    VALIDATION = "validation"
    REFUSED = "refused"
    GONE = "gone"
    POISON = "poison"
    UNMATCHED = "unmatched"
    EXHAUSTED = "exhausted"


class WaitCode(StrEnum):
    """What a ready job or an open payment waits for; SQL and code compare this, and ``reason`` is text for people.

    A pause has no member of its own: its code is ``pause_code(name)``, so that resuming one name makes due exactly
    the jobs that waited for it.
    """

    NONE = ""
    """Nothing: the job is due as soon as its time has come (a new job, one planned again at once)."""
    BACKOFF = "backoff"
    """Time, after a failed attempt that counts."""
    VENDOR = "vendor"
    """Time, because the vendor asked for it (429, 423, 409 for a request that is still running)."""
    LOCK = "lock"
    """A lock that another job holds."""
    WRITES_OFF = "writes_off"
    """The writes switch: ``wanesync writes on`` makes these jobs due."""
    FIRST_LISTING = "first_listing"
    """Both sides to have been listed once completely."""
    READ_PENDING = "read_pending"
    """A read of a record that is queued or running."""
    EMAIL_BEING_CREATED = "email_being_created"
    """Another job that creates a record with the same e-mail address, or is about to."""
    OWN_ANSWER = "own_answer"
    """The answer to our own write: its commit makes these read jobs due."""
    AUTHOR = "author"
    """The event that shows whether a value was written by us or by a user."""
    CONTACT = "contact"
    """The contact of a payment: its customer is not linked yet."""
    RESEND = "resend"
    """A second send of roll-ups: an earlier attempt without an answer may arrive late with old totals."""
    NOTES_READ = "notes_read"
    """A read of the contact's notes: a note without an answer may have been created already."""


def pause_code(name: str) -> str:
    """Return what a job waits for while a side (``stripe``) or an operation (``hubspot:notes.create``) is paused."""
    return f"pause:{name}"


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
PROBE_AWAY_CAP_MS = 25_000  # so that the next call is on its way within 30 s
PROBE_PAUSED_MS = 60_000
LOCK_WAIT_MS = 200
MAX_UNUSABLE_ANSWERS = 5
"""So many calls in a row without a usable answer: the side is away."""
POISON_ALONE_RESCUES = 2
POISON_DEAD_RESCUES = 5

RETRY_AFTER_CAP_MS = 900_000
"""However long a side says: then the job asks again."""

_WAITS = {Failure.BUSY: 2_000, Failure.IN_FLIGHT: 500, Failure.RATE_LIMITED: 1_000}


def back_off_ms(attempts: int, rng: random.Random) -> int:
    """Capped exponential backoff with full jitter, at least a tenth of the cap of its step."""
    step = min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** min(attempts, 20))
    return int(step * (0.1 + 0.9 * rng.random()))


def next_probe_ms(told_ms: int, paused_for_ms: int, *, away: bool) -> int:
    """How long until the next probe: a side that stays away is asked less and less often, but within 30 s."""
    if not away:
        return told_ms
    return max(min(told_ms, PROBE_AWAY_CAP_MS), min(PROBE_AWAY_CAP_MS, paused_for_ms // 4))


def waits_for(name: str) -> str:
    """The reason of a job that waits until a side or an operation goes on: then all of that reason are due."""
    return f"waits until {name} goes on"


def is_unreachable(keys: Sequence[str], failure: Failure) -> bool:
    """Whether a side is away, by the keys of its last calls, all without a usable answer.

    Errors that a side does answer may be one record's own fault: then one key alone is no proof.
    """
    return len(keys) >= MAX_UNUSABLE_ANSWERS and (failure is Failure.NO_ANSWER or len(set(keys)) > 1)


# One table, one return a row.
def decide(  # noqa: C901, PLR0911
    error: CallError, attempts: int, operation: str, rng: random.Random, *, struck_out: bool = False
) -> Decision:
    """What a job does after a failed call: ``attempts`` are those made before this one.

    ``struck_out``: the side has not given a usable answer for several calls in a row.
    """
    match error.failure:
        case Failure.BUSY | Failure.IN_FLIGHT | Failure.RATE_LIMITED:
            floor = error.retry_after_ms if error.retry_after_ms is not None else _WAITS[error.failure]
            delay_ms = min(floor, RETRY_AFTER_CAP_MS) + rng.randrange(250)
            return Wait(delay_ms, f"{error.failure}: {error.reason}", fixed=True)
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
        case Failure.NO_ANSWER | Failure.SERVER if struck_out:
            return Pause("", error.reason, away=True, probe_ms=PROBE_AWAY_MS)
        case Failure.NO_ANSWER | Failure.SERVER | Failure.MISMATCH:
            if attempts + 1 >= MAX_ATTEMPTS:
                return Dead(DeadClass.EXHAUSTED, f"{error.reason} ({attempts + 1} attempts)")
            return Retry(back_off_ms(attempts, rng), f"{error.failure}: {error.reason}")


def check_poison(rescues: int) -> Dead | None:
    """Poison is isolated by counting how often a job's process died with it."""
    if rescues >= POISON_DEAD_RESCUES:
        return Dead(
            DeadClass.POISON, f"its worker died {rescues} times while it ran; look at the record, then retry it"
        )
    return None
