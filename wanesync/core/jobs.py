"""Jobs: rows of work without values, and the decision table for failed calls.

The table is described in docs/correctness.md#decision-table: a retry counts an attempt, a wait does not, a dead letter
carries its class and reason, and a side or an operation is paused so that no job fails because of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side


class JobKind(StrEnum):
    """What a job does.

    ``read``: read a record. ``write``: plan a contact or a customer and write what is due. ``purchase``: record a
    payment on its contact.
    """

    READ = "read"
    WRITE = "write"
    PURCHASE = "purchase"


class JobState(StrEnum):
    """The four states of a job; a checker verifies that there is no other."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Priority(IntEnum):
    """Lower values are claimed first; ``LIVE_BULK``: changes of a source that changes hundreds of records at once."""

    PURCHASE = 0
    LIVE = 10
    LIVE_BULK = 15
    BULK = 20


LIVE_PRIORITIES = frozenset({Priority.LIVE, Priority.LIVE_BULK})
"""Of changes that people make, and wait for."""


class DeadClass(StrEnum):
    """Why a job was given up (docs/correctness.md#decision-table)."""

    VALIDATION = "validation"
    REFUSED = "refused"
    GONE = "gone"
    POISON = "poison"
    UNMATCHED = "unmatched"
    SET_ASIDE = "set_aside"
    EXHAUSTED = "exhausted"
    UNSTORABLE = "unstorable"
    """The database does not take a value of its record."""
    DAMAGED = "damaged"
    """A stored value of its record cannot be decrypted."""


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
    """Time, because the vendor requires it (429, 423, 409 for a request that is still running)."""
    LOCK = "lock"
    """A lock that another job holds."""
    WRITES_OFF = "writes_off"
    """The writes switch: ``wanesync writes on`` makes these jobs due."""
    FIRST_LISTING = "first_listing"
    """The first complete listing, or the one after a restored backup: its end makes these jobs due."""
    CONFIRMATION = "confirmation"
    """The catch-up that shows whether the database is an older state: its end makes these jobs due."""
    SETUP = "setup"
    """Properties or an event definition of ours in HubSpot: the next check that finds them makes these jobs due."""
    READ_PENDING = "read_pending"
    """A read of a record that is queued or running."""
    EMAIL_BEING_CREATED = "email_being_created"
    """Another job that creates a record with the same e-mail address, or is about to."""
    MERGED_BEING_CREATED = "merged_being_created"
    """The answer to a creation for a contact that was merged into this one."""
    OWN_ANSWER = "own_answer"
    """The answer to our own write: its commit makes these read jobs due."""
    AUTHOR = "author"
    """The event that shows whether a value was written by us or by a user."""
    CONTACT = "contact"
    """The contact of a payment: its customer is not linked yet."""
    RIVALS = "rivals"
    """The contact of a payment whose address several contacts carry in our copies."""
    RESEND = "resend"
    """A second send of roll-ups: an earlier attempt without an answer may arrive late with old totals."""
    NOTES_READ = "notes_read"
    """A read of the contact's notes: a note without an answer may have been created already."""


