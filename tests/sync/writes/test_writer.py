"""Planning of jobs whose key is locked, and the pending writes that are stored before any call."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.core_builders import link as build_link
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, created, customer_answer, refused
from wanesync.core.change_guard import ChangeGuardRule, HoldState
from wanesync.core.errors import Failure
from wanesync.core.jobs import Job, JobKind, JobRequest, JobState, WaitCode
from wanesync.core.model import Event
from wanesync.core.ports import Authors
from wanesync.store.database import Tx
from wanesync.sync.writes.run_property import mark_name
from wanesync.sync.writes.writer import WRITES, are_writes_off

ANN = contact("1", other_id="cus_1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon")
KEY = "contact:1"


def lose_update_of_contact(live: LiveSync) -> None:
    """Stripe's Paris was sent to HubSpot and no answer came; it arrives late, as a change of unknown author."""
    live.link(ANN, CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    live.hubspot.answer("update_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    live.work(HUBSPOT)
    live.know(CUS)  # a user set it back
    late = replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=50)
    live.know(late)
    live.advance(60_000)


def work_stripe(live: LiveSync) -> Job:
    live.queue(STRIPE, KEY)
    (job,) = live.work(STRIPE)
    return job


def test_with_writes_off_the_plan_is_only_noted(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    live.know(replace(ANN, other_id=""))
    job = work_stripe(live)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.WRITES_OFF)
    assert live.journal() == ["would write"]
    assert live.open_writes(KEY) == []
    assert live.store.run(are_writes_off)


def test_an_action_of_the_other_lane_is_queued_there(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    assert work_stripe(live).state is JobState.DONE
    assert live.is_queued(HUBSPOT, KEY)


def test_a_plan_that_must_wait_says_what_for(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(HUBSPOT, "1", JobKind.READ)
    job = work_stripe(live)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.READ_PENDING)


def test_while_a_side_is_unreachable_what_waits_for_another_job_waits_for_the_side(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(HUBSPOT, "1", JobKind.READ)
    live.store.run(lambda tx: tx.pauses.set("hubspot", "refused", True, tx.now_ms))
    job = work_stripe(live)
    assert (job.waits_for, job.reason) == ("pause:hubspot", "waits until hubspot resumes")


def test_the_lock_of_a_further_record_is_waited_for(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""), replace(CUS, other_id=""))
    live.store.run(lambda tx: tx.locks.take_all(["customer:cus_1"], "other", "w1", tx.now_ms + 60_000))
    job = work_stripe(live)
    assert (job.waits_for, live.links("1")) == (WaitCode.LOCK, [])


def test_two_records_with_one_address_are_linked_once_both_are_locked(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""), replace(CUS, other_id=""))
    live.stripe.answer("update_customer", customer_answer(CUS))
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: replace(ANN, modified_ms=3)})
    work_stripe(live)
    live.work(HUBSPOT)
    assert [k.stripe_id for k in live.links("1")] == ["cus_1"]


def test_only_one_create_per_address_is_open(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""), contact("2", email="ann@example.com"))
    live.queue(STRIPE, KEY)
    live.queue(STRIPE, "contact:2")
    live.stripe.answer("create_customer", refused(STRIPE, Failure.NO_ANSWER))
    jobs = {job.key: job for job in live.work(STRIPE)}
    assert sorted(len(live.open_writes(key)) for key in jobs) == [0, 1]
    assert sorted(job.waits_for for job in jobs.values()) == [WaitCode.BACKOFF, WaitCode.EMAIL_BEING_CREATED]
    assert len(live.stripe.requests) == 1


def test_a_create_of_a_reconcile_run_carries_its_property(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))

    def queue(tx: Tx) -> None:
        tx.settings.put(mark_name("run 1"), "source=import")
        tx.jobs.put(JobRequest(HUBSPOT, JobKind.WRITE, "customer:cus_1", run_id="run 1"))

    live.store.run(queue)
    live.prepare(live.claim(HUBSPOT))
    (pending,) = live.open_writes("customer:cus_1")
    assert json.loads(pending.body)["source"] == "import"


def test_a_missing_id_rides_along_unless_another_contact_carries_it(live: LiveSync) -> None:
    live.link(replace(ANN, other_id=""), CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    live.prepare(live.claim(HUBSPOT))
    (pending,) = live.open_writes(KEY)
    assert json.loads(pending.body)["stripe_customer_id"] == "cus_1"


def test_a_body_that_changed_takes_another_key(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.answer("update_customer", refused(STRIPE, Failure.NO_ANSWER))
    live.work(STRIPE)
    live.advance(60_000)
    live.know(replace(ANN, values={**ANN.values, "city": "Rome"}, modified_ms=6))
    live.stripe.answer("read_customer", customer_answer(CUS))
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**CUS.values, "city": "Rome"})))
    live.work(STRIPE)
    first, second = [arguments for method, arguments in live.stripe.requests if method == "update_customer"]
    assert first[2] != second[2]
    assert live.open_writes(KEY) == []


def test_a_value_that_may_be_our_late_write_is_not_planned_on_the_other_lane(live: LiveSync) -> None:
    lose_update_of_contact(live)
    job = work_stripe(live)
    assert job.state is JobState.DONE
    assert live.is_queued(HUBSPOT, KEY)
    assert live.stripe.requests == []


