"""Stripe's customers as records, and changed fields as parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stripe_answers import CUSTOMER, FIELDS
from wanesync.adapters.stripe.customers import ADDRESS_PARTS, read_customer, write_params


def test_ids_of_another_portal_do_not_count() -> None:
    metadata = {"hubspot_contact_id": "7", "hubspot_portal_id": "42"}
    assert read_customer({**CUSTOMER, "metadata": metadata}, FIELDS, "42").other_id == "7"
    assert read_customer({**CUSTOMER, "metadata": metadata}, FIELDS, "43").other_id == ""
    assert read_customer({**CUSTOMER, "metadata": {"hubspot_contact_id": "7"}}, FIELDS, "").other_id == ""


@pytest.mark.parametrize(
    ("trace", "billed"),
    [({}, False), ({"currency": "eur"}, True), ({"balance": -5}, True), ({"next_invoice_sequence": 2}, True)],
)
def test_a_customer_that_was_billed_is_known(trace: dict[str, object], billed: bool) -> None:
    assert read_customer({**CUSTOMER, "next_invoice_sequence": 1, "balance": 0, **trace}, FIELDS, "").billed is billed


def test_an_address_goes_out_whole() -> None:
    current = read_customer({**CUSTOMER, "address": {"line1": "1 St", "line2": "b", "country": "DE"}}, FIELDS, "")
    assert write_params({"city": "Ulm", "street": ""}, current, FIELDS) == {
        "address": {"line1": "", "line2": "b", "city": "Ulm", "country": "DE"}
    }
    only_street = read_customer({**CUSTOMER, "address": {"line1": "1 St"}}, FIELDS, "")
    assert write_params({"street": ""}, only_street, FIELDS) == {"address": ""}


def test_further_locales_stay() -> None:
    current = read_customer({**CUSTOMER, "preferred_locales": ["en", "fr", "de"]}, FIELDS, "")
    assert write_params({"language": "de"}, current, FIELDS) == {"preferred_locales": ["de", "fr"]}
    assert write_params({"language": ""}, current, FIELDS) == {"preferred_locales": ""}


def test_a_creation_mentions_nothing_blank() -> None:
    values = dict.fromkeys(FIELDS.by_name, "") | {"name": "Ada", "job": "x"}
    assert write_params(values, None, FIELDS) == {"name": "Ada", "metadata": {"job": "x"}}


@given(st.dictionaries(st.sampled_from(ADDRESS_PARTS), st.text("abc", max_size=2)), st.text("xy", max_size=2))
def test_an_address_written_and_merged_or_replaced_reads_the_same(address: dict[str, str], city: str) -> None:
    current = read_customer({**CUSTOMER, "address": address}, FIELDS, "")
    written = write_params({"city": city}, current, FIELDS)["address"]
    parts = written if isinstance(written, dict) else {}
    merged = {} if written == "" else {**address, **parts}
    wanted = {**current.values, "city": city}
    for after in (merged, parts):
        assert read_customer({**CUSTOMER, "address": after}, FIELDS, "").values == wanted


def test_the_fixture_of_a_customer(shared: Path) -> None:
    raw = json.loads((shared / "samples" / "stripe_fixture_customer.json").read_text())
    record = read_customer(raw, FIELDS, "42")
    assert record.id == raw["id"]
    assert record.created_ms == raw["created"] * 1000
    assert set(record.values) == set(FIELDS.by_name)


def test_every_parameter_written_is_in_stripes_schema(shared: Path) -> None:
    spec = json.loads((shared / "specs" / "stripe-openapi-endive-from-sdk.json").read_text())
    values = dict.fromkeys(FIELDS.by_name, "x")
    for path, current in (
        ("/v1/customers", None),
        ("/v1/customers/{customer}", read_customer(CUSTOMER, FIELDS, "")),
    ):
        content = spec["paths"][path]["post"]["requestBody"]["content"]
        known = content["application/x-www-form-urlencoded"]["schema"]["properties"]
        assert set(write_params(values, current, FIELDS)) <= set(known)
