"""The stand-in HubSpot, what surprises programs: restores, read lag, portal rules, kept ids, partial answers."""

from __future__ import annotations

import random

import orjson
import pytest

from tests.support.hubspot_client import CONTACTS, START_MS, Client
from wanesync.sandbox import json_text
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.spoiled import BLOCK_BYTES, BLOCKS

DAY_MS = 86_400_000


@pytest.fixture
def client() -> Client:
    return Client()


def edit(client: Client, kind: str, record_id: str | None = None, **values: str) -> str:
    return client.machine.edit(kind, record_id, values, client.now_ms)


# --- the recycle bin


def test_a_deleted_contact_can_be_restored_with_its_id_and_values(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    edit(client, "delete", record_id)
    client.listen()
    client.now_ms += 90 * DAY_MS
    edit(client, "restore", record_id)

    assert client.read(record_id, "email", "city")["city"] == "Lyon"
    assert client.call("GET", CONTACTS)[1]["results"][0]["id"] == record_id
    (event,) = client.events()
    assert (event["subscriptionType"], event["objectId"]) == ("contact.restore", int(record_id))
    assert client.machine.journal.after(0)[-1].kind == "contact.restored"


def test_no_contact_is_restored_after_90_days_nor_after_its_address_was_taken_nor_a_privacy_deletion(
    client: Client,
) -> None:
    old, taken, erased = (client.create(email=f"{name}@example.com") for name in ("old", "taken", "erased"))
    edit(client, "delete", old)
    client.now_ms += 91 * DAY_MS
    edit(client, "delete", taken)
    edit(client, "erase", erased)
    client.create(email="taken@example.com")
    for record_id in (old, taken, erased, "1"):
        with pytest.raises(ValueError, match=r"recycle bin|already exists"):
            edit(client, "restore", record_id)


# --- values of types other than text


@pytest.mark.parametrize(
    ("settings", "sent", "stands", "told"),
    [
        ({"type": "date"}, "1769817600000", "2026-01-31", "1769817600000"),
        ({"type": "date"}, "2026-01-31", "2026-01-31", "1769817600000"),
        ({"type": "datetime"}, "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", "1767225600000"),
        ({"type": "datetime"}, "1767225600250", "2026-01-01T00:00:00.250Z", "1767225600250"),
        ({"type": "number"}, "010.50", "10.5", "10.5"),
        ({"type": "number"}, "1e3", "1000", "1000"),
        ({"type": "bool"}, "TRUE", "true", "true"),
        ({"type": "enumeration", "field_type": "checkbox", "options": "c;a;b"}, "b;c", "c;b", "c;b"),
        ({"type": "enumeration", "field_type": "checkbox"}, "b;;a", "b;a", "b;a"),
        ({"type": "string"}, "010.50", "010.50", "010.50"),
    ],
)
def test_a_typed_value_is_answered_in_hubspot_s_form(
    client: Client, settings: dict[str, str], sent: str, stands: str, told: str
) -> None:
    edit(client, "property", "score", **settings)
    record_id = client.create(email="a@example.com")
    client.listen()
    body = {"inputs": [{"id": record_id, "properties": {"score": sent}}]}
    status, answer = client.call("POST", f"{CONTACTS}/batch/update", body)
    assert (status, answer["results"][0]["properties"]["score"]) == (200, stands)
    assert client.read(record_id, "score")["score"] == stands
    assert [event["propertyValue"] for event in client.events()] == [told]
    client.call("POST", f"{CONTACTS}/batch/update", {"inputs": [{"id": record_id, "properties": {"score": stands}}]})
    assert client.events() == []


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"type": "date"}, "2026-01-31T08:00:00Z"),
        ({"type": "datetime"}, "soon"),
        ({"type": "bool"}, "1"),
        ({"type": "enumeration", "field_type": "checkbox", "options": "a;b"}, "a;z"),
        ({"type": "enumeration", "options": "a;b"}, "a;b"),
    ],
)
def test_a_value_of_another_type_is_refused(client: Client, settings: dict[str, str], wrong: str) -> None:
    edit(client, "property", "score", **settings)
    with pytest.raises(ValueError, match=r"score|not"):
        edit(client, "create", None, email="a@example.com", score=wrong)


# --- reads right after a creation


def test_a_new_contact_is_not_found_by_reads_for_a_while() -> None:
    client = Client()
    client.machine.set_faults(Faults(read_lag_ms=5_000))
    record_id = client.create(email="a@example.com")
    status, body = client.batch("read", {"id": record_id})

    assert (status, body["errors"][0]["category"]) == (207, "OBJECT_NOT_FOUND")
    assert client.call("GET", f"{CONTACTS}/{record_id}")[0] == 404
    client.now_ms += 5_000
    assert client.call("GET", f"{CONTACTS}/{record_id}")[0] == 200


# --- merges


