"""Purchase jobs: the sink, sending once, and what each kind of answer leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import LOCK_WAIT_MS, MAX_ATTEMPTS, DeadClass, Job, JobKind, JobState, WaitCode
from wanesync.core.model import LinkState, Note, NoteCode
from wanesync.core.purchases import ROLL_UP_COUNT, ROLL_UP_TOTALS, Purchase, PurchaseState, Sink
from wanesync.purchases.sender import (
    GONE,
    GONE_WAIT_MS,
    MAX_CONTACT_WAIT_MS,
    MAX_LATENESS_MS,
    MIN_CONTACT_WAIT_MS,
    NOTE_IN_DOUBT,
    SINK,
)
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import LOCK_MS
from wanesync.sync.writes.writer import WRITES

PURCHASE = JobKind.PURCHASE
ANN = contact("1", email="ann@example.com")
CUS = customer("cus_1", email="ann@example.com")
HOUR_MS = 3_600_000


@pytest.fixture
def events() -> Iterator[LiveSync]:
    """A linked contact; purchases are custom events."""
    yield from linked(Sink.CUSTOM_EVENT)


@pytest.fixture
def notes() -> Iterator[LiveSync]:
    """A linked contact; purchases are notes."""
    yield from linked(Sink.NOTE)


@pytest.fixture
def roll_ups() -> Iterator[LiveSync]:
    """A linked contact; purchases are totals in its properties."""
    yield from linked(Sink.PROPERTIES)


def linked(sink: Sink) -> Iterator[LiveSync]:
    live = LiveSync(sink=sink)
    live.link(ANN, CUS)
    yield live
    live.close()


def taken(items: Mapping[str, object]) -> dict[str, None]:
    """HubSpot took every item."""
    return dict.fromkeys(items)


def ledger(live: LiveSync, payment_id: str = "pi_1") -> Purchase:
    """The row of a payment."""
    with live.store.reading() as tx:
        return tx.purchases.get_many([payment_id])[payment_id]


def sent_items(live: LiveSync, method: str) -> list[list[str]]:
    """The payments, or contacts, of each request by one method."""
    return [list(arguments[0]) for name, arguments in live.hubspot.requests if name == method]  # type: ignore[call-overload] # the items of the request


def due_in_ms(live: LiveSync, job: Job) -> int:
    return job.due_ms - live.clock.ms


# -- the sink


@pytest.mark.parametrize(
    ("can_define", "sink", "method"), [(True, "custom_event", "send_events"), (False, "note", "create_notes")]
)
def test_auto_chooses_the_sink_once_and_goes_on_with_it(
    live: LiveSync, *, can_define: bool, sink: str, method: str
) -> None:
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.hubspot.answer("can_define_events", can_define)
    live.hubspot.answer(method, taken, taken)
    (job,) = live.work(HUBSPOT, PURCHASE)
    assert (job.state, ledger(live).sink) == (JobState.DONE, sink)
    assert "purchase sink" in live.journal()
    live.pay("pi_2", "cus_1")
    live.work(HUBSPOT, PURCHASE)
    assert [name for name, _ in live.hubspot.requests].count("can_define_events") == 1
    with live.store.reading() as tx:
        assert tx.settings.get(SINK) == sink


def test_without_an_answer_about_the_sink_nothing_is_chosen(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.hubspot.answer("can_define_events", refused(HUBSPOT, Failure.NO_ANSWER))
    (job,) = live.work(HUBSPOT, PURCHASE)
    assert (job.state, job.attempts, ledger(live).sink) == (JobState.READY, 1, None)


def test_the_sink_of_the_first_attempt_stays() -> None:
    live = LiveSync(sink=Sink.CUSTOM_EVENT)
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.store.run(lambda tx: tx.purchases.set_state("pi_1", PurchaseState.TODO, contact_id="1", sink=Sink.NOTE))
    live.hubspot.answer("create_notes", taken)
    live.hubspot.answer("read_note_marks", frozenset())
    live.work(HUBSPOT, PURCHASE)
    assert (ledger(live).state, ledger(live).sink) == (PurchaseState.SENT, Sink.NOTE)
    live.close()


def test_payments_of_two_sinks_are_sent_by_two_calls(events: LiveSync) -> None:
    for payment_id in ("pi_1", "pi_2"):
        events.pay(payment_id, "cus_1")
    events.store.run(lambda tx: tx.purchases.set_state("pi_2", PurchaseState.TODO, contact_id="1", sink=Sink.NOTE))
    events.hubspot.answer("send_events", taken)
    events.hubspot.answer("create_notes", taken)
    assert {job.state for job in events.work(HUBSPOT, PURCHASE)} == {JobState.DONE}
    assert (sent_items(events, "send_events"), sent_items(events, "create_notes")) == ([["pi_1"]], [["pi_2"]])


# -- custom events


def test_payments_of_one_batch_are_sent_together_and_recorded(events: LiveSync) -> None:
    for payment_id in ("pi_1", "pi_2"):
        events.pay(payment_id, "cus_1")
    events.hubspot.answer("send_events", taken)
    jobs = events.work(HUBSPOT, PURCHASE)
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert [sorted(items) for items in sent_items(events, "send_events")] == [["pi_1", "pi_2"]]
    assert (ledger(events).state, ledger(events).contact_id) == (PurchaseState.SENT, "1")
    assert events.journal().count("purchase") == 2


def test_a_payment_that_was_sent_is_not_sent_again(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.store.run(lambda tx: tx.purchases.set_state("pi_1", PurchaseState.SENT))
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, events.hubspot.requests) == (JobState.DONE, [])


def test_a_job_without_a_row_ends(events: LiveSync) -> None:
    events.queue(HUBSPOT, "pi_9", PURCHASE)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert job.state is JobState.DONE


def test_with_writes_off_a_payment_waits_and_the_journal_says_so(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, events.hubspot.requests) == (WaitCode.WRITES_OFF, [])
    assert "would write" in events.journal()


def test_one_refused_payment_is_a_dead_letter_and_the_other_is_sent(events: LiveSync) -> None:
    for payment_id in ("pi_1", "pi_2"):
        events.pay(payment_id, "cus_1")
    events.hubspot.answer("send_events", {"pi_1": refused(HUBSPOT, Failure.REFUSED), "pi_2": None})
    jobs = {job.key: job.state for job in events.work(HUBSPOT, PURCHASE)}
    assert jobs == {"pi_1": JobState.DEAD, "pi_2": JobState.DONE}


def test_a_contact_that_is_gone_is_read_and_looked_for_again(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.hubspot.answer("send_events", {"pi_1": refused(HUBSPOT, Failure.NOT_FOUND)})
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, job.attempts, job.waits_for) == (JobState.READY, 1, WaitCode.CONTACT)
    assert ledger(events).contact_id == ""
    assert events.is_queued(HUBSPOT, "1", JobKind.READ)


def test_a_contact_that_is_missing_for_good_is_asked_for_less_and_less_often(events: LiveSync) -> None:
    """A restored database may not know that a contact's data were deleted: no read finds it, and no bin holds it."""
    events.pay("pi_1", "cus_1")
    events.hubspot.answer("send_events", *([{"pi_1": refused(HUBSPOT, Failure.NOT_FOUND)}] * 200))
    waits = []
    for _ in range(12):
        (job,) = events.work(HUBSPOT, PURCHASE)
        waits.append(due_in_ms(events, job))
        events.advance(waits[-1])
    assert waits[:3] == [GONE_WAIT_MS, 2 * GONE_WAIT_MS, 4 * GONE_WAIT_MS]
    assert waits[-1] == MAX_CONTACT_WAIT_MS
    events.advance(25 * HOUR_MS)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, job.dead_class, job.reason) == (JobState.DEAD, DeadClass.UNMATCHED, "its contact is gone")


