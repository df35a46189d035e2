"""The sandbox over real HTTP: both APIs, the control endpoints, webhooks, lost answers, latency."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from hubspot import HubSpot

from wanesync.sandbox.__main__ import read_options, write_options
from wanesync.sandbox.control_client import ControlClient
from wanesync.sandbox.errors import InvalidRequest, SandboxUnreachable
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox, clock_ms
from wanesync.sandbox.stand_in import Side, WebhookTarget
from wanesync.sandbox.traffic import ActivityKind, Traffic

BEARER = {"Authorization": f"Bearer {HUBSPOT_KEY}", "Content-Type": "application/json"}
STRIPE_FORM = {"Authorization": f"Bearer {STRIPE_KEY}", "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(Options(tier="enterprise")) as sandbox:
        yield sandbox


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)


def call(
    url: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    connection = connect(url)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


def control(url: str, name: str, content: object) -> Answer:
    return call(url, "POST", f"/_sandbox/{name}", json.dumps(content).encode())


@dataclass
class Receiver:
    """A receiver of webhooks that keeps every POST and answers with ``status``."""

    status: int = 200
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def wait_for(self, count: int) -> list[tuple[str, dict[str, str], bytes]]:
        self.wait_until(lambda: len(self.posts) >= count)
        return list(self.posts)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.arrived:
            assert self.arrived.wait_for(condition, timeout=10), f"only {len(self.posts)} posts arrived"


@contextmanager
def receiver() -> Iterator[Receiver]:
    box = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with box.arrived:
                box.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status = box.status
                box.arrived.notify_all()
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
            return

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # connections are opened many at once
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_webhooks_from_the_start_but_not_of_the_first_records() -> None:
    with receiver() as box:
        options = Options(
            seed=SeedOptions(contacts=2, customers=2, overlap=1),
            hubspot_webhooks=(f"{box.url}/webhooks/hubspot", "a"),
            stripe_webhooks=(f"{box.url}/webhooks/stripe", "whsec_b"),
        )
        assert read_options(write_options(options)) == options
        with Sandbox(options) as sandbox:
            customer_id = sandbox.edit("stripe", "create", None, {"name": "Ada"})
            sandbox.edit("hubspot", "create", None, {"email": "ada@maths.example"})
            posts = box.wait_for(2)

    assert {path for path, _, _ in posts} == {"/webhooks/hubspot", "/webhooks/stripe"}
    (signed,) = [(headers, body) for path, headers, body in posts if path == "/webhooks/stripe"]
    event = stripe.Webhook.construct_event(signed[1], signed[0]["stripe-signature"], "whsec_b")
    assert event.data.object["id"] == customer_id


# --- the official SDKs -------------------------------------------------------------------------


def test_the_stripe_sdk_finds_a_stripe(running: Sandbox) -> None:
    client = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": running.stripe_url}, max_network_retries=0)
    made = client.v1.customers.create({"email": "ivy.stone@example.com", "name": "Ivy Stone"})
    read = client.v1.customers.retrieve(made.id)

    assert read.email == "ivy.stone@example.com"
    assert made.id in [row.id for row in client.v1.customers.list({"limit": 10}).data]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.retrieve("cus_unknown")
    assert refused.value.http_status == 404


def test_the_hubspot_sdk_finds_a_hubspot(running: Sandbox) -> None:
    client = HubSpot(access_token=HUBSPOT_KEY, host=running.hubspot_url, base_url=running.hubspot_url, retry=False)
    contacts = client.crm.contacts.basic_api
    made = contacts.create({"properties": {"email": "tom.baker@example.com", "firstname": "Tom"}})
    read = contacts.get_by_id(made.id, properties=["email"])

    assert read.properties["email"] == "tom.baker@example.com"
    assert made.id in [row.id for row in contacts.get_page(limit=10).results]


def test_an_address_in_the_path_is_decoded(running: Sandbox) -> None:
    running.edit(Side.HUBSPOT, "create", None, {"email": "path+1@example.com", "firstname": "Path"})
    answer = call(
        running.hubspot_url, "GET", "/crm/v3/objects/contacts/path%2B1%40example.com?idProperty=email", None, BEARER
    )
    assert answer.status == 200
    assert answer.json()["properties"]["email"] == "path+1@example.com"


def test_one_connection_carries_many_requests(running: Sandbox) -> None:
    connection = connect(running.hubspot_url)
    ports = set()
    for _ in range(5):
        connection.request("GET", "/crm/v3/objects/contacts?limit=1", headers=BEARER)
        answer = connection.getresponse()
        answer.read()
        ports.add(connection.sock.getsockname()[1])
        assert answer.status == 200
    connection.close()
    assert len(ports) == 1


def test_a_request_without_a_key_is_refused_on_both_sides(running: Sandbox) -> None:
    assert call(running.hubspot_url, "GET", "/crm/v3/objects/contacts").status == 401
    assert call(running.stripe_url, "GET", "/v1/customers").status == 401


# --- control endpoints ---------------------------------------------------------------------------


def test_stats_on_either_port_cover_both_sides(running: Sandbox) -> None:
    before = call(running.hubspot_url, "GET", "/_sandbox/stats").json()
    call(running.stripe_url, "GET", "/v1/customers", None, STRIPE_FORM)
    after = call(running.stripe_url, "GET", "/_sandbox/stats").json()

    assert set(after) == {"hubspot", "stripe"}
    assert after["stripe"]["requests"] == before["stripe"]["requests"] + 1
    assert after["hubspot"]["requests"] == before["hubspot"]["requests"]
    assert {"rate_limited", "largest_window_1s", "webhooks_sent", "webhooks_failed"} <= set(after["hubspot"])


def test_an_edit_lands_in_the_records_and_in_the_journal(running: Sandbox) -> None:
    control_client = ControlClient(running.hubspot_url, running.stripe_url)
    last = len(running.hubspot.journal)
    contact_id = control_client.edit(Side.HUBSPOT, "create", None, {"email": "grace@example.com", "firstname": "Grace"})
    control_client.edit(Side.HUBSPOT, "update", contact_id, {"city": "Leeds"})

    entries = control_client.journal(Side.HUBSPOT, after=last)
    assert [(entry["kind"], entry["record_id"], entry["source"]) for entry in entries] == [
        ("contact.created", contact_id, "user"),
        ("contact.updated", contact_id, "user"),
    ]
    assert entries[1]["changes"] == {"city": "Leeds"}
    row = next(row for row in control_client.records(Side.HUBSPOT) if row["id"] == contact_id)
    assert (row["email"], row["city"]) == ("grace@example.com", "Leeds")


def test_a_customer_is_edited_from_the_other_port_when_the_side_is_named(running: Sandbox) -> None:
    content = {"side": "stripe", "kind": "create", "values": {"email": "far@example.com"}}
    made = control(running.hubspot_url, "edit", content).json()["id"]
    assert made.startswith("cus_")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("faults", {}),
        ("faults", []),
        ("faults", {"profile": "chaos"}),
        ("faults", {"profile": ["none"]}),
        ("faults", {"duplicate": 2}),
        ("faults", {"gremlins": 1}),
        ("faults", {"profile": "none", "side": "both"}),
        ("webhooks", {}),
        ("webhooks", {"paypal": None}),
        ("webhooks", {"stripe": {"url": "ftp://127.0.0.1/", "secret": "x"}}),
        ("webhooks", {"stripe": {"url": "http://127.0.0.1:99999/", "secret": "x"}}),
        ("webhooks", {"stripe": {"url": "http://127.0.0.1/"}}),
        ("webhooks", {"stripe": {"url": "http://127.0.0.1/", "secret": ""}}),
        ("webhooks", {"hubspot": "http://127.0.0.1/"}),
        ("edit", {}),
        ("edit", {"kind": 3}),
        ("edit", {"kind": "explode"}),
        ("edit", {"kind": "update", "id": "1", "values": {"email": "a@example.com"}}),
        ("edit", {"kind": "create", "values": {"email": 3}}),
        ("edit", {"kind": "create", "values": {"no_such_property": "x"}}),
        ("edit", {"kind": "create", "values": "email"}),
        ("edit", {"kind": "update", "id": 7}),
        ("edit", {"kind": "create", "vaules": {}}),
        ("edit", {"kind": "create", "side": "paypal"}),
        ("limits", {}),
        ("limits", {"rate_per_s": 0}),
        ("limits", {"rate_per_s": True}),
        ("limits", {"rate_per_s": "fast"}),
    ],
)
def test_wrong_control_input_gets_a_reason(running: Sandbox, name: str, content: object) -> None:
    answer = control(running.hubspot_url, name, content)
    assert answer.status == 400
    assert answer.json()["error"]
    assert "Traceback" not in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null"])
def test_a_body_that_is_no_json_object_gets_a_reason(running: Sandbox, body: bytes) -> None:
    answer = call(running.stripe_url, "POST", "/_sandbox/edit", body)
    assert (answer.status, "JSON" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_sandbox/nothing", 404),
        ("GET", "/_sandbox/", 404),
        ("POST", "/_sandbox/stats", 405),
        ("GET", "/_sandbox/journal?after=-1", 400),
        ("GET", "/_sandbox/journal?after=x", 400),
    ],
)
def test_an_unknown_control_endpoint_lists_the_others(running: Sandbox, method: str, path: str, status: int) -> None:
    answer = call(running.stripe_url, method, path)
    assert (answer.status, bool(answer.json()["error"])) == (status, True)


def test_a_rate_is_enforced_and_can_be_changed_while_running() -> None:
    with Sandbox() as sandbox, ThreadPoolExecutor(8) as pool:
        for url, path, headers in (
            (sandbox.hubspot_url, "/crm/v3/objects/contacts?limit=1", BEARER),
            (sandbox.stripe_url, "/v1/customers?limit=1", STRIPE_FORM),
        ):
            assert control(url, "limits", {"rate_per_s": 3}).status == 200
            answers = list(pool.map(lambda _: call(url, "GET", path, None, headers).status, range(12)))  # noqa: B023 - the pool is done before the loop goes on
            assert answers.count(429) >= 6
            assert control(url, "limits", {"rate_per_s": 1000}).status == 200
            answers = list(pool.map(lambda _: call(url, "GET", path, None, headers).status, range(20)))  # noqa: B023 - the pool is done before the loop goes on
            assert answers.count(200) == 20
        assert sandbox.stats()["hubspot"]["rate_limited"]


# --- webhooks ----------------------------------------------------------------------------------


def test_signed_webhooks_arrive_and_verify() -> None:
    with Sandbox() as sandbox, receiver() as box:
        control_client = ControlClient(sandbox.hubspot_url, sandbox.stripe_url)
        control_client.set_webhooks(Side.HUBSPOT, f"{box.url}/webhooks/hubspot", "client-secret")
        control_client.set_webhooks(Side.STRIPE, f"{box.url}/webhooks/stripe", "whsec_x")
        contact_id = control_client.edit(Side.HUBSPOT, "create", None, {"email": "a@example.com", "firstname": "A"})
        customer_id = control_client.edit(Side.STRIPE, "create", None, {"email": "a@example.com", "name": "Zoë"})
        posts = {path: (headers, body) for path, headers, body in box.wait_for(2)}

    headers, body = posts["/webhooks/hubspot"]
    signed = f"POST{box.url}/webhooks/hubspot{body.decode()}{headers['x-hubspot-request-timestamp']}"
    digest = hmac.new(b"client-secret", signed.encode(), hashlib.sha256).digest()
    assert headers["x-hubspot-signature-v3"] == base64.b64encode(digest).decode()
    assert abs(int(headers["x-hubspot-request-timestamp"]) - clock_ms()) < 60_000
    assert str(json.loads(body)[0]["objectId"]) == contact_id

    headers, body = posts["/webhooks/stripe"]
    event = stripe.Webhook.construct_event(body, headers["stripe-signature"], "whsec_x")
    assert (event.type, event.data.object["id"]) == ("customer.created", customer_id)


@pytest.mark.slow
def test_a_refused_webhook_comes_again_freshly_signed() -> None:
    with Sandbox() as sandbox, receiver() as box:
        box.status = 503
        control_client = ControlClient(sandbox.hubspot_url, sandbox.stripe_url)
        control_client.set_webhooks(Side.STRIPE, f"{box.url}/s", "whsec_x")
        control_client.edit(Side.STRIPE, "create", None, {"email": "a@example.com"})
        box.wait_for(1)
        box.status = 200
        first, second = box.wait_for(2)[:2]

        assert json.loads(first[2])["id"] == json.loads(second[2])["id"]
        assert first[1]["stripe-signature"] != second[1]["stripe-signature"]
        wait_for_stat(control_client, "webhooks_waiting", 0)
        assert sandbox.stats()["stripe"]["webhooks_failed"] == 1


def test_an_unreachable_receiver_blocks_nothing() -> None:
    with Sandbox() as sandbox:
        control_client = ControlClient(sandbox.hubspot_url, sandbox.stripe_url)
        control_client.set_webhooks(Side.STRIPE, "http://127.0.0.1:1/", "whsec_x")
        control_client.edit(Side.STRIPE, "create", None, {"email": "a@example.com"})
        wait_for_stat(control_client, "webhooks_failed", 1)
        assert sandbox.stats()["stripe"]["webhooks_waiting"] == 1
        assert control(sandbox.stripe_url, "webhooks", {"stripe": None}).status == 200


def test_many_webhooks_are_in_flight_at_once() -> None:
    with Sandbox() as sandbox, receiver() as box:
        control_client = ControlClient(sandbox.hubspot_url, sandbox.stripe_url)
        control_client.set_webhooks(Side.STRIPE, f"{box.url}/s", "whsec_x")
        control_client.set_webhooks(Side.HUBSPOT, f"{box.url}/h", "secret")
        for number in range(150):
            sandbox.edit(Side.STRIPE, "create", None, {"email": f"n{number}@example.com"})
            sandbox.edit(Side.HUBSPOT, "create", None, {"email": f"n{number}@example.com"})
        box.wait_until(lambda: sum(path == "/s" for path, _, _ in box.posts) == 150)
        box.wait_until(lambda: created(box) == 150)
        bodies = [json.loads(body) for path, _, body in box.posts if path == "/h"]
        assert max(len(body) for body in bodies) <= 100


def created(box: Receiver) -> int:
    bodies = [json.loads(body) for path, _, body in box.posts if path == "/h"]
    return len({row["objectId"] for body in bodies for row in body if row["subscriptionType"] == "contact.creation"})


def wait_for_stat(control_client: ControlClient, name: str, value: int) -> None:
    """Read the stats until one of Stripe's has the value."""
    end = time.monotonic() + 10
    while (found := control_client.stats()["stripe"][name]) != value:
        assert time.monotonic() < end, f"{name} is {found}"


