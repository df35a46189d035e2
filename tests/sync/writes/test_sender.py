"""The calls that write, and what each kind of answer leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, SECOND_MS, STRIPE, LiveSync, created, customer_answer, page, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import MAX_ATTEMPTS, DeadClass, Job, JobKind, JobState, WaitCode
from wanesync.core.model import LinkState, Record
from wanesync.core.ports import CreateItem, UpdateItem
from wanesync.sync.calls import Intent
from wanesync.sync.writes.sender import commit_written

ANN = contact("1", email="ann@example.com", city="Lyon", phone="+33 1")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon", phone="+33 1")
VALUES = {"email": "ann@example.com", "city": "Lyon", "phone": "+33 1"}
KEY = "contact:1"


def edit_contact(live: LiveSync, **values: str) -> None:
    """Ann is linked and was edited in HubSpot: Stripe has to be written."""
    live.link(replace(ANN, other_id="cus_1"), CUS)
    live.know(replace(ANN, other_id="cus_1", values={**ANN.values, **values}, modified_ms=5))
    live.queue(STRIPE, KEY)


def edit_customer(live: LiveSync, **values: str) -> None:
    """Ann is linked and was edited in Stripe: HubSpot has to be written."""
    live.link(replace(ANN, other_id="cus_1"), CUS)
    live.know(replace(CUS, values={**CUS.values, **values}))
    live.queue(HUBSPOT, KEY)


def create_contact(live: LiveSync, *answers: object) -> Job:
    """A customer without a contact is sent to HubSpot."""
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    live.hubspot.answer("create_contacts", *answers)
    (job,) = live.work(HUBSPOT)
    return job


def new_contact(items: Sequence[CreateItem]) -> dict[str, Record]:
    """HubSpot's answer to a create of contact 7."""
    values = {"email": "ann@example.com", "city": "Lyon", "phone": "+33 1"}
    return {
        item.trace: Record(
            HUBSPOT,
            "7",
            values,
            frozenset({"ann@example.com"}),
            "cus_1",
            item.properties["wanesync_intent"],
            modified_ms=9,
        )
        for item in items
    }


# -- Stripe


def test_an_update_sends_the_changed_field_and_its_base_follows(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**VALUES, "city": "Paris"})))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    (target, body, _), *_ = [arguments for _, arguments in live.stripe.requests]
    assert (target, "Paris" in str(body), "phone" in str(body)) == ("cus_1", True, False)
    assert live.links("1")[0].base["city"] == ("Paris", "Paris")
    assert "updated" in live.journal()


def test_answers_of_several_customers_are_committed_together(live: LiveSync) -> None:
    people = [contact(str(n), email=f"p{n}@example.com") for n in (1, 2)]
    live.know(*people)
    for person in people:
        live.queue(STRIPE, f"contact:{person.id}")

    def answer(body: str, _key: str) -> object:
        number = "1" if "p1@" in body else "2"
        return created({"email": f"p{number}@example.com"}, f"cus_{number}", number)

    live.stripe.answer("create_customer", answer, answer)
    jobs = live.work(STRIPE)
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert [live.links(str(n))[0].stripe_id for n in (1, 2)] == ["cus_1", "cus_2"]


