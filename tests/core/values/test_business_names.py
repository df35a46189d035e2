"""Names of customers that are businesses, as the company of a contact."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import FIELDS, contact, customer
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.merge import Pair, merge
from wanesync.core.model import Side
from wanesync.core.normalize import FormOptions
from wanesync.core.values.business_names import company_field, names_held_as_company, takes_business_name

COMPANY = FIELDS.by_name["company"]
ACME = "Acme GmbH"


def test_business_names_go_to_the_company_that_is_written_to_hubspot() -> None:
    assert company_field(FIELDS, "name") is COMPANY
    assert company_field(FIELDS, "city") is None
    one_way = tuple(replace(s, direction=Direction.TO_STRIPE) if s is COMPANY else s for s in FIELDS.specs)
    assert company_field(FieldMap(one_way), "name") is None
    listed = tuple(replace(s, options=FormOptions(business_names="list")) for s in FIELDS.specs)
    assert company_field(FieldMap(listed), "name") is None


def test_a_company_takes_a_business_name_while_no_other_is_known() -> None:
    assert takes_business_name(COMPANY, ACME, {}, {})
    assert takes_business_name(COMPANY, ACME, {"company": "Acme AG"}, {}, former="Acme AG")
    assert not takes_business_name(COMPANY, ACME, {"company": "Acme AG"}, {})
    assert not takes_business_name(COMPANY, ACME, {}, {"company": "Holding"})
    assert not takes_business_name(COMPANY, "Ada Byron", {}, {})


def test_a_contact_may_hold_the_name_of_its_customer_as_company() -> None:
    both = frozenset({"name", "company"})
    assert names_held_as_company(FIELDS, {"company": ACME}, {"name": ACME}) == both
    assert names_held_as_company(FIELDS, {"company": ACME, "name": "Ada"}, {"name": ACME}) == {"company"}
    assert not names_held_as_company(FIELDS, {}, {"name": ACME})
    assert not names_held_as_company(FIELDS, {"company": ACME}, {"name": ACME, "company": "Holding"})
    assert not names_held_as_company(FIELDS, {"company": "Ada"}, {"name": "Ada"})


def test_the_business_of_a_person_is_the_company_of_their_contact() -> None:
    name = "Hans\x1fM\u00fcller"
    pair = Pair(contact(name=name), customer(name="Hans M\u00fcller GmbH"), {"name": (name, "Hans M\u00fcller")})
    found = merge(pair, FIELDS, "keep")
    assert {field: change.after for field, change in found.writes[Side.HUBSPOT].items()} == {
        "company": "Hans M\u00fcller GmbH"
    }
    held = Pair(
        contact(name=name, company="Acme"),
        customer(name="Hans M\u00fcller GmbH", company="Acme"),
        {"name": (name, "Hans M\u00fcller"), "company": ("Acme", "Acme")},
    )
    kept = merge(held, FIELDS, "keep")
    assert not kept.writes[Side.HUBSPOT]
    assert [conflict.kind for conflict in kept.immediate_conflicts] == ["unsplit"]


def test_a_late_company_of_ours_that_is_the_customer_s_name_stays() -> None:
    """Its answer was lost: reverted to the base, the name of the customer would stand nowhere."""
    for base in ({"company": ("", "")}, {"company": ("", ""), "name": ("", "Firm 8")}):
        pair = Pair(contact(company="Firm 8"), customer(name="Firm 8"), base, late={(Side.HUBSPOT, "company")})
        found = merge(pair, FIELDS, "keep")
        assert found.writes == {Side.HUBSPOT: {}, Side.STRIPE: {}}
        assert found.base["company"] == ("Firm 8", "")
    renamed = Pair(contact(company="Firm 8"), customer(name="Eve King"), base, late={(Side.HUBSPOT, "company")})
    assert merge(renamed, FIELDS, "keep").writes[Side.HUBSPOT]["company"].after == ""
