"""One lane at one moment: its jobs that wait, run, failed and are done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wanesync.core.jobs import JobKind, Priority
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK
from wanesync.store.tables.settings import operator_pause

if TYPE_CHECKING:
    from wanesync.store.database import Tx
    from wanesync.store.tables.jobs import Depth
    from wanesync.store.tables.operating.dead_letters import DeadCount

BATCH = 100
"""Records that HubSpot takes in one request."""
OPERATIONS = {JobKind.READ: ("customers.retrieve",), JobKind.WRITE: ("customers.create", "customers.update")}
"""The Stripe operations that a job of a kind may call."""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Flow:
    """How jobs of one kind ended lately. ``failed_tries_in_60_min``: failed attempts of jobs that were done later."""

    done_per_min_over_1_min: float
    done_per_min_over_5_min: float
    done_per_min_over_60_min: float
    done_in_60_min: int
    failed_tries_in_60_min: int
    given_up_in_60_min: int


@dataclass(frozen=True, slots=True)
class LaneState:
    """The state of one lane. ``due``: ready and not waiting. ``retrying``: open jobs with a failed attempt.

    ``oldest_s``: the age of the oldest job that is due or running, in seconds. ``clears_in_s``: how long those take at
    the limits; None while the lane is ``stopped``: "paused", or "away" for a side that is unreachable. ``dead_classes``
    and ``flow`` have only the classes and kinds of which there is a job.
    """

    ready: int
    due: int
    running: int
    retrying: int
    dead: int
    oldest_s: float
    clears_in_s: float | None
    stopped: str
    workers: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    dead_classes: Mapping[str, int] = field(default_factory=dict)
    flow: Mapping[str, Flow] = field(default_factory=dict)


def read_lanes(tx: Tx) -> dict[str, LaneState]:
    """Return the state of both lanes by side. It is counted from indexes: a long queue does not make it slow."""
    depth = tx.jobs.depth()
    dead = tx.dead_letters.count(tx.now_ms - HOUR_MS)
    return {str(side): _read_lane(tx, side, depth, dead) for side in Side}


def live_workers(tx: Tx, side: Side) -> int:
    """Count the processes that run a side's lane and have a fresh heartbeat."""
    return sum(str(side) in row.lanes.split(",") for row in tx.processes.alive())


def age_s(tx: Tx, at_ms: int) -> float:
    """Return how long ago a time was, in seconds."""
    return round(max(0, tx.now_ms - at_ms) / 1000, 1)


def _read_lane(tx: Tx, side: Side, depth: Sequence[Depth], dead: Sequence[DeadCount]) -> LaneState:
    rows = [row for row in depth if row["lane"] == side]
    dead_letters = [found for found in dead if found.lane is side]
    oldest = [row["oldest_arrived_ms"] for row in rows if row["due"] or row["running"]]
    stopped = _find_stop(tx, side)
    classes: Counter[str] = Counter()
    for found in dead_letters:
        classes[found.dead_class] += found.count
    return LaneState(
        ready=sum(row["ready"] for row in rows),
        due=sum(row["due"] for row in rows),
        running=sum(row["running"] for row in rows),
        retrying=sum(row["retrying"] for row in rows),
        dead=classes.total(),
        oldest_s=age_s(tx, min(oldest)) if oldest else 0.0,
        clears_in_s=None if stopped else _estimate_s(tx, side, rows),
        stopped=stopped,
        workers=live_workers(tx, side),
        kinds={
            str(kind): sum(row["ready"] + row["running"] for row in rows if row["kind"] == kind) for kind in JobKind
        },
        dead_classes=dict(sorted(classes.items())),
        flow=_read_flow(tx, side, dead_letters),
    )


def _find_stop(tx: Tx, side: Side) -> str:
    pauses = tx.pauses.get_all()
    pause = pauses.get(str(side))
    if operator_pause(side) in pauses:
        return "paused"
    return "" if pause is None else "away" if pause.away else "paused"


def _estimate_s(tx: Tx, side: Side, rows: Sequence[Depth]) -> float:
    """Return how long the jobs that are due or running take: the slowest of the limits they fall under decides."""
    per_s = {scope: effective or configured for scope, (configured, effective) in tx.rates.limits().items()}
    wanted: Counter[str] = Counter()
    for row in rows:
        records = row["due"] + row["running"]
        # Stripe takes one record per request, HubSpot a hundred.
        requests = records if side is Side.STRIPE else math.ceil(records / BATCH)
        for scope in _find_scopes(side, row, per_s):
            wanted[scope] += requests
    return round(max((count / per_s[scope] for scope, count in wanted.items()), default=0.0), 1)


def _find_scopes(side: Side, row: Depth, per_s: Mapping[str, float]) -> list[str]:
    """Return the limits such jobs fall under; a write may create or update, so that the slower limit counts."""
    operations = OPERATIONS.get(JobKind(row["kind"]), ()) if side is Side.STRIPE else ()
    own = [scope for operation in operations if (scope := f"{side}:{operation}") in per_s]
    bulk = [BULK] if side is Side.STRIPE and row["priority"] >= Priority.BULK else []
    slowest = [min(own, key=lambda scope: per_s[scope])] if own else []
    return [scope for scope in (str(side), *slowest, *bulk) if per_s.get(scope)]


def _read_flow(tx: Tx, side: Side, dead_letters: Sequence[DeadCount]) -> dict[str, Flow]:
    flows = {}
    for kind in JobKind:
        done, tries = tx.jobs.done_since(side, kind, tx.now_ms - HOUR_MS)
        given_up = sum(found.lately for found in dead_letters if found.kind is kind)
        if done or given_up:
            last, five = (tx.jobs.done_since(side, kind, tx.now_ms - m * MINUTE_MS)[0] for m in (1, 5))
            flows[str(kind)] = Flow(float(last), round(five / 5, 1), round(done / 60, 1), done, tries, given_up)
    return flows
