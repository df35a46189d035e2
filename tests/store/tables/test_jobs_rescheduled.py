"""Several running jobs that wait for the same thing become ready at once."""

from __future__ import annotations

import pytest

from wanesync.core.jobs import Ending, Job, JobKind, JobRequest, JobState
from wanesync.core.model import Side
from wanesync.store import Store, Tx
from wanesync.store.tables.jobs import LeaseLost


def claim(store: Store, keys: str) -> list[Job]:
    store.run(lambda tx: tx.jobs.put_many([JobRequest(Side.STRIPE, JobKind.READ, key) for key in keys]))
    jobs = store.run(lambda tx: tx.jobs.claim(Side.STRIPE, [JobKind.READ], 10, "p"))
    return sorted(jobs, key=lambda job: job.key)


def wait(tx: Tx, jobs: list[Job]) -> None:
    due = [(job, tx.now_ms + 100 * number) for number, job in enumerate(jobs, start=1)]
    tx.jobs.reschedule_many(due, "its answer is due", waits_for="own_answer")


def test_each_is_ready_at_its_time_and_the_newer_job_of_a_key_stands(store: Store) -> None:
    first, second, third = claim(store, "abc")
    store.run(lambda tx: tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, "b")))
    now_ms = store.now_ms()

    def work(tx: Tx) -> list[Ending]:
        wait(tx, [third, first, second])
        return [report.ending for report in tx.job_reports]

    assert store.run(work) == [Ending.WAIT] * 3
    jobs = store.run(lambda tx: [tx.jobs.get(job.id) for job in (first, second, third)])
    assert [job and (job.state, job.due_ms - now_ms, job.waits_for) for job in jobs] == [
        (JobState.READY, 200, "own_answer"),
        (JobState.DONE, 0, ""),
        (JobState.READY, 100, "own_answer"),
    ]
    assert [job.key for job in claim(store, "")] == ["b"]


def test_one_that_another_process_took_over_fails_the_whole(store: Store) -> None:
    jobs = claim(store, "ab")
    store.run(lambda tx: tx.jobs.release("p"))
    with pytest.raises(LeaseLost):
        store.run(lambda tx: wait(tx, jobs))
    assert {job.due_ms for job in claim(store, "")} == {store.now_ms()}
