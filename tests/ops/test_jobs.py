"""The queue and the dead letters are read at one moment."""

from __future__ import annotations

from tests.support.lanes import bury
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.ops.jobs import list_jobs
from wanesync.store import Store
from wanesync.store.tables.jobs import JobFilter

H, S = Side.HUBSPOT, Side.STRIPE


def test_side_and_kind_filter_the_queue_and_class_only_the_dead_letters(store: Store) -> None:
    bury(store, JobRequest(H, JobKind.READ, "1"), DeadClass.GONE)
    bury(store, JobRequest(S, JobKind.WRITE, "contact:1"), DeadClass.REFUSED)
    store.run(
        lambda tx: tx.jobs.put_many([JobRequest(H, JobKind.READ, "2"), JobRequest(S, JobKind.WRITE, "contact:2")])
    )

    def read(which: JobFilter, limit: int = 10) -> tuple[list[str], list[str]]:
        found = list_jobs(store, which, limit)
        return sorted(row["lane"] for row in found.depth), sorted(letter.job.key for letter in found.dead)

    assert read(JobFilter()) == (["hubspot", "stripe"], ["1", "contact:1"])
    assert read(JobFilter(lane=H)) == (["hubspot"], ["1"])
    assert read(JobFilter(kind=JobKind.WRITE)) == (["stripe"], ["contact:1"])
    assert read(JobFilter(dead_class=DeadClass.GONE)) == (["hubspot", "stripe"], ["1"])
    assert len(read(JobFilter(), 1)[1]) == 1
    assert list_jobs(store, JobFilter(), 1).now_ms > 0
