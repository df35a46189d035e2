"""Purchase jobs: each payment on its contact once, whatever is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import DeadClass, Job, JobKind, JobState, WaitCode
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.purchases.sender import LATE_MS, SINK
from wanesync.sync.writer import WRITES

ANN = contact("1", other_id="cus_1", email="ann@example.com")
CUS = customer("cus_1", other_id="1", email="ann@example.com")


def buy(live: LiveSync, sink: Sink = Sink.CUSTOM_EVENT, payment_id: str = "pi_1") -> None:
    """Ann, linked, paid; the sink is chosen."""
    live.link(ANN, CUS)
    live.store.run(lambda tx: tx.settings.put(SINK, sink))
    live.pay(payment_id, "cus_1")


def work(live: LiveSync) -> Job:
    (job,) = live.work(HUBSPOT, JobKind.PURCHASE)
    return job


def ledger(live: LiveSync, payment_id: str = "pi_1") -> Purchase:
    with live.store.reading() as tx:
        found = tx.purchases.get_many([payment_id])
    return found[payment_id]


def taken(items: Mapping[str, object]) -> dict[str, None]:
    return dict.fromkeys(items)


def failing(failure: Failure):  # type: ignore[no-untyped-def] # an answer for each item
    def answer(items: Mapping[str, object]) -> dict[str, CallError]:
        return {key: refused(HUBSPOT, failure) for key in items}

    return answer


def test_a_payment_is_sent_once_and_then_done(live: LiveSync) -> None:
    buy(live)
    live.hubspot.answer("send_events", taken)
    assert work(live).state is JobState.DONE
    assert (ledger(live).state, ledger(live).contact_id) == (PurchaseState.SENT, "1")
    live.queue(HUBSPOT, "pi_1", JobKind.PURCHASE)
    assert work(live).state is JobState.DONE
    assert len(live.hubspot.requests) == 1


def test_a_job_without_a_payment_is_done(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.NOTE))
    live.queue(HUBSPOT, "pi_9", JobKind.PURCHASE)
    assert work(live).state is JobState.DONE


@pytest.mark.parametrize(("can", "sink"), [(True, Sink.CUSTOM_EVENT), (False, Sink.NOTE)])
def test_auto_chooses_the_sink_once(live: LiveSync, sink: Sink, *, can: bool) -> None:
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.hubspot.answer("can_define_events", can)
    live.hubspot.answer("send_events" if can else "create_notes", taken)
    assert work(live).state is JobState.DONE
    with live.store.reading() as tx:
        assert tx.settings.get(SINK) == sink


def test_a_sink_that_cannot_be_chosen_is_asked_for_again(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.hubspot.answer("can_define_events", refused(HUBSPOT, Failure.NO_ANSWER))
    assert work(live).attempts == 1


def test_the_configured_sink_is_used() -> None:
    live = LiveSync(sink=Sink.NOTE)
    live.link(ANN, CUS)
    live.pay("pi_1", "cus_1")
    live.hubspot.answer("create_notes", taken)
    assert work(live).state is JobState.DONE
    live.close()


def test_with_writes_off_a_payment_is_only_noted(live: LiveSync) -> None:
    buy(live)
    live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
    job = work(live)
    assert (job.waits_for, live.journal()) == (WaitCode.WRITES_OFF, ["would write"])


def test_a_payment_waits_for_the_contact_of_its_customer(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.CUSTOM_EVENT))
    live.pay("pi_1", "cus_1")
    job = work(live)
    assert (job.waits_for, job.reason, job.attempts) == (WaitCode.CONTACT, "waiting for its contact", 0)
    assert (ledger(live).state, ledger(live).waits_for) == (PurchaseState.WAITING, WaitCode.CONTACT)
    assert live.is_queued(STRIPE, "cus_1", JobKind.READ)


def test_a_payment_without_a_contact_in_time_is_unmatched(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(SINK, Sink.CUSTOM_EVENT))
    live.pay("pi_1", "cus_1")
    live.advance(live.runtime.options.unmatched_after_ms + 1)
    job = work(live)
    assert (job.state, job.dead_class) == (JobState.DEAD, DeadClass.UNMATCHED)
    assert ledger(live).state is PurchaseState.UNMATCHED


def test_a_contact_that_is_gone_is_read_and_looked_for_again(live: LiveSync) -> None:
    buy(live)
    live.hubspot.answer("send_events", failing(Failure.NOT_FOUND))
    job = work(live)
    assert (job.state, job.attempts, ledger(live).contact_id) == (JobState.READY, 1, "")
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)


def test_an_item_that_is_refused_is_a_dead_letter(live: LiveSync) -> None:
    buy(live)
    live.hubspot.answer("send_events", failing(Failure.REFUSED))
    assert work(live).state is JobState.DEAD


def test_a_request_without_an_answer_is_made_again(live: LiveSync) -> None:
    buy(live)
    live.hubspot.answer("send_events", refused(HUBSPOT, Failure.NO_ANSWER), taken)
    assert work(live).waits_for == WaitCode.BACKOFF
    live.advance(60_000)
    assert work(live).state is JobState.DONE


# -- notes


def test_a_note_without_an_answer_is_looked_for_before_it_is_created_again(live: LiveSync) -> None:
    buy(live, Sink.NOTE)
    live.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER))
    job = work(live)
    assert (job.waits_for, job.due_ms) == (WaitCode.NOTES_READ, live.clock.ms + LATE_MS)
    assert ledger(live).waits_for is WaitCode.NOTES_READ
    live.advance(LATE_MS)
    live.hubspot.answer("read_note_marks", frozenset({"pi_1"}))
    assert work(live).state is JobState.DONE
    assert [method for method, _ in live.hubspot.requests] == ["create_notes", "read_note_marks"]


def test_a_note_that_is_not_there_is_created(live: LiveSync) -> None:
    buy(live, Sink.NOTE)
    live.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER), taken)
    work(live)
    live.advance(LATE_MS)
    live.hubspot.answer("read_note_marks", frozenset())
    assert work(live).state is JobState.DONE


@pytest.mark.parametrize(("failure", "attempts"), [(Failure.NOT_FOUND, 2), (Failure.NO_ANSWER, 2)])
def test_notes_that_cannot_be_read(live: LiveSync, failure: Failure, attempts: int) -> None:
    buy(live, Sink.NOTE)
    live.hubspot.answer("create_notes", refused(HUBSPOT, Failure.NO_ANSWER))
    work(live)
    live.advance(LATE_MS)
    live.hubspot.answer("read_note_marks", refused(HUBSPOT, failure))
    job = work(live)
    assert (job.state, job.attempts) == (JobState.READY, attempts)


# -- roll-ups


def test_a_roll_up_is_computed_from_the_ledger_and_sent_twice(live: LiveSync) -> None:
    buy(live, Sink.PROPERTIES)
    live.hubspot.answer("set_properties", taken, taken)
    job = work(live)
    assert (job.waits_for, job.attempts) == (WaitCode.NONE, 0) or job.state is JobState.DONE
    assert ledger(live).state is PurchaseState.SENT
    (values,) = live.hubspot.requests[0][1]
    assert list(values) == ["1"]  # type: ignore[call-overload] # contact id -> properties


def test_a_roll_up_without_an_answer_is_sent_once_more_after_it_was_taken(live: LiveSync) -> None:
    buy(live, Sink.PROPERTIES)
    live.hubspot.answer("set_properties", refused(HUBSPOT, Failure.NO_ANSWER), taken, taken)
    assert work(live).attempts == 1
    assert ledger(live).waits_for is WaitCode.RESEND
    live.advance(60_000)
    job = work(live)
    assert (job.waits_for, job.due_ms) == (WaitCode.RESEND, live.clock.ms + LATE_MS)
    live.advance(LATE_MS)
    assert work(live).state is JobState.DONE


def test_a_roll_up_that_was_refused_is_no_unknown_outcome(live: LiveSync) -> None:
    buy(live, Sink.PROPERTIES)
    live.hubspot.answer("set_properties", CallError(HUBSPOT, Failure.RATE_LIMITED, "slow down", 429))
    assert work(live).waits_for == WaitCode.VENDOR
    assert ledger(live).waits_for is WaitCode.NONE


def test_a_roll_up_of_a_contact_that_was_merged_meanwhile_is_sent_again(live: LiveSync) -> None:
    buy(live, Sink.PROPERTIES)

    def merge(values: Mapping[str, object]) -> dict[str, None]:
        live.store.run(lambda tx: tx.purchases.move("1", "2"))
        return taken(values)

    live.hubspot.answer("set_properties", merge)
    job = work(live)
    assert (job.state, job.reason) == (JobState.READY, "its contact was merged")
    assert ledger(live).contact_id == "2"


def test_payments_of_two_sinks_are_sent_by_two_calls(live: LiveSync) -> None:
    buy(live)
    live.pay("pi_2", "cus_1")
    live.store.run(lambda tx: tx.purchases.set_state("pi_2", PurchaseState.TODO, contact_id="1", sink=Sink.NOTE))
    live.hubspot.answer("send_events", taken)
    live.hubspot.answer("create_notes", taken)
    assert {job.state for job in live.work(HUBSPOT, JobKind.PURCHASE)} == {JobState.DONE}
    assert replace(ledger(live, "pi_2")).sink is Sink.NOTE