def test_a_merge_can_keep_the_id_of_the_primary_contact(client: Client) -> None:
    first, second = client.create(email="a@example.com", city="Lyon"), client.create(email="b@example.com", zip="69001")
    client.listen()
    assert edit(client, "merge", into=first, keeps_id="true", **{"from": second}) == first

    held = client.read(first, "city", "zip", "hs_additional_emails", "hs_merged_object_ids")
    wanted = ("Lyon", "69001", "b@example.com", second)
    assert tuple(held[name] for name in ("city", "zip", "hs_additional_emails", "hs_merged_object_ids")) == wanted
    assert client.call("GET", f"{CONTACTS}/{second}")[1]["id"] == first
    (event,) = client.events()
    assert (event["primaryObjectId"], event["newObjectId"], event["mergedObjectIds"]) == (
        int(first), int(first), [int(second)],
    )  # fmt: skip


def test_a_portal_can_keep_ids_for_merges_through_the_api() -> None:
    client = Client(HubSpotSettings(merge_keeps_id=True))
    first, second = client.create(email="a@example.com"), client.create(email="b@example.com")
    body = {"primaryObjectId": first, "objectIdToMerge": second}
    assert client.call("POST", f"{CONTACTS}/merge", body)[1]["id"] == first


# --- definitions and the rules of a portal


@pytest.mark.parametrize(
    ("settings", "refused", "taken", "code"),
    [
        ({"options": "Yes;No"}, "1", "Yes", "INVALID_OPTION"),
        ({"read_only": "true"}, "1", None, "READ_ONLY_VALUE"),
        ({"archived": "true"}, "1", None, "PROPERTY_DOESNT_EXIST"),
        ({"pattern": "[A-Z]+"}, "abc", "ABC", "PROPERTY_VALIDATION_RULE"),
        ({"max_length": "3"}, "abcd", "abc", "PROPERTY_VALIDATION_RULE"),
        ({"min_length": "3"}, "ab", "abc", "PROPERTY_VALIDATION_RULE"),
        ({"minimum": "1", "maximum": "9.5"}, "10", "9", "PROPERTY_VALIDATION_RULE"),
    ],
)
def test_a_value_that_the_definition_refuses_is_named_in_single_and_batch_answers(
    client: Client, settings: dict[str, str], refused: str, taken: str | None, code: str
) -> None:
    record_id = client.create(email="a@example.com")
    edit(client, "property", "vip", **settings)
    status, body = client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"vip": refused}})
    error = {"code": code, "context": {"propertyName": ["vip"]}}
    assert (status, body["category"]) == (400, "VALIDATION_ERROR")
    assert [{name: value for name, value in each.items() if name != "message"} for each in body["errors"]] == [error]
    status, body = client.batch("update", {"id": record_id, "properties": {"vip": refused}, "objectWriteTraceId": "t"})
    if code == "PROPERTY_DOESNT_EXIST":
        assert status == 400
    else:
        assert status == 207
        assert body["errors"][0]["context"]["objectWriteTraceId"] == ["t"]
        assert body["errors"][0]["errors"][0]["context"] == {"propertyName": ["vip"]}
    if taken is not None:
        assert client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"vip": taken}})[0] == 200


def test_a_required_property_is_asked_for_at_creation_only_and_not_of_users(client: Client) -> None:
    edit(client, "property", "vip", required="true")
    status, body = client.call("POST", CONTACTS, {"properties": {"email": "a@example.com"}})
    assert (status, body["errors"][0]["code"]) == (400, "MISSING_REQUIRED_PROPERTY")
    record_id = edit(client, "create", email="a@example.com")
    assert client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "Lyon"}})[0] == 200


def test_users_are_not_bound_by_the_rules_of_the_portal(client: Client) -> None:
    edit(client, "property", "city", max_length="3")
    assert edit(client, "create", email="a@example.com", city="Bergen")


def test_a_text_is_shortened_with_200_and_the_answer_shows_it(client: Client) -> None:
    record_id = client.create(email="a@example.com")
    edit(client, "property", "city", keeps="3")
    status, body = client.call("PATCH", f"{CONTACTS}/{record_id}", {"properties": {"city": "Bergen"}})
    assert (status, body["properties"]["city"]) == (200, "Ber")


def test_an_archived_property_vanishes_from_answers_and_comes_back_with_its_value(client: Client) -> None:
    record_id = client.create(email="a@example.com", city="Lyon")
    edit(client, "property", "city", archived="true")
    assert "city" not in client.read(record_id, "city", "email")
    names = {item["name"] for item in client.call("GET", "/crm/v3/properties/contacts")[1]["results"]}
    assert "city" not in names
    assert client.call("GET", "/crm/v3/properties/contacts/city")[0] == 404
    edit(client, "property", "city", archived="false")
    assert client.read(record_id, "city")["city"] == "Lyon"


