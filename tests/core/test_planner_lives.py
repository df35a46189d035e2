"""Plans around absence, restoration and old deletions (docs/correctness.md#absence, #tombstones)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, STRIPE, contact, context, customer, link, run, stored
from wanesync.core.model import WANTED, Deletion, LinkState, StoredRecord
from wanesync.core.plan import COUNTERPART_DELETED, COUNTERPART_MISSING, ERASED, MISSING

ADA = "ada@example.com"
PHONES = {"phone": ("110", "110")}


def absent(record: object, *, missing: bool = False) -> StoredRecord:
    return stored(record, absent_ms=1, missing=missing)  # type: ignore[arg-type] # a record of either side


@pytest.mark.parametrize("missing", [False, True])
def test_nothing_is_planned_for_an_absent_contact_or_written_to_its_customer(*, missing: bool) -> None:
    gone = absent(contact(email=ADA, phone="112"), missing=missing)
    outcome = run(context("contact:1", gone, customer(email=ADA, phone="113"), links=[link(base=PHONES)]))
    assert (outcome.actions, outcome.links, outcome.tombstones) == ({}, {}, [])
    assert outcome.notes == ({(HUBSPOT, "1"): MISSING} if missing else {})


def test_nothing_is_written_to_a_contact_whose_customer_is_absent() -> None:
    at = context("contact:1", contact(email=ADA, phone="112"), absent(customer(email=ADA)), links=[link(base=PHONES)])
    assert (run(at).actions, run(at).links) == ({}, {})


@pytest.mark.parametrize("named", ["", "cus_1"])
def test_no_customer_is_created_while_one_that_may_be_there_is_absent(named: str) -> None:
    at = context("contact:1", contact("1", named, email=ADA), absent(customer(email=ADA)))
    assert (run(at).actions, run(at).notes) == ({}, {(HUBSPOT, "1"): COUNTERPART_MISSING})


def test_no_contact_is_created_while_one_that_may_be_there_is_absent() -> None:
    outcome = run(context("customer:cus_1", absent(contact(email=ADA)), customer(email=ADA)))
    assert (outcome.actions, outcome.wake, outcome.notes) == ({}, set(), {(STRIPE, "cus_1"): COUNTERPART_MISSING})


def test_a_restored_contact_gets_its_links_back_as_they_were() -> None:
    links = [link(state=LinkState.ORPHANED, base=PHONES)]
    links.append(link(customer_id="cus_2", state=LinkState.ORPHANED, primary=False))
    outcome = run(context("contact:1", contact(phone="112"), customer(phone="110"), customer("cus_2"), links=links))
    after = outcome.links[links[0].id]
    assert (after.state, after.primary, after.base["phone"]) == (LinkState.ACTIVE, True, ("110", "110"))
    assert outcome.actions[STRIPE].changes["phone"].after == "112"
    assert outcome.revived == [("1", "cus_1"), ("1", "cus_2")]


def test_a_customer_that_got_another_contact_meanwhile_stays_with_that_one() -> None:
    links = [link(state=LinkState.ORPHANED), link("2", "cus_1")]
    outcome = run(context("contact:1", contact(email=ADA), contact("2"), customer(email=ADA), links=links))
    assert outcome.links == {}


@pytest.mark.case(49)
def test_a_contact_entered_after_the_deletion_gets_a_customer() -> None:
    gone = stored(contact("1", email=ADA), deleted=True), stored(customer(email=ADA), deleted=True)
    new = replace(contact("2", email=ADA), created_ms=20)
    at = context("contact:2", *gone, new, links=[link(state=LinkState.ORPHANED)], tombstones={ADA: Deletion(10)})
    assert STRIPE in run(at).actions


@pytest.mark.case(49)
def test_a_record_older_than_the_deletion_brings_nobody_back() -> None:
    old = replace(contact("2", email=ADA), created_ms=10)
    at = context("contact:2", old, tombstones={ADA: Deletion(10)})
    assert (run(at).actions, run(at).notes) == ({}, {(HUBSPOT, "2"): COUNTERPART_DELETED})


@pytest.mark.case(49)
def test_a_decision_to_create_wins_over_a_deleted_counterpart() -> None:
    wanted = stored(contact("1", "cus_1", email=ADA), note=WANTED)
    gone = stored(customer(email=ADA), deleted=True)
    at = context("contact:1", wanted, gone, links=[link(state=LinkState.ORPHANED)], tombstones={ADA: Deletion(10)})
    assert (set(run(at).actions), run(at).notes) == ({STRIPE}, {})


def test_the_address_of_an_erased_person_stays_blocked_for_later_records_and_decisions() -> None:
    new = stored(replace(contact("2", email=ADA), created_ms=20), note=WANTED)
    at = context("contact:2", new, tombstones={ADA: Deletion(10, erased=True)})
    assert (run(at).actions, run(at).notes) == ({}, {(HUBSPOT, "2"): ERASED})


def test_an_erasure_after_a_deletion_leaves_its_tombstone() -> None:
    gone = stored(contact(email=ADA), deleted=True, erased=True)
    (grave,) = run(context("contact:1", gone, tombstones={ADA: Deletion(10)})).tombstones
    assert grave.erased


def test_a_record_whose_address_is_unknown_is_read_again() -> None:
    outcome = run(context("contact:1", replace(contact(), unknown=frozenset({"email"}))))
    assert (outcome.actions, set(outcome.reads)) == ({}, {(HUBSPOT, "1")})
