"""What the engine is handed: store, sides, rules, randomness. Nothing here is a global."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from wanesync.core.change_guard import ChangeGuardRule
from wanesync.core.errors import CallError, WanesyncError
from wanesync.core.ids import make_id
from wanesync.core.jobs import Job, Priority
from wanesync.core.model import Side
from wanesync.core.plan import Rules
from wanesync.core.ports import FieldTranslation, HubSpotPort, StripePort
from wanesync.core.purchases import Sink
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.pacer import Pacer
from wanesync.store.database import Store, Tx
from wanesync.sync.failpoints import Failpoint, commit, pass_by

_T = TypeVar("_T")
LOCK_MS = 120_000


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Settings of the engine that are not rules of planning.

    ``sink`` None is ``auto``. ``guest``: whether a guest without a contact gets one.
    """

    portal_id: str = ""
    sink: Sink | None = None
    create_guests: bool = True
    unmatched_after_ms: int = 86_400_000
    brake: ChangeGuardRule = field(default_factory=ChangeGuardRule)


@dataclass(slots=True)
class Runtime:
    """The wiring of one process. A process that serves one lane has only that side's port.

    ``strikes``: for each side the first keys of its newest calls, as long as none has a usable answer.
    """

    store: Store
    rules: Rules
    translator: FieldTranslation
    options: SyncOptions
    rng: random.Random
    name: str
    hubspot_port: HubSpotPort | None = None
    stripe_port: StripePort | None = None
    failpoint: Failpoint = pass_by
    pacers: Mapping[Side, Pacer] = field(default_factory=dict)
    failure_streaks: dict[Side, list[str]] = field(default_factory=dict)

    @property
    def hubspot(self) -> HubSpotPort:
        """The HubSpot port."""
        if self.hubspot_port is None:
            raise WanesyncError("this process has no HubSpot key: start it with --side hubspot or --side all")
        return self.hubspot_port

    @property
    def stripe(self) -> StripePort:
        """The Stripe port."""
        if self.stripe_port is None:
            raise WanesyncError("this process has no Stripe key: start it with --side stripe or --side all")
        return self.stripe_port

    def new_id(self, now_ms: int) -> str:
        """A new time-ordered id."""
        return make_id(now_ms, self.rng)

    def commit(self, place: str, work: Callable[[Tx], _T]) -> _T:
        """One transaction, between the two failpoints of its place."""
        return commit(self.store, self.failpoint, place, work)

    def lock_each(self, tx: Tx, wanted: Mapping[str, Collection[str]]) -> set[str]:
        """Token -> keys: the tokens that have all of theirs; the others have none, and their jobs are to stand back."""
        return tx.locks.take_each(wanted, self.name, tx.now_ms + LOCK_MS) if wanted else set()

    def take_locks(self, tx: Tx, job: Job, keys: set[str]) -> bool:
        """All keys for a job's token, or none."""
        return tx.locks.take_all(sorted(keys), job.token, self.name, tx.now_ms + LOCK_MS)


@dataclass(slots=True)
class Call:
    """One API request to be made outside any transaction, and what is to be done with its answer inside one.

    ``then`` is given the answer or the ``CallError`` and may return further calls for the same jobs.
    ``operation`` names the rate scope and what a 403 pauses. ``together``: commits the good answers to
    several calls of its kind at once (``subject`` is what it knows of each); ``then`` does it alone.
    """

    lane: Side
    operation: str
    jobs: list[Job]
    send: Callable[[], object]
    then: Callable[[Tx, object | CallError], list[Call]]
    commit_together: Callable[[Tx, Sequence[tuple[Call, object]]], list[Call]] | None = None
    subject: object = None

    @property
    def slot_request(self) -> SlotRequest:
        """What it asks of the limits: bulk only when nothing more urgent rides along."""
        return SlotRequest(self.operation, self.urgency >= Priority.BULK)

    @property
    def urgency(self) -> int:
        """The priority of its most urgent job: the lower, the sooner."""
        return min((job.priority for job in self.jobs), default=0)
