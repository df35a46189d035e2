"""The regular check of the HubSpot account: what it stores, what it resumes, and when it is made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, contact, customer
from tests.support.live_sync import HUBSPOT, LiveSync, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import JobKind, WaitCode
from wanesync.core.model import Parked, ParkReason, Record
from wanesync.core.setup.portal_checks import NOT_CHECKED, OWN_PROPERTIES, PortalFacts, PropertyFacts
from wanesync.ops.alarms import read_alarms
from wanesync.purchases.sender import SINK
from wanesync.store.tables.settings import PORTAL_STATE, Settings
from wanesync.sync.loader import read_portal_state
from wanesync.worker.portal_check import (
    CHECK_INTERVAL_MS,
    RECHECK_INTERVAL_MS,
    SUSPECT_INTERVAL_MS,
    PortalCheck,
    begin_unchecked,
)

DAY_MS = 86_400_000
MAPPED = {name: PropertyFacts() for name in FIELDS.properties()}
WHOLE = PortalFacts({**MAPPED, **dict.fromkeys(OWN_PROPERTIES, PropertyFacts(unique=True))}, has_event=True)
BARE = PortalFacts(MAPPED, has_event=True)
NO_CITY = PortalFacts({name: facts for name, facts in WHOLE.properties.items() if name != "city"}, has_event=True)
ANN = customer("cus_1", email="ann@example.com", city="Ulm")


@pytest.fixture
def live() -> Iterator[LiveSync]:
    made = LiveSync()
    yield made
    made.close()


@pytest.fixture
def check(live: LiveSync) -> PortalCheck:
    return PortalCheck(live.runtime, None, "stripe_purchase", threading.Event())


@pytest.mark.case(29)
def test_creations_wait_for_our_properties_without_an_attempt_and_then_go_on(
    live: LiveSync, check: PortalCheck
) -> None:
    live.store.run(begin_unchecked)
    people = [customer(f"cus_{n}", email=f"p{n}@example.com") for n in range(11)]
    live.know(*people)
    live.hubspot.answer("inspect", BARE, WHOLE)
    check.check_if_due()
    for person in people:
        live.queue(HUBSPOT, f"customer:{person.id}")
    assert {job.waits_for for job in live.work(HUBSPOT)} == {WaitCode.SETUP}
    (alarm,) = [alarm for alarm in read_alarms(live.store) if "init --hubspot" in alarm]
    assert alarm.startswith("HubSpot has no contact property stripe_customer_id and wanesync_intent: run wanesync init")
    assert len(live.hubspot.requests) == 1
    check.check_if_due()
    assert len(live.hubspot.requests) == 1
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    assert not [alarm for alarm in read_alarms(live.store) if "init --hubspot" in alarm]
    jobs = live.claim(HUBSPOT)
    assert len(jobs) == 11
    assert {job.attempts for job in jobs} == {0}


def test_a_database_that_no_worker_checked_yet_creates_no_contact(live: LiveSync) -> None:
    live.store.run(begin_unchecked)
    live.know(ANN)
    live.queue(HUBSPOT, "customer:cus_1")
    (job,) = live.work(HUBSPOT)
    assert job.waits_for == WaitCode.SETUP


def test_a_job_planned_before_a_check_that_is_stored_first_does_not_wait_for_the_next_one(
    live: LiveSync, check: PortalCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.store.run(begin_unchecked)
    live.know(ANN)
    live.queue(HUBSPOT, "customer:cus_1")
    live.hubspot.answer("inspect", WHOLE)
    check.check_if_due()
    with monkeypatch.context() as patch:
        # As another transaction on Postgres read it before the check was committed.
        patch.setattr(Settings, "get_many", lambda *_: {"listed": "1", PORTAL_STATE: NOT_CHECKED.pack()})
        assert [job.waits_for for job in live.work(HUBSPOT)] == [WaitCode.SETUP]
    assert len(live.claim(HUBSPOT)) == 1


def test_a_field_whose_property_is_mended_is_read_for(live: LiveSync, check: PortalCheck) -> None:
    live.hubspot.answer("inspect", NO_CITY, WHOLE)
    check.check_if_due()
    with live.store.reading() as tx:
        assert read_portal_state(tx).paused_fields == {"city"}
    live.know(Record(HUBSPOT, "1", {"email": "ann@example.com"}, unknown=frozenset({"city"})))
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)


def test_an_account_that_lacks_nothing_is_checked_seldom(live: LiveSync, check: PortalCheck) -> None:
    live.hubspot.answer("inspect", WHOLE, WHOLE)
    check.check_if_due()
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    assert len(live.hubspot.requests) == 1
    live.advance(CHECK_INTERVAL_MS)
    check.check_if_due()
    assert len(live.hubspot.requests) == 2


def test_a_side_that_does_not_answer_changes_nothing_and_is_asked_again(live: LiveSync, check: PortalCheck) -> None:
    live.store.run(begin_unchecked)
    live.hubspot.answer("inspect", refused(HUBSPOT, Failure.UNREACHED), WHOLE)
    check.check_if_due()
    with live.store.reading() as tx:
        assert read_portal_state(tx).blocked
    check.check_if_due()
    assert len(live.hubspot.requests) == 1
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    with live.store.reading() as tx:
        assert not read_portal_state(tx).blocked


@pytest.mark.parametrize("failure", [Failure.FORBIDDEN, Failure.NO_ANSWER])
def test_a_check_that_fails_again_and_again_raises_an_alarm_until_it_succeeds(
    live: LiveSync, check: PortalCheck, failure: Failure
) -> None:
    def alarms() -> list[str]:
        return [alarm for alarm in read_alarms(live.store) if "could not be checked" in alarm]

    live.hubspot.answer("inspect", *(refused(HUBSPOT, failure) for _ in range(3)), WHOLE)
    for expected in (0, 0, 1):
        check.check_if_due()
        assert len(alarms()) == expected
        live.advance(RECHECK_INTERVAL_MS)
    (alarm,) = alarms()
    assert str(failure) in alarm
    check.check_if_due()
    assert alarms() == []


def test_a_fault_of_our_own_in_a_check_raises_an_alarm(
    live: LiveSync, check: PortalCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: PortalCheck) -> None:
        raise KeyError("ada@example.com")

    monkeypatch.setattr(PortalCheck, "check", fail)
    for _ in range(3):
        check.check_if_due()
        live.advance(RECHECK_INTERVAL_MS)
    (alarm,) = [alarm for alarm in read_alarms(live.store) if "could not be checked" in alarm]
    assert "a fault of wanesync, KeyError" in alarm
    assert "ada@" not in alarm


def test_a_key_that_may_not_look_lets_everything_go_on(live: LiveSync, check: PortalCheck) -> None:
    live.store.run(begin_unchecked)
    live.hubspot.answer("inspect", refused(HUBSPOT, Failure.FORBIDDEN))
    check.check_if_due()
    with live.store.reading() as tx:
        assert not read_portal_state(tx).problems


def test_answers_that_lack_a_field_make_a_check_due_and_raise_an_alarm(live: LiveSync, check: PortalCheck) -> None:
    live.hubspot.answer("inspect", WHOLE, WHOLE, WHOLE)
    check.check_if_due()
    lacking = Record(HUBSPOT, "1", {"email": "ann@example.com"}, unknown=frozenset({"city"}))
    live.know(lacking)
    (alarm,) = [alarm for alarm in read_alarms(live.store) if "no usable value of city" in alarm]
    assert "let the app see the property" in alarm
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    assert len(live.hubspot.requests) == 2
    live.advance(RECHECK_INTERVAL_MS)
    check.check_if_due()
    assert len(live.hubspot.requests) == 2
    live.advance(SUSPECT_INTERVAL_MS)
    check.check_if_due()
    assert len(live.hubspot.requests) == 3


def test_a_parked_field_is_tried_again_when_the_definition_of_its_property_changes(
    live: LiveSync, check: PortalCheck
) -> None:
    ann = contact("1", other_id="cus_1", email="ann@example.com", city="Ulm")
    made = live.link(ann, customer("cus_1", other_id="1", email="ann@example.com", city="Ulm"))
    live.know(customer("cus_1", other_id="1", email="ann@example.com", city="Bonn"))
    parked = {"city": Parked(HUBSPOT, "Bonn", ParkReason.INVALID, live.clock.ms)}
    live.store.run(lambda tx: tx.links.put(replace(made, parked=parked, version=2)))
    other = PortalFacts({**WHOLE.properties, "city": PropertyFacts(version="2")}, has_event=True)
    live.hubspot.answer("inspect", WHOLE, WHOLE, other)
    for expected in (False, False, True):
        live.advance(CHECK_INTERVAL_MS)
        check.check()
        assert live.is_queued(HUBSPOT, "contact:1") is expected
    live.hubspot.script(
        "update_contacts", lambda items: {items[0].trace: replace(ann, values={**ann.values, "city": "Bonn"})}
    )
    live.work(HUBSPOT)
    (after,) = live.links("1")
    assert (dict(after.parked), after.base["city"]) == ({}, ("Bonn", "Bonn"))


@pytest.mark.parametrize("wrong", ["refusal", "check"])
def test_a_parked_field_is_tried_again_once_whichever_was_stamped_by_a_clock_that_was_a_day_ahead(
    live: LiveSync, check: PortalCheck, wrong: str
) -> None:
    ann = contact("1", other_id="cus_1", email="ann@example.com", city="Ulm")
    made = live.link(ann, customer("cus_1", other_id="1", email="ann@example.com", city="Ulm"))
    live.know(customer("cus_1", other_id="1", email="ann@example.com", city="Bonn"))
    now_ms = live.clock.ms
    parked_ms = now_ms + DAY_MS if wrong == "refusal" else now_ms
    parked = {"city": Parked(HUBSPOT, "Bonn", ParkReason.INVALID, parked_ms)}
    live.store.run(lambda tx: tx.links.put(replace(made, parked=parked, version=2)))
    other = PortalFacts({**WHOLE.properties, "city": PropertyFacts(version="2")}, has_event=True)
    live.hubspot.answer("inspect", WHOLE, other, other)
    check.check()
    live.advance(DAY_MS if wrong == "check" else CHECK_INTERVAL_MS)
    check.check()
    live.clock.ms = now_ms + CHECK_INTERVAL_MS
    live.advance(0)
    error = CallError(HUBSPOT, Failure.REFUSED, "refused", fields=("city",), reasons={"city": ParkReason.INVALID})
    live.hubspot.script("update_contacts", lambda items: {item.trace: error for item in items})
    live.queue(HUBSPOT, "contact:1")
    check.check()
    for _ in range(4):
        live.work(HUBSPOT)
    assert [name for name, _ in live.hubspot.requests].count("update_contacts") == 1


@pytest.mark.parametrize("reason", [ParkReason.UNKNOWN_PROPERTY, ParkReason.READ_ONLY])
def test_a_field_whose_property_was_gone_between_two_checks_is_tried_again_once(
    live: LiveSync, check: PortalCheck, reason: ParkReason
) -> None:
    ann = contact("1", other_id="cus_1", email="ann@example.com", city="Ulm")
    live.link(ann, customer("cus_1", other_id="1", email="ann@example.com", city="Ulm"))
    live.hubspot.answer("inspect", WHOLE, WHOLE, WHOLE)
    check.check()
    live.know(customer("cus_1", other_id="1", email="ann@example.com", city="Bonn"))
    error = CallError(HUBSPOT, Failure.REFUSED, "refused", fields=("city",), reasons={"city": reason})
    live.hubspot.script("update_contacts", lambda items: {item.trace: error for item in items})
    live.queue(HUBSPOT, "contact:1")
    for expected in (True, False):
        live.work(HUBSPOT)
        live.work(HUBSPOT)
        assert live.links("1")[0].parked["city"].reason is reason
        live.advance(CHECK_INTERVAL_MS)
        check.check()
        assert live.is_queued(HUBSPOT, "contact:1") is expected


def test_an_event_is_not_missed_where_purchases_became_notes(live: LiveSync, check: PortalCheck) -> None:
    no_event = PortalFacts(WHOLE.properties, has_event=False)
    live.hubspot.answer("inspect", no_event, no_event)
    assert [problem.name for problem in check.check().problems] == ["custom_event"]
    live.store.run(lambda tx: tx.settings.put(SINK, "note"))
    assert not check.check().problems
