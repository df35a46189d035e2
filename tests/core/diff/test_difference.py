"""Differences: what a plan means to a person who looks at both systems side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, HUBSPOT, RULES, STRIPE, contact, customer, link, stored
from wanesync.core.diff.difference import (
    ACTIONABLE,
    BUSINESS_NAME,
    Difference,
    DifferenceClass,
    FieldDifference,
    classify,
)
from wanesync.core.model import BasePair, Link, LinkState, Parked, Record, StoredRecord, filled_in_key
from wanesync.core.plan import NO_EMAIL, PlanContext, Rules
from wanesync.core.planner import plan

ADA = "ada@example.com"
BLANKS: dict[str, BasePair] = dict.fromkeys(FIELDS.by_name, ("", ""))


def differences(
    key: str, *records: Record | StoredRecord, links: Iterable[Link] = (), rules: Rules = RULES, **facts: object
) -> list[Difference]:
    copies = [r if isinstance(r, StoredRecord) else stored(r) for r in records]
    at = replace(PlanContext(key, {(s.side, s.id): s for s in copies}, list(links)), **facts)  # type: ignore[arg-type] # a test names the fields it changes
    return classify(at, plan(at, rules, "new"), rules)


def kinds(found: Iterable[Difference]) -> list[DifferenceClass]:
    return [d.kind for d in found]


# -- pairs


def test_a_value_that_does_not_fit_says_why() -> None:
    two = "+49 30 901820 / +49 171 2345678"
    mine = link(base=BLANKS | {"phone": (two, ""), "country": ("Freedonia", "")})
    (found,) = differences("contact:1", contact(phone=two, country="Freedonia"), customer(), links=[mine])
    assert found.kind is DifferenceClass.CONFLICT
    assert found.fields["phone"].why.endswith("there are several phone numbers in one field")
    assert found.fields["country"].why.endswith("the country is not known")


def test_a_contact_whose_company_is_the_name_of_its_customer_is_in_sync() -> None:
    acme = "Acme 2000 GmbH"
    mine = link(base=BLANKS | {"name": ("", acme), "company": (acme, "")})
    found = differences("contact:1", contact(company=acme), customer(name=acme), links=[mine])
    assert kinds(found) == [DifferenceClass.IN_SYNC]


def test_a_name_that_stripe_filled_in_is_no_difference() -> None:
    mine = link(base=BLANKS | {"name": ("", "Ada")})
    filled_in = replace(customer(name="Ada"), carry={"individual_name": "Ada"})
    assert kinds(differences("contact:1", contact(), filled_in, links=[mine])) == [DifferenceClass.IN_SYNC]
    assert kinds(differences("contact:1", contact(), customer(name="Ada"), links=[mine])) == [DifferenceClass.CONFLICT]


@pytest.mark.parametrize("mark", [True, False])
def test_a_name_that_stripe_filled_in_stays_none_after_the_company_was_renamed(mark: bool) -> None:
    base = BLANKS | {"name": ("", "Nordwind"), "company": ("Nordwind", "Nordwind")}
    if mark:
        base |= {filled_in_key("name"): ("", "Nordwind"), "company": ("Suedwind", "Suedwind")}
    renamed = [contact(company="Suedwind"), customer(company="Suedwind", name="Nordwind")]
    assert kinds(differences("contact:1", *renamed, links=[link(base=base)])) == [DifferenceClass.IN_SYNC]
    named = customer(company="Suedwind", name="Ada")
    base |= {"name": ("", "Ada")}
    assert kinds(differences("contact:1", renamed[0], named, links=[link(base=base)])) == [DifferenceClass.CONFLICT]


def test_a_new_contact_for_a_business_says_why_it_has_a_company() -> None:
    (found,) = differences("customer:cus_1", customer(email=ADA, name="Acme 2000 GmbH"))
    assert found.kind is DifferenceClass.CREATE_CONTACT
    assert (found.fields["company"].after, found.fields["company"].why) == ("Acme 2000 GmbH", BUSINESS_NAME)


def test_a_pair_that_agrees_is_in_sync() -> None:
    (found,) = differences("contact:1", contact(), customer(), links=[link(base=BLANKS)])
    assert (found.kind, found.hubspot_id, found.stripe_id) == (DifferenceClass.IN_SYNC, "1", "cus_1")


def test_a_pair_about_to_be_linked_that_agrees_is_in_sync() -> None:
    assert kinds(differences("contact:1", contact(email=ADA), customer(email=ADA))) == [DifferenceClass.IN_SYNC]


def test_a_hubspot_edit_is_an_update_of_the_customer() -> None:
    mine = link(base=BLANKS | {"phone": ("110", "110")})
    (found,) = differences("contact:1", contact(phone="112"), customer(phone="110"), links=[mine])
    assert found.kind is DifferenceClass.UPDATE_CUSTOMER
    assert found.fields == {"phone": FieldDifference("112", "110", STRIPE, "changed since both agreed")}


def test_a_stripe_edit_is_an_update_of_the_contact() -> None:
    mine = link(base=BLANKS | {"phone": ("110", "110")})
    (found,) = differences("contact:1", contact(phone="110"), customer(phone="112"), links=[mine])
    assert found.kind is DifferenceClass.UPDATE_CONTACT
    assert found.fields["phone"].writes == HUBSPOT


def test_a_blank_to_be_filled_says_so() -> None:
    (found,) = differences("contact:1", contact(phone="112"), customer(), links=[link()])
    assert (found.kind, found.fields["phone"].why) == (DifferenceClass.UPDATE_CUSTOMER, "blank there")


def test_edits_on_both_sides_say_who_wins() -> None:
    mine = link(base=BLANKS | {"phone": ("110", "110")})
    (found,) = differences("contact:1", contact(phone="112"), customer(phone="111"), links=[mine])
    assert found.fields["phone"].why == "both sides changed it, the owner wins"


def test_unlike_values_on_first_contact_that_are_overwritten_are_not_called_blank() -> None:
    rules = Rules(FIELDS, differ="hubspot")
    (found,) = differences("contact:1", contact(phone="112"), customer(phone="111"), links=[link()], rules=rules)
    assert found.fields["phone"].why == "different on first contact, hubspot wins"


def test_values_kept_apart_are_a_conflict_and_written_nowhere() -> None:
    (found,) = differences("contact:1", contact(phone="112"), customer(phone="111"), links=[link()])
    assert found.kind is DifferenceClass.CONFLICT
    assert found.fields["phone"].writes == ""


def test_a_parked_address_is_a_conflict() -> None:
    mine = link(base=BLANKS | {"email": ("old@x.org", "old@x.org")}, parked={"email": Parked(HUBSPOT, ADA)})
    people = contact(email="old@x.org"), customer(email=ADA), contact("2", email=ADA)
    assert kinds(differences("contact:1", *people, links=[mine])) == [DifferenceClass.CONFLICT]


def test_a_second_customer_of_a_contact_is_a_duplicate() -> None:
    links = [link(base=BLANKS), link(customer_id="cus_2", primary=False)]
    found = differences("contact:1", contact(), customer(), customer("cus_2"), links=links)
    assert [(d.kind, d.stripe_id) for d in found] == [(DifferenceClass.DUPLICATE, "cus_2")]


@pytest.mark.parametrize("customer_id", ["cus_1", "cus_2"])
def test_a_pair_is_told_once_on_the_side_of_its_contact(customer_id: str) -> None:
    links = [link(base=BLANKS), link(customer_id="cus_2", primary=False)]
    people = contact(phone="112"), customer(), customer("cus_2")
    assert not differences(f"customer:{customer_id}", *people, links=links)
    assert differences("contact:1", *people, links=links)


def test_a_customer_about_to_be_linked_is_told_on_the_side_of_its_contact() -> None:
    assert not differences("customer:cus_1", contact(email=ADA), customer(email=ADA))


# -- people on one side only


def test_a_person_only_on_hubspot_is_a_customer_to_be_created() -> None:
    (found,) = differences("contact:1", contact(email=ADA))
    assert (found.kind, found.hubspot_id, found.stripe_id) == (DifferenceClass.CREATE_CUSTOMER, "1", "")
    assert found.fields == {"email": FieldDifference(ADA, "", STRIPE, "missing there")}


def test_a_person_only_on_stripe_is_a_contact_to_be_created() -> None:
    (found,) = differences("customer:cus_1", customer(email=ADA))
    assert (found.kind, found.hubspot_id, found.stripe_id) == (DifferenceClass.CREATE_CONTACT, "", "cus_1")
    assert found.fields == {"email": FieldDifference("", ADA, HUBSPOT, "missing there")}


def test_a_person_without_an_address_is_excluded() -> None:
    (found,) = differences("contact:1", contact())
    assert (found.kind, found.note) == (DifferenceClass.EXCLUDED, NO_EMAIL.text)


def test_a_person_two_contacts_claim_is_ambiguous() -> None:
    people = contact("1", email=ADA), contact("2", other_id="cus_1", email="b@x.org"), customer(email=ADA)
    assert kinds(differences("customer:cus_1", *people)) == [DifferenceClass.AMBIGUOUS]


def test_a_person_deleted_on_the_other_side_is_orphaned() -> None:
    gone = link(primary=False, state=LinkState.ORPHANED)
    assert kinds(differences("contact:1", contact(email=ADA), links=[gone])) == [DifferenceClass.ORPHANED]


def test_a_person_that_waits_says_for_what() -> None:
    (found,) = differences("contact:1", contact(email=ADA), email_holders={ADA: "customer:cus_9"})
    assert "created by another job" in found.note


@pytest.mark.parametrize("facts", [{"deleted": True}, {"survivor": "2"}])
def test_a_record_that_is_gone_is_no_difference(facts: dict[str, object]) -> None:
    assert not differences("contact:1", stored(contact(email=ADA), **facts))


def test_an_unknown_record_is_no_difference() -> None:
    assert not differences("contact:404")


# -- words


def test_only_creations_and_updates_are_for_a_reconcile_to_do() -> None:
    assert {str(kind) for kind in ACTIONABLE} == {
        "create_customer",
        "create_contact",
        "update_customer",
        "update_contact",
    }


def test_a_link_to_a_customer_that_is_not_stored_yet_is_no_difference() -> None:
    assert differences("contact:1", contact(), links=[link()]) == []
