"""Read jobs: what is stored from a read or an event, and what is queued or judged because of it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, SECOND_MS, STRIPE, LiveSync, created, customer_answer, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import Job, JobKind, JobState, WaitCode
from wanesync.core.model import Event, LinkState, Record, Side
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.sync import reader
from wanesync.sync.intake import store_events
from wanesync.sync.reader import ANSWER_DUE_MS, Reader

ANN = contact("1", other_id="cus_1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon")
KEY = "contact:1"


def read(live: LiveSync, side: Side, record_id: str) -> Job:
    live.queue(side, record_id, JobKind.READ)
    (job,) = live.work(side, JobKind.READ)
    return job


def arrive(live: LiveSync, *events: Event) -> None:
    """Events come in; their reads are due."""
    live.store.run(lambda tx: store_events(tx, events))
    live.advance(2_000)


def nice_of(live: LiveSync) -> Event:
    """A user sets the contact's city now."""
    return Event("e1", HUBSPOT, "updated", "1", live.clock.ms, {"city": "Nice"}, source="user:CRM_UI")


def event(live: LiveSync, key: str, record: Record | None = None, **facts: object) -> Event:
    made = Event(
        key, STRIPE, "updated", "cus_1", live.clock.ms, record=record, values=dict(record.values) if record else {}
    )
    return replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def stored_city(live: LiveSync, record: Record) -> str:
    with live.store.reading() as tx:
        (stored,) = tx.records.get_many([(record.side, record.id)]).values()
    return stored.record.values.get("city", "")


def test_no_jobs_make_no_calls(live: LiveSync) -> None:
    assert live.store.run(lambda tx: Reader(live.runtime).prepare(tx, [])) == []


def test_contacts_are_read_in_one_batch_and_what_changed_is_queued(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "2", JobKind.READ)
    changed = replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5)
    live.hubspot.answer("read_contacts", {"1": changed, "2": None})
    live.hubspot.answer("find_archived", frozenset({"2"}))
    live.queue(HUBSPOT, "1", JobKind.READ)
    jobs = live.work(HUBSPOT, JobKind.READ)
    assert {job.state for job in jobs} == {JobState.DONE}
    assert [name for name, _ in live.hubspot.requests] == ["read_contacts", "find_archived"]
    assert live.is_queued(STRIPE, KEY)


def test_a_contact_that_was_merged_brings_a_read_of_its_survivor(live: LiveSync) -> None:
    live.know(ANN)
    live.hubspot.answer("read_contacts", {"1": contact("9", email="ann@example.com")})
    assert read(live, HUBSPOT, "1").state is JobState.DONE
    assert live.is_queued(HUBSPOT, "9", JobKind.READ)
    assert live.is_queued(HUBSPOT, KEY)


