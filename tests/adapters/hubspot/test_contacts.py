"""HubSpot's contacts as records, and changed fields as properties."""

from __future__ import annotations

import pytest

from tests.support.hubspot_answers import FIELDS, raw
from wanesync.adapters.checked_values import IncompleteElement, InvalidElement
from wanesync.adapters.hubspot.contacts import (
    describe_too_long,
    properties_to_read,
    read_contact,
    read_remains,
    write_properties,
)


def test_null_and_blank_are_one() -> None:
    record = read_contact(raw("1", email=None, phone="", firstname=" "), FIELDS)
    assert set(record.values.values()) == {""}
    assert set(record.values) == set(FIELDS.by_name)
    assert not record.unknown


def without(contact: dict[str, object], *names: str) -> dict[str, object]:
    properties = contact["properties"]
    assert isinstance(properties, dict)
    return {**contact, "properties": {name: value for name, value in properties.items() if name not in names}}


@pytest.mark.parametrize(
    ("missing", "unknown"), [("phone", {"phone"}), ("lastname", {"name"}), ("zip", {"postal_code"})]
)
def test_a_property_that_an_answer_lacks_is_unknown_and_not_blank(missing: str, unknown: set[str]) -> None:
    record = read_contact(without(raw("1", firstname="Ada"), missing), FIELDS)
    assert record.unknown == unknown
    assert not unknown & set(record.values)


@pytest.mark.case(9)
@pytest.mark.parametrize(
    "contact",
    [
        {"id": "1", "updatedAt": "2025-11-04T12:10:35Z"},
        {"id": "1", "updatedAt": "2025-11-04T12:10:35Z", "properties": None},
        {"id": "1", "updatedAt": "2025-11-04T12:10:35Z", "properties": []},
        without(raw("1"), "email"),
        without(raw("1"), "lastmodifieddate"),
    ],
)
def test_a_contact_without_what_every_answer_holds_is_no_answer(contact: dict[str, object]) -> None:
    with pytest.raises(IncompleteElement):
        read_contact(contact, FIELDS)


@pytest.mark.case(10)
@pytest.mark.parametrize("contact_id", ["", None, "1;2", "7" * 256, "1\0", ["1"], True])
def test_a_contact_without_a_usable_id_is_not_used(contact_id: object) -> None:
    with pytest.raises(IncompleteElement, match="no usable record id"):
        read_contact({**raw("1"), "id": contact_id}, FIELDS)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("firstname", "K\ud83d", "firstname holds half of a surrogate pair"),
        ("city", "a\0b", "city holds U.0000"),
        ("email", "a" * 65_537, "email is longer than 65,536"),
        ("stripe_customer_id", "a" * 10_000, "stripe_customer_id is longer than 255"),
        ("wanesync_intent", "a" * 256, "wanesync_intent is longer than 255"),
        ("hs_merged_object_ids", "1" * 256, "hs_merged_object_ids holds more or longer ids"),
        ("hs_merged_object_ids", ";".join(map(str, range(600))), "hs_merged_object_ids holds more or longer ids"),
    ],
)
@pytest.mark.case(2)
def test_a_value_that_cannot_be_stored_sets_its_contact_aside(name: str, value: str, why: str) -> None:
    contact = raw("1", **{"email": "a@x.de", name: value})
    with pytest.raises(InvalidElement, match=why) as raised:
        read_contact(contact, FIELDS)
    assert value not in str(raised.value)
    remains = read_remains(contact, FIELDS)
    if name != "email":
        assert remains is not None
        assert (remains.id, *remains.emails) == ("1", *{"a@x.de"})
        assert remains.unknown == set(FIELDS.by_name)


def test_a_nested_property_is_no_blank() -> None:
    contact = raw("1")
    contact["properties"] = {**raw("1")["properties"], "city": {"value": "Bonn"}}  # type: ignore[dict-item] # a mapping
    with pytest.raises(InvalidElement, match="city is not a text"):
        read_contact(contact, FIELDS)


def test_a_text_that_is_too_long_makes_its_field_unknown_and_keeps_the_person() -> None:
    contact = raw("1", email="a@x.de", city="c" * 65_537, address="d" * 65_536)
    record = read_contact(contact, FIELDS)
    assert record.unknown == {"city"}
    assert len(record.values["street"]) == 65_536
    assert describe_too_long(contact, record, FIELDS) == ["field city: city is longer than 65,536 characters"]


def test_all_addresses_count() -> None:
    contact = raw("1", email="A@x.de", hs_additional_emails="b@x.de; C@x.de;")
    assert read_contact(contact, FIELDS).emails == {"a@x.de", "b@x.de", "c@x.de"}


def test_ids_of_merged_contacts() -> None:
    contact = raw("1", hs_merged_object_ids="2;3", hs_calculated_merged_vids="3:1700000000000;4:1700000000001;1:5")
    assert read_contact(contact, FIELDS).merged_ids == ("2", "3", "4")


def test_only_what_is_needed_is_read() -> None:
    names = properties_to_read(FIELDS)
    assert len(names) == len(set(names))
    assert {"email", "firstname", "lastname", "wanesync_intent", "hs_additional_emails"} <= set(names)


def test_a_name_goes_out_as_two_properties() -> None:
    assert write_properties({"name": "Ada\x1fByron", "phone": ""}, FIELDS) == {
        "firstname": "Ada", "lastname": "Byron", "phone": "",
    }  # fmt: skip
    assert write_properties({"name": ""}, FIELDS) == {"firstname": "", "lastname": ""}