def mark_missing(live: LiveSync, contact_id: str) -> None:
    """Reads do not find a contact for so long that it counts as missing."""
    for ms in (0, 1_000, 10_000, 60_000):
        live.advance(ms)
        with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
            records.mark_absent(HUBSPOT, contact_id)


def test_no_event_is_sent_to_a_contact_that_is_missing_and_it_is_sent_when_that_is_found(events: LiveSync) -> None:
    """HubSpot answers an event for a contact that is not there with 204, and drops it."""
    bob = contact("3", email="work@example.com")
    events.link(bob, customer("cus_3", email="bob@example.com"))
    mark_missing(events, "3")
    events.pay("pi_1", "cus_3")
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, ledger(events).state, ledger(events).reason) == (WaitCode.CONTACT, "waiting", GONE)
    assert events.is_queued(HUBSPOT, "3", JobKind.READ)
    events.advance(25 * HOUR_MS)
    events.work(HUBSPOT, PURCHASE)
    assert (ledger(events).state, ledger(events).reason) == (PurchaseState.UNMATCHED, GONE)
    with events.store.transaction() as tx, RecordWriter(events.runtime, tx) as records:
        records.store_contact(bob)
    events.hubspot.answer("send_events", taken)
    events.work(HUBSPOT, PURCHASE)
    assert (ledger(events).state, ledger(events).contact_id) == (PurchaseState.SENT, "3")


