"""Names of customers that are businesses: on the contact they are its company (docs/correctness.md#names)."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.model import Side
from wanesync.core.values.person_names import is_business

COMPANY_PROPERTY = "company"


def company_field(fields: FieldMap, name: str) -> FieldSpec | None:
    """Return the field of a contact's company if business names go there, None if they do not.

    ``name``: the field of the full name.
    """
    spec = fields.by_name[name]
    if spec.transform != "name" or spec.options.business_names != "company":
        return None
    for company in fields.specs:
        if company.hubspot == (COMPANY_PROPERTY,) and company.direction.reaches(Side.HUBSPOT):
            return company
    return None


def takes_business_name(
    company: FieldSpec, name: str, contact: Mapping[str, str], customer: Mapping[str, str], former: str = ""
) -> bool:
    """Return whether a contact's company may hold the name of its customer: a business's, while no company is known.

    ``former``: the customer's name when both last agreed; a company that equals it is the name of then.
    """
    held = contact.get(company.name, "")
    if not is_business(name) or customer.get(company.name, ""):
        return False
    return not held or company.key(held) in {company.key(name), company.key(former)}


def names_held_as_company(fields: FieldMap, contact: Mapping[str, str], customer: Mapping[str, str]) -> frozenset[str]:
    """Return the fields in which two records differ only because the contact's company is its customer's name."""
    for spec in fields.specs:
        company = company_field(fields, spec.name) if spec.transform == "name" else None
        value = customer.get(spec.name, "")
        if company is None or not is_business(value) or customer.get(company.name, ""):
            continue
        if company.key(contact.get(company.name, "")) == company.key(value):
            return frozenset({company.name} if contact.get(spec.name, "") else {spec.name, company.name})
    return frozenset()
