"""Why a person is in sync or not: one sentence, the first reason that matters, and the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, RULES, STRIPE, contact, context, customer, link, stored
from wanesync.core.diff.difference import HELD, Difference, DifferenceClass, FieldDifference, compare_key
from wanesync.core.jobs import Job, JobKind, JobState
from wanesync.core.model import Link, Note, NoteCode, Side, StoredRecord
from wanesync.core.operating.explanation import PersonFacts, SyncState, explain

CONTACT, CUSTOMER = stored(contact(email="a@b.de", city="Ulm")), stored(customer(email="a@b.de", city="Ulm"))
LINK = link(base={"email": ("a@b.de", "a@b.de"), "city": ("Ulm", "Ulm")})
SAME = PersonFacts(CONTACT, CUSTOMER, LINK, fields=10)
EDITED = stored(contact(email="a@b.de", city="Bonn"))


def facts(here: StoredRecord = CONTACT, there: StoredRecord = CUSTOMER, at: Link = LINK) -> PersonFacts:
    """Those of a linked pair, compared by the planner."""
    compared = compare_key(context("contact:1", here, there, links=[at]), RULES)
    return PersonFacts(here, there, at, compared.differences, fields=10)


def job(kind: JobKind, state: JobState, lane: Side = STRIPE, reason: str = "", attempts: int = 0) -> Job:
    made = Job("j1", lane, kind, "contact:1", state, 10, 0, 0)
    return replace(made, reason=reason, dead_class="validation", attempts=attempts)


def test_two_sides_that_agree_are_in_sync() -> None:
    why = explain(facts())
    assert (why.state, why.way_out) == (SyncState.IN_SYNC, "")
    assert why.sentence.startswith("contact 1 and customer cus_1 agree in all 10 mapped fields")


def test_a_kept_value_is_said_besides() -> None:
    assert explain(replace(SAME, kept=["city", "city"])).more == (
        "values that lost are kept for city: look at them as conflicts",
    )


def test_an_edit_waits_for_its_write_or_for_what_stops_it() -> None:
    parted = facts(EDITED)
    assert explain(parted).state is SyncState.NOT_QUEUED
    queued = replace(parted, jobs=[job(JobKind.WRITE, JobState.READY, reason="a 429", attempts=2)])
    why = explain(queued)
    assert (why.state, why.sentence) == (
        SyncState.WAITING,
        "city is to be written to Stripe, and waits in the queue (a 429), after 2 failed attempts",
    )
    assert "but writes are off" in explain(replace(queued, writes_on=False)).sentence
    assert "gets no request: paused" in explain(replace(queued, pauses={STRIPE: "paused"})).sentence
    running = replace(parted, jobs=[job(JobKind.WRITE, JobState.RUNNING)])
    assert explain(running).sentence.endswith("that is being done now")


def test_a_dead_letter_goes_ahead_of_what_differs() -> None:
    why = explain(replace(facts(EDITED), jobs=[job(JobKind.WRITE, JobState.DEAD, reason="refused")]))
    assert (why.state, why.sentence) == (
        SyncState.FAILED,
        "a write of Stripe was given up (validation): refused",
    )
    assert "wanesync retry j1" in why.way_out


def test_a_read_or_an_answer_is_waited_for() -> None:
    reading = replace(SAME, jobs=[job(JobKind.READ, JobState.READY, HUBSPOT)], pauses={HUBSPOT: "paused"})
    assert explain(reading).more == ("HubSpot gets no request: paused",)
    assert "HubSpot was reported" in explain(reading).sentence
    assert explain(replace(SAME, unanswered=[STRIPE])).state is SyncState.WAITING
    assert explain(facts(replace(CONTACT, stale=True))).state is SyncState.WAITING


def test_both_values_kept_need_a_decision() -> None:
    why = explain(facts(EDITED, at=link(base={**LINK.base, "city": ("Bonn", "Ulm")})))
    assert (why.state, why.sentence) == (
        SyncState.NEEDS_DECISION,
        "the two sides differ in city, and both are kept",
    )


@pytest.mark.parametrize(
    ("reason", "state"),
    [(HELD, SyncState.HELD), ("refused by Stripe: the value is not valid there", SyncState.REFUSED)],
)
def test_what_is_held_or_refused_says_so(reason: str, state: SyncState) -> None:
    parted = Difference(DifferenceClass.CONFLICT, "1", "cus_1", {"city": FieldDifference("Ulm", "Bonn", "", reason)})
    assert explain(replace(SAME, differences=[parted])).state is state


@pytest.mark.parametrize("code", NoteCode)
def test_a_record_that_is_left_alone_says_why(code: NoteCode) -> None:
    why = explain(PersonFacts(replace(CONTACT, note=Note(code, "because")), None, fields=10))
    if code is NoteCode.WANTED:
        assert why.state is SyncState.NOT_QUEUED
    else:
        assert why.sentence == "contact 1 is not synced: because"
        assert why.state is (SyncState.NEEDS_DECISION if code is NoteCode.AMBIGUOUS else SyncState.LEFT_ALONE)


def test_what_is_gone_says_what_became_of_it() -> None:
    gone = {
        "merged into contact 7": stored(contact(), survivor="7"),
        "deleted for privacy": stored(contact(), deleted=True, erased=True),
        "contact 1 was deleted": stored(contact(), deleted=True),
    }
    for text, copy in gone.items():
        why = explain(PersonFacts(copy, None))
        assert (why.state, text in why.sentence) == (SyncState.GONE, True)
    both = PersonFacts(stored(contact(), deleted=True), stored(customer(), deleted=True))
    assert explain(both).sentence == "contact 1 and customer cus_1 were deleted"


def test_a_linked_record_that_is_gone_or_not_found_stops_its_other_one() -> None:
    assert "was deleted, so nothing" in explain(facts(there=replace(CUSTOMER, deleted=True))).sentence
    assert "is not found" in explain(facts(there=replace(CUSTOMER, absent_ms=5))).sentence


def test_a_record_without_a_counterpart() -> None:
    alone = PersonFacts(None, CUSTOMER)
    assert explain(alone).sentence == "customer cus_1 is not linked: it has no counterpart yet"
    second = Difference(DifferenceClass.DUPLICATE, "1", "cus_1", note="a second customer")
    assert "second customer" in explain(replace(alone, differences=[second])).sentence
    create = compare_key(context("contact:1", CONTACT), RULES).differences
    why = explain(PersonFacts(CONTACT, None, differences=create))
    assert (why.state, why.sentence) == (
        SyncState.NOT_QUEUED,
        "its record is to be created in Stripe, and no job is queued for it",
    )
