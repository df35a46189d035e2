"""HubSpot's webhooks: how each element is read, and that no element ever raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_strategies import JSON, Json
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.core.errors import InvalidPayload
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Event, Side
from wanesync.core.ports import ParsedWebhook

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
HUBSPOT = HubSpotWebhooks(FIELDS, "3", key=b"j")


def change(**parts: object) -> Json:
    return {
        "appId": 1, "eventId": 714285774, "subscriptionId": 2, "portalId": 3, "occurredAt": 1_765_043_528_476,
        "subscriptionType": "contact.propertyChange", "attemptNumber": 0, "objectId": 173595202426,
        "propertyName": "phone", "propertyValue": "+49 30 123456", "changeSource": "CRM_UI", "sourceId": "userId:1",
        "isSensitive": False, **parts,
    }  # fmt: skip


def parse(*elements: object, parser: HubSpotWebhooks = HUBSPOT) -> ParsedWebhook:
    return parser.parse(json.dumps(elements).encode(), 5)


def one(*elements: object, parser: HubSpotWebhooks = HUBSPOT) -> Event:
    [event] = parse(*elements, parser=parser).events
    return event


class TestHubSpot:
    def test_a_change(self) -> None:
        event = one(change())
        assert (event.kind, event.record_id, event.occurred_ms) == ("updated", "173595202426", 1_765_043_528_476)
        assert event.values == {"phone": "+4930123456"}
        assert event.source == "user:CRM_UI/userId:1"
        assert event.received_ms == 5

    def test_a_part_of_a_name(self) -> None:
        assert one(change(propertyName="firstname", propertyValue=" Anna  Lena ")).values == {
            "name/firstname": "Anna Lena"
        }

    def test_a_part_of_a_name_is_spelled_as_in_an_answer(self) -> None:
        raw = "\u200b\ufeffAnna  Lena\u00ad"
        spec = FieldMap(DEFAULT_FIELDS).by_name["name"]
        first, _ = spec.form.hubspot_parts(spec.form.read_hubspot([raw, "Byron"]))
        assert one(change(propertyName="firstname", propertyValue=raw)).values == {"name/firstname": first}

    @pytest.mark.parametrize("author", [{"sourceId": "x" * 8_000}, {"changeSource": "CRM\0UI"}])
    @pytest.mark.parametrize("what", ["privacyDeletion", "deletion", "merge", "restore", "creation"])
    def test_what_happened_to_a_contact_counts_whoever_is_named_as_its_author(
        self, what: str, author: dict[str, str]
    ) -> None:
        """A privacy deletion that is set aside would leave the person's data here for ever."""
        event = one(change(subscriptionType=f"contact.{what}", propertyName=None, propertyValue=None, **author))
        assert event.source == ""

    def test_a_cleared_value_is_a_value_and_a_withheld_one_is_not(self) -> None:
        assert one(change(propertyValue="")).values == {"phone": ""}
        assert one(change(propertyValue=None)).values == {"phone": ""}
        assert one(change(propertyValue="REDACTED")).values == {}
        assert one(change(isSensitive=True)).values == {}

    @pytest.mark.parametrize("name", ["subscriptionType", "eventType"])
    @pytest.mark.parametrize(
        ("what", "kind"),
        [
            ("creation", "created"),
            ("deletion", "deleted"),
            ("restore", "restored"),
            ("restoration", "restored"),
            ("propertyChange", "updated"),
        ],
    )
    def test_both_spellings_of_both_families(self, name: str, what: str, kind: str) -> None:
        for family, extra in (("contact", {}), ("object", {"objectTypeId": "0-1"})):
            element = {key: value for key, value in change(**extra).items() if key != "subscriptionType"}
            assert one({**element, name: f"{family}.{what}"}).kind == kind

    def test_a_privacy_deletion(self) -> None:
        assert one(change(subscriptionType="contact.privacyDeletion")).kind == "privacy_deleted"

    def test_a_merge_names_the_survivor_and_all_others(self) -> None:
        merge = change(
            subscriptionType="contact.merge", objectId=12, primaryObjectId=12, mergedObjectIds=[13, 15], newObjectId=14
        )
        event = one(merge)
        assert (event.kind, event.record_id, event.merged_ids) == ("merged", "14", ("12", "13", "15"))
        kept = one({**merge, "newObjectId": None})
        assert (kept.record_id, kept.merged_ids) == ("12", ("13", "15"))

    def test_what_does_not_concern_us_is_counted(self) -> None:
        parsed = parse(
            change(portalId=4),
            change(propertyName="hs_analytics_source"),
            change(subscriptionType="contact.associationChange"),
            change(subscriptionType="deal.creation"),
            change(subscriptionType="object.propertyChange", objectTypeId="0-3"),
        )
        assert (list(parsed.events), parsed.foreign, parsed.ignored, list(parsed.set_aside)) == ([], 1, 4, [])

    def test_our_ids_and_further_addresses_are_hints(self) -> None:
        for name in ("stripe_customer_id", "hs_additional_emails"):
            event = one(change(propertyName=name, propertyValue="x"))
            assert (event.kind, event.values) == ("updated", {})

    def test_bad_elements_are_set_aside_alone(self) -> None:
        bad: list[object] = [
            7, None, [], "x", {}, change(objectId=None), change(objectId="12x"), change(objectId=True),
            change(objectId=-1),
            change(occurredAt="soon"), change(occurredAt=-1), change(occurredAt=1 << 60), change(propertyName=""),
            change(propertyValue={"a": 1}), change(subscriptionType="propertyChange"),
            change(subscriptionType="contact.merge", mergedObjectIds=["x"]),
        ]  # fmt: skip
        parsed = parse(*bad, change())
        assert len(parsed.events) == 1
        assert [json.loads(raw) for raw, _ in parsed.set_aside] == bad
        assert all(reason for _, reason in parsed.set_aside)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"nonsense", b"[", b"\xff\xfe", b'["\xff]', b"[{]}", b"[" * 10_000, b"null", b'"x"', b"[1]]"],
    )
    def test_what_is_no_array_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidPayload):
            HUBSPOT.parse(body, 0)

    @pytest.mark.case(3)
    @pytest.mark.case(5)
    @pytest.mark.parametrize(
        "bad",
        [
            {"propertyName": "city", "propertyValue": "K\ud83d"},
            {"propertyName": "city", "propertyValue": "K\0"},
            {"propertyName": "city", "propertyValue": "K" * 65_537},
            {"propertyName": "city", "propertyValue": {"K": "K"}},
            {"changeSource": "CRM\0UI"},
            {"changeSource": "CRM\ud83d"},
            {"sourceId": "x" * 8_000},
            {"sourceId": "\0"},
            {"appId": "x" * 256},
            {"eventId": "x\0"},
            {"occurredAt": 1 << 63},
            {"occurredAt": True},
        ],
    )
    def test_one_bad_element_is_set_aside_and_its_contact_is_read(self, bad: dict[str, object]) -> None:
        body = b"[%s,%s]" % (json.dumps(change(**bad)).encode(), json.dumps(change(objectId=8)).encode())
        parsed = HUBSPOT.parse(body, 0)
        assert [event.record_id for event in parsed.events] == ["8"]
        assert len(parsed.set_aside) == 1
        assert parsed.named == [(Side.HUBSPOT, str(change()["objectId"]))]

    @pytest.mark.parametrize("bad", [{"objectId": 1 << 63}, {"objectId": "x" * 300}, {"objectId": True}])
    def test_an_element_without_a_usable_id_names_no_contact(self, bad: dict[str, object]) -> None:
        parsed = HUBSPOT.parse(json.dumps([change(**bad)]).encode(), 0)
        assert (len(parsed.set_aside), parsed.named, parsed.events) == (1, [], [])

    def test_more_elements_than_hubspot_sends_are_refused(self) -> None:
        assert len(HUBSPOT.parse(json.dumps([change()] * 500).encode(), 0).events) == 500
        with pytest.raises(InvalidPayload, match="more than 500 events"):
            HUBSPOT.parse(json.dumps([change()] * 501).encode(), 0)

    def test_merges_of_more_contacts_than_hubspot_merges_are_set_aside(self) -> None:
        merge = {"subscriptionType": "contact.merge", "propertyName": None, "propertyValue": None}
        many = change(**merge, mergedObjectIds=list(range(1_000, 1_600)))
        parsed = HUBSPOT.parse(json.dumps([many, change(**merge, mergedObjectIds=[1])]).encode(), 0)
        assert (len(parsed.events), len(parsed.set_aside)) == (1, 1)
        largest = change(**merge, mergedObjectIds=list(range(1_000, 1_500)))
        parsed = HUBSPOT.parse(json.dumps([largest] * 20).encode(), 0)
        assert (len(parsed.events), len(parsed.set_aside)) == (10, 10)

    def test_a_body_that_cannot_be_read_is_refused(self) -> None:
        with pytest.raises(InvalidPayload):
            HUBSPOT.parse(b'["\\ud83d"' + b"[" * 10_000, 0)

    @pytest.mark.parametrize(
        "bad",
        [
            b"[" * 5_000 + b"]" * 5_000,
            b"NaN",
            b"9" * 5_000,
            b"-1e999",
            b'"K\xff"',
            b'"K\xed\xa0\xbd"',
            b"tru",
            b"{1: 2}",
            b'"a\nb"',
        ],
        ids=["deep", "NaN", "digits", "infinite", "no UTF-8", "half a pair", "no word", "no key", "a line feed"],
    )
    def test_one_element_that_is_no_json_refuses_no_other_and_its_contact_is_read(self, bad: bytes) -> None:
        name = "occurredAt" if bad[:1] in b"9-" else "propertyValue"
        broken = json.dumps({k: v for k, v in change().items() if k != name}).encode()[:-1] + b', "%s": %s}' % (
            name.encode(),
            bad,
        )
        parsed = HUBSPOT.parse(b" [%s,%s]\n" % (broken, json.dumps(change(objectId=8)).encode()), 0)
        assert [event.record_id for event in parsed.events] == ["8"]
        ((raw, reason),) = parsed.set_aside
        assert raw
        assert reason
        assert parsed.named == [(Side.HUBSPOT, str(change()["objectId"]))]

    def test_a_deep_element_is_set_aside(self) -> None:
        deep = b"[" * 900 + b"]" * 900
        parsed = HUBSPOT.parse(b"[" + deep + b"," + json.dumps(change()).encode() + b"]", 0)
        assert len(parsed.events) == 1
        assert parsed.set_aside[0][1] == "not an object"

    def test_a_repeated_delivery_has_the_same_key(self) -> None:
        assert one(change(attemptNumber=3)).key == one(change()).key

    @pytest.mark.parametrize(
        "parts",
        [
            {"eventId": 1}, {"occurredAt": 1}, {"propertyValue": "2"}, {"propertyValue": "REDACTED"}, {"appId": 9},
            {"objectId": 2}, {"propertyName": "city"}, {"subscriptionType": "contact.creation"},
        ],
    )  # fmt: skip
    def test_different_events_have_different_keys(self, parts: Json) -> None:
        assert one(change(**parts)).key != one(change()).key

    def test_keys_are_keyed(self) -> None:
        assert one(change(), parser=HubSpotWebhooks(FIELDS, "3", key=b"k")).key != one(change()).key

    @pytest.mark.parametrize(
        ("own", "parts", "source"),
        [
            (frozenset(), {"changeSource": "INTEGRATION", "sourceId": "1"}, "own"),
            (frozenset({"8"}), {"changeSource": "INTEGRATION", "sourceId": "8"}, "own"),
            (frozenset({"8"}), {"changeSource": "INTEGRATION", "sourceId": "9"}, "user:INTEGRATION/9"),
            (frozenset(), {"changeSource": "INTEGRATION", "sourceId": "9"}, "app:INTEGRATION/9"),
            (frozenset({"8"}), {"changeSource": "API", "sourceId": None}, "app:API/"),
            (frozenset(), {"changeSource": None}, "app:/userId:1"),
            (frozenset(), {"changeSource": "IMPORT", "sourceId": "5"}, "user:IMPORT/5"),
            (
                frozenset(),
                {"changeSource": "AUTOMATION_PLATFORM", "sourceId": "enrollmentId:7"},
                "user:AUTOMATION_PLATFORM/",
            ),
        ],
    )
    def test_the_author_of_a_change_is_named(self, own: frozenset[str], parts: Json, source: str) -> None:
        assert one(change(**parts), parser=HubSpotWebhooks(FIELDS, "3", own, key=b"k")).source == source

    def test_a_user_named_by_address_is_one_user_without_it(self) -> None:
        ann, bob = (change(changeSource="CRM_UI", sourceId=f"{name}@example.com") for name in ("ann", "bob"))
        sources = [one(each).source for each in (ann, ann, bob)]
        assert sources[0] == sources[1] != sources[2]
        assert not any("@" in source or "ann" in source for source in sources)

    @given(st.lists(JSON, max_size=4))
    def test_no_array_of_anything_raises(self, elements: list[object]) -> None:
        parsed = parse(*elements)
        assert len(parsed.events) + len(parsed.set_aside) + parsed.foreign + parsed.ignored == len(elements)

    @given(st.sampled_from(sorted(change())), JSON)
    def test_no_part_of_anything_raises(self, name: str, value: object) -> None:
        parsed = parse(change(**{name: value}))
        assert len(parsed.events) + len(parsed.set_aside) + parsed.foreign + parsed.ignored == 1

    def test_shapes_other_clients_saw(self, shared: Path) -> None:
        shapes = json.loads((shared / "samples" / "hubspot_webhooks.json").read_text())
        expected = {
            "contact.creation": "created",
            "contact.propertyChange": "updated",
            "generic (object.*)": "updated",
            "contact.merge": "merged",
        }
        parser = HubSpotWebhooks(FIELDS, "", key=b"k")
        for name, kind in expected.items():
            body = json.dumps(shapes[name]).encode()
            assert [event.kind for event in parser.parse(body, 0).events] == [kind]


@pytest.mark.parametrize(
    "parts",
    [
        {"changeSource": "jane@leak.example"},
        {"changeSource": "from leak"},
        {"changeSource": "INTEGRATION", "sourceId": "jane@leak.example"},
        {"changeSource": "CRM_UI", "sourceId": "userId:jane@leak.example"},
    ],
)
def test_a_source_that_holds_what_a_person_typed_is_hashed(parts: dict[str, object]) -> None:
    assert "leak" not in one(change(**parts)).source