def test_a_batch_that_cannot_be_read_is_read_again(live: LiveSync) -> None:
    live.hubspot.answer("read_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    job = read(live, HUBSPOT, "1")
    assert (job.state, job.attempts) == (JobState.READY, 1)


def test_an_answer_of_a_job_that_another_process_took_is_not_stored(live: LiveSync) -> None:
    for side, method, answer in (
        (HUBSPOT, "read_contacts", {"1": ANN}),
        (STRIPE, "read_customer", customer_answer(CUS)),
    ):
        live.queue(side, "1" if side is HUBSPOT else "cus_1", JobKind.READ)
        calls = live.prepare(live.claim(side, JobKind.READ))
        live.clock.advance(60_000)
        live.store.run(lambda tx: tx.jobs.requeue_abandoned())
        (live.hubspot if side is HUBSPOT else live.stripe).answer(method, answer)
        live.carry_out(calls)
        live.advance(0)
    with live.store.reading() as tx:
        assert tx.records.get_many([(HUBSPOT, "1"), (STRIPE, "cus_1")]) == {}


def test_a_customer_without_events_is_read(live: LiveSync) -> None:
    live.stripe.answer("read_customer", customer_answer(CUS))
    assert read(live, STRIPE, "cus_1").state is JobState.DONE
    assert stored_city(live, CUS) == "Lyon"
    assert live.is_queued(HUBSPOT, "customer:cus_1")


def test_a_customer_that_stripe_calls_deleted_is_deleted(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.stripe.answer("read_customer", replace(customer_answer(None), deleted=True))
    assert read(live, STRIPE, "cus_1").state is JobState.DONE
    live.work(STRIPE)
    assert live.links("1")[0].state is LinkState.ORPHANED


def test_a_customer_that_cannot_be_read_is_read_again(live: LiveSync) -> None:
    live.stripe.answer("read_customer", refused(STRIPE, Failure.SERVER))
    assert read(live, STRIPE, "cus_1").attempts == 1


def test_an_event_whose_order_is_certain_needs_no_read(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.advance(60_000)
    arrive(live, event(live, "e1", replace(CUS, values={**CUS.values, "city": "Paris"})))
    (job,) = live.work(STRIPE, JobKind.READ)
    assert (job.state, live.stripe.requests) == (JobState.DONE, [])
    assert stored_city(live, CUS) == "Paris"
    assert live.is_queued(HUBSPOT, KEY)


def test_two_events_of_one_second_need_a_read(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.advance(60_000)
    paris, rome = (replace(CUS, values={**CUS.values, "city": city}) for city in ("Paris", "Rome"))
    arrive(live, event(live, "e1", paris), event(live, "e2", rome))
    live.stripe.answer("read_customer", customer_answer(rome, live.clock.ms))
    (job,) = live.work(STRIPE, JobKind.READ)
    assert job.state is JobState.DONE
    assert stored_city(live, CUS) == "Rome"


def test_a_deletion_event_needs_no_read(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.advance(60_000)
    arrive(live, event(live, "e1", kind="deleted"))
    live.work(STRIPE, JobKind.READ)
    assert live.stripe.requests == []
    live.work(STRIPE)
    assert live.links("1")[0].state is LinkState.ORPHANED


def test_an_echo_does_not_wait_for_a_write_that_a_wrong_clock_stamped(live: LiveSync) -> None:
    live.link(ANN, CUS)
    paris = replace(CUS, values={**CUS.values, "city": "Paris"})
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.advance(86_400_000)
    live.prepare(live.claim(STRIPE))
    (pending,) = live.open_writes(KEY)
    live.advance(-86_400_000)
    arrive(live, event(live, "e1", paris, request_key=pending.idempotency_key))
    live.stripe.answer("read_customer", customer_answer(paris, live.clock.ms))
    (job,) = live.work(STRIPE, JobKind.READ)
    assert job.due_ms <= live.clock.ms
    assert [method for method, _ in live.stripe.requests] == ["read_customer"]


def test_an_echo_waits_for_the_answer_and_then_needs_no_read(live: LiveSync) -> None:
    live.link(ANN, CUS)
    paris = replace(CUS, values={**CUS.values, "city": "Paris"})
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    calls = live.prepare(live.claim(STRIPE))
    (pending,) = live.open_writes(KEY)
    arrive(live, event(live, "e1", paris, request_key=pending.idempotency_key))
    (job,) = live.work(STRIPE, JobKind.READ)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.OWN_ANSWER)
    assert live.clock.ms < job.due_ms <= live.clock.ms + ANSWER_DUE_MS
    live.stripe.answer("update_customer", customer_answer(paris, live.clock.ms))
    live.carry_out(calls)
    (job,) = live.work(STRIPE, JobKind.READ)
    assert (job.state, [method for method, _ in live.stripe.requests]) == (JobState.DONE, ["update_customer"])


@pytest.mark.parametrize(("kind", "previous", "judged"), [("created", "", True), ("updated", "Nice", False)])
def test_only_the_echo_of_a_creation_is_judged_without_the_lock(
    live: LiveSync, kind: str, previous: str, judged: bool
) -> None:
    live.link(ANN, CUS)
    paris = replace(CUS, values={**CUS.values, "city": "Paris"})
    live.know(replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    calls = live.prepare(live.claim(STRIPE))
    (pending,) = live.open_writes(KEY)
    live.stripe.answer("update_customer", customer_answer(paris, live.clock.ms))
    live.carry_out(calls)
    live.store.run(lambda tx: tx.locks.take_all([KEY], "other", "w1", tx.now_ms + 60_000))
    before = {"city": previous} if previous else {}
    arrive(live, event(live, "e1", kind=kind, request_key=pending.idempotency_key, previous=before))
    (job,) = live.work(STRIPE, JobKind.READ)
    with live.store.reading() as tx:
        found = tx.events.get("e1")
    assert found is not None
    assert (job.state, found.read, found.judged) == (JobState.DONE, True, judged)
    assert live.is_queued(STRIPE, KEY) is not judged


def test_where_the_lock_is_taken_a_write_job_will_judge_the_events(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.advance(60_000)
    live.store.run(lambda tx: tx.locks.take_all([KEY], "other", "w1", tx.now_ms + 60_000))
    arrive(live, event(live, "e1", CUS))
    (job,) = live.work(STRIPE, JobKind.READ)
    assert job.state is JobState.DONE
    assert live.is_queued(STRIPE, KEY)


def test_a_plan_that_must_wait_is_queued_on_its_own_lane(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(HUBSPOT, "1", JobKind.READ)
    live.stripe.answer("read_customer", customer_answer(replace(CUS, other_id="")))
    read(live, STRIPE, "cus_1")
    assert live.is_queued(STRIPE, "customer:cus_1")


def unjudged(live: LiveSync) -> list[str]:
    with live.store.reading() as tx:
        return tx.events.with_unjudged(HUBSPOT, ["1"])


def test_events_of_what_was_read_are_judged_when_the_lock_is_free(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.store.run(lambda tx: tx.events.put_many([nice_of(live)]))
    live.hubspot.answer("read_contacts", {"1": replace(ANN, modified_ms=live.clock.ms)})
    assert read(live, HUBSPOT, "1").state is JobState.DONE
    assert unjudged(live) == []


def test_a_contact_whose_copy_is_older_than_an_event_is_read_again_a_few_times(live: LiveSync) -> None:
    """Then HubSpot will never show anything newer: the event counts as covered."""
    live.link(ANN, CUS)
    arrive(live, nice_of(live))
    live.hubspot.script("read_contacts", lambda _ids: {"1": ANN})
    reads = []
    for _ in range(60):
        if live.work(HUBSPOT, JobKind.READ):
            reads.append(live.clock.ms)
        live.advance(SECOND_MS)
    assert [round((later - earlier) / 1000) for earlier, later in pairwise(reads)] == [2, 4, 8, 16]
    assert unjudged(live) == []


def test_an_event_that_arrives_while_its_contact_is_read_is_not_judged_by_that_read(live: LiveSync) -> None:
    live.link(ANN, CUS)

    def arrive_meanwhile(_ids: object) -> dict[str, Record | None]:
        arrive(live, nice_of(live))
        return {"1": ANN}

    live.hubspot.answer("read_contacts", arrive_meanwhile)
    assert read(live, HUBSPOT, "1").state is JobState.DONE
    assert live.conflicts() == []
    nice = replace(ANN, values={**ANN.values, "city": "Nice"}, modified_ms=live.clock.ms)
    live.hubspot.answer("read_contacts", {"1": nice})
    live.work(HUBSPOT, JobKind.READ)
    assert live.conflicts() == []
    assert live.is_queued(STRIPE, KEY)


@pytest.mark.case(47)
def test_many_edits_of_one_field_on_one_side_are_no_conflicts(live: LiveSync) -> None:
    """120 edits 0.2 s apart: each webhook comes half a second later, so every copy is older than some events."""
    live.link(ANN, CUS)
    held = {HUBSPOT: ANN, STRIPE: CUS}

    def answer_contact(_ids: object) -> dict[str, Record | None]:
        return {"1": held[HUBSPOT]}

    def answer_customer(*arguments: object) -> CustomerAnswer:
        body = json.loads(cast("str", arguments[1]))
        held[STRIPE] = replace(held[STRIPE], values={**held[STRIPE].values, "city": body["address"]["city"]})
        return CustomerAnswer(held[STRIPE], Timing(live.clock.ms, live.clock.ms))

    late: list[Event] = []
    for n in range(130):
        at_ms, city = live.clock.ms, f"City {n}"
        if n < 120:
            held[HUBSPOT] = replace(ANN, values={**ANN.values, "city": city}, modified_ms=at_ms)
            late.append(Event(city, HUBSPOT, "updated", "1", at_ms, {"city": city}, source="user:CRM_UI"))
        due = [event for event in late if at_ms - event.occurred_ms >= 500]
        late = late[len(due) :]
        live.store.run(lambda tx, due=due: store_events(tx, due))  # type: ignore[misc] # bound at once
        live.hubspot.script("read_contacts", answer_contact)
        live.stripe.script("update_customer", answer_customer)
        live.work(HUBSPOT, JobKind.READ)
        live.work(STRIPE)
        live.advance(200)
    assert live.conflicts() == []
    assert held[STRIPE].values["city"] == "City 119"
    assert unjudged(live) == []


def test_a_field_that_answers_lack_is_read_for_with_growing_waits_and_then_no_more(live: LiveSync) -> None:
    live.link(ANN, CUS)
    lacking = replace(ANN, values={"email": "ann@example.com"}, unknown=frozenset({"city"}), modified_ms=5)
    live.queue(HUBSPOT, "1", JobKind.READ)
    reads = []
    for _ in range(200):
        live.hubspot.answer("read_contacts", {"1": lacking})
        if live.work(HUBSPOT, JobKind.READ):
            reads.append(live.clock.ms)
        live.advance(5_000)
    waits = [later - earlier for earlier, later in pairwise(reads)]
    assert [wait // 1000 for wait in waits] == [10, 60, 600]
    assert not live.is_queued(STRIPE, KEY)
    assert not live.conflicts()


@pytest.mark.parametrize("is_known", [True, False], ids=["link by e-mail", "creation"])
def test_a_field_that_answers_lack_delays_no_counterpart_past_the_first_read(live: LiveSync, *, is_known: bool) -> None:
    if is_known:
        live.know(replace(CUS, other_id=""))
    values = {"email": "ann@example.com", "phone": "+33 1"}
    lacking = replace(ANN, other_id="", values=values, unknown=frozenset({"city"}), modified_ms=5)
    live.hubspot.script("read_contacts", lambda ids: dict.fromkeys(ids, lacking))
    live.hubspot.script("update_contacts", lambda items: {item.trace: lacking for item in items})
    live.stripe.script("create_customer", lambda _body, _key: created({"email": "ann@example.com"}))
    live.stripe.script("update_customer", lambda *_: customer_answer(CUS, live.clock.ms))
    live.queue(HUBSPOT, "1", JobKind.READ)
    for _ in range(5):
        live.work(HUBSPOT, JobKind.READ)
        live.work(HUBSPOT)
        live.work(STRIPE)
        live.advance(SECOND_MS)
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)
    assert len(live.links("1")) == 1


def test_a_field_that_is_answered_again_goes_on_from_the_base(live: LiveSync) -> None:
    live.link(ANN, CUS)
    lacking = replace(ANN, values={"email": "ann@example.com"}, unknown=frozenset({"city"}), modified_ms=5)
    live.hubspot.answer("read_contacts", {"1": lacking})
    read(live, HUBSPOT, "1")
    live.advance(10_000)
    live.hubspot.answer("read_contacts", {"1": replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=6)})
    assert live.work(HUBSPOT, JobKind.READ)
    assert live.is_queued(STRIPE, KEY)


def test_an_event_of_a_field_our_copy_lacks_is_no_lost_update(live: LiveSync) -> None:
    live.link(ANN, CUS)
    lacking = replace(ANN, values={"email": "ann@example.com"}, unknown=frozenset({"city"}), modified_ms=5)
    arrive(live, Event("e1", HUBSPOT, "updated", "1", live.clock.ms, values={"city": "Paris"}, source="user:CRM_UI"))
    live.hubspot.answer("read_contacts", {"1": lacking})
    live.work(HUBSPOT, JobKind.READ)
    assert not live.conflicts()


def test_a_customer_with_too_many_unread_events_is_read_once(live: LiveSync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_UNREAD", 6)
    live.link(ANN, CUS)
    crowd = [event(live, f"e{n}", CUS, occurred_ms=live.clock.ms + n * 1_000) for n in range(9)]
    other = customer("cus_2", email="bob@example.com")
    arrive(live, *crowd, replace(event(live, "other", other), record_id="cus_2"))
    live.stripe.answer("read_customer", customer_answer(CUS, live.clock.ms))
    live.work(STRIPE, JobKind.READ)
    assert [arguments for _, arguments in live.stripe.requests] == [("cus_1",)]
    with live.store.reading() as tx:
        assert tx.events.count_unread(STRIPE, ["cus_1", "cus_2"]) == {}
        assert tx.records.get(STRIPE, "cus_2") is not None


def test_a_contact_that_cannot_be_used_is_set_aside_and_the_others_of_its_batch_are_stored(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    live.queue(HUBSPOT, "2", JobKind.READ)
    remains = Record(HUBSPOT, "1", emails=ANN.emails, unknown=frozenset({"city"}))
    bad = CallError(HUBSPOT, Failure.UNUSABLE, "set aside: city holds U+0000", 200, remains=remains)
    live.hubspot.answer("read_contacts", {"1": bad, "2": contact("2", city="Bonn")})
    assert live.work(HUBSPOT, JobKind.READ)
    with live.store.reading() as tx:
        [dead] = tx.dead_letters.latest(limit=5)
        one, two = tx.records.get(HUBSPOT, "1"), tx.records.get(HUBSPOT, "2")
    assert (dead.key, dead.dead_class) == ("1", "set_aside")
    assert dead.reason == "set aside: city holds U+0000; correct it there, and it is read again"
    assert one is not None
    assert one.stale
    assert one.record.values == ANN.values
    assert two is not None
    live.hubspot.answer("read_contacts", {"1": ANN})
    live.queue(HUBSPOT, "1", JobKind.READ)
    assert live.work(HUBSPOT, JobKind.READ)
    with live.store.reading() as tx:
        one = tx.records.get(HUBSPOT, "1")
    assert one is not None
    assert not one.stale


def test_no_answer_for_one_contact_is_asked_again_and_stores_nothing(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(HUBSPOT, "1", JobKind.READ)
    live.hubspot.answer("read_contacts", {"1": CallError(HUBSPOT, Failure.NO_ANSWER, "contact 1 without properties")})
    job = live.work(HUBSPOT, JobKind.READ)
    assert job
    with live.store.reading() as tx:
        stored = tx.records.get(HUBSPOT, "1")
    assert stored is not None
    assert (stored.record.values, stored.stale) == (ANN.values, False)
    assert not live.is_queued(STRIPE, KEY)