# --- faults and latency ------------------------------------------------------------------------


def test_a_lost_answer_closes_the_connection_after_the_write() -> None:
    with Sandbox() as sandbox:
        assert control(sandbox.stripe_url, "faults", {"lost_answer": 1, "side": "stripe"}).status == 200
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            call(sandbox.stripe_url, "POST", "/v1/customers", b"email=lost%40example.com", STRIPE_FORM)
        rows = call(sandbox.stripe_url, "GET", "/_sandbox/records").json()["records"]
        assert [row["email"] for row in rows] == ["lost@example.com"]
        assert call(sandbox.stripe_url, "GET", "/v1/customers", None, STRIPE_FORM).status == 200


def test_faults_of_one_side_leave_the_other_alone() -> None:
    with Sandbox() as sandbox:
        control(sandbox.stripe_url, "faults", {"error_503": 1, "side": "hubspot"})
        assert call(sandbox.hubspot_url, "GET", "/crm/v3/objects/contacts", None, BEARER).status == 503
        assert call(sandbox.stripe_url, "GET", "/v1/customers", None, STRIPE_FORM).status == 200
        control(sandbox.stripe_url, "faults", {"profile": "none"})
        assert call(sandbox.hubspot_url, "GET", "/crm/v3/objects/contacts", None, BEARER).status == 200