def test_a_customer_that_is_deleted_orphans_the_link(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", customer_answer(None))
    (job,) = live.work(STRIPE)
    assert (job.state, job.reason) == (JobState.READY, "its customer is deleted")
    live.work(STRIPE)
    assert live.links("1")[0].state is LinkState.ORPHANED


def test_a_create_answered_after_the_deletion_of_its_customer_is_closed(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)

    def answer(_body: str, _key: str) -> object:
        live.delete(STRIPE, "cus_new")
        return created(VALUES)

    live.stripe.answer("create_customer", answer)
    (job,) = live.work(STRIPE)
    assert (job.reason, live.open_writes(KEY)) == ("its customer is deleted", [])
    live.work(STRIPE)
    assert len(live.stripe.requests) == 1


def test_an_answer_to_a_job_that_another_process_took_commits_nothing(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    calls = live.prepare(live.claim(STRIPE))
    live.clock.advance(60_000)
    live.store.run(lambda tx: tx.jobs.requeue_abandoned())
    for answer in (customer_answer(replace(CUS, values={**VALUES, "city": "Paris"})), refused(STRIPE, Failure.SERVER)):
        live.stripe.answer("update_customer", answer)
        live.carry_out(calls)
    assert live.links("1")[0].base["city"] == ("Lyon", "Lyon")
    assert len(live.open_writes(KEY)) == 1


def test_a_create_that_fails_in_stripe_is_looked_up(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER))
    live.stripe.answer("list_customers", page(after="more"), page(CUS))
    (job,) = live.work(STRIPE)
    assert (job.reason, job.attempts) == ("its customer was found", 0)


@pytest.mark.parametrize("is_right_again", [False, True])
def test_a_create_that_was_sent_while_our_clock_was_ahead_is_found_by_the_clock_of_stripe(
    live: LiveSync, *, is_right_again: bool
) -> None:
    """Otherwise the person would be created twice."""
    live.know(ANN)
    live.queue(STRIPE, KEY)
    true_ms = live.clock.ms
    live.advance(3_600_000)

    def refuse(*_: object) -> object:
        if is_right_again:
            live.clock.ms = true_ms
            live.advance(0)
        raise refused(STRIPE, Failure.SERVER)

    live.stripe.answer("create_customer", refuse)
    live.stripe.script("list_customers", lambda _after, from_s, _to: page(
        *([CUS] if from_s <= true_ms // 1000 else []), at_ms=true_ms
    ))  # fmt: skip
    live.work(STRIPE)
    live.clock.ms = true_ms + 3_600_000
    live.work(STRIPE)
    assert [link.stripe_id for link in live.links("1")] == ["cus_1"]
    assert [name for name, _ in live.stripe.requests].count("create_customer") == 1


def test_a_create_that_fails_in_stripe_and_left_nothing_counts_as_an_attempt(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER), created(VALUES))
    live.stripe.answer("list_customers", page())
    (job,) = live.work(STRIPE)
    assert (job.waits_for, job.attempts) == (WaitCode.BACKOFF, 1)
    live.advance(60_000)
    live.work(STRIPE)
    first, second = [arguments[1] for method, arguments in live.stripe.requests if method == "create_customer"]
    assert (first, second) == ("wane-c-1-1-0", "wane-c-1-1-1")


def test_an_update_that_fails_in_stripe_is_read_and_takes_another_key(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", refused(STRIPE, Failure.SERVER))
    (job,) = live.work(STRIPE)
    assert (job.waits_for, live.open_writes(KEY)) == (WaitCode.BACKOFF, [])
    assert live.is_queued(STRIPE, "cus_1", JobKind.READ)


def test_a_body_sent_under_a_used_key_is_given_up_and_planned_again(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", refused(STRIPE, Failure.MISMATCH))
    (job,) = live.work(STRIPE)
    assert (job.state, job.attempts, live.open_writes(KEY)) == (JobState.READY, 1, [])


def test_a_create_that_is_refused_even_with_nothing_but_the_address_is_a_dead_letter(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.REFUSED), refused(STRIPE, Failure.REFUSED))
    (job,) = live.work(STRIPE)
    assert (job.state, job.dead_class) == (JobState.DEAD, DeadClass.REFUSED)
    assert live.journal()[:2] == ["dead", "refused"]


# -- HubSpot


def test_a_contact_is_created_with_its_intent_and_linked(live: LiveSync) -> None:
    job = create_contact(live, new_contact)
    assert job.state is JobState.DONE
    ((_, (items,)),) = live.hubspot.requests
    assert items[0].properties["stripe_customer_id"] == "cus_1"  # type: ignore[index] # the items of the request
    assert [k.stripe_id for k in live.links("7")] == ["cus_1"]


def test_a_field_that_is_refused_is_parked_and_the_others_are_sent(live: LiveSync) -> None:
    edit_customer(live, city="Paris", phone="+33 2")
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.REFUSED, "phone")})
    (job,) = live.work(HUBSPOT)
    assert (job.reason, job.attempts) == ("a field was parked", 0)
    assert ("parked", "phone", "+33 2") in live.conflicts()
    live.advance(60_000)
    after = replace(ANN, other_id="cus_1", values={**VALUES, "city": "Paris"}, modified_ms=9)
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: after})
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert set(live.links("1")[0].parked) == {"phone"}