def test_an_event_goes_to_the_next_contact_when_that_of_its_first_attempt_is_deleted(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.hubspot.answer("send_events", refused(HUBSPOT, Failure.NO_ANSWER), taken)
    events.work(HUBSPOT, PURCHASE)
    events.advance(60_000)
    events.delete(HUBSPOT, "1")
    events.work(HUBSPOT, PURCHASE)
    assert (ledger(events).state, ledger(events).contact_id) == (PurchaseState.WAITING, "")
    relink(events)
    events.advance(60_000)
    events.work(HUBSPOT, PURCHASE)
    assert (ledger(events).state, ledger(events).contact_id) == (PurchaseState.SENT, "2")


def test_a_payment_given_up_because_its_contact_is_gone_goes_to_the_next_one(notes: LiveSync) -> None:
    notes.pay("pi_1", "cus_1")
    notes.advance(25 * HOUR_MS)
    notes.hubspot.answer("create_notes", {"pi_1": refused(HUBSPOT, Failure.NOT_FOUND)}, taken)
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.UNMATCHED, "")
    relink(notes)
    notes.queue(HUBSPOT, "pi_1", PURCHASE)
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.SENT, "2")


def test_a_payment_is_not_given_up_where_another_contact_can_be_found(notes: LiveSync) -> None:
    def create(_items: Mapping[str, Purchase]) -> dict[str, CallError]:
        relink(notes)
        return {"pi_1": refused(HUBSPOT, Failure.NOT_FOUND)}

    notes.pay("pi_1", "cus_1")
    notes.advance(25 * HOUR_MS)
    notes.hubspot.answer("create_notes", create, taken)
    notes.work(HUBSPOT, PURCHASE)
    notes.advance(GONE_WAIT_MS)
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.SENT, "2")


def test_a_batch_without_an_answer_counts_as_an_attempt_and_keeps_its_contact(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.hubspot.answer("send_events", refused(HUBSPOT, Failure.NO_ANSWER), taken)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, job.attempts, ledger(events).contact_id) == (WaitCode.BACKOFF, 1, "1")
    events.advance(60_000)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert job.state is JobState.DONE


def test_a_portal_that_forbids_events_pauses_them_only(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    events.hubspot.answer("send_events", refused(HUBSPOT, Failure.FORBIDDEN))
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, job.attempts, job.waits_for) == (JobState.READY, 0, "pause:hubspot:events.send")


def test_an_answer_for_a_job_that_was_taken_away_is_not_recorded(events: LiveSync) -> None:
    events.pay("pi_1", "cus_1")
    calls = events.prepare(events.claim(HUBSPOT, PURCHASE))
    events.clock.advance(60_000)
    events.store.run(lambda tx: tx.jobs.requeue_abandoned())
    events.hubspot.answer("send_events", taken)
    events.carry_out(calls)
    assert ledger(events).state is PurchaseState.TODO


