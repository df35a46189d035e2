"""Events, webhook endpoints and deliveries of the stand-in Stripe."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from typing import Any

import pytest
import stripe as sdk

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Delivery, WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings

DAY_MS = 24 * 3600 * 1000
TARGET = WebhookTarget("http://127.0.0.1:1/hook", "whsec_control")


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(5), UNLIMITED))


def verify(delivery: Delivery, secret: str) -> dict[str, Any]:
    """The event, if the signature is right."""
    parts = dict(part.split("=", 1) for part in delivery.headers["Stripe-Signature"].split(","))
    signed = parts["t"].encode() + b"." + delivery.body
    assert parts["v1"] == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    event: dict[str, Any] = json.loads(delivery.body)
    return event


def test_target_gets_every_event_signed(stripe: Client) -> None:
    machine = stripe.machine
    machine.edit("create", None, {"name": "early"}, NOW_MS)
    machine.set_target(TARGET)
    customer = machine.edit("create", None, {"name": "Ada"}, NOW_MS)

    assert machine.next_delivery_ms() == NOW_MS
    (delivery,) = machine.take_deliveries(NOW_MS)

    event = verify(delivery, TARGET.secret)
    assert (delivery.url, event["data"]["object"]["id"], event["pending_webhooks"]) == (TARGET.url, customer, 1)
    assert machine.take_deliveries(NOW_MS) == []
    sdk.WebhookSignature.verify_header(delivery.body.decode(), delivery.headers["Stripe-Signature"], TARGET.secret)


def test_each_retry_has_a_new_signature(stripe: Client) -> None:
    machine = stripe.machine
    machine.set_target(TARGET)
    machine.edit("create", None, {"name": "Ada"}, NOW_MS)
    (first,) = machine.take_deliveries(NOW_MS)
    machine.finish_delivery(first.id, 500, NOW_MS)
    due_ms = machine.next_delivery_ms()
    assert due_ms is not None
    assert due_ms > NOW_MS
    (again,) = machine.take_deliveries(due_ms)

    assert (again.attempt, again.body) == (1, first.body)
    assert again.headers["Stripe-Signature"] != first.headers["Stripe-Signature"]
    verify(again, TARGET.secret)
    machine.finish_delivery(again.id, 204, due_ms)
    assert machine.next_delivery_ms() is None
    stats = machine.stats(due_ms)
    assert (stats["webhooks_sent"], stats["webhooks_failed"], stats["webhooks_waiting"]) == (1, 1, 0)


def test_duplicates_reordering_and_losses(stripe: Client) -> None:
    machine = stripe.machine
    machine.set_target(TARGET)
    machine.set_faults(Faults(duplicate=1.0, reorder_ms=500))
    for n in range(10):
        machine.edit("create", None, {"name": str(n)}, NOW_MS)
    sent: list[Delivery] = []
    for at_ms in range(NOW_MS, NOW_MS + 501):
        sent.extend(machine.take_deliveries(at_ms))
    names = [json.loads(delivery.body)["data"]["object"]["name"] for delivery in sent]
    machine.set_faults(Faults(drop=1.0))
    machine.edit("create", None, {"name": "lost"}, NOW_MS + 501)

    assert sorted(names) == sorted([str(n) for n in range(10)] * 2)
    assert names != sorted(names)
    assert machine.take_deliveries(NOW_MS + 10_000) == []


def test_delivery_success_filter_and_pending_webhooks(stripe: Client) -> None:
    stripe.machine.set_target(TARGET)
    for name in ("taken", "refused"):
        stripe.machine.edit("create", None, {"name": name}, NOW_MS)
    taken, refused = stripe.machine.take_deliveries(NOW_MS)
    stripe.machine.finish_delivery(taken.id, 200, NOW_MS)
    stripe.machine.finish_delivery(refused.id, 404, NOW_MS)

    def names(success: str) -> list[tuple[str, int]]:
        data = stripe.ok("GET", "/v1/events", {"delivery_success": success})["data"]
        return [(event["data"]["object"]["name"], event["pending_webhooks"]) for event in data]

    assert names("false") == [("refused", 1)]
    assert names("true") == [("taken", 0)]
    event = stripe.ok("GET", "/v1/events")["data"][0]
    assert stripe.ok("GET", f"/v1/events/{event['id']}") == event


def test_events_list_filters_and_walks(stripe: Client) -> None:
    machine = stripe.machine
    customer = machine.edit("create", None, {"name": "Ada"}, NOW_MS)
    machine.edit("purchase", customer, {"amount": "500", "currency": "usd"}, NOW_MS + 1000)
    machine.edit("update", customer, {"name": "Eve"}, NOW_MS + 2000)
    stripe.now_ms = NOW_MS + 3000

    def listed(params: dict[str, str]) -> list[str]:
        return [event["type"] for event in stripe.ok("GET", "/v1/events", params)["data"]]

    assert listed({"type": "customer.*"}) == ["customer.updated", "customer.updated", "customer.created"]
    assert listed({"type": "charge.succeeded"}) == ["charge.succeeded"]
    assert listed({"type": "nothing.*"}) == []
    assert listed({"types[0]": "charge.succeeded", "types[1]": "customer.created"}) == [
        "charge.succeeded",
        "customer.created",
    ]
    assert listed({"created[gte]": str(NOW_MS // 1000 + 2)}) == ["customer.updated"]
    walked: list[str] = []
    cursor = stripe.events()[0]["id"]
    while page := stripe.ok("GET", "/v1/events", {"limit": "2", "ending_before": cursor})["data"]:
        walked += [event["id"] for event in reversed(page)]
        cursor = page[0]["id"]
    assert walked == [event["id"] for event in stripe.events()[1:]]
    assert stripe.refused("GET", "/v1/events", {"type": "a.b", "types[]": "c.d"}) == (400, None, "types")
    assert stripe.refused("GET", "/v1/events", {f"types[{n}]": "a.b" for n in range(21)}) == (400, None, "types")


def test_events_are_kept_for_30_days(stripe: Client) -> None:
    stripe.machine.edit("create", None, {"name": "old"}, NOW_MS)
    event = stripe.events()[0]["id"]
    stripe.now_ms = NOW_MS + 30 * DAY_MS
    assert stripe.ok("GET", f"/v1/events/{event}")["id"] == event

    stripe.now_ms += 1000

    assert stripe.refused("GET", f"/v1/events/{event}") == (404, "resource_missing", "id")
    assert stripe.events() == []


def make_endpoint(stripe: Client, *events: str) -> dict[str, Any]:
    names = {f"enabled_events[{n}]": name for n, name in enumerate(events)}
    return stripe.ok("POST", "/v1/webhook_endpoints", {"url": "https://a.example/hook", **names})


def test_endpoints_get_what_they_enabled(stripe: Client) -> None:
    machine = stripe.machine
    machine.set_target(TARGET)
    endpoint = make_endpoint(stripe, "customer.updated", "charge.succeeded")
    secret = endpoint["secret"]
    customer = machine.edit("create", None, {"name": "Ada"}, NOW_MS)
    machine.edit("update", customer, {"name": "Eve"}, NOW_MS)

    deliveries = machine.take_deliveries(NOW_MS)

    assert [delivery.url for delivery in deliveries] == [TARGET.url, TARGET.url, "https://a.example/hook"]
    event = verify(deliveries[2], secret)
    assert (event["type"], event["pending_webhooks"]) == ("customer.updated", 2)
    assert len({delivery.id for delivery in deliveries}) == 3
    assert secret.startswith("whsec_")
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    assert "secret" not in stripe.ok("GET", path)
    assert "secret" not in stripe.ok("GET", "/v1/webhook_endpoints")["data"][0]


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_disabled_and_deleted_endpoints_get_nothing_more(stripe: Client, end: str) -> None:
    machine = stripe.machine
    path = f"/v1/webhook_endpoints/{make_endpoint(stripe, '*')['id']}"
    machine.edit("create", None, {"name": "Ada"}, NOW_MS)
    (flying,) = machine.take_deliveries(NOW_MS)
    if end == "disable":
        assert stripe.ok("POST", path, {"disabled": "true"})["status"] == "disabled"
    else:
        assert stripe.ok("DELETE", path)["deleted"] is True
        assert stripe.refused("GET", path)[0] == 404
    machine.finish_delivery(flying.id, 500, NOW_MS)
    machine.edit("create", None, {"name": "Eve"}, NOW_MS)

    assert machine.next_delivery_ms() is None
    if end == "disable":
        stripe.ok("POST", path, {"disabled": "false"})
        machine.edit("create", None, {"name": "Zoe"}, NOW_MS)
        assert [json.loads(d.body)["data"]["object"]["name"] for d in machine.take_deliveries(NOW_MS)] == ["Zoe"]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"url": "https://a.example"}, "parameter_missing", "enabled_events"),
        ({"enabled_events[]": "*"}, "parameter_missing", "url"),
        ({"url": "a.example", "enabled_events[]": "*"}, "url_invalid", "url"),
        ({"url": "https://a.example", "enabled_events[]": "customer.*"}, None, "enabled_events[0]"),
        ({"url": "https://a.example", "enabled_events": ""}, None, "enabled_events"),
    ],
)
def test_wrong_endpoints_are_400(stripe: Client, params: dict[str, str], code: str | None, param: str) -> None:
    assert stripe.refused("POST", "/v1/webhook_endpoints", params) == (400, code, param)


def test_the_target_may_receive_few_event_types() -> None:
    machine = StripeMachine(random.Random(1), StripeSettings(target_events=("charge.succeeded",)))
    machine.set_target(TARGET)
    machine.edit("purchase", None, {"amount": "500", "currency": "usd"}, NOW_MS)

    assert [verify(delivery, TARGET.secret)["type"] for delivery in machine.take_deliveries(NOW_MS)] == [
        "charge.succeeded"
    ]


def test_an_endpoint_of_the_api_takes_the_place_of_the_target_with_its_address(stripe: Client) -> None:
    stripe.machine.set_target(TARGET)
    params = {"url": TARGET.url, "enabled_events[0]": "customer.created"}
    endpoint = stripe.send("POST", "/v1/webhook_endpoints", params)[1]
    stripe.machine.edit("create", None, {"name": "Ada"}, NOW_MS)
    (delivery,) = stripe.machine.take_deliveries(NOW_MS)
    assert verify(delivery, endpoint["secret"])["type"] == "customer.created"


def test_an_account_has_at_most_sixteen_endpoints(stripe: Client) -> None:
    taken = len(stripe.ok("GET", "/v1/webhook_endpoints", {"limit": "100"})["data"])
    for _ in range(16 - taken):
        make_endpoint(stripe, "*")
    refused = stripe.refused("POST", "/v1/webhook_endpoints", {"url": "https://a.example/", "enabled_events[0]": "*"})
    assert refused[0] == 400
