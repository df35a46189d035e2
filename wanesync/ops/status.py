"""Status: the state of queues, limits, pauses, records, processes and alarms at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wanesync.core.model import Side
from wanesync.ops.alarms import HoldSummary, PauseState, read_health
from wanesync.ops.lane_status import LaneState, age_s
from wanesync.ops.writes import read_switch

if TYPE_CHECKING:
    from wanesync.store.database import Store


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A running process with a fresh heartbeat: its lanes, and the ages of its start and of its last heartbeat."""

    name: str
    lanes: str
    up_s: float
    heartbeat_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """What ``status --json`` prints, key by key.

    ``limits``: requests a second by scope. ``conflicts``: open ones. ``rejected``: webhooks set aside. ``open_writes``:
    pending writes without an answer.
    """

    database: str
    writes: str
    first_listing: bool
    lanes: Mapping[str, LaneState]
    limits: Mapping[str, Mapping[str, float]]
    pauses: Sequence[PauseState]
    records: Mapping[str, int]
    links: Mapping[str, int]
    conflicts: int
    rejected: int
    open_writes: int
    purchases: Mapping[str, int]
    processes: Sequence[ProcessState]
    holds: Sequence[HoldSummary]
    alarms: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return the status as one JSON document."""
        return asdict(self)

    @property
    def busy(self) -> bool:
        """Whether any job is due or running."""
        return any(lane.due or lane.running for lane in self.lanes.values())


def read_status(store: Store) -> Status:
    """Read the whole state in one transaction."""
    with store.reading() as tx:
        health = read_health(tx)
        return Status(
            database=store.url_label,
            writes=read_switch(tx),
            first_listing=health.first_listing,
            lanes=health.lanes,
            limits={
                scope: {"configured_per_s": configured, "effective_per_s": effective}
                for scope, (configured, effective) in sorted(tx.rates.limits().items())
            },
            pauses=health.pauses,
            records={str(side): tx.records.count(side) for side in Side},
            links=tx.links.counts(),
            conflicts=tx.conflicts.count_open(),
            rejected=tx.rejected.count(),
            open_writes=tx.pending_writes.count_open(),
            purchases=tx.purchases.counts(),
            processes=[
                ProcessState(row.name, row.lanes, age_s(tx, row.started_ms), age_s(tx, row.heartbeat_ms))
                for row in tx.processes.alive()
            ],
            holds=health.holds,
            alarms=health.alarms,
        )