# -- waiting for the contact


def test_a_payment_waits_for_the_link_of_its_customer_without_attempts(events: LiveSync) -> None:
    events.know(customer("cus_2", email="bob@example.com"))
    events.pay("pi_1", "cus_2")
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, job.attempts, due_in_ms(events, job)) == (WaitCode.CONTACT, 0, MIN_CONTACT_WAIT_MS)
    assert (ledger(events).state, ledger(events).waits_for) == (PurchaseState.WAITING, WaitCode.CONTACT)
    assert events.is_queued(HUBSPOT, "customer:cus_2")


def test_an_old_payment_looks_for_its_contact_less_often(events: LiveSync) -> None:
    events.pay("pi_1", "cus_9")
    events.advance(HOUR_MS)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert due_in_ms(events, job) == MAX_CONTACT_WAIT_MS
    assert events.is_queued(STRIPE, "cus_9", JobKind.READ)


def test_a_payment_whose_contact_never_comes_is_unmatched_after_a_day(events: LiveSync) -> None:
    events.pay("pi_1", "cus_9")
    events.advance(25 * HOUR_MS)
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, job.dead_class) == (JobState.DEAD, DeadClass.UNMATCHED)
    assert (ledger(events).state, ledger(events).reason) == (
        PurchaseState.UNMATCHED,
        "no contact for it within the time allowed",
    )


def test_a_payment_that_can_have_no_contact_is_unmatched_at_once(events: LiveSync) -> None:
    events.pay("pi_1")
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert (job.state, job.reason) == (JobState.DEAD, "a guest without e-mail")
    assert "unmatched" in events.journal()


def test_a_customer_that_cannot_be_linked_and_has_no_contact_is_unmatched(events: LiveSync) -> None:
    events.know(customer("cus_2"))
    events.store.run(lambda tx: tx.records.set_note(STRIPE, "cus_2", Note(NoteCode.EXCLUDED, "excluded: no e-mail")))
    events.pay("pi_1", "cus_2")
    (job,) = events.work(HUBSPOT, PURCHASE)
    assert job.dead_class == DeadClass.UNMATCHED


# -- notes


def test_a_note_is_sent_without_a_read_the_first_time(notes: LiveSync) -> None:
    notes.pay("pi_1", "cus_1")
    notes.hubspot.answer("create_notes", taken)
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert (job.state, [name for name, _ in notes.hubspot.requests]) == (JobState.DONE, ["create_notes"])


def lose_the_answer(notes: LiveSync) -> Job:
    """A note is sent and its answer is lost; returns its job, whose time has come again."""
    notes.pay("pi_1", "cus_1")
    notes.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER))
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, job.attempts, due_in_ms(notes, job)) == (WaitCode.NOTES_READ, 1, MAX_LATENESS_MS)
    notes.advance(MAX_LATENESS_MS)
    return job


def test_a_note_whose_answer_was_lost_is_found_among_the_notes(notes: LiveSync) -> None:
    job = lose_the_answer(notes)
    notes.hubspot.answer("read_note_marks", frozenset({"pi_1"}))
    notes.work(HUBSPOT, PURCHASE)
    assert notes.look([job])[0].state is JobState.DONE
    assert sent_items(notes, "create_notes") == [["pi_1"]]


def test_a_note_that_is_not_there_is_sent_again_with_those_of_others(notes: LiveSync) -> None:
    lose_the_answer(notes)
    notes.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    notes.pay("pi_2", "cus_2")
    notes.hubspot.answer("read_note_marks", frozenset({"pi_0"}))
    notes.hubspot.answer("create_notes", taken)
    jobs = notes.work(HUBSPOT, PURCHASE)
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert [sorted(items) for items in sent_items(notes, "create_notes")[1:]] == [["pi_1", "pi_2"]]


