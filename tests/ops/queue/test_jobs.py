"""Jobs are counted for a side or a kind, and tried at once where only time keeps them."""

from __future__ import annotations

import pytest

from wanesync.core.errors import ConfigError
from wanesync.core.jobs import JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.queue.jobs import list_jobs, try_now
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

H, S = Side.HUBSPOT, Side.STRIPE


def test_side_and_kind_filter_the_counts(store: Store) -> None:
    store.run(
        lambda tx: tx.jobs.put_many([JobRequest(H, JobKind.READ, "2"), JobRequest(S, JobKind.WRITE, "contact:2")])
    )
    assert [row["lane"] for row in list_jobs(store)] == ["hubspot", "stripe"]
    assert [row["lane"] for row in list_jobs(store, H)] == ["hubspot"]
    assert [row["kind"] for row in list_jobs(store, kind=JobKind.WRITE)] == ["write"]
    assert list_jobs(store, H, JobKind.WRITE) == []


def test_a_job_that_waits_after_a_failed_attempt_is_tried_at_once_and_no_other_wait_ends(store: Store) -> None:
    with store.transaction() as tx:
        keys = {"failed": WaitCode.BACKOFF, "asked": WaitCode.VENDOR, "off": WaitCode.WRITES_OFF}
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in keys])
        for job in tx.jobs.claim(S, None, 10, "w1"):
            fixed = keys[job.key] is WaitCode.VENDOR
            tx.jobs.reschedule(job, tx.now_ms + 60_000, "later", count=True, fixed=fixed, waits_for=keys[job.key])
        ids = {one.job.key: one.job.id for one in tx.job_lists.of_keys(keys)}
    anna = Operator("anna", Via.PAGE)
    assert try_now(store, [*ids.values(), "unknown"], anna) == 1
    with store.reading() as tx:
        due = {one.job.key for one in tx.job_lists.of_keys(keys) if one.job.due_ms <= tx.now_ms}
        (row,) = tx.audit.find(AuditFilter(), 10)
        assert (row.operator, row.action, row.subject) == (anna, "jobs.try_now", ids["failed"])
        assert [entry.kind for entry in tx.journal.latest(10)] == ["tried at once"]
    assert due == {"failed"}
    assert try_now(store, ["unknown"], anna) == 0
    with pytest.raises(ConfigError, match="by their ids"):
        try_now(store, [], anna)
