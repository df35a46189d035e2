"""The role of the admin service retries and discards dead letters; that of a worker may not."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.support.database_roles import made_roles
from tests.support.lanes import bury
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.ops.queue.bulk_runs import BulkRequest, BulkRunner, cancel_bulk_run, read_bulk_run, start_bulk_run
from wanesync.ops.queue.job_details import read_job
from wanesync.ops.queue.jobs import try_now
from wanesync.ops.queue.queue_lists import read_queue
from wanesync.store import make_key, open_store
from wanesync.store.roles.matrix import Role
from wanesync.store.session import PrivilegeDenied

ANNA = Operator("anna", Via.PAGE)
S = Side.STRIPE


def ask(action: BulkAction, dead_class: DeadClass) -> BulkRequest:
    return BulkRequest(action, QueueFilter(dead_class=dead_class))


def test_the_admin_changes_dead_letters_and_a_worker_gives_none_back(postgres_url: str) -> None:
    keys = [make_key("k001")]
    open_store(postgres_url, keys, migrate=True).close()
    with made_roles(postgres_url) as logins:
        with closing(open_store(logins.address(Role.STRIPE_WORKER), keys)) as worker:
            failed = bury(worker, JobRequest(S, JobKind.READ, "cus_1"), DeadClass.GONE)
            bury(worker, JobRequest(S, JobKind.WRITE, "contact:2"), DeadClass.REFUSED)
            with worker.transaction() as tx:
                tx.jobs.put(JobRequest(S, JobKind.READ, "cus_3"))
                (waiting,) = tx.jobs.claim(S, None, 1, "w1")
                tx.jobs.reschedule(waiting, tx.now_ms + 60_000, "later", count=True, waits_for=WaitCode.BACKOFF)
            with pytest.raises(PrivilegeDenied):
                start_bulk_run(worker, ask(BulkAction.RETRY, DeadClass.GONE), ANNA)
        with closing(open_store(logins.address(Role.ADMIN), keys)) as admin:
            runs = [
                start_bulk_run(admin, ask(BulkAction.RETRY, DeadClass.GONE), ANNA),
                start_bulk_run(admin, ask(BulkAction.DISCARD, DeadClass.REFUSED), ANNA),
            ]
            BulkRunner(admin, "w").run_round()
            ended = [read_bulk_run(admin, run.id) for run in runs]
            assert [(run.state, run.changed) for run in ended] == [(BulkState.DONE, 1)] * 2
            assert cancel_bulk_run(admin, runs[0].id, ANNA).state is BulkState.DONE
            assert try_now(admin, [waiting.id], ANNA) == 1
        with closing(open_store(logins.address(Role.READ_ONLY), keys)) as reader:
            assert read_job(reader, failed.id).state is QueueState.DUE
            assert len(read_queue(reader, QueueFilter(QueueState.DISCARDED)).jobs) == 1