def test_a_note_waits_whose_contact_s_notes_were_read_while_writes_were_turned_off(notes: LiveSync) -> None:
    job = lose_the_answer(notes)

    def read_marks(_contact_id: str) -> frozenset[str]:
        notes.store.run(lambda tx: tx.settings.put(WRITES, "off"))
        return frozenset()

    notes.hubspot.script("read_note_marks", read_marks)
    notes.work(HUBSPOT, PURCHASE)
    (job,) = notes.look([job])
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.WRITES_OFF)
    assert sent_items(notes, "create_notes") == [["pi_1"]]
    notes.store.run(lambda tx: tx.settings.put(WRITES, "on"))
    notes.store.run(lambda tx: tx.jobs.make_due(WaitCode.WRITES_OFF))
    notes.hubspot.script("read_note_marks", lambda _contact_id: frozenset())
    notes.hubspot.answer("create_notes", taken)
    notes.work(HUBSPOT, PURCHASE)
    assert notes.look([job])[0].state is JobState.DONE
    assert sent_items(notes, "create_notes") == [["pi_1"]] * 2


def test_a_note_of_a_process_that_fell_silent_may_still_arrive(notes: LiveSync) -> None:
    notes.pay("pi_1", "cus_1")
    (late,) = notes.prepare(notes.claim(HUBSPOT, PURCHASE))
    notes.clock.advance(7_000)
    notes.store.run(lambda tx: tx.jobs.requeue_abandoned())
    notes.advance(0)
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, due_in_ms(notes, job)) == (WaitCode.NOTES_READ, MAX_LATENESS_MS)
    notes.queue(HUBSPOT, "pi_1", PURCHASE)
    assert notes.work(HUBSPOT, PURCHASE) == []
    notes.hubspot.answer("create_notes", taken)
    late.send()
    notes.advance(MAX_LATENESS_MS)
    notes.hubspot.answer("read_note_marks", frozenset({"pi_1"}))
    notes.work(HUBSPOT, PURCHASE)
    assert ledger(notes).state is PurchaseState.SENT
    assert [name for name, _ in notes.hubspot.requests] == ["create_notes", "read_note_marks"]


def test_a_note_that_was_certainly_not_taken_is_not_looked_for(notes: LiveSync) -> None:
    notes.pay("pi_1", "cus_1")
    notes.hubspot.answer("create_notes", refused(HUBSPOT, Failure.RATE_LIMITED), taken)
    notes.work(HUBSPOT, PURCHASE)
    notes.advance(60_000)
    notes.work(HUBSPOT, PURCHASE)
    assert [name for name, _ in notes.hubspot.requests] == ["create_notes", "create_notes"]


def test_each_contact_with_a_doubtful_note_is_read(notes: LiveSync) -> None:
    notes.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    notes.pay("pi_1", "cus_1")
    notes.pay("pi_2", "cus_2")
    notes.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER))
    notes.work(HUBSPOT, PURCHASE)
    notes.advance(MAX_LATENESS_MS)

    def read(contact_id: str) -> frozenset[str]:
        return frozenset({f"pi_{contact_id}"})

    notes.hubspot.answer("read_note_marks", read, read)
    jobs = notes.work(HUBSPOT, PURCHASE)
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert [name for name, _ in notes.hubspot.requests] == ["create_notes", "read_note_marks", "read_note_marks"]


def test_a_note_in_doubt_waits_for_its_contact_that_is_gone(notes: LiveSync) -> None:
    lose_the_answer(notes)
    notes.hubspot.answer("read_note_marks", refused(HUBSPOT, Failure.NOT_FOUND))
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert job.waits_for == WaitCode.CONTACT
    assert (ledger(notes).contact_id, ledger(notes).waits_for) == ("1", WaitCode.NOTES_READ)
    assert notes.is_queued(HUBSPOT, "1", JobKind.READ)


def test_a_note_is_not_made_twice_on_a_contact_that_is_deleted_and_restored(notes: LiveSync) -> None:
    """The notes of a deleted contact cannot be read, and its associations look as if it had none."""
    lose_the_answer(notes)
    notes.hubspot.answer("read_note_marks", frozenset(), frozenset({"pi_1"}))
    notes.hubspot.answer("create_notes", {"pi_1": refused(HUBSPOT, Failure.NOT_FOUND)})
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, ledger(notes).waits_for) == (WaitCode.CONTACT, WaitCode.NOTES_READ)
    notes.advance(60_000)
    notes.work(HUBSPOT, PURCHASE)
    assert ledger(notes).state is PurchaseState.SENT
    assert len(sent_items(notes, "create_notes")) == 2


