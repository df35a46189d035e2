"""The runtime of one process: store, ports, rules, randomness. It is built once, in ``wiring``, and never changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from wanesync.core.change_guard import ChangeGuardRule
from wanesync.core.errors import WanesyncError
from wanesync.core.ids import make_id
from wanesync.core.jobs import Job
from wanesync.core.model import Side
from wanesync.core.operating.tracing import NO_TRACING, Tracing
from wanesync.core.plan import Rules
from wanesync.core.ports import FieldTranslation, HubSpotPort, StripePort
from wanesync.core.purchases import Sink
from wanesync.ratelimit.pacer import Pacer
from wanesync.store.database import Store, Tx
from wanesync.store.tables.processes import MAX_LOCK_MS
from wanesync.sync.failpoints import Failpoint, commit, no_failpoint

_T = TypeVar("_T")
LOCK_MS = MAX_LOCK_MS
"""How long a lock lasts by itself, in ms; the end of its process's lease ends it earlier."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Settings of live sync that are not rules of planning.

    ``sink``: None is ``auto``. ``create_guests``: whether a guest without a contact gets one.
    ``unmatched_after_ms``: how long a payment waits for its contact (24 h). ``target_ms``: from the arrival of a change
    to the other side, while that can be kept.
    """

    portal_id: str = ""
    sink: Sink | None = None
    create_guests: bool = True
    unmatched_after_ms: int = 86_400_000
    change_guard: ChangeGuardRule = field(default_factory=ChangeGuardRule)
    target_ms: int = 30_000


@dataclass(slots=True)
class ProcessState:
    """What changes while a process runs; everything else it works with is the frozen ``Runtime``.

    ``name``: the owner of its jobs and locks; a process that comes back after its lease takes a new one.
    ``failure_streaks``: for each side the first job keys of its newest calls, while none of them had a usable answer.
    """

    name: str
    failure_streaks: dict[Side, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What one process works with. A process that serves one lane has only that side's port."""

    store: Store
    rules: Rules
    translator: FieldTranslation
    options: SyncOptions
    rng: random.Random
    process: ProcessState
    hubspot_port: HubSpotPort | None = None
    stripe_port: StripePort | None = None
    failpoint: Failpoint = no_failpoint
    pacers: Mapping[Side, Pacer] = field(default_factory=dict)
    tracing: Tracing = NO_TRACING

    @property
    def name(self) -> str:
        """The name under which this process owns jobs and locks at the moment."""
        return self.process.name

    @property
    def hubspot(self) -> HubSpotPort:
        """The HubSpot port. Raises ``WanesyncError`` in a process without a HubSpot key."""
        if self.hubspot_port is None:
            raise WanesyncError("this process has no HubSpot key: start it with --side hubspot or --side all")
        return self.hubspot_port

    @property
    def stripe(self) -> StripePort:
        """The Stripe port. Raises ``WanesyncError`` in a process without a Stripe key."""
        if self.stripe_port is None:
            raise WanesyncError("this process has no Stripe key: start it with --side stripe or --side all")
        return self.stripe_port

    def new_id(self, now_ms: int) -> str:
        """Make a new time-ordered id."""
        return make_id(now_ms, self.rng)

    def commit(self, place: str, work: Callable[[Tx], _T]) -> _T:
        """Run one transaction, between the two failpoints of its place."""
        return commit(self.store, self.failpoint, place, work)

    def lock_each(self, tx: Tx, wanted: Mapping[str, Collection[str]]) -> set[str]:
        """Take locks, token -> keys: returns the tokens that have all of theirs; the others have none of them."""
        return tx.locks.take_each(wanted, self.name, tx.now_ms + LOCK_MS) if wanted else set()

    def take_locks(self, tx: Tx, job: Job, keys: set[str]) -> bool:
        """Take all keys for a job's token, or none."""
        return tx.locks.take_all(sorted(keys), job.token, self.name, tx.now_ms + LOCK_MS)
