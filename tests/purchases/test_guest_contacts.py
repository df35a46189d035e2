"""Guests: one contact per address of a payment without a customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import Job, JobKind, JobState, WaitCode
from wanesync.core.model import Note, NoteCode, Record, Side, guest_key
from wanesync.core.plan import COUNTERPART_DELETED
from wanesync.core.ports import CreateItem
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.purchases.guest_contacts import DECISION_WAIT_MS, LISTING_WAIT_MS
from wanesync.purchases.sender import SINK
from wanesync.sync.restored import end_listing
from wanesync.sync.writes.writer import WRITES

EMAIL = "guest@example.com"


def pay(live: LiveSync) -> str:
    """A guest paid; returns the key of its job, which is queued."""
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.CUSTOM_EVENT))
    live.pay("pi_1", "", EMAIL)
    live.work(HUBSPOT, JobKind.PURCHASE)
    return guest_key(live.store.hmac(EMAIL))


def work(live: LiveSync) -> Job:
    (job,) = live.work(HUBSPOT)
    return job


def made(items: Sequence[CreateItem]) -> dict[str, Record]:
    return {
        i.trace: Record(HUBSPOT, "7", {"email": EMAIL}, frozenset({EMAIL}), intent=i.trace, modified_ms=5)
        for i in items
    }


def conflict(items: Sequence[CreateItem]) -> dict[str, CallError]:
    return {i.trace: refused(HUBSPOT, Failure.CONFLICT, "email", existing_id="8") for i in items}


def test_a_guest_gets_a_contact_and_its_payment_goes_on(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", made)
    assert work(live).state is JobState.DONE
    assert live.open_writes(key) == []
    with live.store.reading() as tx:
        row = tx.purchases.get_many(["pi_1"])["pi_1"]
    assert (row.contact_id, row.state) == ("7", PurchaseState.TODO)
    assert live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)
    assert live.is_queued(HUBSPOT, "7", JobKind.READ)


def test_a_create_without_an_answer_is_sent_again_as_it_was(live: LiveSync) -> None:
    pay(live)
    live.hubspot.answer("create_contacts", refused(HUBSPOT, Failure.NO_ANSWER), made)
    assert work(live).attempts == 1
    live.advance(60_000)
    assert work(live).state is JobState.DONE
    (first,), (second,) = [arguments for _, arguments in live.hubspot.requests]
    assert first == second


def test_an_address_that_is_taken_leads_to_the_contact_that_has_it(live: LiveSync) -> None:
    pay(live)
    live.hubspot.answer("create_contacts", conflict)
    live.hubspot.answer("read_contacts", {"8": contact("8", email=EMAIL)})
    assert work(live).state is JobState.DONE
    assert live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)


def test_a_read_that_fails_leaves_the_create_open(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", conflict)
    live.hubspot.answer("read_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    assert (work(live).attempts, len(live.open_writes(key))) == (1, 1)


def test_a_guest_that_is_refused_is_a_dead_letter(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.REFUSED, "email")})
    assert (work(live).state, live.open_writes(key)) == (JobState.DEAD, [])


def test_an_answer_that_leaves_the_guest_out_is_none(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", {})
    assert (work(live).attempts, len(live.open_writes(key))) == (1, 1)


def test_a_taken_lock_is_waited_for(live: LiveSync) -> None:
    key = pay(live)
    live.store.run(lambda tx: tx.locks.take_all([key], "other", "w1", tx.now_ms + 60_000))
    assert work(live).waits_for == WaitCode.LOCK


def test_with_writes_off_no_contact_is_created(live: LiveSync) -> None:
    key = pay(live)
    live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    assert (work(live).waits_for, live.open_writes(key)) == (WaitCode.WRITES_OFF, [])


def test_nothing_is_created_before_the_first_listing() -> None:
    live = LiveSync(is_listed=False)
    pay(live)
    job = work(live)
    assert (job.waits_for, job.due_ms - live.clock.ms) == (WaitCode.FIRST_LISTING, LISTING_WAIT_MS)
    live.store.run(lambda tx: end_listing(tx, str(tx.now_ms)))
    with live.store.reading() as tx:
        after = tx.jobs.get(job.id)
    assert after is not None
    assert after.due_ms == live.clock.ms
    live.close()


def test_a_customer_with_the_address_is_planned_first(live: LiveSync) -> None:
    pay(live)
    live.know(customer("cus_1", email=EMAIL))
    assert work(live).waits_for == WaitCode.EMAIL_BEING_CREATED
    assert live.is_queued(HUBSPOT, "customer:cus_1")


def test_a_contact_that_turned_up_takes_the_payment(live: LiveSync) -> None:
    pay(live)
    live.know(contact("9", email=EMAIL))
    assert work(live).state is JobState.DONE
    assert live.hubspot.requests == []
    assert live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)


def test_a_deleted_address_is_not_created_again(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    work(live)
    live.advance(60_000)
    live.store.run(lambda tx: tx.tombstones.put(Side.HUBSPOT, "7", frozenset({live.store.hmac(EMAIL)})))
    assert work(live).state is JobState.DONE
    assert (live.open_writes(key), len(live.hubspot.requests)) == ([], 1)


def test_the_answer_of_a_job_that_another_process_took_is_not_stored(live: LiveSync) -> None:
    key = pay(live)
    calls = live.prepare(live.claim(HUBSPOT))
    live.clock.advance(60_000)
    live.store.run(lambda tx: tx.jobs.requeue_abandoned())
    live.hubspot.answer("create_contacts", made)
    live.carry_out(calls)
    assert len(live.open_writes(key)) == 1
    assert not live.is_queued(STRIPE, "7", JobKind.READ)


def test_the_contact_that_has_the_address_is_not_stored_for_a_job_that_another_process_took(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", conflict)

    def read(_ids: Sequence[str]) -> dict[str, Record]:
        live.clock.advance(60_000)
        return {"8": contact("8", email=EMAIL)}

    live.hubspot.answer("read_contacts", read)
    work(live)
    with live.store.reading() as tx:
        assert tx.records.get(HUBSPOT, "8") is None
    assert len(live.open_writes(key)) == 1


def test_a_taken_address_without_a_known_contact_is_a_dead_letter(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.CONFLICT, "email")})
    assert (work(live).state, live.open_writes(key)) == (JobState.DEAD, [])


def test_a_batch_that_fails_as_a_whole_sets_back_all_its_guests(live: LiveSync) -> None:
    key = pay(live)
    live.hubspot.answer("create_contacts", refused(HUBSPOT, Failure.RATE_LIMITED))
    job = work(live)
    assert (job.waits_for, job.attempts, len(live.open_writes(key))) == (WaitCode.VENDOR, 0, 1)


def test_guests_of_one_batch_are_handled_each_by_itself(live: LiveSync) -> None:
    pay(live)
    live.pay("pi_2", "", "second@example.com")
    live.work(HUBSPOT, JobKind.PURCHASE)

    def answer(items: Sequence[CreateItem]) -> dict[str, Record | CallError]:
        wrong = {i.trace: refused(HUBSPOT, Failure.REFUSED) for i in items if i.properties["email"] != EMAIL}
        return {**made([i for i in items if i.trace not in wrong]), **wrong}

    live.hubspot.answer("create_contacts", answer)
    assert sorted(job.state for job in live.work(HUBSPOT)) == [JobState.DEAD, JobState.DONE]
    assert len(live.hubspot.requests) == 1


def test_a_customer_that_needs_a_decision_is_waited_for_longer(live: LiveSync) -> None:
    pay(live)
    live.know(customer("cus_1", email=EMAIL))
    note = Note(NoteCode.AMBIGUOUS, "ambiguous: two contacts")
    live.store.run(lambda tx: tx.records.set_note(STRIPE, "cus_1", note))
    job = work(live)
    assert (job.waits_for, job.due_ms - live.clock.ms) == (WaitCode.EMAIL_BEING_CREATED, DECISION_WAIT_MS)


def test_a_decision_is_waited_for_no_longer_than_the_payments_wait(live: LiveSync) -> None:
    pay(live)
    live.know(customer("cus_1", email=EMAIL))
    live.store.run(lambda tx: tx.records.set_note(STRIPE, "cus_1", COUNTERPART_DELETED))
    live.store.run(lambda tx: tx.purchases.set_state("pi_1", PurchaseState.UNMATCHED, reason="no contact"))
    assert work(live).state is JobState.DONE
    # Tried again, the payment waits again, and so does its guest.
    live.store.run(lambda tx: tx.purchases.set_state("pi_1", PurchaseState.TODO))
    live.queue(HUBSPOT, "pi_1", JobKind.PURCHASE)
    live.work(HUBSPOT, JobKind.PURCHASE)
    assert work(live).waits_for == WaitCode.EMAIL_BEING_CREATED


def test_another_open_create_with_the_address_is_waited_for(live: LiveSync) -> None:
    pay(live)
    live.know(customer("cus_1", email=EMAIL))
    live.queue(HUBSPOT, "customer:cus_1")
    live.prepare([job for job in live.claim(HUBSPOT) if job.key == "customer:cus_1"])
    live.delete(STRIPE, "cus_1")
    live.advance(6_000)
    live.store.run(lambda tx: tx.jobs.release("w1"))
    guests = [job for job in live.claim(HUBSPOT) if job.key.startswith("guest:")]
    assert live.prepare(guests) == []
    assert [job.waits_for for job in live.look(guests)] == [WaitCode.EMAIL_BEING_CREATED]


def test_a_contact_whose_address_was_changed_before_the_answer_is_still_this_guests(live: LiveSync) -> None:
    pay(live)

    def answer(items: Sequence[CreateItem]) -> dict[str, Record]:
        new = frozenset({"new@example.com"})
        return {
            t: replace(record, values={"email": "new@example.com"}, emails=new) for t, record in made(items).items()
        }

    live.hubspot.answer("create_contacts", answer)
    assert work(live).state is JobState.DONE
    with live.store.reading() as tx:
        assert tx.purchases.get_many(["pi_1"])["pi_1"].contact_id == "7"


def test_a_guest_whose_address_is_on_two_contacts_queues_no_payment_again(live: LiveSync) -> None:
    pay(live)
    live.know(contact("8", email=EMAIL), contact("9", email=EMAIL))
    live.store.run(lambda tx: tx.jobs.finish_many(tx.jobs.claim(HUBSPOT, [JobKind.PURCHASE], 9, "w1")))
    assert work(live).state is JobState.DONE
    assert not live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)


def test_the_payment_of_a_customer_that_names_the_address_is_not_the_guests(live: LiveSync) -> None:
    """A charge may name any billing address: that of a shared mailbox, of a colleague, of a parent."""
    live.know(customer("cus_1", email="ann@example.com"))
    live.pay("pi_ann", "cus_1", EMAIL)
    pay(live)
    live.hubspot.answer("create_contacts", made)
    live.carry_out(live.prepare([job for job in live.claim(HUBSPOT) if job.key.startswith("guest:")]))
    with live.store.reading() as tx:
        rows = tx.purchases.get_many(["pi_ann", "pi_1"])
    assert (rows["pi_ann"].contact_id, rows["pi_1"].contact_id) == ("", "7")
    live.link(contact("1", email="ann@example.com"), customer("cus_1", email="ann@example.com"))
    sent: dict[str, str] = {}

    def send(items: Mapping[str, Purchase]) -> dict[str, None]:
        sent.update({i: payment.contact_id for i, payment in items.items()})
        return dict.fromkeys(items)

    live.hubspot.script("send_events", send)
    live.work(HUBSPOT, JobKind.PURCHASE)
    assert sent == {"pi_ann": "1", "pi_1": "7"}


def test_no_contact_is_created_for_the_billing_address_of_a_customer(live: LiveSync) -> None:
    live.know(customer("cus_1", email="ann@example.com"))
    live.pay("pi_ann", "cus_1", EMAIL)
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.CUSTOM_EVENT))
    live.work(HUBSPOT, JobKind.PURCHASE)
    live.queue(HUBSPOT, guest_key(live.store.hmac(EMAIL)))
    (job,) = [job for job in live.claim(HUBSPOT) if job.key.startswith("guest:")]
    live.carry_out(live.prepare([job]))
    assert (live.look([job])[0].state, live.hubspot.requests) == (JobState.DONE, [])


def test_the_address_of_a_contact_is_not_that_of_an_erased_payment(live: LiveSync) -> None:
    """A privacy deletion empties the address of an old payment; its hash stays, and the deletion may be lifted."""
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.CUSTOM_EVENT))
    live.pay("pi_0", "", EMAIL)
    live.store.run(lambda tx: tx.purchases.set_state("pi_0", PurchaseState.UNMATCHED, reason="held"))
    live.store.run(lambda tx: tx.jobs.finish_many(tx.jobs.claim(HUBSPOT, [JobKind.PURCHASE], 9, "w1")))
    live.store.run(lambda tx: tx.erasure.erase(["9"], [], [live.store.hmac(EMAIL)]))
    pay(live)
    created: list[str] = []

    def create(items: Sequence[CreateItem]) -> dict[str, Record]:
        created.extend(item.properties["email"] for item in items)
        return made(items)

    live.hubspot.answer("create_contacts", create)
    assert (work(live).state, created) == (JobState.DONE, [EMAIL])
