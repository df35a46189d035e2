"""A running installation, its queue and its dead letters."""

from __future__ import annotations

from wanesync.core.jobs import DeadClass, Job, JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.ops.alarms import WEB
from wanesync.ops.health.lane_status import LaneState, read_lanes
from wanesync.store import Store, Tx
from wanesync.sync.loader import LISTED


def start_processes(store: Store) -> None:
    """The first listing is done, a worker runs both lanes, and webhooks are received."""
    with store.transaction() as tx:
        tx.settings.put(LISTED, "1")
        tx.processes.beat("w1", "hubspot,stripe", 1)
        tx.processes.beat("d1", WEB, 1)


def read_lane(store: Store, side: Side) -> LaneState:
    """The state of one lane."""
    with store.reading() as tx:
        return read_lanes(tx)[str(side)]


def queue(store: Store, side: Side, kind: JobKind, keys: int, priority: Priority = Priority.LIVE) -> None:
    """Queue jobs for some contacts."""
    store.run(lambda tx: tx.jobs.put_many([JobRequest(side, kind, f"contact:{n}", priority) for n in range(keys)]))


def bury(store: Store, request: JobRequest, dead_class: DeadClass = DeadClass.REFUSED) -> Job:
    """A job that is queued, claimed and given up."""

    def work(tx: Tx) -> Job:
        tx.jobs.put(request)
        (job,) = tx.jobs.claim(request.lane, [request.kind], 1, "w1")
        tx.jobs.mark_dead(job, dead_class, "it said no")
        return job

    return store.run(work)