def test_latency_lies_on_both_sides_of_the_commit() -> None:
    with Sandbox(Options(latency_ms=(60, 100))) as sandbox, ThreadPoolExecutor(5) as pool:
        spans = list(pool.map(lambda number: timed_create(sandbox, number), range(10)))
        commits = {entry.changes["email"]: entry.at_ms for entry in sandbox.stripe.journal.after(0)}

    for number, (began_ms, ended_ms) in enumerate(spans):
        # A timer counts from the beginning of a turn of the event loop, so it may fire some ms early.
        at_ms = commits[f"n{number}@example.com"]
        assert at_ms - began_ms >= 20
        assert ended_ms - at_ms >= 20
        assert ended_ms - began_ms >= 45


def test_control_endpoints_have_no_latency() -> None:
    hour_ms = 3_600_000.0
    with Sandbox(Options(latency_ms=(hour_ms, hour_ms))) as sandbox:
        assert call(sandbox.stripe_url, "GET", "/_sandbox/stats").status == 200


def timed_create(sandbox: Sandbox, number: int) -> tuple[int, int]:
    began_ms = clock_ms()
    answer = call(sandbox.stripe_url, "POST", "/v1/customers", f"email=n{number}%40example.com".encode(), STRIPE_FORM)
    assert answer.status == 200
    return began_ms, clock_ms()