def test_history_shows_that_the_late_value_is_ours_and_it_is_taken_back(live: LiveSync) -> None:
    lose_update_of_contact(live)
    late = replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=50)
    live.hubspot.answer("read_contacts", {"1": late})
    live.hubspot.answer("wrote_current", Authors(50, {"city": True}))
    live.hubspot.answer(
        "update_contacts",
        lambda items: {items[0].trace: replace(late, values={**late.values, "city": "Lyon"}, modified_ms=60)},
    )
    live.queue(HUBSPOT, KEY)
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert live.links("1")[0].base["city"] == ("Lyon", "Lyon")


def test_history_that_cannot_be_read_leaves_the_write_open(live: LiveSync) -> None:
    lose_update_of_contact(live)
    live.hubspot.answer("read_contacts", {"1": replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=50)})
    live.hubspot.answer("wrote_current", refused(HUBSPOT, Failure.NO_ANSWER))
    live.queue(HUBSPOT, KEY)
    (job,) = live.work(HUBSPOT)
    assert (job.state, len(live.open_writes(KEY))) == (JobState.READY, 1)


def test_history_of_another_state_is_not_used(live: LiveSync) -> None:
    lose_update_of_contact(live)
    live.hubspot.answer("read_contacts", {"1": replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=50)})
    live.hubspot.answer("wrote_current", Authors(99, {"city": True}))
    live.queue(HUBSPOT, KEY)
    (job,) = live.work(HUBSPOT)
    assert (job.waits_for, job.reason) == (WaitCode.READ_PENDING, "the contact changed meanwhile")


def test_an_event_of_stripe_is_waited_for_where_it_will_show_the_author(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.answer("update_customer", refused(STRIPE, Failure.NO_ANSWER))
    live.work(STRIPE)
    live.know(replace(ANN, values={**ANN.values, "city": "Lyon"}, modified_ms=6))
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    live.advance(1_000)
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.AUTHOR)


def test_a_source_that_overwrites_too_many_people_is_held() -> None:
    live = LiveSync(change_guard=ChangeGuardRule(1, 60_000, 4))
    people = [contact(str(n), other_id=f"cus_{n}", email=f"p{n}@example.com", city="Lyon") for n in (1, 2, 3)]
    for person in people:
        live.link(person, customer(f"cus_{person.id}", person.id, **person.values))
        live.know(replace(person, values={**person.values, "city": "Paris"}, modified_ms=5))
        live.queue(STRIPE, f"contact:{person.id}")
    live.stripe.answer("update_customer", lambda target, _body, _key: customer_answer(customer(target)))
    live.work(STRIPE)
    with live.store.reading() as tx:
        (hold,) = tx.holds.all()
    live.close()
    assert (hold.people, hold.state) == (2, HoldState.OPEN)
    assert len(live.stripe.requests) == 1


def test_a_create_is_answered_and_the_contact_that_was_edited_meanwhile_is_queued(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)

    def answer(_body: str, _key: str) -> object:
        live.know(replace(ANN, other_id="", values={**ANN.values, "city": "Paris"}, modified_ms=5))
        return created(dict(ANN.values))

    live.stripe.answer("create_customer", answer)
    live.work(STRIPE)
    assert live.is_queued(STRIPE, KEY)


def test_the_value_that_does_not_win_is_kept_before_it_is_overwritten(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(ANN, values={**ANN.values, "city": "Nice"}, modified_ms=5))
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    (call,) = live.prepare(live.claim(HUBSPOT))
    assert call.operation == "contacts.batch_update"
    assert live.conflicts() == [("policy", "city", "Nice")]
    assert live.journal() == ["conflict"]


def know_that_it_is_ours(live: LiveSync) -> None:
    """History has shown that the late value in HubSpot was written by us."""
    (pending,) = live.open_writes(KEY)
    live.store.run(lambda tx: tx.pending_writes.record_authorship(replace(pending, authorship={"city": (50, True)})))


def test_a_late_write_is_taken_back_by_the_other_lane(live: LiveSync) -> None:
    lose_update_of_contact(live)
    know_that_it_is_ours(live)
    assert work_stripe(live).state is JobState.DONE
    assert live.is_queued(HUBSPOT, KEY)
    assert live.stripe.requests == []


def test_with_writes_off_a_late_write_is_not_taken_back_yet(live: LiveSync) -> None:
    lose_update_of_contact(live)
    know_that_it_is_ours(live)
    late = replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=50)
    live.hubspot.answer("read_contacts", {"1": late})
    live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    live.queue(HUBSPOT, KEY)
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.WRITES_OFF)


def test_events_of_the_further_customers_of_a_contact_are_judged_too(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(customer("cus_2", email="ann@example.com"), contact("2", email="ann@example.com"))
    second = build_link("1", "cus_2", primary=False)
    other = build_link("2", "cus_3", primary=True)
    live.know(customer("cus_3", email="ann@example.com"))
    events = [
        Event(f"e{n}", STRIPE, "updated", f"cus_{n}", live.clock.ms, {"email": "ann@example.com"}, read=True)
        for n in (2, 3)
    ]
    with live.store.transaction() as tx:
        tx.links.put_many([second, other])
        tx.events.put_many(events)
    work_stripe(live)
    with live.store.reading() as tx:
        assert tx.events.with_unjudged(STRIPE, ["cus_2", "cus_3"]) == ["cus_3"]
