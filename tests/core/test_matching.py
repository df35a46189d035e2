"""Matching: which contact a customer belongs to; our ids first, then addresses, and two answers are none."""

from __future__ import annotations

from tests.support.core_builders import HUBSPOT, STRIPE, contact, customer, link, stored
from wanesync.core.matching import Match, match_customer
from wanesync.core.model import LinkState, PendingWrite, Record, StoredRecord, WriteKind
from wanesync.core.plan import PlanContext

ADA = "ada@example.com"


def match(found: Record, *others: Record | StoredRecord) -> Match:
    copies = [r if isinstance(r, StoredRecord) else stored(r) for r in others]
    return match_customer(PlanContext("", {(s.side, s.id): s for s in copies}), stored(found))


def test_a_customer_that_shares_nothing_with_a_contact_has_no_match() -> None:
    assert match(customer(email=ADA), contact(email="other@example.com")) == Match()


def test_an_address_matches() -> None:
    assert match(customer(email=ADA), contact(email=ADA)) == Match("1")


def test_two_contacts_with_the_address_are_ambiguous() -> None:
    assert match(customer(email=ADA), contact("1", email=ADA), contact("2", email=ADA)).problem


def test_our_id_on_the_customer_matches_without_an_address() -> None:
    assert match(customer(other_id="1"), contact("1", email=ADA)) == Match("1")


def test_our_id_on_the_contact_matches_without_an_address() -> None:
    assert match(customer("cus_7"), contact("1", "cus_7", email=ADA)) == Match("1")


def test_an_id_and_an_address_that_name_different_contacts_are_ambiguous() -> None:
    assert match(
        customer(other_id="1", email=ADA), contact("1", email="x@example.com"), contact("2", email=ADA)
    ).problem


def test_an_id_and_an_address_that_name_one_contact_match() -> None:
    assert match(customer(other_id="1", email=ADA), contact("1", "cus_1", email=ADA)) == Match("1")


def test_two_contacts_that_carry_the_customers_id_are_ambiguous() -> None:
    assert match(customer(), contact("1", "cus_1"), contact("2", "cus_1")).problem


def test_ids_that_point_past_one_another_are_ambiguous() -> None:
    assert match(customer(other_id="1"), contact("1"), contact("2", "cus_1")).problem


def test_the_id_of_a_merged_contact_means_its_survivor() -> None:
    assert match(customer(other_id="1"), stored(contact("1"), survivor="2"), contact("2")) == Match("2")


def test_a_deleted_contact_matches_nothing() -> None:
    assert match(customer(other_id="1", email=ADA), stored(contact("1", email=ADA), deleted=True)) == Match()


def test_an_id_of_no_record_leaves_the_address_to_decide() -> None:
    assert match(customer(other_id="404", email=ADA), contact("1", email=ADA)) == Match("1")


def test_a_circle_of_merges_ends() -> None:
    ring = {(HUBSPOT, i): stored(contact(i), survivor=to) for i, to in (("1", "2"), ("2", "1"))}
    assert PlanContext("", ring).survivor("1") in {"1", "2"}


def test_records_that_share_an_address_come_oldest_first() -> None:
    shared = {(HUBSPOT, i): stored(contact(i, email=ADA)) for i in ("10", "9", "8")}
    assert [s.id for s in PlanContext("", shared).find_sharing(HUBSPOT, {ADA})] == ["8", "9", "10"]


def test_only_active_links_count_as_links() -> None:
    at = PlanContext("", {}, [link(), link("2", "cus_2", state=LinkState.RELEASED, primary=False)])
    assert [k.hubspot_id for k in at.active_links(HUBSPOT, "1")] == ["1"]
    assert not at.active_links(HUBSPOT, "2")
    assert at.has_inactive_link(HUBSPOT, "2")
    assert not at.has_inactive_link(HUBSPOT, "1")


def test_our_create_decides_although_the_address_moved_to_another_contact() -> None:
    made = PendingWrite("w", STRIPE, WriteKind.CREATE, "contact:1", "1", "", "key", "{}", {})
    copies = [stored(contact("1", email="x@example.com")), stored(contact("2", email=ADA))]
    ours = stored(customer(other_id="1", email=ADA))
    known = {(s.side, s.id): s for s in (*copies, ours)}
    assert match_customer(PlanContext("", known, creates=[made]), ours) == Match("1")
