"""Write jobs: locks, open writes that are settled first, and the loop that carries out what follows an answer."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, created, customer_answer, page, refused
from wanesync.core.errors import Failure
from wanesync.core.jobs import JobKind, JobState, WaitCode
from wanesync.core.model import Record, WriteKind, WriteResult
from wanesync.sync.calls import DONE, CommitCreated, Intent, Next, PlanJobs, PlanningRound, SendWrites
from wanesync.sync.writes.write_jobs import KEY_LIFE_MS, WriteJobs
from wanesync.sync.writes.writer import WRITES

ANN = contact("1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon")
VALUES = {"email": "ann@example.com", "city": "Lyon"}
KEY = "contact:1"


def lose_create(live: LiveSync) -> None:
    """A create of Ann's customer whose answer does not arrive."""
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.NO_ANSWER))
    (job,) = live.work(STRIPE)
    assert (job.state, job.attempts, job.waits_for) == (JobState.READY, 1, WaitCode.BACKOFF)


def test_no_jobs_make_no_calls(live: LiveSync) -> None:
    assert live.store.run(lambda tx: WriteJobs(live.runtime).prepare(tx, [])) == []


def test_a_contact_becomes_a_linked_customer_in_one_call(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", created(VALUES))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    assert [k.stripe_id for k in live.links("1")] == ["cus_new"]
    assert live.open_writes(KEY) == []


def test_a_job_whose_lock_is_taken_waits_without_an_attempt(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.store.run(lambda tx: tx.locks.take_all([KEY], "other", "w1", tx.now_ms + 60_000))
    (job,) = live.work(STRIPE)
    assert (job.state, job.waits_for, job.attempts) == (JobState.READY, WaitCode.LOCK, 0)


def test_a_create_without_an_answer_is_sent_again_with_its_key_and_body(live: LiveSync) -> None:
    lose_create(live)
    live.advance(60_000)
    live.stripe.answer("create_customer", created(VALUES))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    first, second = [arguments for method, arguments in live.stripe.requests if method == "create_customer"]
    assert first == second


def test_an_open_create_waits_while_writes_are_off(live: LiveSync) -> None:
    lose_create(live)
    live.advance(60_000)
    live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    (job,) = live.work(STRIPE)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.WRITES_OFF)
    assert len(live.stripe.requests) == 1


def test_an_open_create_older_than_its_key_is_looked_up(live: LiveSync) -> None:
    lose_create(live)
    live.advance(KEY_LIFE_MS + 60_000)
    live.stripe.answer("list_customers", page(CUS))
    (job,) = live.work(STRIPE)
    assert (job.state, job.reason) == (JobState.READY, "its customer was found")
    live.work(STRIPE)
    (link,) = live.links("1")
    assert link.stripe_id == "cus_1"


def test_a_create_for_a_deleted_contact_is_looked_up_and_not_sent_again(live: LiveSync) -> None:
    lose_create(live)
    live.advance(60_000)
    live.delete(HUBSPOT, "1")
    live.stripe.answer("list_customers", page())
    (job,) = live.work(STRIPE)
    assert job.reason == "nothing was made; it is sent anew"
    live.work(STRIPE)
    assert [method for method, _ in live.stripe.requests] == ["create_customer", "list_customers"]


def test_a_create_for_a_deleted_customer_is_abandoned(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    live.hubspot.answer("create_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    live.work(HUBSPOT)
    (pending,) = live.open_writes("customer:cus_1")
    assert (pending.side, pending.kind) == (HUBSPOT, WriteKind.CREATE)
    live.advance(60_000)
    live.delete(STRIPE, "cus_1")
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert live.open_writes("customer:cus_1") == []


def test_an_update_without_an_answer_is_read_before_it_is_planned_again(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.answer("update_customer", refused(STRIPE, Failure.NO_ANSWER))
    live.work(STRIPE)
    live.advance(60_000)
    live.stripe.answer("read_customer", customer_answer(CUS))
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**CUS.values, "city": "Paris"})))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    first, second = [arguments for method, arguments in live.stripe.requests if method == "update_customer"]
    assert first == second, "the same body keeps its key"
    assert live.links("1")[0].base["city"] == ("Paris", "Paris")


def test_nothing_follows_is_no_call(live: LiveSync) -> None:
    assert live.store.run(lambda tx: WriteJobs(live.runtime).carry_out(tx, DONE)) == []


def test_steps_are_carried_out_in_order_until_only_calls_are_left(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    jobs = live.claim(STRIPE)
    planning = PlanningRound({job.id: KEY for job in jobs})
    steps: Next = [SendWrites(()), PlanJobs(jobs, planning)]
    (call,) = live.store.run(lambda tx: WriteJobs(live.runtime).carry_out(tx, steps))
    (pending,) = live.open_writes(KEY)
    assert (call.operation, call.jobs) == ("customers.create", jobs)
    found = CommitCreated(Intent(jobs[0], pending), Record(STRIPE, "cus_9", VALUES, ANN.emails, "1"))
    live.know(found.record)
    assert live.store.run(lambda tx: WriteJobs(live.runtime).carry_out(tx, [found])) == []
    with live.store.reading() as tx:
        (settled,) = tx.pending_writes.by_keys(STRIPE, [pending.idempotency_key]).values()
    assert settled.result is WriteResult.MATCHED


def test_a_read_job_is_no_write_job(live: LiveSync) -> None:
    live.queue(HUBSPOT, "1", JobKind.READ)
    assert live.work(HUBSPOT) == []
