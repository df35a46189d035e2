"""Plans of records whose copies do not hold every field of the map."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    RULES,
    STRIPE,
    contact,
    context,
    customer,
    link,
    only_action,
    run,
    stored,
)
from wanesync.core.diff.difference import DifferenceClass, compare_key
from wanesync.core.diff.missed_webhooks import RecordObservation, find_missed
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Link

ADA = "ada@example.com"
LACKS_CITY = frozenset({"city"})
ADA_CONTACT = contact(email=ADA, phone="110")
ADA_CUSTOMER = customer(email=ADA, phone="110", city="Ulm")


def linked() -> Link:
    return link(base={"email": (ADA, ADA), "phone": ("110", "110"), "city": ("Ulm", "Ulm")})


def test_a_record_that_lacks_a_field_is_read_and_nothing_is_cleared() -> None:
    outcome = run(
        context("contact:1", replace(ADA_CONTACT, unknown=LACKS_CITY), ADA_CUSTOMER, links=[linked()]),
    )
    assert outcome.reads == {(HUBSPOT, "1"): 0}
    assert not outcome.actions
    assert outcome.links[linked().id].base["city"] == ("Ulm", "Ulm")


def test_the_other_fields_of_the_person_go_on() -> None:
    lacking = replace(contact(email=ADA, phone="112"), unknown=LACKS_CITY)
    outcome = run(context("contact:1", lacking, ADA_CUSTOMER, links=[linked()]))
    assert only_action(outcome).changes.keys() == {"phone"}
    assert outcome.reads == {(HUBSPOT, "1"): 0}


def test_a_field_outside_the_map_is_not_read_for() -> None:
    lacking = replace(ADA_CONTACT, values={**ADA_CONTACT.values, "city": "Ulm"}, unknown=frozenset({"vip"}))
    outcome = run(context("contact:1", lacking, ADA_CUSTOMER, links=[linked()]))
    assert not outcome.reads
    assert not outcome.actions


def test_a_creation_waits_for_the_first_read_and_then_leaves_the_field_out() -> None:
    lacking = replace(ADA_CONTACT, unknown=LACKS_CITY)
    waiting = run(context("contact:1", lacking))
    assert waiting.wait is WaitCode.READ_PENDING
    assert waiting.reads == {(HUBSPOT, "1"): 0}
    again = run(context("contact:1", stored(lacking, unanswered=1)))
    assert not again.wait
    assert "city" not in only_action(again).changes


def test_a_new_primary_takes_no_blank_from_a_copy_that_lacks_the_field() -> None:
    second = replace(customer("cus_2", email=ADA, phone="110"), unknown=LACKS_CITY)
    links = [linked(), replace(link("1", "cus_2"), primary=False)]
    outcome = run(context("contact:1", ADA_CONTACT, stored(ADA_CUSTOMER, deleted=True), second, links=links))
    (chosen,) = [each for each in outcome.links.values() if each.primary]
    assert chosen.stripe_id == "cus_2"
    assert "city" not in chosen.base
    assert (STRIPE, "cus_2") in outcome.reads


def test_a_contact_is_created_without_a_business_name_whose_company_cannot_be_written() -> None:
    acme = customer(email=ADA, name="Acme GmbH")
    lacking = stored(replace(acme, unknown=frozenset({"company"})), unanswered=1)
    for at in (
        context("customer:cus_1", lacking),
        context("customer:cus_1", acme, unusable=frozenset({"company"})),
    ):
        changes = only_action(run(at)).changes
        assert not changes.keys() & {"name", "company"}


# -- what a comparison shows


def test_a_field_that_a_copy_does_not_hold_is_no_difference() -> None:
    lacking = replace(ADA_CONTACT, unknown=LACKS_CITY)
    at = context("contact:1", lacking, ADA_CUSTOMER, links=[linked()])
    assert [found.kind for found in compare_key(at, RULES).differences] == [DifferenceClass.IN_SYNC]
    unusable = context("contact:1", ADA_CONTACT, ADA_CUSTOMER, links=[linked()], unusable=LACKS_CITY)
    assert [found.kind for found in compare_key(unusable, RULES).differences] == [DifferenceClass.IN_SYNC]


def test_a_field_that_a_copy_does_not_hold_is_no_missed_webhook() -> None:
    before = stored(replace(contact(email=ADA), unknown=LACKS_CITY))
    after = replace(contact(email=ADA, city="Ulm"), modified_ms=5)
    assert not find_missed(RecordObservation(HUBSPOT, before, after, [], []), FIELDS, 100)
    known = stored(contact(email=ADA))
    assert find_missed(RecordObservation(HUBSPOT, known, after, [], []), FIELDS, 100)
