"""The official HubSpot SDK, over real HTTP, and recorded HubSpot bodies, against the stand-in."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import hubspot
import orjson
import pytest
from hubspot.crm.contacts.exceptions import ApiException

from tests.support.hubspot_client import CONTACTS, START_MS, Client, matching
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.stand_in import Request


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS


class Server(ThreadingHTTPServer):
    """The machine behind a port of this machine, with a clock in the test's hand."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.machine = HubSpotMachine(random.Random(1), HubSpotSettings(search_rate_per_s=100))
        self.clock, self.lock = Clock(), threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(self.command, unquote(parts.path), query, headers, body)
        with self.server.lock:
            response = self.server.machine.handle(request, self.server.clock.now_ms)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Suppress the log."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Sdk = Callable[[Any], Any]


@pytest.fixture
def sdk(server: Server) -> Iterator[Any]:
    """``sdk(lambda client: client.crm.contacts.basic_api)``: an API object whose connections are closed at the end."""
    client = hubspot.HubSpot(access_token="pat-na1-0001", host=server.url, retry=False)
    opened: list[Any] = []

    def choose(part: Sdk) -> Any:
        opened.append(part(client))
        return opened[-1]

    yield choose
    for api in opened:
        api.api_client.rest_client.pool_manager.clear()


@pytest.fixture
def contacts(sdk: Any) -> Any:
    return sdk(lambda client: client.crm.contacts.basic_api)


@pytest.fixture
def batches(sdk: Any) -> Any:
    return sdk(lambda client: client.crm.contacts.batch_api)


def make(contacts: Any, **properties: str) -> str:
    record = contacts.create(simple_public_object_input_for_create={"properties": properties})
    return str(record.id)


def test_sdk_creates_reads_updates_and_archives(contacts: Any) -> None:
    record_id = make(contacts, email="ada+x@example.com", firstname="Ada")
    changed = contacts.update(contact_id=record_id, simple_public_object_input={"properties": {"city": "Lyon"}})
    read = contacts.get_by_id(
        "ada+x@example.com", id_property="email", properties=["city", "email"], properties_with_history=["city"]
    )

    assert (changed.id, changed.properties["city"]) == (record_id, "Lyon")
    assert (read.id, read.properties["email"], read.archived) == (record_id, "ada+x@example.com", False)
    assert read.created_at.tzinfo is not None
    assert (read.properties_with_history["city"][0].value, read.properties_with_history["city"][0].source_id) == (
        "Lyon", "99",
    )  # fmt: skip
    contacts.archive(record_id)
    with pytest.raises(ApiException) as refused:
        contacts.get_by_id(record_id)
    assert refused.value.status == 404
    assert contacts.get_by_id(record_id, archived=True).archived is True


def test_sdk_sees_the_conflict_and_the_rate_headers(contacts: Any) -> None:
    record_id = make(contacts, email="a@example.com")
    with pytest.raises(ApiException) as refused:
        make(contacts, email="A@example.com")

    assert refused.value.status == 409
    assert orjson.loads(refused.value.body)["message"].endswith(record_id)
    _, status, headers = contacts.get_by_id_with_http_info(record_id)
    assert (status, headers["X-HubSpot-RateLimit-Max"]) == (200, "190")


