"""Webhooks of both sides: what each element comes to, and that none of them ever raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.stripe.customers import API_VERSION
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.errors import InvalidPayload
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Event
from wanesync.core.ports import ParsedWebhook

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
HUBSPOT = HubSpotWebhooks(FIELDS, "3")
STRIPE = StripeEvents(FIELDS, StripeAccount(livemode=False, portal="42", id="acct_1"))
Json = dict[str, object]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


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

    def test_a_cleared_value_is_a_value_and_a_withheld_one_is_not(self) -> None:
        assert one(change(propertyValue="")).values == {"phone": ""}
        assert one(change(propertyValue=None)).values == {"phone": ""}
        assert one(change(propertyValue="REDACTED")).values == {}
        assert one(change(isSensitive=True)).values == {}

    @pytest.mark.parametrize("name", ["subscriptionType", "eventType"])
    @pytest.mark.parametrize(
        ("what", "kind"),
        [("creation", "created"), ("deletion", "deleted"), ("restore", "updated"), ("propertyChange", "updated")],
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
        [b"", b"{}", b"nonsense", b"[", b"\xff\xfe", b'["\xff"]', b"[NaN]", b"[" * 10_000, b"null", b'"x"', b"[1]]"],
    )
    def test_what_is_no_array_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidPayload):
            HUBSPOT.parse(body, 0)

    def test_half_a_character_costs_no_event(self) -> None:
        body = b"[%s]" % json.dumps(change(propertyName="city", propertyValue="K\ud83d")).encode()
        assert b"\\ud83d" in body
        assert HUBSPOT.parse(body, 0).events[0].values == {"city": "K?"}
        with pytest.raises(InvalidPayload):
            HUBSPOT.parse(b'["\\ud83d", NaN]', 0)
        with pytest.raises(InvalidPayload):
            HUBSPOT.parse(b'["\\ud83d"' + b"[" * 10_000, 0)

    def test_a_deep_element_is_set_aside(self) -> None:
        deep = b"[" * 900 + b"]" * 900
        parsed = HUBSPOT.parse(b"[" + deep + b"," + json.dumps(change()).encode() + b"]", 0)
        assert len(parsed.events) == 1
        assert "too deep" in parsed.set_aside[0][1]

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
    def test_who_did_it(self, own: frozenset[str], parts: Json, source: str) -> None:
        assert one(change(**parts), parser=HubSpotWebhooks(FIELDS, "3", own)).source == source

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
        parser = HubSpotWebhooks(FIELDS, "")
        for name, kind in expected.items():
            body = json.dumps(shapes[name]).encode()
            assert [event.kind for event in parser.parse(body, 0).events] == [kind]


def customer(**parts: object) -> Json:
    return {
        "id": "cus_1", "object": "customer", "created": 1_700_000_000, "email": "Ada@x.de", "name": "Ada",
        "address": {"line1": "1 St", "city": "Ulm", "country": None}, "preferred_locales": ["de"],
        "metadata": {"job": "boss", "hubspot_contact_id": "7", "hubspot_portal_id": "42"}, **parts,
    }  # fmt: skip


def charge(**parts: object) -> Json:
    return {
        "id": "ch_1", "object": "charge", "amount": 3000, "amount_captured": 3000, "currency": "usd", "paid": True,
        "captured": True, "customer": "cus_1", "payment_intent": "pi_1", "receipt_email": None, "description": "Tea",
        "billing_details": {"email": " Ada@X.de"}, **parts,
    }  # fmt: skip


def event(kind: str, subject: object, previous: Mapping[str, object] | None = None, **parts: object) -> Json:
    data: Json = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": "evt_1", "object": "event", "api_version": API_VERSION, "created": 1_700_000_005, "data": data,
        "livemode": False, "type": kind, "request": {"id": "req_1", "idempotency_key": None}, **parts,
    }  # fmt: skip


def parse_stripe(element: object) -> ParsedWebhook:
    return STRIPE.parse(json.dumps(element).encode(), 5)


def one_stripe(element: object) -> Event:
    [row] = parse_stripe(element).events
    return row


class TestStripe:
    def test_a_creation_carries_all_values(self) -> None:
        row = one_stripe(event("customer.created", customer()))
        assert (row.kind, row.record_id, row.occurred_ms) == ("created", "cus_1", 1_700_000_005_000)
        assert row.values == {
            "email": "ada@x.de", "name": "Ada", "street": "1 St", "city": "Ulm", "language": "de", "job": "boss",
        }  # fmt: skip
        assert row.record is not None
        assert row.record.other_id == "7"

    @pytest.mark.parametrize(
        ("previous", "values", "before"),
        [
            ({"email": "Old@x.de"}, {"email": "ada@x.de"}, {"email": "old@x.de"}),
            ({"email": None}, {"email": "ada@x.de"}, {"email": ""}),
            ({"address": {"city": "Bonn"}}, {"city": "Ulm"}, {"city": "Bonn"}),
            ({"address": None}, {"city": "Ulm", "street": "1 St"}, {"city": "", "street": ""}),
            ({"metadata": {"job": None}}, {"job": "boss"}, {"job": ""}),
            ({"preferred_locales": ["fr", "de"]}, {"language": "de"}, {"language": "fr"}),
            ({"email": " ADA@x.de", "balance": 5}, {}, {}),
            ({"currency": None}, {}, {}),
            ({"metadata": {"hubspot_contact_id": None}}, {}, {}),
        ],
    )
    def test_an_update_carries_what_changed(self, previous: Json, values: Json, before: Json) -> None:
        row = one_stripe(event("customer.updated", customer(), previous))
        assert (row.values, row.previous) == (values, before)

    def test_a_cleared_address(self) -> None:
        row = one_stripe(event("customer.updated", customer(address=None), {"address": {"line1": "1", "city": "Ulm"}}))
        assert (row.values, row.previous) == ({"street": "", "city": ""}, {"street": "1", "city": "Ulm"})

    def test_changes_of_nothing_mapped_are_counted(self) -> None:
        unmapped: list[Json] = [{"balance": 0}, {"metadata": {"other": "x"}}, {"invoice_prefix": "A", "discount": None}]
        for previous in unmapped:
            assert parse_stripe(event("customer.updated", customer(), previous)).ignored == 1

    def test_our_request_is_named(self) -> None:
        request = {"id": "req_1", "idempotency_key": "wane-u-1"}
        assert (
            one_stripe(event("customer.updated", customer(), {"name": "x"}, request=request)).request_key == "wane-u-1"
        )
        assert one_stripe(event("customer.updated", customer(), {"name": "x"}, request=None)).request_key == ""

    def test_the_door_and_the_listing_know_an_event_by_the_same_key(self) -> None:
        element = event("customer.created", customer())
        listing = StripeEvents(FIELDS, StripeAccount(livemode=False, portal="42"))
        [listed] = listing.parse(json.dumps({**element, "pending_webhooks": 3}).encode(), 99).events
        assert listed.key == one_stripe(element).key
        assert listed.key != one_stripe({**element, "id": "evt_2"}).key

    def test_an_object_of_another_version_is_only_a_hint(self) -> None:
        row = one_stripe(event("customer.created", customer(), api_version="2020-03-02"))
        assert row.record is None
        assert row.values["email"] == "ada@x.de"

    def test_a_deletion_needs_no_values(self) -> None:
        row = one_stripe(event("customer.deleted", {"id": "cus_1", "object": "customer", "deleted": True}))
        assert (row.kind, row.values, row.record) == ("deleted", {}, None)

    def test_a_purchase(self) -> None:
        parsed = parse_stripe(event("charge.succeeded", charge()))
        [purchase] = parsed.purchases
        assert list(parsed.events) == []
        assert (purchase.payment_id, purchase.charge_id, purchase.customer_id) == ("pi_1", "ch_1", "cus_1")
        assert (purchase.email, purchase.amount, purchase.currency) == ("ada@x.de", 3000, "usd")
        assert (purchase.occurred_ms, purchase.description) == (1_700_000_005_000, "Tea")

    def test_both_events_of_one_payment_name_it_alike(self) -> None:
        first = parse_stripe(event("charge.succeeded", charge(captured=False, amount_captured=0)))
        second = parse_stripe(event("charge.captured", charge(amount_captured=1200), id="evt_2"))
        assert (list(first.purchases), first.ignored) == ([], 1)
        assert [(p.payment_id, p.amount) for p in second.purchases] == [("pi_1", 1200)]

    def test_guests_and_expanded_objects(self) -> None:
        guest = charge(customer=None, payment_intent=None, billing_details={"email": None}, receipt_email="G@x.de")
        [purchase] = parse_stripe(event("charge.succeeded", guest)).purchases
        assert (purchase.payment_id, purchase.customer_id, purchase.email) == ("ch_1", "", "g@x.de")
        expanded = charge(customer={"id": "cus_9"}, payment_intent={"id": "pi_9"})
        [purchase] = parse_stripe(event("charge.succeeded", expanded)).purchases
        assert (purchase.payment_id, purchase.customer_id) == ("pi_9", "cus_9")

    @pytest.mark.parametrize("parts", [{"livemode": True}, {"account": "acct_2"}])
    def test_foreign_events_are_counted(self, parts: Json) -> None:
        parsed = parse_stripe({**event("customer.created", customer()), **parts})
        assert (list(parsed.events), parsed.foreign) == ([], 1)

    @pytest.mark.parametrize(
        "element",
        [
            {}, {"object": "v2.core.event"}, event("customer.created", None),
            event("customer.created", customer(id="x")),
            event("customer.created", customer(id="cus_1/../x")), event("customer.created", customer(), created=None),
            event("customer.created", customer(), created=-1), event("customer.created", customer(), id=None),
            event("charge.succeeded", charge(amount=None, amount_captured=None)),
            event("charge.succeeded", charge(currency="")), event("charge.succeeded", charge(id="")),
        ],
    )  # fmt: skip
    def test_what_cannot_be_understood_is_set_aside(self, element: Json) -> None:
        parsed = parse_stripe(element)
        assert (list(parsed.events), list(parsed.purchases), len(parsed.set_aside)) == ([], [], 1)

    @pytest.mark.parametrize("body", [b"", b"[]", b"x", b"\xff", b'{"a":', b'{"a":' * 5_000])
    def test_what_is_no_object_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidPayload):
            STRIPE.parse(body, 0)

    @given(
        st.sampled_from(["customer.created", "customer.updated", "charge.succeeded"]),
        st.sampled_from(sorted({*customer(), *charge()})),
        JSON,
        JSON,
    )
    def test_no_part_of_anything_raises(self, kind: str, name: str, value: object, previous: object) -> None:
        subject = customer(**{name: value}) if kind.startswith("customer") else charge(**{name: value})
        element = event(kind, subject)
        element["data"] = {"object": subject, "previous_attributes": previous}
        parsed = parse_stripe(element)
        assert len(parsed.events) + len(parsed.purchases) + len(parsed.set_aside) + parsed.foreign + parsed.ignored == 1

    def test_recorded_events(self, shared: Path) -> None:
        expected = {
            "stripe_evt_customer_updated.json": "updated",
            "stripe_evt_customer_deleted.json": "deleted",
        }
        for path in sorted((shared / "samples").glob("stripe_evt_*.json")):
            parsed = STRIPE.parse(path.read_bytes(), 0)
            assert list(parsed.set_aside) == [], path.name
            if path.name in expected:
                assert [row.kind for row in parsed.events] == [expected[path.name]]
            elif path.name == "stripe_evt_charge_succeeded.json":
                [purchase] = parsed.purchases
                assert (purchase.payment_id, purchase.amount) == ("pi_3KtQThJDPojXS6LN0H9EfsjV", 3000)
            else:
                assert parsed.ignored + parsed.foreign == 1, path.name
        updated = STRIPE.parse((shared / "samples" / "stripe_evt_customer_updated.json").read_bytes(), 0).events[0]
        assert updated.values == {"email": "billz@supabase.io"}
        assert updated.previous == {"email": "billing@supabase.io"}
        assert updated.record is None

    def test_fixtures_of_other_objects(self, shared: Path) -> None:
        fixture = json.loads((shared / "samples" / "stripe_fixture_charge.json").read_text())
        parsed = parse_stripe(event("charge.succeeded", fixture))
        assert len(parsed.purchases) + parsed.ignored == 1
        assert STRIPE.parse((shared / "samples" / "stripe_fixture_event.json").read_bytes(), 0).ignored == 1
        for name in ("checkout.session", "payment_intent"):
            raw = json.loads((shared / "samples" / f"stripe_fixture_{name}.json").read_text())
            assert parse_stripe(event(f"{name}.completed", raw)).ignored == 1
