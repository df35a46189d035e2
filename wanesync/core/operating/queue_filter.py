"""What an operator looks for in the queue, and which jobs that is.

A ``QueueFilter`` is what was typed, a ``JobSelection`` what it stands for at one moment: spans have become times, and
a person the keys of the jobs that concern that person. ``matches`` and the statements of
``store/tables/operating/job_lists.py`` select the same jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from wanesync.core.jobs import DeadClass, Job, JobKind, JobState
from wanesync.core.model import Side

FAR_MS = 2**62
"""Later than every time that is stored."""
DISCARDED = "discarded"
"""In ``waits_for`` of a job that is done: an operator closed its dead letter without another attempt."""


class QueueState(StrEnum):
    """The states of a job as an operator tells them apart; ``ready`` is three of them."""

    DUE = "due"
    WAITING = "waiting"
    RETRYING = "retrying"
    RUNNING = "running"
    DEAD = "dead"
    DONE = "done"
    DISCARDED = "discarded"


READY_STATES = frozenset({QueueState.DUE, QueueState.WAITING, QueueState.RETRYING})
"""Not claimed: due now, due later, or waiting after a failed attempt."""
STATE_TEXTS: Mapping[QueueState, str] = {
    QueueState.DUE: "due now, and waits for a worker and a free slot",
    QueueState.WAITING: "due later, or when what it waits for is there",
    QueueState.RETRYING: "an attempt has failed, and it is tried again",
    QueueState.RUNNING: "a worker has it",
    QueueState.DEAD: "given up: it is tried again when its record changes or an operator retries it",
    QueueState.DONE: "finished, or replaced by a newer job of the same record",
    QueueState.DISCARDED: "closed by an operator without another attempt",
}


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as lists show it.

    ``is_fixed``: a newer event does not shorten its wait. ``is_superseded``: a newer job of its key did its work.
    ``ended_ms``: when it was done or given up, 0 before; ``claimed_ms``: when it was claimed last, 0: never.
    """

    job: Job
    is_fixed: bool = False
    is_superseded: bool = False
    ended_ms: int = 0
    claimed_ms: int = 0

    def state(self, now_ms: int) -> QueueState:
        """Return the state as an operator tells it apart."""
        job = self.job
        match job.state:
            case JobState.READY if job.attempts:
                return QueueState.RETRYING
            case JobState.READY:
                return QueueState.DUE if job.due_ms <= now_ms else QueueState.WAITING
            case JobState.RUNNING:
                return QueueState.RUNNING
            case JobState.DEAD:
                return QueueState.DEAD
            case _:
                return QueueState.DISCARDED if job.waits_for == DISCARDED else QueueState.DONE

    @property
    def at_ms(self) -> int:
        """The time its age is counted from: of its end, and before that of its arrival."""
        return self.ended_ms if self.job.state in {JobState.DEAD, JobState.DONE} else self.job.arrived_ms


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which jobs an operator wants to see; "", None and 0 for any.

    ``newer_ms``, ``older_ms``: age in ms, since the end or else since the arrival. ``person``: an e-mail address or
    the id of a contact, a customer, a payment or a charge. ``reason``: a part of the reason, in any case.
    """

    state: QueueState = QueueState.DEAD
    side: Side | None = None
    kind: JobKind | None = None
    dead_class: DeadClass | None = None
    waits_for: str = ""
    reason: str = ""
    newer_ms: int = 0
    older_ms: int = 0
    person: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it leaves nothing out but the other states: every dead letter there is, say."""
        return not any(getattr(self, one.name) for one in fields(self) if one.name != "state")