# --- starting and stopping ---------------------------------------------------------------------


def test_the_seeded_records_exist_when_the_ports_open() -> None:
    with Sandbox(Options(seed=SeedOptions(30, 20, 10))) as sandbox:
        assert len(ControlClient(sandbox.hubspot_url, sandbox.stripe_url).records(Side.HUBSPOT)) == 30
        assert len(sandbox.records(Side.STRIPE)) == 20


def test_a_taken_port_is_named_in_the_error(running: Sandbox) -> None:
    taken = urlsplit(running.stripe_url).port or 0
    with pytest.raises(InvalidRequest, match=f"port {taken} for stripe"):
        Sandbox(Options(stripe_port=taken)).start()


def test_a_stopped_sandbox_is_unreachable() -> None:
    with Sandbox() as sandbox:
        control_client = ControlClient(sandbox.hubspot_url, sandbox.stripe_url)
        assert control_client.stats()["hubspot"]["requests"] == 0
    with pytest.raises(SandboxUnreachable, match="no sandbox answers"):
        control_client.stats()


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not the address"):
        ControlClient("nowhere", "http://127.0.0.1:1").stats(Side.HUBSPOT)


def test_traffic_over_the_control_endpoints_changes_the_stand_ins() -> None:
    with Sandbox(Options(seed=SeedOptions(20, 15, 10))) as sandbox:
        start_ms = clock_ms()
        traffic = Traffic(ControlClient(sandbox.hubspot_url, sandbox.stripe_url), 1, 10, start_ms)
        activities = traffic.advance(start_ms + 4_000)
        users = [entry for entry in sandbox.stripe.journal.after(0) if entry.at_ms >= start_ms]
        charges = {entry.record_id for entry in users if entry.kind == "charge.succeeded"}

    assert len(activities) >= 80
    assert {
        activity.record_id for activity in activities if activity.kind in (ActivityKind.PURCHASE, ActivityKind.GUEST)
    } == charges