def test_an_address_that_is_taken_is_parked(live: LiveSync) -> None:
    edit_customer(live, email="new@example.com")
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.CONFLICT)})
    live.work(HUBSPOT)
    assert set(live.links("1")[0].parked) == {"email"}


def test_a_refusal_of_a_field_that_was_not_sent_is_a_dead_letter(live: LiveSync) -> None:
    edit_customer(live, email="new@example.com")
    conflict = refused(HUBSPOT, Failure.CONFLICT, "zip")
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: conflict})
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.dead_class) == (JobState.DEAD, DeadClass.VALIDATION)


def test_an_address_that_is_taken_again_and_again_ends_as_a_dead_letter(live: LiveSync) -> None:
    edit_customer(live, email="new@example.com")
    (job,) = live.claim(HUBSPOT)
    late = replace(job, attempts=MAX_ATTEMPTS - 1)
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.CONFLICT)})
    live.carry_out(live.prepare([late]))
    assert live.look([job])[0].state is JobState.DEAD


def test_another_contact_that_carries_our_id_is_read(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(CUS, values={**VALUES, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    taken = refused(HUBSPOT, Failure.CONFLICT, "stripe_customer_id", existing_id="8")
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: taken})
    (job,) = live.work(HUBSPOT)
    assert (job.waits_for, job.attempts) == (WaitCode.READ_PENDING, 1)
    assert live.is_queued(HUBSPOT, "8", JobKind.READ)


def test_a_contact_that_is_gone_is_read(live: LiveSync) -> None:
    edit_customer(live, city="Paris")
    live.hubspot.answer("update_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.NOT_FOUND)})
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)


@pytest.mark.parametrize("answer", [{}, {"other": ANN}], ids=["nothing", "another item"])
def test_an_item_the_answer_left_out_is_tried_again(live: LiveSync, answer: dict[str, Record]) -> None:
    edit_customer(live, city="Paris")
    live.hubspot.answer("update_contacts", answer)
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.attempts, len(live.open_writes(KEY))) == (JobState.READY, 1, 1)


def test_a_batch_without_an_answer_sets_back_all_its_jobs(live: LiveSync) -> None:
    edit_customer(live, city="Paris")
    live.hubspot.answer(
        "update_contacts", CallError(HUBSPOT, Failure.RATE_LIMITED, "slow down", 429, retry_after_ms=5_000)
    )
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.attempts, job.waits_for) == (JobState.READY, 0, WaitCode.VENDOR)


@pytest.mark.parametrize(
    ("failure", "is_sent"), [(Failure.RATE_LIMITED, False), (Failure.UNREACHED, False), (Failure.NO_ANSWER, True)]
)
def test_a_write_that_was_only_refused_unread_counts_as_never_sent(
    live: LiveSync, failure: Failure, *, is_sent: bool
) -> None:
    edit_customer(live, city="Paris")
    live.hubspot.answer("update_contacts", CallError(HUBSPOT, failure, "not now"))
    live.work(HUBSPOT)
    (pending,) = live.open_writes(KEY)
    assert (pending.sent_ms > 0) == is_sent


