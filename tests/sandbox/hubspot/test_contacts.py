"""The stand-in HubSpot, single contacts: values, conflicts, merges, history, limits, webhooks."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import itertools

import orjson
import pytest

from tests.support.hubspot_client import CONTACTS, START_MS, TARGET, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot import webhooks
from wanesync.sandbox.hubspot.answers import iso, parse_ms
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.stand_in import WebhookTarget


@pytest.fixture
def client() -> Client:
    return Client()


def test_values_are_stored_unchanged_but_addresses_in_lower_case(client: Client) -> None:
    record_id = client.create(email=" Ada@Example.COM ", firstname=" Ada ")

    read = client.read(record_id, "email", "firstname", "phone")
    assert (read["email"], read["firstname"], read["phone"]) == ("ada@example.com", " Ada ", None)
    assert (read["createdate"], read["hs_object_id"]) == (iso(START_MS), record_id)
    assert int(record_id) > 2**31


def test_an_empty_value_clears_and_a_null_does_too(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon", zip="69001")
    status, body = client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "", "zip": None}})

    assert (status, body["properties"]["city"]) == (200, "")
    assert client.read(record_id, "city", "zip")["city"] is None


def test_the_modification_time_of_a_contact_always_increases(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    times = [client.read(record_id)["lastmodifieddate"]]
    for city in ("A", "B", "C"):
        client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": city}})
        times.append(client.read(record_id)["lastmodifieddate"])
    client.now_ms -= 10_000
    client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "D"}})
    times.append(client.read(record_id)["lastmodifieddate"])

    assert [parse_ms(str(at)) for at in times] == list(range(START_MS, START_MS + 5))


def test_writing_the_same_value_changes_nothing(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    before = client.read(record_id)
    client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "Lyon", "email": "A@example.com"}})

    assert client.read(record_id) == before
    assert len(client.machine.journal) == 1


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"first000name": "x"}, "PROPERTY_DOESNT_EXIST"),
        ({"createdate": "2020-01-01"}, "READ_ONLY_VALUE"),
        ({"hs_additional_emails": "b@example.com"}, "READ_ONLY_VALUE"),
        ({"email": "not an address"}, "INVALID_EMAIL"),
        ({"lifecyclestage": "friend"}, "INVALID_OPTION"),
        ({"score": "many"}, "INVALID_NUMBER"),
        ({"score": "nan"}, "INVALID_NUMBER"),
        ({"score": "1_000"}, "INVALID_NUMBER"),
        ({"score": "\u0661\u0662"}, "INVALID_NUMBER"),
        ({"member": "yes"}, "INVALID_OPTION"),
        ({"born": "yesterday"}, "INVALID_DATE"),
    ],
)
def test_invalid_values_are_listed(client: Client, properties: dict[str, str], code: str) -> None:
    client.define("score", type="number")
    client.define("born", type="date")
    client.define("member", type="bool")
    status, body = client.call("POST", CONTACTS, {"properties": {"firstname": "A", **properties}})

    assert (status, body["category"]) == (400, "VALIDATION_ERROR")
    assert body["errors"][0]["code"] == code
    assert body["errors"][0]["context"]["propertyName"] == list(properties)
    assert orjson.loads(body["message"].partition(": ")[2])[0]["error"] == code


def test_a_contact_needs_an_address_or_a_name(client: Client) -> None:
    assert client.call("POST", CONTACTS, {"properties": {"city": "Lyon"}})[0] == 400
    assert client.call("POST", CONTACTS, {"properties": {"lastname": "Roe"}})[0] == 201


def test_a_taken_address_is_a_conflict_with_the_id_of_its_holder(client: Client) -> None:
    holder = client.create(email="a@example.com")
    other = client.create(email="b@example.com")
    for method, path in (("POST", CONTACTS), ("PATCH", f"{CONTACTS}/{other}")):
        status, body = client.call(method, path, {"properties": {"email": "A@EXAMPLE.com"}})

        assert (status, body["category"]) == (409, "CONFLICT")
        assert body["message"] == f"Contact already exists. Existing ID: {holder}"


def test_a_secondary_address_is_taken_too(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    client.machine.edit("update", record_id, {"hs_additional_emails": "B@example.com; c@example.com"}, client.now_ms)
    status, body = client.call("POST", CONTACTS, {"properties": {"email": "c@example.com"}})

    assert (status, body["message"].split()[-1]) == (409, record_id)
    assert client.call("GET", f"{CONTACTS}/b@example.com", idProperty="email")[1]["id"] == record_id


@pytest.mark.parametrize(("secondary", "status"), [(True, 200), (False, 404)])
def test_reads_by_a_secondary_address_follow_the_setting(secondary: bool, status: int) -> None:
    client = Client(HubSpotSettings(secondary_email_reads=secondary))
    values = {"email": "a@example.com", "hs_additional_emails": "b@example.com"}
    client.machine.edit("create", None, values, client.now_ms)

    assert client.call("GET", f"{CONTACTS}/b@example.com", idProperty="email")[0] == status
    assert client.call("GET", f"{CONTACTS}/a@example.com", idProperty="email")[0] == 200


def test_an_address_becomes_free_when_its_contact_is_archived_or_changes_it(client: Client) -> None:
    first = client.create(email="a@example.com")
    client.call("DELETE", f"{CONTACTS}/{first}")
    second = client.create(email="a@example.com")
    client.call("PATCH", f"{CONTACTS}/{second}", {"properties": {"email": "b@example.com"}})

    assert client.create(email="a@example.com") not in (first, second)


def test_a_unique_property_refuses_a_second_holder_and_names_the_first(client: Client) -> None:
    client.define("stripe_customer_id", hasUniqueValue=True)
    holder = client.create(email="a@example.com", stripe_customer_id="cus_1")
    status, body = client.call("POST", CONTACTS, {"properties": {"firstname": "B", "stripe_customer_id": "cus_1"}})

    assert (status, body["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")
    assert f"{holder} already has that value" in body["message"]
    client.call("PATCH", f"{CONTACTS}/{holder}", {"properties": {"stripe_customer_id": ""}})
    assert client.create(firstname="B", stripe_customer_id="cus_1") != holder


def test_the_lifecycle_stage_goes_back_only_after_it_was_cleared(client: Client) -> None:
    record_id = client.create(email="a@example.com", lifecyclestage="customer")
    seen = []
    for stage in ("lead", "evangelist", "", "lead"):
        client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"lifecyclestage": stage}})
        seen.append(client.read(record_id, "lifecyclestage")["lifecyclestage"])

    assert seen == ["customer", "evangelist", None, "lead"]


def test_history_lists_values_and_authors_newest_first(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    client.machine.edit("update", record_id, {"city": "Paris"}, client.now_ms + 5)
    client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": ""}})
    body = client.call("GET", f"{CONTACTS}/{record_id}", propertiesWithHistory="city")[1]

    versions = [(version["value"], version["sourceType"], version["sourceId"])
                for version in body["propertiesWithHistory"]["city"]]  # fmt: skip
    assert versions == [("", "INTEGRATION", "99"), ("Paris", "CRM_UI", "userId:1"), ("Lyon", "INTEGRATION", "99")]
    stamps = [parse_ms(version["timestamp"]) for version in body["propertiesWithHistory"]["city"]]
    assert stamps == [START_MS + 6, START_MS + 5, START_MS]


def test_a_merge_makes_a_third_contact_found_by_both_ids(client: Client) -> None:
    primary = client.create(email="a@example.com", firstname="Ada", city="Lyon")
    other = client.create(email="b@example.com", firstname="A.", phone="1")
    status, body = client.call("POST", f"{CONTACTS}/merge", {"primaryObjectId": primary, "objectIdToMerge": other})
    survivor = body["id"]

    assert status == 200
    assert survivor not in (primary, other)
    assert {client.read(record_id)["hs_object_id"] for record_id in (primary, other, survivor)} == {survivor}
    read = client.read(primary, "firstname", "phone", "email", "hs_additional_emails", "hs_merged_object_ids")
    assert (read["firstname"], read["phone"], read["email"]) == ("Ada", "1", "a@example.com")
    assert (read["hs_additional_emails"], read["hs_merged_object_ids"]) == ("b@example.com", f"{primary};{other}")
    vids = client.read(survivor, "hs_calculated_merged_vids")["hs_calculated_merged_vids"]
    assert vids == f"{primary}:{START_MS};{other}:{START_MS}"
    assert [item["id"] for item in client.call("GET", CONTACTS)[1]["results"]] == [survivor]
    assert client.call("GET", CONTACTS, archived="true")[1]["results"] == []


def test_merging_again_keeps_all_the_ids(client: Client) -> None:
    first, second, third = (client.create(email=f"{name}@example.com") for name in "abc")
    one = client.machine.edit("merge", None, {"into": first, "from": second}, client.now_ms)
    two = client.machine.edit("merge", None, {"into": third, "from": first}, client.now_ms)

    assert client.read(second)["hs_object_id"] == two
    ids = str(client.read(two, "hs_merged_object_ids")["hs_merged_object_ids"]).split(";")
    assert sorted(ids) == sorted([first, second, third, one])
    assert client.call("POST", CONTACTS, {"properties": {"email": "b@example.com"}})[0] == 409


def test_a_merge_of_one_with_itself_is_refused_and_changes_nothing(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    before = client.read(record_id)
    status, _ = client.call("POST", f"{CONTACTS}/merge", {"primaryObjectId": record_id, "objectIdToMerge": record_id})

    assert (status, client.read(record_id)) == (400, before)


def test_archived_contacts_are_in_the_recycle_bin_only(client: Client) -> None:
    record_id = client.create(email="a@example.com")

    assert client.call("DELETE", f"{CONTACTS}/{record_id}") == (204, None)
    assert client.call("DELETE", f"{CONTACTS}/{record_id}") == (204, None)
    assert client.call("GET", f"{CONTACTS}/{record_id}")[0] == 404
    binned = client.call("GET", f"{CONTACTS}/{record_id}", archived="true")[1]
    assert (binned["archived"], binned["archivedAt"]) == (True, iso(START_MS))
    assert [item["id"] for item in client.call("GET", CONTACTS, archived="true")[1]["results"]] == [record_id]


def test_a_privacy_deletion_is_permanent_and_an_unknown_address_is_blocked(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    erase = f"{CONTACTS}/gdpr-delete"

    assert client.call("POST", erase, {"objectId": "A@example.com", "idProperty": "email"}) == (204, None)
    assert client.call("GET", f"{CONTACTS}/{record_id}", archived="true")[0] == 404
    assert client.call("POST", erase, {"objectId": "b@example.com", "idProperty": "email"}) == (204, None)
    status, body = client.call("POST", CONTACTS, {"properties": {"email": "b@example.com"}})
    assert (status, body["errors"][0]["code"]) == (400, "INVALID_EMAIL")
    assert client.call("POST", erase, {"objectId": record_id})[0] == 404


def test_the_listing_pages_by_the_id_of_the_next_contact(client: Client) -> None:
    ids = [client.create(email=f"{number}@example.com") for number in range(5)]
    pages, after = [], "0"
    while after:
        body = client.call("GET", CONTACTS, limit="2", after=after)[1]
        pages.append([item["id"] for item in body["results"]])
        after = body.get("paging", {}).get("next", {}).get("after")

    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert client.call("GET", CONTACTS, limit="2")[1]["paging"]["next"]["after"] == ids[2]


@pytest.mark.parametrize(
    "query",
    [{"limit": "101"}, {"limit": "0"}, {"limit": "x"}, {"after": "x"}, {"limit": "51", "propertiesWithHistory": "city"},
     {"surprise": "1"}],
)  # fmt: skip
def test_listings_with_wrong_parameters_are_refused(client: Client, query: dict[str, str]) -> None:
    assert client.call("GET", CONTACTS, **query)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/crm/v3/objects/companies", None, 404),
        ("PUT", CONTACTS, {}, 405),
        ("DELETE", CONTACTS, None, 405),
        ("GET", f"{CONTACTS}/9", None, 404),
        ("GET", f"{CONTACTS}/²", None, 404),
        ("GET", f"{CONTACTS}/{'9' * 5000}", None, 404),
        ("GET", f"{CONTACTS}/{'9' * 17000}", None, 414),
        ("PATCH", f"{CONTACTS}/9", {"properties": {}}, 404),
        ("POST", CONTACTS, b"{", 400),
        ("POST", CONTACTS, b"\xff", 400),
        ("POST", CONTACTS, [], 400),
        ("POST", CONTACTS, {"properties": []}, 400),
        ("POST", CONTACTS, {"properties": {"firstname": {}}}, 400),
        ("POST", CONTACTS, {"properties": {"firstname": "A"}, "surprise": 1}, 400),
        ("POST", CONTACTS, {"properties": {"firstname": "A"}, "associations": [{}]}, 400),
        ("POST", f"{CONTACTS}/merge", {"primaryObjectId": "1", "objectIdToMerge": "2"}, 404),
        ("PATCH", "/crm/v3/properties/contacts/email", {}, 405),
    ],
)
def test_unknown_and_malformed_requests_are_refused_as_by_hubspot(
    client: Client, method: str, path: str, body: object, status: int
) -> None:
    answered, content = client.call(method, path, body)

    assert answered == status
    assert {"status", "message", "correlationId", "category"} <= set(content)
    assert len(client.machine.journal) == 0


@pytest.mark.parametrize("token", ["", "pk-1", "eyJhbGciOi"])
def test_an_invalid_token_is_refused(client: Client, token: str) -> None:
    assert client.send("GET", CONTACTS, token=token).status == 401
    assert client.machine.operations == {}


def test_exactly_the_given_rate_is_enforced_and_the_429_names_the_limit() -> None:
    client = Client(HubSpotSettings(rate_per_s=15))
    answers = [client.send("GET", CONTACTS) for _ in range(20)]
    refused = orjson.loads(answers[15].body)

    assert [answer.status for answer in answers] == [200] * 15 + [429] * 5
    assert (refused["policyName"], refused["errorType"]) == ("SECONDLY", "RATE_LIMIT")
    assert refused["message"] == "You have reached your secondly limit."
    assert "Retry-After" not in answers[15].headers
    client.now_ms += 999
    assert client.send("GET", CONTACTS).status == 429
    client.now_ms += 1
    assert client.send("GET", CONTACTS).status == 200
    stats = client.machine.stats(client.now_ms)
    assert (stats["requests"], stats["rate_limited"], stats["largest_window_1s"]) == (22, 6, 21)


def test_without_a_given_rate_the_tiers_ten_seconds_count() -> None:
    client = Client()
    statuses = [client.send("GET", CONTACTS).status for _ in range(191)]
    body = orjson.loads(client.send("GET", CONTACTS).body)

    assert (statuses.count(200), statuses[190]) == (190, 429)
    assert body["policyName"] == "TEN_SECONDLY_ROLLING"
    client.machine.set_rate(1)
    client.now_ms += 10_000
    assert [client.send("GET", CONTACTS).status for _ in range(2)] == [200, 429]


def test_search_has_its_own_window_and_no_rate_headers(client: Client) -> None:
    answers = [client.send("POST", f"{CONTACTS}/search", {}) for _ in range(6)]

    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert orjson.loads(answers[5].body)["policyName"] == "SECONDLY"
    assert not any(name.startswith("X-HubSpot") for answer in answers for name in answer.headers)
    assert client.send("GET", CONTACTS).headers["X-HubSpot-RateLimit-Remaining"] == "189"


def test_the_daily_quota_is_reported_and_resets_at_midnight() -> None:
    client = Client(HubSpotSettings(daily_limit=3))
    usage = "/account-info/v3/api-usage/daily/private-apps"
    [quota] = client.call("GET", usage)[1]["results"]
    client.call("GET", CONTACTS)
    headers = client.send("GET", CONTACTS).headers

    assert (quota["usageLimit"], quota["currentUsage"]) == (3, 1)
    assert headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    assert client.call("GET", CONTACTS)[1]["policyName"] == "DAILY"
    client.now_ms = parse_ms(quota["resetsAt"])
    assert client.call("GET", CONTACTS)[0] == 200


def test_the_account_endpoint_returns_the_portal_id(client: Client) -> None:
    status, body = client.call("GET", "/account-info/v3/details")

    assert (status, body["portalId"], body["accountType"]) == (200, 4242, "DEVELOPER_TEST")


def test_a_creation_sends_its_event_without_values_and_one_per_value(client: Client) -> None:
    client.listen()
    record_id = client.create(email="a@example.com", city="Lyon")
    events = client.events()

    assert events[0]["subscriptionType"] == "contact.creation"
    assert "propertyValue" not in events[0]
    assert {(event["propertyName"], event["propertyValue"]) for event in events[1:]} == {
        ("email", "a@example.com"), ("city", "Lyon"), ("lifecyclestage", "lead"),
    }  # fmt: skip
    for event in events:
        assert (event["objectId"], event["portalId"], event["appId"]) == (int(record_id), 4242, 99)
        assert (event["changeSource"], event["sourceId"]) == ("INTEGRATION", "99")
        assert (event["occurredAt"], event["attemptNumber"]) == (START_MS, 0)


def test_only_subscribed_properties_send_changes_and_creations_can_be_bare() -> None:
    client = Client(HubSpotSettings(emit_initial_changes=False, subscribed=frozenset({"city"})))
    client.listen()
    record_id = client.create(email="a@example.com", city="Lyon")
    client.machine.edit("update", record_id, {"city": "", "firstname": "A"}, client.now_ms)
    created, changed = client.events()

    assert created["subscriptionType"] == "contact.creation"
    assert (changed["propertyName"], changed["propertyValue"]) == ("city", "")
    assert (changed["changeSource"], changed["sourceId"]) == ("CRM_UI", "userId:1")


def test_another_apps_writes_carry_its_own_id(client: Client) -> None:
    client.listen()
    client.send("POST", CONTACTS, {"properties": {"firstname": "A"}}, token="pat-other-7")

    assert {event["sourceId"] for event in client.events()} == {"777"}
    assert client.machine.journal.after(0)[0].source == "api:er-7"


def test_merges_deletions_and_privacy_deletions_send_events(client: Client) -> None:
    first, second, third = (client.create(email=f"{name}@example.com", city=name) for name in "abc")
    client.listen()
    survivor = client.machine.edit("merge", None, {"into": first, "from": second}, client.now_ms)
    client.machine.edit("delete", survivor, {}, client.now_ms)
    client.machine.edit("erase", third, {}, client.now_ms)
    merged, *gone = client.events()

    assert (merged["primaryObjectId"], merged["mergedObjectIds"]) == (int(first), [int(second)])
    assert (merged["newObjectId"], merged["numberOfPropertiesMoved"]) == (int(survivor), 0)
    assert sorted((event["subscriptionType"], event["objectId"]) for event in gone) == [
        ("contact.deletion", int(third)),
        ("contact.deletion", int(survivor)),
        ("contact.privacyDeletion", int(third)),
    ]


def test_event_ids_repeat_and_posts_hold_at_most_a_hundred(client: Client) -> None:
    client.listen()
    for number in range(60):
        client.create(email=f"{number}@example.com")
    deliveries = client.deliveries()
    events = [event for delivery in deliveries for event in orjson.loads(delivery.body)]

    assert max(len(orjson.loads(delivery.body)) for delivery in deliveries) == 100
    assert len(events) == 180
    assert len({event["eventId"] for event in events}) <= 100


def test_the_published_vector_of_the_signature() -> None:
    target = WebhookTarget("https://www.example.com/webhook_uri", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy")
    headers = webhooks.sign(target, b"{'example_field':'example_value'}", 1_693_657_560_000)

    assert headers["X-HubSpot-Signature-v3"] == "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="
    assert headers["X-HubSpot-Request-Timestamp"] == "1693657560000"


def test_a_delivery_is_signed_over_its_own_body(client: Client) -> None:
    client.listen()
    client.create(email="a@example.com")
    [delivery] = client.deliveries()
    signed = b"POST" + TARGET.url.encode() + delivery.body + delivery.headers["X-HubSpot-Request-Timestamp"].encode()
    digest = hmac.new(TARGET.secret.encode(), signed, hashlib.sha256).digest()

    assert delivery.headers["X-HubSpot-Signature-v3"] == base64.b64encode(digest).decode()


def test_faults_refuse_before_break_after_and_lose_the_answer(client: Client) -> None:
    client.machine.set_faults(Faults(error_503=1))
    assert client.call("POST", CONTACTS, {"properties": {"firstname": "A"}})[0] == 503
    assert client.machine.records() == []

    client.machine.set_faults(Faults(error_500=1))
    assert client.call("POST", CONTACTS, {"properties": {"firstname": "B"}})[0] == 502
    [record] = client.machine.records()
    assert client.call("PATCH", f"{CONTACTS}/{record['id']}", {"properties": {"firstname": "C"}})[0] == 200

    client.machine.set_faults(Faults(lost_answer=1))
    response = client.send("PATCH", f"{CONTACTS}/{record['id']}", {"properties": {"firstname": "D"}})
    assert response.lost
    assert not client.send("GET", CONTACTS).lost
    assert client.machine.records()[0]["firstname"] == "D"


def test_the_journal_records_changes_and_authors(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    client.machine.edit("update", record_id, {"city": "Lyon"}, client.now_ms + 7)
    created, updated = client.machine.journal.after(0)

    assert (created.kind, created.source, created.changes["email"]) == ("contact.created", "api:0001", "a@example.com")
    assert (updated.kind, updated.source, dict(updated.changes)) == ("contact.updated", "user", {"city": "Lyon"})
    assert (updated.record_id, updated.at_ms) == (record_id, START_MS + 7)


@pytest.mark.parametrize(
    ("kind", "record_id", "values"),
    [
        ("update", "1", {}),
        ("create", None, {"email": "x"}),
        ("create", None, {"nonsense": "x"}),
        ("merge", None, {"into": "1"}),
        ("paint", "known", {}),
    ],
)
def test_invalid_edits_raise_with_the_reason(client: Client, kind: str, record_id: str, values: dict[str, str]) -> None:
    known = client.create(email="a@example.com")
    with pytest.raises(ValueError, match=r"\w{3}"):
        client.machine.edit(kind, known if record_id == "known" else record_id, values, client.now_ms)


def test_the_same_seed_and_calls_make_the_same_portal_and_a_copy_is_independent() -> None:
    one, two = Client(seed=5), Client(seed=5)
    for client, number in itertools.product((one, two), range(3)):
        client.create(email=f"{number}@example.com")
    twin = copy.deepcopy(one.machine)
    twin.set_faults(Faults(error_503=1))
    twin.edit("create", None, {"firstname": "A"}, START_MS)

    assert one.machine.records() == two.machine.records()
    assert len(twin.records()) == 4
    assert one.call("GET", CONTACTS)[0] == 200


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_dated_paths_lead_to_the_same_records(client: Client, version: str) -> None:
    record_id = client.create(email="ada@example.com")
    dated = f"/crm/objects/{version}/contacts"

    assert client.call("GET", f"{dated}/{record_id}")[1]["id"] == record_id
    assert client.call("GET", f"/crm/objects/{version}/contact/{record_id}")[0] == 200
    assert (
        client.call("POST", f"{dated}/batch/read", {"inputs": [{"id": record_id}]})[1]["results"][0]["id"] == record_id
    )
    assert client.call("GET", f"/crm/properties/{version}/contacts/email")[1]["name"] == "email"
    assert client.call("GET", f"/account-info/{version}/details")[1]["portalId"] == 4242
    assert client.call("GET", f"/events/{version}/event-definitions")[0] == 200
    assert client.call("GET", "/events/custom/2026-09/event-definitions")[0] == 200
    assert client.call("GET", "/events/custom/2026-03/event-definitions")[0] == 404
    assert client.machine.stats(client.now_ms)["versions"] == {
        "v3": 1,
        version: 6,
        "2026-09": 1 + 6 * (version == "2026-09"),
    }