# --- what vendors do besides ------------------------------------------------------------------


def test_a_deleted_contact_is_restored_and_a_definition_changed_over_http(running: Sandbox) -> None:
    client = ControlClient(running.hubspot_url, running.stripe_url)
    record_id = client.edit(Side.HUBSPOT, "create", None, {"email": "back@example.com", "firstname": "\ud83d"})
    client.edit(Side.HUBSPOT, "delete", record_id)
    assert client.edit(Side.HUBSPOT, "restore", record_id) == record_id
    client.edit(Side.HUBSPOT, "property", "shoe_size", {"type": "number", "maximum": "60"})
    with pytest.raises(InvalidRequest, match="settings are"):
        client.edit(Side.HUBSPOT, "property", "shoe_size", {"colour": "red"})
    held = next(row for row in client.records(Side.HUBSPOT) if row["id"] == record_id)
    assert held["firstname"] == "\ud83d"
    client.edit(Side.HUBSPOT, "delete", record_id)


def test_an_answer_that_unpacks_to_a_gigabyte_is_sent_in_a_megabyte() -> None:
    with Sandbox(Options()) as sandbox:
        control(sandbox.hubspot_url, "faults", {"gzip_bomb": 1, "side": "hubspot"})
        answer = call(sandbox.hubspot_url, "GET", "/crm/v3/objects/contacts", headers=BEARER)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(answer.body) < 2_000_000


