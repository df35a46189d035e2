"""Changes of fields, translated for each vendor by one field map."""

from __future__ import annotations

from tests.support.stripe_answers import CUSTOMER
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.stripe.customers import read_customer
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
TRANSLATOR = FieldTranslator(FIELDS)


def test_a_change_becomes_properties_of_a_contact() -> None:
    changes = {"job": "CEO", "name": "Ada\x1fByron", "phone": ""}
    assert TRANSLATOR.contact_properties(changes) == {
        "jobtitle": "CEO", "firstname": "Ada", "lastname": "Byron", "phone": "",
    }  # fmt: skip


def test_a_change_becomes_parameters_of_a_customer() -> None:
    params = TRANSLATOR.customer_params({"job": "CEO", "email": "ada@example.com"}, None)
    assert params == {"email": "ada@example.com", "metadata": {"job": "CEO"}}


def test_an_address_of_a_customer_keeps_the_parts_that_no_field_is_mapped_to() -> None:
    address = {"line2": "Flat 2", "city": "Bonn"}
    current = read_customer({**CUSTOMER, "address": address}, FIELDS, "")
    params = TRANSLATOR.customer_params({"city": "Ulm"}, current)
    assert params["address"] == {"city": "Ulm", "line2": "Flat 2"}
