"""The stand-in HubSpot: batches, search, definitions, custom events and notes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.hubspot_client import CONTACTS, START_MS, Client, matching
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.answers import iso
from wanesync.sandbox.hubspot.settings import HubSpotSettings

DEFINITIONS = "/events/v3/event-definitions"
NOTES = "/crm/v3/objects/notes"
BOUGHT = "pe4242_bought"


@pytest.fixture
def client() -> Client:
    return Client()


def entry(trace: str | None = None, **properties: str) -> dict[str, object]:
    return {"properties": properties, **({"objectWriteTraceId": trace} if trace else {})}


def holding(record_id: str, **properties: str) -> dict[str, object]:
    return {"id": record_id, "properties": properties}


@pytest.mark.parametrize("kind", ["read", "create", "update", "upsert", "archive"])
@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_has_one_to_a_hundred_inputs(client: Client, kind: str, count: int) -> None:
    record: dict[str, object] = {"id": "1", "properties": {}, "idProperty": "email"}
    wanted = {"read": ["id"], "archive": ["id"], "create": ["properties"], "update": ["id", "properties"],
              "upsert": list(record)}[kind]  # fmt: skip
    assert client.batch(kind, *({key: record[key] for key in wanted} for _ in range(count)))[0] == 400


def test_without_trace_ids_one_conflict_refuses_the_whole_batch(client: Client) -> None:
    holder = client.create(email="a@example.com")
    status, body = client.batch("create", entry(email="b@example.com"), entry(email="A@example.com"))

    assert (status, body["message"]) == (409, f"Contact already exists. Existing ID: {holder}")
    assert len(client.machine.records()) == 1


@pytest.mark.parametrize("traced", [False, True])
def test_two_inputs_of_one_batch_with_one_address_conflict(client: Client, traced: bool) -> None:
    inputs = [entry(str(number) if traced else None, email=email, firstname="X")
              for number, email in enumerate(["a@example.com", "A@example.com"])]  # fmt: skip
    status, body = client.batch("create", *inputs)

    assert status == (207 if traced else 409)
    assert len(client.machine.records()) == (1 if traced else 0)
    if not traced:
        assert body["message"] == "Contact already exists"


def test_with_trace_ids_each_input_is_validated_alone(client: Client) -> None:
    client.define("twin_guard", hasUniqueValue=True)
    holder = client.create(email="a@example.com", twin_guard="g1")
    status, body = client.batch(
        "create",
        entry("t0", email="a@example.com"),
        entry("t1", email="b@example.com"),
        entry("t2", email="nonsense"),
        entry("t3", firstname="C", twin_guard="g1"),
    )

    assert (status, body["status"], body["numErrors"]) == (207, "COMPLETE", 3)
    assert [item["properties"]["email"] for item in body["results"]] == ["b@example.com"]
    conflict, wrong, twin = body["errors"]
    assert conflict["category"] == "CONFLICT"
    assert conflict["context"] == {"existingId": [holder], "objectWriteTraceId": ["t0"]}
    assert conflict["message"] == f"Contact already exists. Existing ID: {holder}"
    assert (wrong["category"], wrong["context"]) == ("VALIDATION_ERROR", {"objectWriteTraceId": ["t2"]})
    assert "CONFLICTING_UNIQUE_VALUE" in twin["message"]
    assert f"{holder} already has that value" in twin["message"]


def test_repeated_trace_ids_count_as_none(client: Client) -> None:
    status, _ = client.batch("create", entry("t", email="a@example.com"), entry("t", email="a@example.com"))

    assert status == 409


def test_an_unknown_property_refuses_the_whole_batch_even_with_trace_ids(client: Client) -> None:
    for kind in ("create", "update"):
        inputs = [entry("t0", email="a@example.com"), entry("t1", first000name="x")]
        if kind == "update":
            inputs = [{**item, "id": str(number)} for number, item in enumerate(inputs)]
        status, body = client.batch(kind, *inputs)

        assert (status, [error["code"] for error in body["errors"]]) == (400, ["PROPERTY_DOESNT_EXIST"])
    assert client.machine.records() == []


def test_a_batch_without_faults_answers_201_for_creation_and_200_for_the_rest(client: Client) -> None:
    status, body = client.batch("create", entry(email="a@example.com"), entry(email="b@example.com"))
    ids = [item["id"] for item in body["results"]]

    assert (status, len(ids)) == (201, 2)
    assert "errors" not in body
    assert client.batch("update", *(holding(record_id, city="Lyon") for record_id in ids))[0] == 200
    assert client.batch("read", *({"id": record_id} for record_id in ids))[0] == 200
    assert client.batch("archive", *({"id": record_id} for record_id in ids)) == (204, None)
    assert client.machine.records() == []


def test_an_update_answers_what_was_written_not_all_it_holds(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon", zip="1")
    status, body = client.batch("update", holding(record_id, city="Paris", zip=""))
    properties = body["results"][0]["properties"]

    assert (status, properties["city"], properties["zip"]) == (200, "Paris", "")
    assert "email" not in properties


def test_updates_that_fail_are_listed_by_id(client: Client) -> None:
    first, second = (client.create(email=f"{name}@example.com") for name in "ab")
    status, body = client.batch(
        "update", holding("77", city="X"), holding(first, email="b@example.com"), holding(second, city="Lyon")
    )

    assert (status, [item["id"] for item in body["results"]]) == (207, [second])
    lacking, conflict = body["errors"]
    assert (lacking["category"], lacking["context"]) == ("OBJECT_NOT_FOUND", {"ids": ["77"]})
    assert conflict["category"] == "CONFLICT"
    assert conflict["context"] == {"existingId": [second], "ids": [first]}


def test_the_same_id_twice_in_an_update_is_refused(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    status, body = client.batch("update", holding(record_id, city="A"), holding(record_id, city="B"))

    assert (status, body["context"]) == (400, {"ids": [record_id]})
    assert body["message"] == f"Duplicate IDs found in batch input: [{record_id}]. IDs must be unique"


def test_updates_use_unique_properties_but_not_the_email(client: Client) -> None:
    client.define("stripe_customer_id", hasUniqueValue=True)
    record_id = client.create(email="a@example.com", stripe_customer_id="cus_1")

    by_email = {**holding("a@example.com", city="Lyon"), "idProperty": "email"}
    assert "by non-unique 0-1 property email" in client.batch("update", by_email)[1]["message"]
    by_custom = {**holding("cus_1", city="Lyon"), "idProperty": "stripe_customer_id"}
    assert client.batch("update", by_custom)[1]["results"][0]["id"] == record_id
    assert client.batch("read", {"id": "cus_1"}, idProperty="stripe_customer_id")[1]["results"][0]["id"] == record_id
    assert client.batch("read", {"id": "Lyon"}, idProperty="city")[0] == 400


def test_an_upsert_marks_what_is_new(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    inputs = [{**holding(email, firstname="X"), "idProperty": "email"} for email in ("A@example.com", "b@example.com")]
    status, body = client.batch("upsert", *inputs)

    assert (status, [item["new"] for item in body["results"]]) == (200, [False, True])
    assert client.read(record_id, "city", "firstname")["city"] == "Lyon"
    assert client.batch("upsert", holding("c@example.com", firstname="X"))[0] == 400
    clash = {**holding("cus_9", email="a@example.com"), "idProperty": "stripe_customer_id"}
    client.define("stripe_customer_id", hasUniqueValue=True)
    assert client.batch("upsert", clash)[1]["errors"][0]["context"]["existingId"] == [record_id]


def test_a_batch_read_returns_survivors_once_and_lists_what_is_missing(client: Client) -> None:
    first, second, third = (client.create(email=f"{name}@example.com") for name in "abc")
    survivor = client.machine.edit("merge", None, {"into": first, "from": second}, client.now_ms)
    status, body = client.batch("read", {"id": second}, {"id": "9"}, {"id": third}, {"id": first}, properties=["email"])

    assert (status, body["numErrors"]) == (207, 1)
    assert [item["id"] for item in body["results"]] == [third, survivor]
    assert body["errors"][0]["context"] == {"ids": ["9"]}


def test_a_batch_read_by_address_ignores_case_and_gives_histories(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    status, body = client.batch("read", {"id": "A@Example.com"}, idProperty="email", propertiesWithHistory=["city"])

    [result] = body["results"]
    assert (status, result["id"]) == (200, record_id)
    assert result["propertiesWithHistory"]["city"][0]["value"] == "Lyon"


def found(body: dict[str, Any]) -> list[str]:
    return [item["id"] for item in body["results"]]


def test_search_sees_only_what_is_older_than_the_lag(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    client.now_ms += 1_999
    assert found(client.search()[1]) == []
    client.now_ms += 1
    client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "Paris"}})
    status, body = client.search(matching("email", "EQ", "A@example.com"), properties=["city"])

    assert (status, body["total"]) == (200, 1)
    assert body["results"][0]["properties"] == {
        "city": "Lyon", "createdate": iso(START_MS), "hs_object_id": record_id, "lastmodifieddate": iso(START_MS),
    }  # fmt: skip
    client.call("DELETE", f"{CONTACTS}/{record_id}")
    client.now_ms += 2_000
    assert client.search()[1]["total"] == 0


def test_search_finds_by_every_operator() -> None:
    client = Client(HubSpotSettings(search_rate_per_s=100))
    client.define("score", type="number")
    client.define("tag", hasUniqueValue=True)
    ids = []
    for name, score in (("ann lee", "2"), ("bob", "10"), ("cy", "")):
        ids.append(client.create(firstname=name, score=score, tag=f"tag-{name[0]}", email=f"{name[:2]}@example.com"))
        client.now_ms += 1_000
    ann, bob, cy = ids
    client.now_ms += 2_000
    cases = {
        (ann,): [matching("score", "LT", "10"), matching("firstname", "CONTAINS_TOKEN", "LEE"),
                 matching("createdate", "EQ", str(START_MS)), matching("tag", "EQ", "tag-a"),
                 matching("firstname", "CONTAINS_TOKEN", "an*"), matching("hs_object_id", "EQ", ann)],
        (ann, bob): [matching("score", "BETWEEN", "2", highValue="10"), matching("score", "HAS_PROPERTY"),
                     matching("lastmodifieddate", "LTE", iso(START_MS + 1_000)),
                     matching("hs_object_id", "IN", values=[bob, ann]), matching("hs_object_id", "LTE", bob)],
        (bob,): [matching("score", "GT", "2"), matching("score", "NEQ", "2"), matching("score", "NOT_IN", values=["2"]),
                 matching("email", "IN", values=["BO@example.com", "none@example.com"])],
        (bob, cy): [matching("lastmodifieddate", "GTE", iso(START_MS + 1_000)), matching("hs_object_id", "GT", ann)],
        (cy,): [matching("score", "NOT_HAS_PROPERTY"), matching("hs_object_id", "GTE", cy)],
        (): [matching("firstname", "CONTAINS_TOKEN", "le"), matching("email", "EQ", "none@example.com")],
    }  # fmt: skip
    for expected, conditions in cases.items():
        for condition in conditions:
            assert found(client.search(condition)[1]) == list(expected), condition
    both = [{"filters": [matching("score", "EQ", "2")]}, {"filters": [matching("firstname", "EQ", "cy")]}]
    status, body = client.call("POST", f"{CONTACTS}/search", {"filterGroups": both})
    assert (status, found(body)) == (200, [ann, cy])
    assert found(client.search(query="example AN")[1]) == [ann]


def test_search_sorts_pages_and_walks_by_keyset() -> None:
    client = Client(HubSpotSettings(search_rate_per_s=100))
    ids = [client.create(email=f"{number}@example.com", city=city) for number, city in enumerate("cab")]
    client.now_ms += 2_000

    down = {"propertyName": "city", "direction": "DESCENDING"}
    assert found(client.search(sorts=[down])[1]) == [ids[0], ids[2], ids[1]]
    assert found(client.search(sorts=["city"])[1]) == [ids[1], ids[2], ids[0]]
    body = client.search(limit=2)[1]
    assert (found(body), body["total"], body["paging"]["next"]["after"]) == (ids[:2], 3, "2")
    body = client.search(limit=2, after="2")[1]
    assert (found(body), "paging" in body) == (ids[2:], False)
    walk, last = [], "0"
    since = matching("lastmodifieddate", "GTE", iso(START_MS))
    while page := found(client.search(since, matching("hs_object_id", "GT", last), limit=2, sorts=["hs_object_id"])[1]):
        walk += page
        last = page[-1]
    assert walk == ids


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"after": "9900", "limit": 101},
        {"after": "x"},
        {"sorts": ["city", "zip"]},
        {"sorts": [{"propertyName": "city", "direction": "UP"}]},
        {"filterGroups": [{"filters": [matching("nonsense", "EQ", "1")]}]},
        {"filterGroups": [{"filters": [matching("city", "LIKE", "1")]}]},
        {"filterGroups": [{"filters": [matching("city", "EQ")]}]},
        {"filterGroups": [{"filters": [matching("createdate", "GT", "soon")]}]},
        {"filterGroups": [{"filters": [matching("hs_object_id", "GT", "inf")]}]},
        {"filterGroups": [{"filters": [matching("city", "EQ", "1")] * 7}]},
        {"filterGroups": [{"filters": [matching("city", "EQ", "1")]}] * 6},
        {"filterGroups": [{"filters": [matching("city", "EQ", "1")] * 4}] * 5},
        {"surprise": 1},
    ],
)
def test_searches_beyond_the_limits_are_refused(client: Client, body: dict[str, object]) -> None:
    assert client.call("POST", f"{CONTACTS}/search", body)[0] == 400


def test_definitions_of_properties(client: Client) -> None:
    path = "/crm/v3/properties/contacts"
    client.define("stripe_customer_id", hasUniqueValue=True)
    known = client.call("GET", f"{path}/stripe_customer_id")[1]

    assert (known["hasUniqueValue"], known["hubspotDefined"]) == (True, False)
    assert client.call("GET", f"{path}/unknown")[0] == 404
    assert {"email", "stripe_customer_id"} <= {item["name"] for item in client.call("GET", path)[1]["results"]}
    again = {"groupName": "contactinformation", "name": "stripe_customer_id", "label": "x", "type": "string",
             "fieldType": "text"}  # fmt: skip
    assert client.call("POST", path, again)[0] == 409
    assert client.call("POST", path, {**again, "name": "Not Lower"})[0] == 400
    assert client.call("POST", path, {**again, "name": "lost", "groupName": "mine"})[0] == 400
    assert client.call("POST", path, {"name": "bare"})[0] == 400
    assert client.call("POST", f"{path}/groups", {"name": "mine", "label": "Mine"})[0] == 201
    assert client.call("POST", f"{path}/groups", {"name": "mine", "label": "Mine"})[0] == 409
    assert client.call("POST", path, {**again, "name": "lost", "groupName": "mine"})[0] == 201
    assert [group["name"] for group in client.call("GET", f"{path}/groups")[1]["results"]][-1] == "mine"


def test_no_more_than_ten_properties_can_be_unique(client: Client) -> None:
    for number in range(10):
        client.define(f"key_{number}", hasUniqueValue=True)
    more = {"groupName": "contactinformation", "name": "key_10", "label": "x", "type": "string", "fieldType": "text"}

    assert client.call("POST", "/crm/v3/properties/contacts", {**more, "hasUniqueValue": True})[0] == 400
    assert client.call("POST", "/crm/v3/properties/contacts", more)[0] == 201


def bought(client: Client) -> None:
    properties = [{"name": "amount", "label": "Amount", "type": "number"},
                  {"name": "currency", "label": "Currency", "type": "string"}]  # fmt: skip
    definition = {"name": "bought", "label": "Bought", "primaryObject": "CONTACT", "propertyDefinitions": properties}
    assert client.call("POST", DEFINITIONS, definition)[0] == 201
    assert client.call("POST", DEFINITIONS, definition)[0] == 409


def occurrence(uuid: str, **members: object) -> dict[str, object]:
    return {"eventName": BOUGHT, "uuid": uuid, "properties": {"amount": "5", "currency": "usd"}, **members}


def test_an_event_counts_once_per_uuid_and_the_first_is_kept(client: Client) -> None:
    bought(client)
    record_id = client.create(email="a@example.com")
    later = occurrence("u1", objectId=record_id, properties={"amount": "9"})

    assert client.call("POST", "/events/v3/send", occurrence("u1", email="A@example.com")) == (204, None)
    assert client.call("POST", "/events/v3/send", later) == (204, None)
    batch = {"inputs": [occurrence("u2", objectId=record_id), occurrence("u2", objectId=record_id), later,
                        occurrence("u3", email="nobody@example.com")]}  # fmt: skip
    assert client.call("POST", "/events/v3/send/batch", batch) == (204, None)
    sent = [entry for entry in client.machine.journal.after(0) if entry.kind == "event.sent"]
    assert [(entry.record_id, entry.changes["uuid"], entry.changes["amount"]) for entry in sent] == [
        (record_id, "u1", "5"), (record_id, "u2", "5"),
    ]  # fmt: skip
    stats = client.machine.stats(client.now_ms)
    assert (stats["events_sent"], stats["events_repeated"], stats["events_unmatched"]) == (2, 3, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"eventName": "pe4242_unknown"}, {"properties": {"colour": "red"}}, {"properties": {"amount": "much"}},
     {"properties": {"currency": "x" * 257}}, {"objectId": None}, {"occurredAt": "soon"}, {"surprise": 1}],
)  # fmt: skip
def test_one_wrong_event_refuses_its_whole_batch(client: Client, wrong: dict[str, object]) -> None:
    bought(client)
    record_id = client.create(email="a@example.com")
    good = occurrence("u1", objectId=record_id)
    batch = {"inputs": [good, {**occurrence("u2", objectId=record_id), **wrong}]}

    assert client.call("POST", "/events/v3/send/batch", batch)[0] == 400
    assert client.machine.stats(client.now_ms)["events_sent"] == 0


def test_a_repeated_event_may_be_refused_in_each_form(client: Client) -> None:
    bought(client)
    record_id = client.create(email="a@example.com")
    first = {"inputs": [occurrence("u1", objectId=record_id)]}
    assert client.call("POST", "/events/v3/send/batch", first)[0] == 204
    client.machine.set_faults(Faults(refused_repeat=1.0))
    seen: dict[int, Any] = {}
    for n in range(20):
        both = {"inputs": [occurrence("u1", objectId=record_id), occurrence(f"new{n}", objectId=record_id)]}
        status, body = client.call("POST", "/events/v3/send/batch", both)
        seen[status] = body
        kept = (BOUGHT, f"new{n}") in client.machine.events.store.seen
        assert kept == (status == 207)
    assert seen.keys() == {409, 400, 207}
    assert "uuid" in seen[400]["message"]
    assert len(seen[207]["errors"]) == 1


def test_definitions_of_events_can_be_read_by_both_names(client: Client) -> None:
    bought(client)

    for name in ("bought", BOUGHT):
        status, body = client.call("GET", f"{DEFINITIONS}/{name}")
        assert (status, body["fullyQualifiedName"]) == (200, BOUGHT)
        assert [item["name"] for item in body["properties"]] == ["amount", "currency"]
    assert client.call("GET", f"{DEFINITIONS}/unknown")[0] == 404
    assert len(client.call("GET", DEFINITIONS)[1]["results"]) == 1


def test_below_enterprise_there_are_no_custom_events() -> None:
    client = Client(HubSpotSettings(tier="professional"))
    for method, path, body in (("GET", DEFINITIONS, None), ("GET", f"{DEFINITIONS}/bought", None),
                               ("POST", "/events/v3/send", occurrence("u", email="a@example.com")),
                               ("POST", "/events/v3/send/batch", {"inputs": [occurrence("u")]})):  # fmt: skip
        status, answer = client.call(method, path, body)

        assert (status, answer["category"]) == (403, "MISSING_SCOPES")
        assert answer["errors"][0]["context"]["requiredGranularScopes"]


def note(contact_id: str, text: str = "hello", kind: int = 202) -> dict[str, object]:
    association = {"to": {"id": contact_id},
                   "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]}  # fmt: skip
    return {"properties": {"hs_timestamp": str(START_MS), "hs_note_body": text}, "associations": [association]}


def test_notes_are_found_by_their_contact_also_after_a_merge(client: Client) -> None:
    first, second = (client.create(email=f"{name}@example.com") for name in "ab")
    one = client.call("POST", NOTES, note(first, "paid ch_1"))[1]["id"]
    status, body = client.call("POST", f"{NOTES}/batch/create", {"inputs": [note(second, "paid ch_2"), note(first)]})
    two, three = (item["id"] for item in body["results"])
    associations = f"/crm/v4/objects/contacts/{first}/associations/notes"

    assert status == 201
    listed = client.call("GET", associations)[1]["results"]
    assert [item["toObjectId"] for item in listed] == [one, three]
    client.machine.edit("merge", None, {"into": first, "from": second}, client.now_ms)
    body = client.call("GET", associations, limit="2")[1]
    assert body["paging"]["next"]["after"] == two
    assert len(client.call("GET", associations, after=two)[1]["results"]) == 1
    many = "/crm/v4/associations/contacts/notes/batch/read"
    status, body = client.call("POST", many, {"inputs": [{"id": first}, {"id": "7"}, {"id": first, "after": three}]})
    assert (status, [entry["from"]["id"] for entry in body["results"]]) == (207, [first])
    assert [entry["toObjectId"] for entry in body["results"][0]["to"]] == [one, two, three]
    assert [entry["context"]["fromObjectId"] for entry in body["errors"]] == [["7"], [first]]
    read = {"inputs": [{"id": one}, {"id": "5"}], "properties": ["hs_note_body"]}
    status, body = client.call("POST", f"{NOTES}/batch/read", read)
    assert (status, body["results"][0]["properties"]["hs_note_body"]) == (207, "paid ch_1")
    assert client.call("GET", f"{NOTES}/{two}")[1]["properties"]["hs_note_body"] == "paid ch_2"


def test_notes_are_searched_with_the_lag(client: Client) -> None:
    first, second = (client.create(email=f"{name}@example.com") for name in "ab")
    client.call("POST", f"{NOTES}/batch/create", {"inputs": [note(first, "paid ch_1"), note(second), note(first)]})
    filters = [matching("associations.contact", "EQ", first), matching("hs_note_body", "CONTAINS_TOKEN", "ch_1")]
    body = {"filterGroups": [{"filters": filters}], "properties": ["hs_note_body"]}

    assert client.call("POST", f"{NOTES}/search", body)[1]["total"] == 0
    client.now_ms += 2_000
    answer = client.call("POST", f"{NOTES}/search", body)[1]
    assert [item["properties"]["hs_note_body"] for item in answer["results"]] == ["paid ch_1"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"properties": {"hs_note_body": "x"}}, 400),
        ({"properties": {"hs_timestamp": "1", "colour": "x"}}, 400),
        ({"properties": {"hs_timestamp": "1", "hs_note_body": "x" * 65_537}}, 400),
        ({"properties": {"hs_timestamp": "9" * 30}}, 400),
        (note("1"), 404),
        (note("known", kind=201), 400),
    ],
)
def test_invalid_notes_are_refused(client: Client, change: dict[str, Any], status: int) -> None:
    record_id = client.create(email="a@example.com")
    given = {**note(record_id), **change}
    if given["associations"][0]["to"]["id"] == "known":
        given["associations"][0]["to"]["id"] = record_id

    assert client.call("POST", NOTES, given)[0] == status
    traced = [{**note(record_id), "objectWriteTraceId": "a"}, {**given, "objectWriteTraceId": "b"}]
    answered, body = client.call("POST", f"{NOTES}/batch/create", {"inputs": traced})
    assert (answered, len(body["results"]), body["errors"][0]["context"]["objectWriteTraceId"]) == (207, 1, ["b"])


ODD: list[object] = [None, True, -1, 1.5, 2**63, 10**18, "", "x", "9" * 30, "-1", "1e999", "nan", "\u00b2", "[", [], {},
                     [None], [[]], {"a": 1}]  # fmt: skip
GOOD: list[tuple[str, dict[str, Any]]] = [
    (CONTACTS, {"properties": {"email": "n@example.com", "score": "1", "born": "2020-01-01"}, "associations": []}),
    (f"{CONTACTS}/search", {
        "query": "a", "limit": 5, "after": "0", "sorts": [{"propertyName": "score", "direction": "DESCENDING"}],
        "properties": ["email"],
        "filterGroups": [{"filters": [matching("hs_object_id", "BETWEEN", "1", highValue="2"),
                                      matching("score", "LT", "5"),
                                      matching("email", "IN", values=["a@example.com"])]}],
    }),
    (f"{CONTACTS}/merge", {"primaryObjectId": "1", "objectIdToMerge": "2"}),
    (f"{CONTACTS}/gdpr-delete", {"objectId": "a@example.com", "idProperty": "email"}),
    (f"{CONTACTS}/batch/read", {"inputs": [{"id": "1"}], "properties": ["email"], "propertiesWithHistory": ["email"]}),
    (f"{CONTACTS}/batch/create", {"inputs": [entry("t", email="n@example.com"), entry("u", score="2")]}),
    (f"{CONTACTS}/batch/update", {"inputs": [{**entry("t", score="3"), "id": "1", "idProperty": "tag"}]}),
    (f"{CONTACTS}/batch/upsert", {"inputs": [{**entry("t", score="3"), "id": "a@example.com", "idProperty": "email"}]}),
    (f"{CONTACTS}/batch/archive", {"inputs": [{"id": "1"}]}),
    (NOTES, note("1")),
    (f"{NOTES}/batch/create", {"inputs": [{**note("1"), "objectWriteTraceId": "t"}]}),
    (f"{NOTES}/batch/read", {"inputs": [{"id": "1"}], "properties": ["hs_note_body"]}),
    (f"{NOTES}/search", {"filterGroups": [{"filters": [matching("associations.contact", "EQ", "1")]}]}),
    (DEFINITIONS, {"name": "seen", "label": "Seen",
                   "propertyDefinitions": [{"name": "n", "label": "N", "type": "string"}]}),
    ("/events/v3/send/batch", {"inputs": [occurrence("u", email="a@example.com", occurredAt="2026-01-01T00:00:00Z")]}),
    ("/crm/v3/properties/contacts", {"groupName": "contactinformation", "name": "n", "label": "N", "type": "string",
                                     "fieldType": "text", "options": [{"label": "A", "value": "a"}]}),
]  # fmt: skip


def spoiled(value: object) -> list[object]:
    """``value`` with each of its parts, one at a time, replaced by each odd value."""
    results: list[object] = list(ODD)
    if isinstance(value, dict):
        results += [{**value, key: bad} for key, held in value.items() for bad in spoiled(held)]
        results += [{other: held for other, held in value.items() if other != key} for key in value]
    if isinstance(value, list):
        results += [[*value[:at], bad, *value[at + 1 :]] for at, held in enumerate(value) for bad in spoiled(held)]
    return results


@pytest.mark.parametrize(("path", "body"), GOOD)
def test_every_posted_body_is_answered(path: str, body: dict[str, Any]) -> None:
    client = Client(HubSpotSettings(rate_per_s=10**6, search_rate_per_s=10**6))
    client.define("score", type="number")
    client.define("born", type="date")
    client.define("tag", hasUniqueValue=True)
    bought(client)
    client.create(email="a@example.com", score="4", tag="1")
    client.now_ms += 2_000
    statuses = {client.call("POST", path, bad)[0] for bad in spoiled(body)}

    assert 400 in statuses
    assert statuses <= {200, 201, 204, 207, 400, 404, 409}