def test_sdk_pages_through_the_listing(contacts: Any) -> None:
    ids = [make(contacts, email=f"{number}@example.com") for number in range(5)]
    listed, after = [], None
    while True:
        page = contacts.get_page(limit=2, after=after, properties=["email"])
        listed += [record.id for record in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after

    assert listed == ids


def test_sdk_merges_and_purges(contacts: Any) -> None:
    first, second = (make(contacts, email=f"{name}@example.com") for name in "ab")
    survivor = contacts.merge(public_merge_input={"primaryObjectId": first, "objectIdToMerge": second})

    assert {contacts.get_by_id(record_id).id for record_id in (first, second)} == {survivor.id}
    contacts.purge(public_gdpr_delete_input={"objectId": survivor.id})
    with pytest.raises(ApiException) as refused:
        contacts.get_by_id(survivor.id)
    assert refused.value.status == 404


def test_sdk_reads_creates_and_updates_in_batches(batches: Any) -> None:
    made = batches.create({"inputs": [{"properties": {"email": f"{name}@example.com"}} for name in "ab"]})
    ids = [record.id for record in made.results]
    again = [{"properties": {"email": f"{name}@example.com"}, "objectWriteTraceId": name} for name in "bc"]
    partly = batches.create({"inputs": again})
    read = batches.read({"inputs": [{"id": ids[0]}, {"id": "9"}], "properties": ["email"], "propertiesWithHistory": []})
    updated = batches.update({"inputs": [{"id": ids[0], "properties": {"city": "Lyon"}}]})
    put = [{"id": "d@example.com", "idProperty": "email", "properties": {"city": "Nice"}}]

    assert made.status == "COMPLETE"
    assert partly.num_errors == 1
    assert partly.errors[0].context == {"objectWriteTraceId": ["b"], "existingId": [ids[1]]}
    assert [record.properties["email"] for record in partly.results] == ["c@example.com"]
    assert read.errors[0].context == {"ids": ["9"]}
    assert updated.results[0].properties["city"] == "Lyon"
    assert batches.upsert({"inputs": put}).results[0].new is True
    batches.archive({"inputs": [{"id": record_id} for record_id in ids]})
    assert batches.read({"inputs": [{"id": ids[0]}], "properties": [], "propertiesWithHistory": []}).num_errors == 1


def test_sdk_searches(server: Server, contacts: Any, sdk: Any) -> None:
    ids = [make(contacts, email=f"{number}@example.com") for number in range(3)]
    server.clock.now_ms += 2_000
    search = sdk(lambda client: client.crm.contacts.search_api)
    body = {"filterGroups": [{"filters": [matching("hs_object_id", "GT", ids[0])]}], "limit": 1, "after": "1",
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}], "properties": ["email"]}  # fmt: skip
    found = search.do_search(public_object_search_request=body)

    assert (found.total, [record.id for record in found.results]) == (2, [ids[2]])


def test_sdk_defines_properties(sdk: Any) -> None:
    api = sdk(lambda client: client.crm.properties.core_api)
    made = api.create("contacts", {"groupName": "contactinformation", "name": "stripe_customer_id", "label": "Stripe",
                                   "type": "string", "fieldType": "text", "hasUniqueValue": True})  # fmt: skip

    assert made.has_unique_value is True
    assert api.get_by_name("contacts", "stripe_customer_id").field_type == "text"
    assert "email" in {item.name for item in api.get_all("contacts").results}


def test_sdk_sends_events_once_per_uuid(server: Server, contacts: Any, sdk: Any) -> None:
    record_id = make(contacts, email="a@example.com")
    api = sdk(lambda client: client.events.send.basic_api)
    batch_api = sdk(lambda client: client.events.send.batch_api)
    definition = {"name": "bought", "label": "Bought", "primaryObject": "CONTACT",
                  "propertyDefinitions": [{"name": "amount", "label": "Amount", "type": "number"}]}  # fmt: skip
    defined = api.api_client.call_api(
        "/events/v3/event-definitions",
        "POST",
        header_params={"Content-Type": "application/json"},
        body=definition,
        response_types_map={201: "object"},
        auth_settings=["oauth2"],
    )[0]
    event = {"eventName": defined["fullyQualifiedName"], "objectId": record_id, "uuid": "u1",
             "properties": {"amount": "5"}}  # fmt: skip
    api.send(behavioral_event_http_completion_request=event)
    batch_api.send(batched_behavioral_event_http_completion_request={"inputs": [event, {**event, "uuid": "u2"}]})

    sent = [entry.changes["uuid"] for entry in server.machine.journal.after(0) if entry.kind == "event.sent"]
    assert sent == ["u1", "u2"]