def test_header_names_are_written_as_the_vendors_write_them(running: Sandbox) -> None:
    def names(url: str, method: str, path: str, headers: Mapping[str, str]) -> set[str]:
        return set(call(url, method, path, b"" if method == "POST" else None, headers).headers)

    shared = {"Content-Type", "Content-Length"}
    keyed = {**STRIPE_FORM, "Idempotency-Key": "k"}
    assert names(running.stripe_url, "POST", "/v1/customers", keyed) == shared | {
        "Date", "Request-Id", "Stripe-Version", "Idempotency-Key",
    }  # fmt: skip
    limits = ("Max", "Remaining", "Interval-Milliseconds", "Daily", "Daily-Remaining")
    assert names(running.hubspot_url, "GET", "/crm/v3/objects/contacts", BEARER) == shared | {
        f"X-HubSpot-RateLimit-{name}" for name in limits
    }


def test_requests_and_answers_are_recorded_without_keys(tmp_path: Path) -> None:
    with Sandbox(Options(record=str(tmp_path / "record"))) as sandbox:
        call(sandbox.hubspot_url, "GET", "/crm/v3/objects/contacts?limit=3", headers=BEARER)
        call(sandbox.stripe_url, "POST", "/v1/customers", b"email=a%40b.co", STRIPE_FORM)
        call(sandbox.stripe_url, "GET", "/v1/customers")
        token = json.dumps({"tokenKey": HUBSPOT_KEY}).encode()
        call(sandbox.hubspot_url, "POST", "/oauth/v2/private-apps/get/access-token-info", token, BEARER)
        control(sandbox.stripe_url, "faults", {"profile": "none"})
    lines = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert [(line["side"], line["method"], line["path"], line["status"]) for line in lines] == [
        ("hubspot", "GET", "/crm/v3/objects/contacts", 200),
        ("stripe", "POST", "/v1/customers", 200),
        ("stripe", "GET", "/v1/customers", 401),
        ("hubspot", "POST", "/oauth/v2/private-apps/get/access-token-info", 200),
    ]
    assert (lines[0]["query"], lines[1]["body"]) == ([["limit", "3"]], "email=a%40b.co")
    assert json.loads(lines[1]["answer"])["email"] == "a@b.co"
    assert HUBSPOT_KEY not in (tmp_path / "record").read_text()


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written"):
        Sandbox(Options(record=str(tmp_path / "none" / "record"))).start()


def test_webhooks_have_the_shape_that_was_chosen() -> None:
    with receiver() as box, Sandbox(Options(webhook_shape="object")) as sandbox:
        sandbox.set_target(Side.HUBSPOT, WebhookTarget(box.url, "secret"))
        sandbox.edit(Side.HUBSPOT, "create", None, {"email": "ada@example.com"})
        event = json.loads(box.wait_for(1)[0][2])[0]
    assert (event["subscriptionType"], event["objectTypeId"], event["changeFlag"]) == (
        "object.creation", "0-1", "CREATED",
    )  # fmt: skip
