"""Status: the state of queues, limits, pauses, records, processes and alarms at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wanesync.core.model import NoteCode, Side
from wanesync.ops.alarms import HoldSummary, PauseState, read_health
from wanesync.ops.figures import TARGET_MS, Timeliness, read_timeliness
from wanesync.ops.health.api_versions import ApiVersionState, read_api_version
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.health.lane_status import LaneState, age_s
from wanesync.ops.health.web_door import WebhookState, read_webhooks
from wanesync.ops.writes import read_switch
from wanesync.store.tables.settings import CURSORS, LAST_RUN

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A running process with a fresh heartbeat: its lanes, and the ages of its start and of its last heartbeat."""

    name: str
    lanes: str
    up_s: float
    heartbeat_s: float


MAX_NAMED = 20
"""Missing records that are named."""


@dataclass(frozen=True, slots=True)
class MissingRecords:
    """Records that reads do not find although no deletion is known: how many, and the first of them."""

    count: int
    first: Sequence[str]


@dataclass(frozen=True, slots=True)
class Status:
    """What ``status --json`` prints, key by key.

    ``limits``: requests a second by scope. ``conflicts``: people whose two sides differ, as ``diff`` counts them.
    ``kept_values``: values that lost and are kept. ``rejected``: webhooks set aside. ``open_writes``:
    pending writes without an answer. ``missing``: records that reads do not find, and the first of them as ``side:id``
    (docs/correctness.md#absence). ``still_held``: customers that hold data of people who were erased in HubSpot
    (docs/correctness.md#privacy-deletions). ``account_purchases``: unmatched ones that an account of Accounts v2 paid.
    ``alarm_codes``: the alarms as ``core.operating.alarms.Alarm.as_json`` has them, in the same order as ``alarms``.
    ``last_catch_up_s``, ``last_reconcile_s``: how long ago, None if never. ``api_version``: of HubSpot, and its end.
    ``timeliness``: how many people's changes are in time.
    """

    database: str
    writes: str
    first_listing: bool
    lanes: Mapping[str, LaneState]
    limits: Mapping[str, Mapping[str, float]]
    pauses: Sequence[PauseState]
    records: Mapping[str, int]
    missing: MissingRecords
    still_held: Sequence[str]
    links: Mapping[str, int]
    conflicts: int
    kept_values: int
    rejected: int
    open_writes: int
    purchases: Mapping[str, int]
    account_purchases: int
    processes: Sequence[ProcessState]
    holds: Sequence[HoldSummary]
    alarms: Sequence[str]
    alarm_codes: Sequence[Mapping[str, object]]
    webhooks: Mapping[str, WebhookState]
    last_catch_up_s: Mapping[str, float | None]
    last_reconcile_s: float | None
    api_version: ApiVersionState
    timeliness: Timeliness

    def as_json(self) -> dict[str, object]:
        """Return the status as one JSON document."""
        return {**asdict(self), "timeliness": self.timeliness.as_json()}

    @property
    def busy(self) -> bool:
        """Whether any job is due or running."""
        return any(lane.due or lane.running for lane in self.lanes.values())


def read_status(store: Store, target_ms: int = TARGET_MS) -> Status:
    """Read the whole state in one transaction. ``target_ms``: of ``[sync] target_s``."""
    with store.reading() as tx:
        health = read_health(tx)
        alarms = [*health.alarms, *find_disk_alarms(store)]
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
            missing=MissingRecords(
                tx.records.count_missing(), [f"{side}:{i}" for side, i in tx.records.missing("", MAX_NAMED)]
            ),
            still_held=tx.records.noted_ids(NoteCode.ERASED)[Side.STRIPE],
            links=tx.links.counts(),
            conflicts=tx.conflicts.count_pairs(),
            kept_values=tx.conflicts.count_kept(),
            rejected=tx.rejected.count(),
            open_writes=tx.pending_writes.count_open(),
            purchases=tx.purchases.counts(),
            account_purchases=tx.purchases.count_of_accounts(),
            processes=[
                ProcessState(row.name, row.lanes, age_s(tx, row.started_ms), age_s(tx, row.heartbeat_ms))
                for row in tx.processes.alive()
            ],
            holds=health.holds,
            alarms=[alarm.text for alarm in alarms],
            alarm_codes=[alarm.as_json() for alarm in alarms],
            webhooks=read_webhooks(tx),
            last_catch_up_s={str(side): _age_of_setting(tx, name) for side, name in CURSORS.items()},
            last_reconcile_s=_age_of_setting(tx, LAST_RUN),
            api_version=read_api_version(tx),
            timeliness=read_timeliness(tx, target_ms),
        )


def _age_of_setting(tx: Tx, name: str) -> float | None:
    """Return how long ago the time in a setting was, None without one."""
    text = tx.settings.get(name)
    return age_s(tx, int(text)) if text else None