def relink(live: LiveSync) -> None:
    """The contact is deleted, and its customer is linked to another one."""
    live.delete(HUBSPOT, "1")
    (old,) = live.links("1")
    orphaned = replace(old, state=LinkState.ORPHANED, primary=False, version=old.version + 1)
    live.store.run(lambda tx: tx.links.put(orphaned))
    live.link(contact("2", email="ann@example.com"), CUS)


def test_a_note_in_doubt_goes_to_no_other_contact(notes: LiveSync) -> None:
    """The contact may be restored from the recycle bin with its note."""
    job = lose_the_answer(notes)
    relink(notes)
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.WAITING, "1")
    notes.advance(25 * HOUR_MS)
    notes.work(HUBSPOT, PURCHASE)
    assert (notes.look([job])[0].dead_class, notes.look([job])[0].reason) == (DeadClass.UNMATCHED, NOTE_IN_DOUBT)
    assert sent_items(notes, "create_notes") == [["pi_1"]]


def test_a_note_in_doubt_is_looked_for_when_its_contact_returns(notes: LiveSync) -> None:
    lose_the_answer(notes)
    relink(notes)
    notes.advance(25 * HOUR_MS)
    notes.work(HUBSPOT, PURCHASE)
    assert ledger(notes).state is PurchaseState.UNMATCHED
    with notes.store.transaction() as tx, RecordWriter(notes.runtime, tx) as records:
        records.store_contact(replace(ANN, modified_ms=ANN.modified_ms + 5), read_after_deletion=True)
    notes.work(HUBSPOT, PURCHASE)
    notes.advance(MAX_LATENESS_MS)
    notes.hubspot.answer("read_note_marks", frozenset({"pi_1"}))
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.SENT, "1")
    assert sent_items(notes, "create_notes") == [["pi_1"]]


def test_a_note_in_doubt_on_a_contact_that_was_deleted_for_privacy_goes_to_the_next_one(notes: LiveSync) -> None:
    lose_the_answer(notes)
    relink(notes)
    with notes.store.transaction() as tx, RecordWriter(notes.runtime, tx, planned=True) as records:
        records.delete(HUBSPOT, "1", erased=True)
    notes.know(contact("2", email="ann@example.com"))
    notes.hubspot.answer("read_note_marks", frozenset())
    notes.hubspot.answer("create_notes", taken)
    notes.work(HUBSPOT, PURCHASE)
    assert (ledger(notes).state, ledger(notes).contact_id) == (PurchaseState.SENT, "2")


def test_while_the_notes_cannot_be_read_none_is_sent(notes: LiveSync) -> None:
    lose_the_answer(notes)
    notes.hubspot.answer("read_note_marks", refused(HUBSPOT, Failure.BUSY))
    (job,) = notes.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, ledger(notes).waits_for) == (WaitCode.VENDOR, WaitCode.NOTES_READ)
    assert len(sent_items(notes, "create_notes")) == 1


def test_a_note_without_an_answer_at_its_last_attempt_is_a_dead_letter(notes: LiveSync) -> None:
    notes.pay("pi_1", "cus_1")
    (job,) = notes.claim(HUBSPOT, PURCHASE)
    notes.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER))
    notes.carry_out(notes.prepare([replace(job, attempts=MAX_ATTEMPTS - 1)]))
    assert notes.look([job])[0].dead_class == DeadClass.EXHAUSTED


def test_one_note_of_a_batch_without_an_answer_is_looked_for_late(notes: LiveSync) -> None:
    for payment_id in ("pi_1", "pi_2"):
        notes.pay(payment_id, "cus_1")
    notes.hubspot.answer("create_notes", {"pi_1": None, "pi_2": refused(HUBSPOT, Failure.NO_ANSWER)})
    jobs = {job.key: job.waits_for for job in notes.work(HUBSPOT, PURCHASE) if job.state is JobState.READY}
    assert jobs == {"pi_2": WaitCode.NOTES_READ}