@pytest.mark.parametrize("settings", [{"colour": "red"}, {"keeps": "many"}, {"pattern": "["}, {"read_only": "maybe"}])
def test_a_wrong_setting_of_a_definition_is_refused(client: Client, settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="settings are archived"):
        edit(client, "property", "city", **settings)


# --- answers that are not what was asked for


def test_answers_can_be_empty_or_lack_a_part() -> None:
    client = Client()
    ids = [client.create(email=f"{n}@example.com", city="Lyon") for n in range(3)]
    inputs = [{"id": record_id} for record_id in ids]
    client.machine.set_faults(Faults(empty_answer=1.0))
    assert client.batch("read", *inputs) == (200, {})
    client.machine.set_faults(Faults(partial_answer=1.0))
    seen = set()
    for _ in range(60):
        status, body = client.batch("read", *inputs, properties=["city", "email"])
        assert status == 200
        if len(body["results"]) < 3:
            seen.add("result")
        for row in body["results"]:
            seen |= {"id", "properties", "updatedAt"} - row.keys()
            seen |= {"city", "email"} - row.get("properties", {"city": "", "email": ""}).keys()
    assert seen == {"result", "id", "properties", "updatedAt", "city", "email"}


def test_half_an_emoji_nul_and_very_long_texts_are_stored_and_answered() -> None:
    client = Client()
    record_id = edit(client, "create", email="a@example.com", firstname="\ud83d", lastname="a\0b", city="x" * 70_000)
    response = client.send("GET", f"{CONTACTS}/{record_id}", properties="firstname,lastname,city")
    assert b"\\ud83d" in response.body
    held = json_text.read(response.body)
    assert isinstance(held, dict)
    assert (held["properties"]["firstname"], held["properties"]["lastname"]) == ("\ud83d", "a\0b")


def test_a_huge_answer_and_a_bomb_are_made_without_their_memory() -> None:
    client = Client()
    client.machine.set_faults(Faults(huge_answer=1.0))
    response = client.send("GET", CONTACTS)
    assert (len(response.body) * response.repeat, response.repeat) == (BLOCK_BYTES * BLOCKS, BLOCKS)
    client.machine.set_faults(Faults(gzip_bomb=1.0))
    response = client.send("GET", CONTACTS)
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(response.body) * response.repeat < 2_000_000


# --- webhooks


def test_events_of_project_apps_have_the_object_shape() -> None:
    client = Client(HubSpotSettings(webhook_shape="object"))
    client.listen()
    record_id = client.create(email="a@example.com")
    edit(client, "erase", record_id)
    shapes = {event["subscriptionType"]: event.get("objectTypeId") for event in client.events()}
    assert shapes == {
        "object.creation": "0-1", "object.propertyChange": "0-1", "object.deletion": "0-1",
        "contact.privacyDeletion": None,
    }  # fmt: skip


def test_an_app_with_both_subscriptions_gets_each_event_twice() -> None:
    client = Client()
    client.machine.set_faults(Faults(object_events=1.0))
    client.listen()
    client.create(email="a@example.com")
    created = [event for event in client.events() if event["subscriptionType"].endswith(".creation")]
    assert [(event["subscriptionType"], event["changeFlag"]) for event in created] == [
        ("object.creation", "CREATED"), ("contact.creation", "NEW"),
    ]  # fmt: skip


def test_a_source_id_may_be_very_long_or_hold_what_databases_refuse() -> None:
    client = Client()
    client.machine.set_faults(Faults(odd_source=1.0))
    client.listen()
    for n in range(20):
        client.create(email=f"{n}@example.com")
    sources = {
        event["sourceId"]
        for delivery in client.deliveries()
        for event in json_text.read(delivery.body)  # type: ignore[attr-defined] # an array
    }
    assert max(map(len, sources)) > 8_000
    assert any("\0" in source for source in sources)
    assert any("\ud83d" in source for source in sources)


def test_faults_that_are_off_draw_nothing() -> None:
    bodies = []
    for faults in (Faults(), Faults(read_lag_ms=0, partial_answer=0.0)):
        machine = HubSpotMachine(random.Random(3), HubSpotSettings())
        machine.set_faults(faults)
        machine.edit("create", None, {"email": "a@example.com"}, START_MS)
        bodies.append(orjson.dumps(machine.records()))
    assert bodies[0] == bodies[1]


def test_a_listing_may_give_a_new_cursor_for_ever() -> None:
    client = Client()
    client.machine.set_faults(Faults(endless_list=1.0))
    given: list[str] = [""]
    for _ in range(5):
        response = client.send("GET", CONTACTS, limit="10", **({"after": given[-1]} if given[-1] else {}))
        page = orjson.loads(response.body)
        assert page["results"] == []
        given.append(page["paging"]["next"]["after"])
    assert len(set(given)) == 6