def test_sdk_writes_and_reads_notes(contacts: Any, sdk: Any) -> None:
    record_id = make(contacts, email="a@example.com")
    notes = sdk(lambda client: client.crm.objects.notes.basic_api)
    association = {"to": {"id": record_id},
                   "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}  # fmt: skip
    properties = {"hs_timestamp": str(START_MS), "hs_note_body": "paid"}
    note = notes.create({"properties": properties, "associations": [association]})
    linked = sdk(lambda client: client.crm.associations.v4.basic_api)
    page = linked.get_page(object_type="contacts", object_id=record_id, to_object_type="notes")

    assert [str(item.to_object_id) for item in page.results] == [note.id]
    assert page.results[0].association_types[0].type_id == 201
    assert notes.get_by_id(note.id, properties=["hs_note_body"]).properties["hs_note_body"] == "paid"


def drop_empty(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the members that the specification names and the recorded answers leave out where they are empty."""
    return [{name: value for name, value in entry.items() if value not in ([], {})} for entry in errors]


def shape(value: object) -> object:
    """Names and types, lists by their first element."""
    if isinstance(value, dict):
        return {key: shape(held) for key, held in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def recorded(shared: Path) -> Callable[[str], Any]:
    return lambda name: orjson.loads((shared / "samples" / "hubspot" / f"test__{name}.json").read_bytes())


def entry(trace: str | None = None, **properties: str) -> dict[str, object]:
    return {"properties": properties, **({"objectWriteTraceId": trace} if trace else {})}


def test_recorded_creations(client: Client, recorded: Callable[[str], Any]) -> None:
    people = [{"email": f"{name}@example.com", "firstname": name, "lastname": "Roe"} for name in "ab"]
    made = client.batch("create", *({"properties": person} for person in people))[1]
    sample = recorded("batch__create__contacts__success")
    assert {key: shape(made[key]) for key in made if key != "results"} == {
        key: shape(sample[key]) for key in sample if key != "results"
    }
    ours, theirs = made["results"][0], sample["results"][0]
    assert set(ours) == set(theirs)
    assert set(ours["properties"]) <= set(theirs["properties"])
    assert shape({**ours, "properties": {}}) == shape({**theirs, "properties": {}})

    whole = client.batch("create", entry(email="z@example.com"), entry(email="z@example.com"))[1]
    sample = recorded("batch__create__contacts__err-conflict")
    assert shape(whole) == shape(sample)
    assert (whole["message"], whole["category"]) == (sample["message"], sample["category"])

    partly = client.batch("create", entry("0", email="a@example.com"), entry("1", email="c@example.com"))
    sample = recorded("batch__create__contacts__err-partial-success")
    assert partly[0] == 207
    assert set(partly[1]) == set(sample)
    assert shape(drop_empty(partly[1]["errors"])) == shape(sample["errors"])
    holder = made["results"][0]["id"]
    recorded_error = orjson.dumps(sample["errors"][0]).replace(b"171591000198", holder.encode())
    assert drop_empty(partly[1]["errors"])[0] == orjson.loads(recorded_error)


@pytest.mark.parametrize("kind", ["create", "update"])
def test_recorded_refusals_of_unknown_properties(client: Client, recorded: Callable[[str], Any], kind: str) -> None:
    inputs = [entry(first000name="A", last000name="B"), entry(first000name="C", last000name="D")]
    if kind == "update":
        inputs = [{**item, "id": str(number)} for number, item in enumerate(inputs)]
    status, body = client.batch(kind, *inputs)
    sample = recorded(f"batch__{kind}__contacts__err-many-invalid-properties")

    assert status == 400
    assert body["message"] == sample["message"]
    assert shape(body) == shape(sample)
    assert body["errors"][:3] == sample["errors"]


def test_recorded_updates(client: Client, recorded: Callable[[str], Any]) -> None:
    record_id = client.create(email="a@example.com")
    change = {"id": record_id, "properties": {"firstname": "A (updated)", "lastname": "R"}}
    status, body = client.batch("update", change)
    sample = recorded("batch__update__contacts__success")
    ours, theirs = body["results"][0], sample["results"][0]
    assert status == 200
    assert set(body) == set(sample)
    assert set(ours) == set(theirs)
    assert set(ours["properties"]) <= set(theirs["properties"])

    status, body = client.batch("update", change, {"id": "unknownIdentifier888", "properties": {"city": "X"}})
    sample = recorded("batch__update__contacts__err-partial-success")
    assert (status, set(body)) == (207, set(sample))
    assert drop_empty(body["errors"]) == sample["errors"]

    twice = {"id": "123456", "properties": {"city": "X"}}
    body = client.batch("update", twice, twice)[1]
    sample = recorded("batch__update__contacts__err-duplicate-ids")
    assert {**body, "correlationId": ""} == {**sample, "correlationId": ""}


def test_a_recorded_search(client: Client, recorded: Callable[[str], Any]) -> None:
    client.create(email="a@example.com")
    client.now_ms += 2_000
    status, body = client.call("POST", f"{CONTACTS}/search", recorded("read-via-search__contacts-payload"))
    sample = recorded("read-via-search__contacts-response")

    assert status == 200
    assert set(body) == set(sample)
    assert set(body["results"][0]) == set(sample["results"][0])
    assert set(body["results"][0]["properties"]) <= set(sample["results"][0]["properties"])


def test_the_recorded_shapes_of_errors(shared: Path) -> None:
    known = orjson.loads((shared / "samples" / "hubspot_errors.json").read_bytes())
    client = Client(HubSpotSettings(tier="professional", rate_per_s=6))
    record_id = client.create(email="a@example.com")
    answers = {
        "409_create": client.call("POST", CONTACTS, {"properties": {"email": "a@example.com"}}),
        "207_batch_read": client.batch("read", {"id": record_id}, {"id": "99999"}),
        "404_get": client.call("GET", f"{CONTACTS}/99999"),
        "400_validation": client.call("POST", CONTACTS, {"properties": {"nonsense": "x"}}),
        "403_scopes": client.call("GET", "/events/v3/event-definitions"),
        "429": client.call("GET", CONTACTS),
    }
    for name, (status, body) in answers.items():
        expected = known[name]["body"]
        assert status == known[name]["status"], name
        assert set(expected) <= set(body), name
        assert {key: shape(body[key]) for key in expected if key not in ("results", "errors")} == {
            key: shape(value) for key, value in expected.items() if key not in ("results", "errors")
        }, name
        for key in ("message", "category", "policyName"):
            if (
                key in expected
                and "..." not in expected[key]
                and "|" not in expected[key]
                and "3401" not in expected[key]
            ):
                assert name == "429" or body[key] == expected[key], name
        if "errors" in expected:
            assert set(expected["errors"][0]) <= set(body["errors"][0]), name
    headers = client.send("GET", CONTACTS).headers
    assert {name for name in known["429"]["headers"] if "not always" not in name} <= set(headers)


def test_the_recorded_shapes_of_webhooks(shared: Path) -> None:
    known = orjson.loads((shared / "samples" / "hubspot_webhooks.json").read_bytes())
    client = Client()
    client.listen()
    first, second = (client.create(email=f"{name}@example.com") for name in "ab")
    client.machine.edit("merge", None, {"into": first, "from": second}, client.now_ms)
    sent = {event["subscriptionType"]: event for event in client.events()}

    for kind in ("contact.creation", "contact.propertyChange", "contact.merge"):
        [sample] = known[kind]
        assert {name: type(sent[kind][name]) for name in sample} == {
            name: type(value) for name, value in sample.items()
        }