def pause_code(name: str) -> str:
    """Return what a job waits for while a side (``stripe``) or an operation (``hubspot:notes.create``) is paused."""
    return f"pause:{name}"


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed or listed job.

    ``key``: of the contact, customer, guest or payment. ``token``: fencing token, replaced by every claim. ``attempts``
    counts failed calls, ``rescues`` consecutive crashes of the process that ran it. ``waits_for``: a
    ``WaitCode`` or a ``pause_code``. ``reason`` is text for people. ``turns``: consecutive claims without news and
    without a call, this one included (docs/correctness.md#wake-ups). ``trace``: the context of its trace
    (``core.operating.tracing``), which only a worker that traces reads.
    """

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
    waits_for: str = WaitCode.NONE
    reason: str = ""
    dead_class: str = ""
    run_id: str = ""
    turns: int = 0
    trace: str = ""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Work to be queued; ``due_ms`` None: now. ``run_id``: the reconcile run that requests it, "" for live work.

    ``arrived_ms``: since when a person waits for it, which is that of the job that passes the work on; None: now.
    ``woken_by``: the job that requests it while nothing new happened; None: there is news (a revision, an event, a
    link, an answer, a decision). See docs/correctness.md#wake-ups. ``trace``: the context of the trace it belongs to.
    """

    lane: Side
    kind: JobKind
    key: str
    priority: Priority = Priority.LIVE
    due_ms: int | None = None
    run_id: str = ""
    woken_by: Job | None = None
    arrived_ms: int | None = None
    trace: str = ""


def pass_on(job: Job, lane: Side, key: str, *, due_ms: int | None = None, is_news: bool = True) -> JobRequest:
    """Return the request for a write that goes on with the work of ``job``: as urgent, and waited for as long."""
    woken_by = None if is_news else job
    priority = Priority(job.priority)
    return JobRequest(
        lane, JobKind.WRITE, key, priority, due_ms, woken_by=woken_by, arrived_ms=job.arrived_ms, trace=job.trace
    )


class Ending(StrEnum):
    """How a claimed job ended: finished, ready again after a failure that counts or after a wait, or given up."""

    DONE = "done"
    RETRY = "retry"
    WAIT = "wait"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class JobReport:
    """How one claimed job ended. ``code``: what it waits for, or why it was given up; ``reason`` is text for people."""

    id: str
    lane: Side
    kind: JobKind
    ending: Ending
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay_ms``; the attempt counts."""

    delay_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after ``delay_ms``; no attempt counts. ``fixed``: a newer event does not shorten the wait."""

    delay_ms: int
    reason: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Give up: the job is listed as a dead letter and retried by an operator or when the record changes."""

    dead_class: DeadClass
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the whole side (``operation`` "") or one operation and probe it after ``probe_ms``; no attempt counts.

    ``away``: the side is unreachable, rather than refusing us.
    """

    operation: str
    reason: str
    away: bool
    probe_ms: int


Decision = Retry | Wait | Dead | Pause

MAX_ATTEMPTS = 12
"""Failed calls after which a job is dead: with the backoff below after about 7 minutes."""
BACKOFF_FIRST_MS = 500
"""Upper bound of the first backoff; it doubles with every attempt."""
BACKOFF_CAP_MS = 300_000
"""Upper bound of any backoff: 5 minutes."""
PROBE_AWAY_MS = 5_000
"""First probe of a side that became unreachable."""
PROBE_AWAY_CAP_MS = 25_000
"""Longest time between two probes of an unreachable side, so that one is sent at least every 30 s."""
PROBE_PAUSED_MS = 60_000
"""Time between two probes of a side or an operation that refuses us (401, 403, daily limit)."""
LOCK_WAIT_MS = 200
"""How long a job waits for a lock before it is due again."""
MAX_UNUSABLE_ANSWERS = 5
"""Consecutive calls without a usable answer after which a side counts as unreachable."""
POISON_ALONE_RESCUES = 2
"""Consecutive crashes after which a job runs alone (docs/correctness.md#poison)."""
POISON_DEAD_RESCUES = 5
"""Consecutive crashes after which a job is dead."""

RETRY_AFTER_CAP_MS = 900_000
"""Longest Retry-After that is followed: 15 minutes."""

FREE_TURNS = 5
"""Claims in a row without news and without a call that cost a job no wait: prerequisites are mostly a commit away."""
MAX_TURNS = 20
"""Claims in a row without news and without a call after which an alarm names the job (also in queries.sql)."""
IDLE_FIRST_MS = 200
"""First wait of a job that was claimed too often without news; it doubles with every further claim."""
IDLE_CAP_MS = 5_000
"""Longest such wait up to ``MAX_TURNS``: what it waits for arrives unseen at worst this much earlier."""
STUCK_CAP_MS = 60_000
"""Longest such wait after ``MAX_TURNS``; news still makes the job due at once."""
SEND_MS = 1_500
"""From a claim to the vendor's commit, in ms, as long as nothing was measured: the slot is up to 300 ms ahead, and half
of a slow call follows."""
MIN_SEND_MS, MAX_SEND_MS = 500, 6_000
"""Bounds of what was measured: a call and its slot on a quiet machine, and a lease."""
SEND_STEP_MS = 2
"""How far one quick call moves what is followed, in ms: at 100 calls a second it halves within some seconds."""
CALL_MS = 300
"""From when a call is given its slot to the vendor's commit, in ms, as long as nothing was measured (our choice)."""
SHARED_CLAIM_INTERVAL = 16
"""One claim in so many does not begin with the most urgent jobs."""

_WAITS_MS = {Failure.BUSY: 2_000, Failure.IN_FLIGHT: 500, Failure.RATE_LIMITED: 1_000}


def back_off_ms(attempts: int, rng: random.Random) -> int:
    """Return a capped exponential backoff in ms with jitter: 10 to 100 % of the bound of its step."""
    step = min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** min(attempts, 20))
    return int(step * (0.1 + 0.9 * rng.random()))


def idle_wait_ms(turns: int) -> int:
    """Return how long a job waits that was claimed so often in a row without news and without a call."""
    if turns <= FREE_TURNS:
        return 0
    wait_ms = IDLE_FIRST_MS << min(turns - FREE_TURNS - 1, 20)
    return min(wait_ms, IDLE_CAP_MS) if turns <= MAX_TURNS else min(STUCK_CAP_MS, wait_ms)


