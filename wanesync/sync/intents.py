"""Intents: writes about to be sent for their jobs, and the round of planning that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wanesync.core.jobs import Job
from wanesync.core.model import PendingWrite
from wanesync.core.plan import Action
from wanesync.store.database import Tx
from wanesync.sync.provenance import Origins
from wanesync.sync.runtime import Call


@dataclass(frozen=True, slots=True)
class Intent:
    """One write that is about to be sent for a job."""

    job: Job
    pending: PendingWrite


@dataclass(frozen=True, slots=True)
class Draft:
    """A write that was composed for a job, and is not stored yet unless it is sent ``anew``."""

    job: Job
    action: Action
    pending: PendingWrite
    anew: bool = False


@dataclass(slots=True)
class PlanningRound:
    """One round of planning: ``key_of`` says under which key each job plans (its own, or its new contact's).

    ``send``: whether actions become intents now, or are queued. ``opened``: open updates of the jobs'
    keys, read again before this round. ``origins``: whose value a suspect one turned out to be.
    ``held``: job id -> keys it has locked besides its own. ``ended``: ids of the jobs it left nothing to do.
    """

    key_of: dict[str, str]
    send: bool = True
    opened: dict[str, list[PendingWrite]] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    held: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


PlanJobs = Callable[[Tx, Sequence[Job], PlanningRound, list[Call]], list[Intent]]
"""Plans jobs whose keys are locked; returns the writes to send, and appends calls that must be made first."""