@dataclass(frozen=True, slots=True)
class JobSelection:
    """The jobs of one state that a filter stands for.

    ``keys``: of these only, None for any; ``ids``: these jobs only, None for any.
    """

    state: QueueState = QueueState.DEAD
    side: Side | None = None
    kind: JobKind | None = None
    dead_class: str = ""
    waits_for: str = ""
    reason: str = ""
    since_ms: int = 0
    until_ms: int = FAR_MS
    keys: frozenset[str] | None = field(default=None)
    ids: frozenset[str] | None = field(default=None)

    def matches(self, listed: ListedJob, now_ms: int) -> bool:
        """Return whether a job is one of them."""
        job = listed.job
        return (
            listed.state(now_ms) is self.state
            and self.side in (None, job.lane)
            and self.kind in (None, job.kind)
            and self.dead_class in ("", job.dead_class)
            and self.waits_for in ("", job.waits_for)
            and lower_ascii(self.reason) in lower_ascii(job.reason)
            and self.since_ms <= listed.at_ms <= self.until_ms
            and (self.keys is None or job.key in self.keys)
            and (self.ids is None or job.id in self.ids)
        )


def lower_ascii(text: str) -> str:
    """Return a text with its ASCII letters in lower case, as SQLite does it."""
    return "".join(one.lower() if one.isascii() else one for one in text)


def make_pattern(part: str) -> str:
    """Return the pattern of LIKE for texts that contain a part, in lower case and with ``!`` as escape; "" for any."""
    escaped = "".join(f"!{one}" if one in "!%_" else one for one in lower_ascii(part))
    return f"%{escaped}%" if part else ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A value of a filter and how many jobs have it; ``is_more``: at least so many."""

    value: str
    count: int
    is_more: bool = False


Suggestions = Mapping[str, tuple[Suggestion, ...]]
"""Name of a filter -> values, most first: ``side``, ``kind``, ``code`` (class or wait code), ``reason``, ``newer``."""

AGES_MS: Mapping[str, int] = {"10m": 600_000, "1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000}
"""Ages that are suggested, as a filter takes them -> in ms."""


@dataclass(frozen=True, slots=True)
class ValueCount:
    """How many jobs of a state share these values.

    ``code``: class or wait code; ``age``: number of the age in AGES_MS.
    """

    side: str
    kind: str
    code: str
    reason: str
    state: QueueState
    age: int
    count: int


MAX_SUGGESTIONS = 12
"""Values suggested for one filter (our choice)."""


def suggest(wanted: QueueFilter, found: list[ValueCount], *, is_more: bool) -> Suggestions:
    """Return the values of each filter with the jobs they would show, all other filters as they are.

    ``found``: of the jobs that were counted; ``is_more``: there are others.
    """
    rows = [row for row in found if row.state is wanted.state]
    made: dict[str, tuple[Suggestion, ...]] = {}
    for name in ("side", "kind", "code", "reason"):
        counts: dict[str, int] = {}
        for row in rows:
            value = getattr(row, name)
            if value and _fits(wanted, row, but=name):
                counts[value] = counts.get(value, 0) + row.count
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SUGGESTIONS]
        made[name] = tuple(Suggestion(value, count, is_more) for value, count in ordered)
    made["newer"] = tuple(
        Suggestion(name, count, is_more)
        for number, name in enumerate(AGES_MS)
        if (count := sum(row.count for row in rows if row.age <= number and _fits(wanted, row, but="newer")))
    )
    return made


def _fits(wanted: QueueFilter, row: ValueCount, *, but: str) -> bool:
    """Return whether the filters other than ``but`` show the jobs of a row; only suggested ages count."""
    ages = list(AGES_MS.values())
    code = wanted.dead_class or wanted.waits_for
    checks = {
        "side": wanted.side in (None, row.side),
        "kind": wanted.kind in (None, row.kind),
        "code": code in ("", row.code),
        "reason": lower_ascii(wanted.reason) in lower_ascii(row.reason),
        "newer": not wanted.newer_ms or wanted.newer_ms not in ages or row.age <= ages.index(wanted.newer_ms),
    }
    return all(fits for name, fits in checks.items() if name != but)
