"""HubSpot's contacts as records, and changed fields as properties."""

from __future__ import annotations

from tests.support.hubspot_answers import FIELDS
from wanesync.adapters.hubspot.contacts import properties_to_read, read_contact, write_properties


def test_null_missing_and_blank_are_one() -> None:
    record = read_contact({"id": "1", "properties": {"email": None, "phone": "", "firstname": " "}}, FIELDS)
    assert set(record.values.values()) == {""}
    assert set(record.values) == set(FIELDS.by_name)


def test_all_addresses_count() -> None:
    properties = {"email": "A@x.de", "hs_additional_emails": "b@x.de; C@x.de;"}
    assert read_contact({"id": "1", "properties": properties}, FIELDS).emails == {"a@x.de", "b@x.de", "c@x.de"}


def test_ids_of_merged_contacts() -> None:
    properties = {"hs_merged_object_ids": "2;3", "hs_calculated_merged_vids": "3:1700000000000;4:1700000000001;1:5"}
    assert read_contact({"id": "1", "properties": properties}, FIELDS).merged_ids == ("2", "3", "4")


def test_only_what_is_needed_is_read() -> None:
    names = properties_to_read(FIELDS)
    assert len(names) == len(set(names))
    assert {"email", "firstname", "lastname", "wanesync_intent", "hs_additional_emails"} <= set(names)


def test_a_name_goes_out_as_two_properties() -> None:
    assert write_properties({"name": "Ada\x1fByron", "phone": ""}, FIELDS) == {
        "firstname": "Ada", "lastname": "Byron", "phone": "",
    }  # fmt: skip
    assert write_properties({"name": ""}, FIELDS) == {"firstname": "", "lastname": ""}
