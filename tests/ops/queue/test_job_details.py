"""One job is shown with what led to it, what it does and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.lanes import bury
from tests.support.store_fixtures import Clock
from tests.support.store_rows import an_event, an_update
from wanesync.core.errors import NotFound
from wanesync.core.jobs import DeadClass, Job, JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.queue_filter import QueueState
from wanesync.core.purchases import Purchase
from wanesync.ops.queue.bulk_runs import BulkRequest, carry_out, start_bulk_run
from wanesync.ops.queue.job_details import CLASS_TEXTS, WAIT_TEXTS, Step, describe_wait, read_job
from wanesync.store import Store, Tx

H, S = Side.HUBSPOT, Side.STRIPE


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def job_id_of(store: Store, request: JobRequest) -> str:
    with store.reading() as tx:
        (listed,) = tx.job_lists.of_keys([request.key])
    return listed.job.id


def test_a_read_shows_its_webhook_its_attempts_and_its_end(store: Store, clock: Clock) -> None:
    request = JobRequest(H, JobKind.READ, "1")

    def arrive(tx: Tx) -> None:
        tx.events.put_many([replace(an_event("e1", "1", occurred_ms=tx.now_ms), received_ms=0)])
        tx.jobs.put(request)

    store.run(arrive)
    job_id = job_id_of(store, request)
    assert names(read_job(store, job_id).steps) == ["arrived", "queued", "due"]
    clock.advance(5)
    with store.transaction() as tx:
        (job,) = tx.jobs.claim(H, None, 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms + 9, "timed out", count=True, waits_for=WaitCode.BACKOFF)
    retried = read_job(store, job_id)
    assert (retried.state, names(retried.steps)) == (QueueState.RETRYING, ["arrived", "queued", "failed", "next"])
    assert retried.steps[-1] == Step("next", retried.now_ms + 9, "timed out")
    clock.advance(9)
    with store.transaction() as tx:
        (job,) = tx.jobs.claim(H, None, 1, "w1")
    running = read_job(store, job_id)
    assert (running.state, running.steps[-1].name, running.is_owner_alive) == (QueueState.RUNNING, "running", False)
    assert "sends no heartbeat" in running.steps[-1].text
    store.run(lambda tx: tx.processes.beat("w1", "hubspot", tx.now_ms))
    assert read_job(store, job_id).is_owner_alive
    store.run(lambda tx: tx.jobs.mark_dead(job, DeadClass.GONE, "it said no"))
    dead = read_job(store, job_id)
    assert names(dead.steps) == ["arrived", "queued", "failed", "dead", "next"]
    assert [event.key for event in dead.events] == ["e1"]
    assert dead.refs == [(H, "1")]
    assert dead.steps[-1].text == CLASS_TEXTS["gone"]
    clock.advance(1)
    run = start_bulk_run(
        store, BulkRequest(BulkAction.DISCARD, ids=frozenset({job_id})), Operator("anna", Via.PAGE), "w"
    )
    carry_out(store, run.id, "w")
    discarded = read_job(store, job_id)
    assert names(discarded.steps) == ["arrived", "queued", "failed", "dead", "discarded", "next"]
    assert "by anna (page)" in discarded.steps[-2].text


def test_a_write_with_an_open_answer_says_so_and_a_purchase_shows_its_payment(store: Store) -> None:
    write = bury(store, JobRequest(S, JobKind.WRITE, "contact:1", run_id="r1"))
    store.run(lambda tx: tx.pending_writes.put(an_update("w1")))
    details = read_job(store, write.id)
    assert details.is_unanswered
    assert "reconcile run r1 asked for it" in {step.text for step in details.steps}
    purchase = Purchase("pi_1", "ch_1", "cus_7", "", "", 100, "eur", 1, "")
    store.run(lambda tx: tx.purchases.put(purchase))
    paid = read_job(store, bury(store, JobRequest(H, JobKind.PURCHASE, "pi_1")).id)
    assert paid.payment is not None
    assert (paid.payment.payment_id, paid.refs) == ("pi_1", [(S, "cus_7")])
    guest = read_job(store, bury(store, JobRequest(H, JobKind.WRITE, "guest:abc")).id)
    assert (guest.refs, guest.is_unanswered) == ([], False)


def test_finished_and_unknown_jobs(store: Store) -> None:
    request = JobRequest(S, JobKind.READ, "cus_1")
    store.run(lambda tx: tx.jobs.put(request))
    job_id = job_id_of(store, request)
    with store.transaction() as tx:
        tx.jobs.finish_many(tx.jobs.claim(S, None, 1, "w1"))
    assert names(read_job(store, job_id).steps) == ["queued", "done"]
    with pytest.raises(NotFound, match="no job has the id nonsense"):
        read_job(store, "nonsense")


def test_every_wait_and_class_has_words() -> None:
    assert set(WAIT_TEXTS) == set(WaitCode)
    assert set(CLASS_TEXTS) == set(DeadClass)
    job = Job("1", S, JobKind.READ, "k", "ready", 1, 1, 1, waits_for="pause:stripe")  # type: ignore[arg-type] # no state is looked at
    assert describe_wait(job) == "stripe resumes"