def test_a_create_that_was_sent_once_without_an_answer_counts_as_sent_whatever_comes_then(live: LiveSync) -> None:
    live.know(contact("9", email="new@example.com"))
    live.queue(STRIPE, "contact:9")
    for failure in (Failure.NO_ANSWER, Failure.RATE_LIMITED):
        live.stripe.answer("create_customer", CallError(STRIPE, failure, "not now"))
        live.work(STRIPE)
        live.advance(60_000)
    (pending,) = live.open_writes("contact:9")
    assert pending.sent_ms > 0


def test_items_are_matched_by_their_trace(live: LiveSync) -> None:
    edit_customer(live, city="Paris")

    def answer(items: Sequence[UpdateItem]) -> dict[str, Record]:
        assert [item.id for item in items] == ["1"]
        return {items[0].trace: replace(ANN, values={**VALUES, "city": "Paris"}, other_id="cus_1", modified_ms=9)}

    live.hubspot.answer("update_contacts", answer)
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE


# -- a create whose address is taken


def test_the_contact_that_has_the_address_is_read_and_linked_without_being_overwritten(live: LiveSync) -> None:
    there = replace(ANN, id="7", values={**VALUES, "city": "Nice"}, modified_ms=5)
    live.hubspot.answer("read_contacts", {"7": there})
    conflict = refused(HUBSPOT, Failure.CONFLICT, "email", existing_id="7")
    job = create_contact(live, lambda items: {items[0].trace: conflict})
    assert (job.state, job.attempts) == (JobState.READY, 1)
    live.advance(1_000)
    live.hubspot.answer(
        "update_contacts", lambda items: {items[0].trace: replace(there, other_id="cus_1", modified_ms=6)}
    )
    live.work(HUBSPOT)
    live.work(HUBSPOT)
    assert [k.stripe_id for k in live.links("7")] == ["cus_1"]
    assert ("differ", "city", "Nice") in live.conflicts()


def test_a_conflict_with_our_own_lost_create_is_that_create(live: LiveSync) -> None:
    made: dict[str, Record] = {}

    def conflict(items: Sequence[CreateItem]) -> dict[str, CallError]:
        made.update({"7": new_contact(items)[items[0].trace]})
        return {items[0].trace: refused(HUBSPOT, Failure.CONFLICT, "email", existing_id="7")}

    live.hubspot.answer("read_contacts", lambda _ids: made)
    job = create_contact(live, conflict)
    assert job.state is JobState.DONE
    assert [k.stripe_id for k in live.links("7")] == ["cus_1"]


def test_a_read_of_the_existing_contact_that_fails_leaves_the_create_open(live: LiveSync) -> None:
    live.hubspot.answer("read_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    conflict = refused(HUBSPOT, Failure.CONFLICT, "email", existing_id="7")
    job = create_contact(live, lambda items: {items[0].trace: conflict})
    assert (job.state, job.attempts, len(live.open_writes("customer:cus_1"))) == (JobState.READY, 1, 1)


# -- answers that come late


def test_one_answer_alone_is_committed_like_several(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**VALUES, "city": "Paris"})))
    (job,) = live.claim(STRIPE)
    (call,) = live.prepare([job])
    answer = call.send()
    assert live.store.run(lambda tx: call.then(tx, answer)) == []
    assert live.look([job])[0].state is JobState.DONE
    assert live.links("1")[0].base["city"] == ("Paris", "Paris")


def test_an_answered_update_of_a_link_that_is_gone_changes_no_base(live: LiveSync) -> None:
    edit_contact(live, city="Paris")
    live.stripe.answer("update_customer", customer_answer(replace(CUS, values={**VALUES, "city": "Paris"})))
    (job,) = live.claim(STRIPE)
    live.prepare([job])
    (pending,) = live.open_writes(KEY)
    elsewhere = replace(pending, link_id="a link that is gone")
    live.know(replace(CUS, values={**VALUES, "city": "Paris"}))
    live.store.run(lambda tx: commit_written(live.runtime, tx, [(Intent(job, elsewhere), CUS)]))
    assert live.open_writes(KEY) == []
    assert live.links("1")[0].base["city"] == ("Paris", "Paris"), "both sides agree now"


