"""Stripe's customers as records, and changed fields as parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stripe_answers import CUSTOMER, FIELDS
from wanesync.adapters.checked_values import IncompleteElement, InvalidElement
from wanesync.adapters.stripe.customers import (
    ADDRESS_PARTS,
    FURTHER_LOCALES,
    describe_too_long,
    read_customer,
    read_remains,
    write_params,
)
from wanesync.core.fields import FieldMap, FieldSpec


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


@pytest.mark.parametrize(
    ("missing", "unknown"),
    [
        ("name", {"name"}),
        ("phone", {"phone"}),
        ("business_name", {"company"}),
        ("preferred_locales", {"language"}),
        ("address", {"street", "city", "state", "postal_code", "country"}),
    ],
)
def test_an_attribute_that_an_answer_lacks_is_unknown_and_not_blank(missing: str, unknown: set[str]) -> None:
    record = read_customer({name: value for name, value in CUSTOMER.items() if name != missing}, FIELDS, "")
    assert record.unknown == unknown
    assert not unknown & set(record.values)


@pytest.mark.parametrize("missing", ["business_name", "individual_name"])
def test_a_name_is_unknown_where_what_stripe_may_have_made_it_of_is_missing(missing: str) -> None:
    shown = {name: value for name, value in CUSTOMER.items() if name != missing}
    assert "name" in read_customer({**shown, "name": "Acme"}, FIELDS, "").unknown
    assert read_customer({**shown, "name": None}, FIELDS, "").values["name"] == ""


@pytest.mark.parametrize("odd", [{}, {"a": 1}, [], ["Bonn"], True, False])
def test_what_is_neither_text_nor_number_is_unknown_and_not_blank(odd: object) -> None:
    fields = FieldMap((*FIELDS.specs, FieldSpec("tier", ("tier",), ("metadata.tier",))))
    address = {**dict.fromkeys(ADDRESS_PARTS), "city": odd}
    raw = {**CUSTOMER, "phone": odd, "address": address, "metadata": {"tier": odd}, "preferred_locales": [odd]}
    assert read_customer(raw, fields, "").unknown == {"phone", "city", "tier", "language"}


def test_a_balance_in_a_text_is_a_number() -> None:
    assert not read_customer({**CUSTOMER, "balance": "0"}, FIELDS, "").billed


def test_a_part_that_an_address_lacks_is_unknown() -> None:
    record = read_customer({**CUSTOMER, "address": {**dict.fromkeys(ADDRESS_PARTS[:-1]), "city": "Bonn"}}, FIELDS, "")
    assert record.unknown == {"country"}
    assert record.values["city"] == "Bonn"


def test_newer_attributes_that_are_left_out_where_they_are_blank_are_blank() -> None:
    older = {name: value for name, value in CUSTOMER.items() if name not in ("business_name", "individual_name")}
    assert read_customer(older, FIELDS, "").values["company"] == ""


@pytest.mark.parametrize(
    "change",
    [
        {"object": "account"},
        {"object": None},
        {"deleted": True},
        {"deleted": "true"},
        {"deleted": 1},
        {"metadata": None},
        {"metadata": []},
        {"email": ...},
    ],
)
def test_what_is_no_whole_customer_is_no_answer(change: dict[str, object]) -> None:
    raw = {name: value for name, value in {**CUSTOMER, **change}.items() if value is not ...}
    with pytest.raises(IncompleteElement):
        read_customer(raw, FIELDS, "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "K\ud83d"}, "name holds half of a surrogate pair"),
        ({"address": {**dict.fromkeys(ADDRESS_PARTS), "line2": "\0"}}, "address.line2 holds U.0000"),
        ({"metadata": {"job": "\0"}}, "metadata.job holds U.0000"),
        ({"preferred_locales": ["en", "x" * 300]}, "preferred_locales is longer"),
        ({"metadata": {"hubspot_portal_id": "42", "hubspot_contact_id": "7" * 300}}, "hubspot_contact_id is longer"),
    ],
)
def test_a_value_that_cannot_be_stored_sets_its_customer_aside(change: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidElement, match=why):
        read_customer({**CUSTOMER, **change}, FIELDS, "42")
    remains = read_remains({**CUSTOMER, **change}, FIELDS)
    assert remains is not None
    assert (remains.id, *remains.emails) == ("cus_1", *{"a@x.de"})
    assert remains.unknown == set(FIELDS.by_name)


def test_a_text_that_is_too_long_makes_its_field_unknown_and_keeps_the_person() -> None:
    raw = {**CUSTOMER, "name": "n" * 65_537}
    assert read_customer(raw, FIELDS, "").unknown == {"name"}
    assert describe_too_long(raw, FIELDS) == ["field name: name is longer than 65,536 characters"]


@pytest.mark.parametrize(("keys", "free"), [(0, 2), (48, 2), (49, 1), (50, 0)])
def test_the_free_metadata_keys_are_counted_up_to_ours(keys: int, free: int) -> None:
    assert read_customer({**CUSTOMER, "metadata": {f"k{n}": "1" for n in range(keys)}}, FIELDS, "").free_keys == free


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
    blank = dict.fromkeys(ADDRESS_PARTS)
    current = read_customer({**CUSTOMER, "address": {**blank, **address}}, FIELDS, "")
    written = write_params({"city": city}, current, FIELDS)["address"]
    parts = written if isinstance(written, dict) else {}
    merged = {} if written == "" else {**address, **parts}
    wanted = {**current.values, "city": city}
    for after in (merged, parts):
        assert read_customer({**CUSTOMER, "address": {**blank, **after}}, FIELDS, "").values == wanted


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


def test_what_no_field_holds_is_written_under_its_path() -> None:
    current = read_customer({**CUSTOMER, "preferred_locales": ["en", "fr"]}, FIELDS, "")
    further = {FURTHER_LOCALES: '["it"]'}
    assert write_params(further, current, FIELDS) == {"preferred_locales": ["en", "it"]}
    assert write_params({"language": "de", **further}, current, FIELDS) == {"preferred_locales": ["de", "it"]}
    assert write_params({FURTHER_LOCALES: ""}, current, FIELDS) == {"preferred_locales": ["en"]}
    address = write_params({"address.line2": "2nd floor"}, current, FIELDS)["address"]
    assert isinstance(address, dict)
    assert address["line2"] == "2nd floor"