def test_notes_whose_job_was_taken_away_while_they_were_read_are_not_sent(notes: LiveSync) -> None:
    lose_the_answer(notes)
    calls = notes.prepare(notes.claim(HUBSPOT, PURCHASE))
    notes.clock.advance(60_000)
    notes.hubspot.answer("read_note_marks", frozenset())
    notes.carry_out(calls)
    assert len(sent_items(notes, "create_notes")) == 1


# -- roll-ups


def test_totals_are_computed_from_the_ledger(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.pay("pi_2", "cus_1")
    written: dict[str, Mapping[str, str]] = {}

    def answer(values: Mapping[str, Mapping[str, str]]) -> dict[str, None]:
        written.update(values)
        return taken(values)

    roll_ups.hubspot.answer("set_properties", answer)
    jobs = roll_ups.work(HUBSPOT, PURCHASE)
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert (written["1"][ROLL_UP_COUNT], written["1"][ROLL_UP_TOTALS]) == ("2", "10.00 EUR")


def test_totals_without_an_answer_are_sent_once_more_after_the_second_one(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.hubspot.answer("set_properties", refused(HUBSPOT, Failure.NO_ANSWER), taken, taken)
    roll_ups.work(HUBSPOT, PURCHASE)
    roll_ups.advance(60_000)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, due_in_ms(roll_ups, job)) == (WaitCode.RESEND, MAX_LATENESS_MS)
    roll_ups.advance(MAX_LATENESS_MS)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert (job.state, ledger(roll_ups).state) == (JobState.DONE, PurchaseState.SENT)


def test_totals_that_were_certainly_not_taken_are_sent_only_once_more(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.hubspot.answer("set_properties", refused(HUBSPOT, Failure.RATE_LIMITED), taken)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert (job.waits_for, ledger(roll_ups).waits_for) == (WaitCode.VENDOR, WaitCode.NONE)
    roll_ups.advance(60_000)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert job.state is JobState.DONE


def test_a_lost_answer_stays_remembered_when_the_next_attempt_is_not_taken(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.hubspot.answer(
        "set_properties", refused(HUBSPOT, Failure.NO_ANSWER), refused(HUBSPOT, Failure.RATE_LIMITED)
    )
    for _ in range(2):
        roll_ups.work(HUBSPOT, PURCHASE)
        roll_ups.advance(60_000)
    assert ledger(roll_ups).waits_for is WaitCode.RESEND


def test_totals_of_a_contact_that_was_merged_meanwhile_are_sent_again(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")

    def answer(values: Mapping[str, Mapping[str, str]]) -> dict[str, None]:
        with roll_ups.store.transaction() as tx, RecordWriter(roll_ups.runtime, tx) as records:
            records.merge_away("1", "2")
        return taken(values)

    roll_ups.hubspot.answer("set_properties", answer)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert (job.state, job.reason) == (JobState.READY, "its contact was merged")
    assert (ledger(roll_ups).state, ledger(roll_ups).contact_id) == (PurchaseState.TODO, "2")


def test_two_roll_ups_of_one_contact_are_never_under_way_together(roll_ups: LiveSync) -> None:
    """The older of two requests may take effect last: its totals would stay."""
    held: dict[str, str] = {}
    waited: list[Job] = []

    def answer(values: Mapping[str, Mapping[str, str]]) -> dict[str, None]:
        if not waited:
            roll_ups.pay("pi_2", "cus_1")
            waited.extend(roll_ups.work(HUBSPOT, PURCHASE))
        held.update(values["1"])
        return taken(values)

    roll_ups.hubspot.script("set_properties", answer)
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.work(HUBSPOT, PURCHASE)
    assert [(job.key, job.waits_for, job.attempts) for job in waited] == [("pi_2", WaitCode.LOCK, 0)]
    assert (ledger(roll_ups).state, ledger(roll_ups, "pi_2").state) == (PurchaseState.SENT, PurchaseState.TODO)
    roll_ups.advance(LOCK_WAIT_MS)
    roll_ups.work(HUBSPOT, PURCHASE)
    assert (held[ROLL_UP_COUNT], held[ROLL_UP_TOTALS]) == ("2", "10.00 EUR")


def test_a_roll_up_of_a_process_that_ended_does_not_keep_its_contact(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.prepare(roll_ups.claim(HUBSPOT, PURCHASE))
    roll_ups.clock.advance(7_000)
    roll_ups.store.run(lambda tx: tx.jobs.requeue_abandoned())
    roll_ups.advance(0)
    roll_ups.pay("pi_2", "cus_1")
    roll_ups.hubspot.script("set_properties", taken)
    jobs = {job.key: job.waits_for for job in roll_ups.work(HUBSPOT, PURCHASE) if job.state is not JobState.DONE}
    assert (jobs, ledger(roll_ups, "pi_2").state) == ({"pi_1": WaitCode.RESEND}, PurchaseState.SENT)


def test_totals_whose_lock_ended_before_the_answer_are_sent_once_more(roll_ups: LiveSync) -> None:
    def answer(values: Mapping[str, Mapping[str, str]]) -> dict[str, None]:
        roll_ups.advance(LOCK_MS)
        return taken(values)

    roll_ups.pay("pi_1", "cus_1")
    roll_ups.hubspot.answer("set_properties", answer, taken)
    (job,) = roll_ups.work(HUBSPOT, PURCHASE)
    assert (job.state, job.waits_for) == (JobState.READY, WaitCode.RESEND)
    roll_ups.advance(MAX_LATENESS_MS)
    roll_ups.work(HUBSPOT, PURCHASE)
    assert ledger(roll_ups).state is PurchaseState.SENT


def test_news_does_not_shorten_the_wait_for_totals_that_may_still_arrive(roll_ups: LiveSync) -> None:
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.hubspot.answer("set_properties", refused(HUBSPOT, Failure.SERVER), taken)
    roll_ups.work(HUBSPOT, PURCHASE)
    roll_ups.advance(60_000)
    roll_ups.work(HUBSPOT, PURCHASE)
    roll_ups.queue(HUBSPOT, "pi_1", PURCHASE)
    assert roll_ups.work(HUBSPOT, PURCHASE) == []


@pytest.mark.parametrize(
    ("error", "state"), [(Failure.NOT_FOUND, JobState.READY), (Failure.REFUSED, JobState.DEAD)], ids=["gone", "refused"]
)
def test_totals_that_one_contact_cannot_take_concern_its_payments_only(
    roll_ups: LiveSync, error: Failure, state: JobState
) -> None:
    roll_ups.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    roll_ups.pay("pi_1", "cus_1")
    roll_ups.pay("pi_2", "cus_2")
    outcomes: dict[str, CallError | None] = {"1": refused(HUBSPOT, error), "2": None}
    roll_ups.hubspot.answer("set_properties", outcomes)
    assert {job.key: job.state for job in roll_ups.work(HUBSPOT, PURCHASE)} == {"pi_1": state, "pi_2": JobState.DONE}


@pytest.mark.parametrize(
    ("sink", "method", "waits_for"),
    [
        (Sink.CUSTOM_EVENT, "send_events", WaitCode.BACKOFF),
        (Sink.NOTE, "create_notes", WaitCode.NOTES_READ),
        (Sink.PROPERTIES, "set_properties", WaitCode.BACKOFF),
    ],
)
def test_what_an_answer_to_a_batch_leaves_out_does_not_count_as_sent(
    sink: Sink, method: str, waits_for: WaitCode
) -> None:
    for live in linked(sink):
        live.pay("pi_1", "cus_1")
        live.hubspot.answer(method, {})
        (job,) = live.work(HUBSPOT, PURCHASE)
        assert (job.state, job.waits_for) == (JobState.READY, waits_for)
        assert ledger(live).state is not PurchaseState.SENT