def test_a_created_pair_whose_lock_is_taken_is_sent_again_under_its_key(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    again = replace(created(VALUES), replayed=True)
    live.stripe.answer("create_customer", created(VALUES), again)
    live.store.run(lambda tx: tx.locks.take_all(["customer:cus_new"], "other", "w1", tx.now_ms + 1_000))
    (job,) = live.work(STRIPE)
    assert (job.state, job.waits_for, live.links("1")) == (JobState.READY, WaitCode.LOCK, [])
    live.advance(2_000)
    live.work(STRIPE)
    first, second = [arguments for _, arguments in live.stripe.requests]
    assert first == second
    assert live.open_writes(KEY) == []


def test_a_create_whose_contact_was_deleted_meanwhile_is_closed_although_nothing_is_linked(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)

    def answer(_body: str, _key: str) -> object:
        live.delete(HUBSPOT, "1")
        return created(VALUES)

    live.stripe.answer("create_customer", answer)
    (job,) = live.work(STRIPE)
    assert (job.state, live.open_writes(KEY), live.links("1")) == (JobState.DONE, [], [])
    live.work(STRIPE)
    assert len(live.stripe.requests) == 1


@pytest.mark.case(46)
def test_a_key_that_an_unremembered_create_used_leads_to_its_customer(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    old = replace(CUS, values={**CUS.values, "city": "Old"})
    live.stripe.answer("create_customer", refused(STRIPE, Failure.MISMATCH))
    live.stripe.answer("list_customers", page(old))
    live.work(STRIPE)
    live.work(STRIPE)
    assert [name for name, _ in live.stripe.requests] == ["create_customer", "list_customers"]
    assert [link.stripe_id for link in live.links("1")] == ["cus_1"]
    assert {(kind, value) for kind, _, value in live.conflicts()} == {("differ", "Lyon"), ("differ", "Old")}


def test_a_key_whose_customer_is_gone_is_replaced(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.MISMATCH), created(VALUES))
    live.stripe.answer("list_customers", page())
    live.work(STRIPE)
    live.advance(SECOND_MS)
    live.work(STRIPE)
    keys = [arguments[1] for name, arguments in live.stripe.requests if name == "create_customer"]
    assert keys == ["wane-c-1-1-0", "wane-c-1-1-1"]


@pytest.mark.parametrize("stands", ["", "Acme"], ids=["left blank", "trimmed"])
def test_a_business_name_that_the_company_did_not_take_is_listed_and_not_sent_again(
    live: LiveSync, stands: str
) -> None:
    sent: list[str] = []

    def answer(items: Sequence[UpdateItem]) -> dict[str, Record]:
        sent.extend(f"{name}={value}" for item in items for name, value in item.properties.items())
        values = {**ANN.values, "company": stands}
        at_ms = 10 + len(sent)
        return {i.trace: replace(ANN, other_id="cus_1", values=values, modified_ms=at_ms) for i in items}

    edit_customer(live, name="Acme GmbH")
    live.hubspot.script("update_contacts", answer)
    for _ in range(20):
        live.work(HUBSPOT)
        live.work(STRIPE)
        live.advance(SECOND_MS)
    assert sent == ["company=Acme GmbH"]
    assert live.conflicts() == [("not_taken", "name", "Acme GmbH")]
    live.know(replace(CUS, values={**CUS.values, "name": "Byte GmbH"}))
    live.queue(HUBSPOT, KEY)
    live.work(HUBSPOT)
    assert sent[-1] == ("lastname=Byte GmbH" if stands else "company=Byte GmbH")  # a company that stands is another one
