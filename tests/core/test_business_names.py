"""Names of customers that are businesses, as the company of a contact."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import FIELDS
from wanesync.core.business_names import company_field, names_held_as_company, takes_business_name
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.normalize import FormOptions

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
