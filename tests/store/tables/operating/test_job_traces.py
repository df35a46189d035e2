"""The traces of jobs, which follow the work from job to job."""

from __future__ import annotations

from dataclasses import replace

from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest, pass_on
from wanesync.core.model import Side
from wanesync.store import Store
from wanesync.store.tables.retention import DAY_MS, RetentionPolicy
from wanesync.worker.retention import RetentionTask

H, S = Side.HUBSPOT, Side.STRIPE
FIRST, SECOND = "00-11-22-01", "00-33-44-01"


def _traces(store: Store, lane: Side, kind: JobKind, *keys: str) -> dict[str, str]:
    with store.reading() as tx:
        return tx.job_traces.of(lane, kind, keys)


def test_a_trace_goes_on_with_the_work_and_the_newest_counts(store: Store) -> None:
    store.run(lambda tx: tx.job_traces.put({(H, JobKind.READ, "7"): FIRST, (H, JobKind.READ, "8"): ""}))
    store.run(lambda tx: tx.job_traces.put({(H, JobKind.READ, "7"): SECOND}))
    assert _traces(store, H, JobKind.READ, "7", "8", "9") == {"7": SECOND}
    assert _traces(store, H, JobKind.READ) == {}
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "7", trace=SECOND)))
    (job,) = store.run(lambda tx: tx.jobs.claim(H, [JobKind.READ], 1, "w1"))
    assert job.trace == "", "only a worker that traces asks for it"


def test_work_that_is_passed_on_carries_its_trace(store: Store) -> None:
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "7", trace=FIRST)))
    (job,) = store.run(lambda tx: tx.jobs.claim(H, [JobKind.READ], 1, "w1"))
    store.run(lambda tx: tx.jobs.put(pass_on(replace(job, trace=FIRST), S, "contact:7")))
    store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.WRITE, "contact:8")))
    assert _traces(store, S, JobKind.WRITE, "contact:7", "contact:8") == {"contact:7": FIRST}


def test_a_trace_is_known_for_a_day(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.job_traces.put({(H, JobKind.READ, "7"): FIRST}))
    clock.advance(DAY_MS - 1_000)
    RetentionTask(store, RetentionPolicy()).prune()
    assert _traces(store, H, JobKind.READ, "7")
    clock.advance(2_000)
    RetentionTask(store, RetentionPolicy()).prune()
    assert not _traces(store, H, JobKind.READ, "7")