@dataclass(frozen=True, slots=True)
class ClaimStart:
    """Where a claim begins: the most urgent job of ``kind`` (None: of any) with this priority or a later one."""

    priority: Priority
    kind: JobKind | None = None


SHARED_STARTS = tuple(ClaimStart(priority, kind) for priority in list(Priority)[1:] for kind in JobKind)
"""The kinds and priorities that take their turns in the claims that do not begin with the most urgent jobs."""


def choose_start(turn: int) -> ClaimStart:
    """Return where the claim with this number begins (docs/correctness.md#claims): mostly with the most urgent jobs.

    Every kind and every priority is begun with at least once in ``SHARED_CLAIM_INTERVAL * len(SHARED_STARTS)`` claims.
    """
    shared, rest = divmod(turn, SHARED_CLAIM_INTERVAL)
    return ClaimStart(Priority.PURCHASE) if rest else SHARED_STARTS[shared % len(SHARED_STARTS)]


def follow_send_ms(send_ms: int, measured_ms: int) -> int:
    """Return how long 9 of 10 changes take by now from their claim to the vendor's commit (a quantile).

    Under more than the limits allow every claim takes the oldest that can be in time, so each that takes longer is
    late: it was claimed in vain, and gives its slot to another. A single slow call moves it little.
    """
    found_ms = send_ms + (9 if measured_ms > send_ms else -1) * SEND_STEP_MS
    return max(MIN_SEND_MS, min(MAX_SEND_MS, found_ms))


def follow_call_ms(call_ms: int, measured_ms: int) -> int:
    """Return how long 39 of 40 changes take by now from when they are given their slot to the vendor's commit.

    One that takes longer was late, and its slot is lost to a person who could have been in time.
    """
    return max(0, min(MAX_SEND_MS, call_ms + (39 if measured_ms > call_ms else -1)))


def find_fresh_ms(now_ms: int, target_ms: int, send_ms: int = SEND_MS) -> int:
    """Return the arrival from which on live work can still be done within ``target_ms`` (docs/correctness.md#claims).

    ``send_ms``: how long it takes from its claim on. Work that cannot is done after it: first come, first served makes
    all of them late as soon as more arrives than the limits allow, also those who need not be.
    """
    return now_ms - max(0, target_ms - send_ms)


def next_probe_ms(requested_ms: int, paused_for_ms: int, *, away: bool) -> int:
    """Return the time in ms until the next half-open probe (docs/correctness.md#circuit).

    ``requested_ms``: what the failed call requires. An unreachable side is probed less and less often, at least every
    30 s.
    """
    if not away:
        return requested_ms
    return max(min(requested_ms, PROBE_AWAY_CAP_MS), min(PROBE_AWAY_CAP_MS, paused_for_ms // 4))


def describe_pause(name: str) -> str:
    """Return the reason for people of a job that waits until a paused side or operation is resumed."""
    return f"waits until {name} resumes"


def is_unreachable(keys: Sequence[str], failure: Failure) -> bool:
    """Return whether a side counts as unreachable; ``keys``: jobs of its last calls, all without a usable answer.

    An error answer may be caused by one record: the calls of a single key are then no proof.
    """
    return len(keys) >= MAX_UNUSABLE_ANSWERS and (failure is Failure.NO_ANSWER or len(set(keys)) > 1)


def decide(  # noqa: C901, PLR0911 - one table: one case and one return per row
    error: CallError, attempts: int, operation: str, rng: random.Random, *, unreachable: bool = False
) -> Decision:
    """Return what a job does after a failed call (docs/correctness.md#decision-table).

    ``attempts``: calls that failed before this one. ``unreachable``: no call to the side had a usable answer lately.
    """
    match error.failure:
        case Failure.BUSY | Failure.IN_FLIGHT | Failure.RATE_LIMITED:
            floor = error.retry_after_ms if error.retry_after_ms is not None else _WAITS_MS[error.failure]
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
        case Failure.UNUSABLE:
            return Dead(DeadClass.SET_ASIDE, f"{error.reason}; correct it there, and it is read again")
        case Failure.NO_ANSWER | Failure.SERVER if unreachable:
            return Pause("", error.reason, away=True, probe_ms=PROBE_AWAY_MS)
        case Failure.NO_ANSWER | Failure.SERVER | Failure.MISMATCH:
            if attempts + 1 >= MAX_ATTEMPTS:
                return Dead(DeadClass.EXHAUSTED, f"{error.reason} ({attempts + 1} attempts)")
            return Retry(back_off_ms(attempts, rng), f"{error.failure}: {error.reason}")


def check_poison(rescues: int) -> Dead | None:
    """Return the dead letter of a job whose process crashed too often in a row, None below that."""
    if rescues >= POISON_DEAD_RESCUES:
        return Dead(
            DeadClass.POISON, f"its worker died {rescues} times while it ran; look at the record, then retry it"
        )
    return None
