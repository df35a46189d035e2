"""How many jobs wait and run is counted for a side or a kind."""

from __future__ import annotations

from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.ops.jobs import list_jobs
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_side_and_kind_filter_the_counts(store: Store) -> None:
    store.run(
        lambda tx: tx.jobs.put_many([JobRequest(H, JobKind.READ, "2"), JobRequest(S, JobKind.WRITE, "contact:2")])
    )
    assert [row["lane"] for row in list_jobs(store)] == ["hubspot", "stripe"]
    assert [row["lane"] for row in list_jobs(store, H)] == ["hubspot"]
    assert [row["kind"] for row in list_jobs(store, kind=JobKind.WRITE)] == ["write"]
    assert list_jobs(store, H, JobKind.WRITE) == []
