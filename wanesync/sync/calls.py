"""Vendor calls as values, and the values that say what follows an answer.

A call is made outside any transaction. Its continuation ``then`` runs inside one and returns what happens next as a
sequence of steps; ``write_jobs.WriteJobs.carry_out`` is the one loop that carries steps out. So no module calls back
into the one that called it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wanesync.core.errors import CallError
from wanesync.core.evidence.answers import Settled
from wanesync.core.jobs import Job, Priority
from wanesync.core.model import PendingWrite, Record, Side
from wanesync.core.rate_limits import SlotRequest
from wanesync.store.database import Tx
from wanesync.sync.provenance import Origins
from wanesync.sync.runtime import Runtime

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[T_co]):
    """One API request to be made outside any transaction, and what is done with its answer inside one.

    ``operation`` names the rate scope, and what a 403 pauses. ``then`` is given what ``send`` returned, or the
    ``CallError`` it raised, and returns the next steps for the same jobs. ``commit_together`` commits the good answers
    to several calls that share it at once; ``then`` does the same for one. ``urgency``: the priority of its most urgent
    job, lower is sooner. ``slot_request``: the rate slot it needs, a bulk slot only if no more urgent job is part of
    it. Both are found once: while a call waits for its slot, each round of its lane compares it with the others.
    An ``AnyCall`` is a call with any answer: its ``then`` takes only the answer to its own ``send``.
    """

    lane: Side
    operation: str
    jobs: Sequence[Job]
    send: Callable[[], T_co]
    then: Callable[[Tx, T_co | CallError], Next]
    commit_together: Callable[[Runtime, Tx, Sequence[T_co]], Next] | None = None
    urgency: int = field(init=False)
    slot_request: SlotRequest = field(init=False)

    def __post_init__(self) -> None:
        """Find what its lane needs of it."""
        object.__setattr__(self, "urgency", min((job.priority for job in self.jobs), default=0))
        object.__setattr__(self, "slot_request", SlotRequest(self.operation, self.urgency >= Priority.BULK))


@dataclass(frozen=True, slots=True)
class Intent:
    """One stored pending write that is about to be sent for a job."""

    job: Job
    pending: PendingWrite


@dataclass(slots=True)
class PlanningRound:
    """One round of planning for some jobs.

    ``key_of``: job id -> the key it plans (its own, or its new contact's). ``send``: whether actions of the jobs' own
    lane become pending writes now, or are queued as jobs. ``opened``: open updates of the jobs' keys, whose targets
    were read again before this round. ``resend``: open creates, to be sent as they were together with this round's
    writes. ``origins``: whose value a suspect one turned out to be. ``held``: job id -> keys it has locked besides its
    own. ``ended``: ids of the jobs for which this round left nothing to do.
    ``answers``: creation's id -> what its answer settled.
    """

    key_of: dict[str, str]
    send: bool = True
    opened: dict[str, list[PendingWrite]] = field(default_factory=dict)
    resend: Sequence[Intent] = ()
    origins: Origins = field(default_factory=Origins)
    held: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    answers: dict[str, Settled] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanJobs:
    """Step: plan these jobs, whose keys are locked, and send the writes that result."""

    jobs: Sequence[Job]
    planning: PlanningRound


@dataclass(frozen=True, slots=True)
class SendWrites:
    """Step: send these stored writes of one lane."""

    intents: Sequence[Intent]


@dataclass(frozen=True, slots=True)
class CommitCreated:
    """Step: commit a create whose record was found, as if its own answer had brought it."""

    intent: Intent
    record: Record


AnyCall = Call[object]
"""A call with any answer, as the worker handles it."""
Step = AnyCall | PlanJobs | SendWrites | CommitCreated
Next = Sequence[Step]
"""What happens next, in order; empty: the jobs are done, or wait for another time."""
DONE: Next = ()
