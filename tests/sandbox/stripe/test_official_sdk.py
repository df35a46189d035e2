"""The official Stripe SDK against the stand-in, over real HTTP."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
import stripe
from stripe import StripeClient

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Request, WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings

KEY = "sk_test_51Abcdefghijklmnop"


class Server(ThreadingHTTPServer):
    """One machine on one port of the loopback."""

    daemon_threads = True

    def __init__(self, machine: StripeMachine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.machine = machine
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A headers packet followed by a body packet would wait for the client's delayed acknowledgement.
    wbufsize = -1

    def answer(self) -> None:
        server = cast("Server", self.server)
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path,
            tuple(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        with server.lock:
            response = server.machine.handle(request, time.time_ns() // 1_000_000)
        if response.lost:
            self.close_connection = True
            return
        self.send_response_only(response.status)
        for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    # The library calls them by the request's method.
    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    settings = StripeSettings(search_lag_ms=0, operation_rate_per_s=None, rate_per_s=10_000)
    with Server(StripeMachine(random.Random(1), settings)) as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeClient]:
    monkeypatch.setattr(stripe, "enable_telemetry", False)
    transport = stripe.RequestsClient(timeout=10)
    yield StripeClient(KEY, base_addresses={"api": server.url}, http_client=transport, max_network_retries=0)
    transport.close()  # type: ignore[no-untyped-call] # stripe leaves it untyped


def test_customer_life(client: StripeClient) -> None:
    customers = client.v1.customers
    made = customers.create(
        {
            "email": "Ada@Maths.example",
            "name": "Ada Lovelace",
            "phone": "+441234567890",
            "address": {"line1": "1 High St", "city": "Bath", "country": "GB"},
            "preferred_locales": ["en-GB", "fr"],
            "metadata": {"hubspot_contact_id": "7", "plan": "gold"},
            "shipping": {"name": "Ada", "address": {"city": "Bath"}},
        }
    )
    read = customers.retrieve(made.id)
    updated = customers.update(made.id, {"phone": "", "metadata": {"plan": ""}, "address": {"city": "York"}})
    deleted = customers.delete(made.id)
    after = customers.retrieve(made.id)

    assert read.to_dict() == made.to_dict()
    assert made.preferred_locales == ["en-GB", "fr"]
    assert updated.phone is None
    assert updated.to_dict()["metadata"] == {"hubspot_contact_id": "7"}
    assert updated.to_dict()["address"]["line1"] == "1 High St"
    assert (deleted.deleted, after.deleted) == (True, True)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        customers.update(made.id, {"name": "Eve"})
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_lists_page_by_themselves(client: StripeClient) -> None:
    ids = [client.v1.customers.create({"name": str(n), "email": "same@b.co"}).id for n in range(25)]

    walked = [row.id for row in client.v1.customers.list({"limit": 10}).auto_paging_iter()]
    backward = [row.id for row in client.v1.customers.list({"limit": 10, "ending_before": ids[0]}).auto_paging_iter()]
    filtered = client.v1.customers.list({"email": "same@b.co", "created": {"gte": 1}, "limit": 100})

    assert walked == ids[::-1]
    assert backward == ids[1:]
    assert len(filtered.data) == 25
    assert client.v1.customers.list({"email": "Same@b.co"}).data == []


def test_search_pages_by_itself(client: StripeClient) -> None:
    ids = {client.v1.customers.create({"metadata": {"shop": "north"}}).id for _ in range(12)}
    client.v1.customers.create({"metadata": {"shop": "south"}})

    found = client.v1.customers.search({"query": "metadata['shop']:'north'", "limit": 5})

    assert [row.id for row in found.auto_paging_iter()] == sorted(
        ids, key=[row.id for row in client.v1.customers.list({"limit": 100}).data].index
    )


def test_idempotent_replay_and_mismatch(client: StripeClient, server: Server) -> None:
    first = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "wane-c-1"})
    again = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "wane-c-1"})

    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Eve"}, {"idempotency_key": "wane-c-1"})
    server.machine.hold_key("wane-c-2")
    with pytest.raises(stripe.APIError) as caught:
        client.v1.customers.create({"name": "Eve"}, {"idempotency_key": "wane-c-2"})
    assert caught.value.http_status == 409


def test_lost_answer_is_replayed_by_the_sdk_itself(client: StripeClient, server: Server) -> None:
    server.machine.set_faults(Faults(lost_answer=1.0))
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "wane-c-1"})
    server.machine.set_faults(Faults())
    made = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "wane-c-1"})

    assert [row.id for row in client.v1.customers.list().data] == [made.id]


def test_errors_are_the_sdks_own(client: StripeClient, server: Server) -> None:
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.customers.create(cast("Any", {"nme": "Ada"}))
    with pytest.raises(stripe.InvalidRequestError) as email:
        client.v1.customers.create({"email": "x"})
    with pytest.raises(stripe.AuthenticationError):
        client.v1.customers.list({}, {"api_key": "sk_live_51Abcdefghijklmnop"})
    with pytest.raises(stripe.PermissionError) as account:
        client.v1.accounts.retrieve_current({}, {"api_key": "rk_test_51Abcdefghijklmnop"})
    with pytest.raises(stripe.CardError) as card:
        client.v1.payment_intents.create(
            {"amount": 100, "currency": "eur", "confirm": True, "payment_method": "pm_card_chargeDeclined"}
        )
    server.machine.set_limits(0, None, 20)
    with pytest.raises(stripe.RateLimitError) as rate:
        client.v1.customers.list()

    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "nme")
    assert (email.value.code, email.value.param) == ("email_invalid", "email")
    assert "acct_sandbox" in str(account.value)
    assert card.value.code == "card_declined"
    assert rate.value.headers is not None
    assert rate.value.headers["Stripe-Rate-Limited-Reason"] == "global-rate"


def test_lock_timeout_and_500(client: StripeClient, server: Server) -> None:
    made = client.v1.customers.create({"name": "Ada"})
    server.machine.set_faults(Faults(lock=1.0))
    with pytest.raises(stripe.RateLimitError) as lock:
        client.v1.customers.update(made.id, {"name": "Eve"})
    server.machine.set_faults(Faults(error_500=1.0))
    with pytest.raises(stripe.APIError) as broken:
        client.v1.customers.create({"name": "Eve"})

    assert lock.value.error is not None
    assert lock.value.error.code == "lock_timeout"
    assert lock.value.headers is not None
    assert lock.value.headers["Stripe-Should-Retry"] == "true"
    assert "Stripe-Rate-Limited-Reason" not in lock.value.headers
    assert broken.value.http_status == 500


def test_payments(client: StripeClient) -> None:
    customer = client.v1.customers.create({"name": "Ada"})
    intent = client.v1.payment_intents.create(
        {
            "amount": 500,
            "currency": "jpy",
            "customer": customer.id,
            "capture_method": "manual",
            "allowed_payment_method_types": ["card"],
            "metadata": {"order": "7"},
        }
    )
    held = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa", "expand": ["latest_charge"]})
    paid = client.v1.payment_intents.capture(intent.id)
    assert held.latest_charge is not None
    charge = client.v1.charges.retrieve(cast("Any", held.latest_charge).id, {"expand": ["customer", "payment_intent"]})

    assert (held.status, paid.status) == ("requires_capture", "succeeded")
    assert (charge.captured, charge.amount, charge.currency) == (True, 500, "jpy")
    assert cast("Any", charge.customer).id == customer.id
    assert cast("Any", charge.payment_intent).status == "succeeded"
    assert [row.id for row in client.v1.charges.list({"customer": customer.id}).data] == [charge.id]
    assert [row.id for row in client.v1.payment_intents.list({"customer": customer.id}).data] == [intent.id]
    assert [row.id for row in client.v1.charges.search({"query": "metadata['order']:'7'"}).data] == [charge.id]
    legacy = client.v1.charges.create({"amount": 100, "currency": "usd", "source": "tok_visa", "capture": False})
    assert client.v1.charges.capture(legacy.id).captured is True
    cancelled = client.v1.payment_intents.create({"amount": 100, "currency": "usd"})
    assert client.v1.payment_intents.cancel(cancelled.id).status == "canceled"
    assert client.v1.balance.retrieve().pending[0].currency == "jpy"


def test_payment_methods(client: StripeClient) -> None:
    customer = client.v1.customers.create({"name": "Ada"})
    made = client.v1.payment_methods.create(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"email": "a@b.co"}}
    )
    attached = client.v1.payment_methods.attach(made.id, {"customer": customer.id})
    updated = client.v1.payment_methods.update(made.id, {"metadata": {"k": "v"}})
    listed = client.v1.customers.payment_methods.list(customer.id, {"type": "card"})
    default = client.v1.customers.update(
        customer.id,
        {
            "invoice_settings": {"default_payment_method": made.id},
            "expand": ["invoice_settings.default_payment_method"],
        },
    )

    assert attached.customer == customer.id
    assert updated.to_dict()["metadata"] == {"k": "v"}
    assert [row.id for row in listed.data] == [made.id]
    assert default.to_dict()["invoice_settings"]["default_payment_method"]["id"] == made.id
    assert client.v1.payment_methods.detach(made.id).customer is None
    assert client.v1.payment_methods.list({"customer": customer.id}).data == []


def test_events_and_webhook_endpoints(client: StripeClient, server: Server) -> None:
    endpoint = client.v1.webhook_endpoints.create(
        {"url": "https://a.example/hook", "enabled_events": ["customer.created"], "api_version": "2026-10-28.endive"}
    )
    server.machine.set_target(WebhookTarget("https://b.example/hook", "whsec_b"))
    made = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "wane-c-9"})
    deliveries = server.machine.take_deliveries(time.time_ns() // 1_000_000)

    events = client.v1.events.list({"types": ["customer.created", "charge.succeeded"], "limit": 5})

    assert events.data[0].request is not None
    assert events.data[0].request.idempotency_key == "wane-c-9"
    assert client.v1.events.retrieve(events.data[0].id).type == "customer.created"
    assert endpoint.secret is not None
    secrets = {"https://a.example/hook": endpoint.secret, "https://b.example/hook": "whsec_b"}
    assert len(deliveries) == 2
    for delivery in deliveries:
        event = client.construct_event(delivery.body, delivery.headers["Stripe-Signature"], secrets[delivery.url])
        assert event.to_dict()["data"]["object"]["id"] == made.id
    assert client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True}).status == "disabled"
    assert [row.id for row in client.v1.webhook_endpoints.list().data] == [endpoint.id]
    assert client.v1.webhook_endpoints.delete(endpoint.id).deleted is True


def test_account_and_tax_ids(client: StripeClient) -> None:
    customer = client.v1.customers.create({"tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}]})
    client.v1.customers.tax_ids.create(customer.id, {"type": "gb_vat", "value": "GB123"})

    assert client.v1.accounts.retrieve_current().id == "acct_sandbox"
    assert [row.type for row in client.v1.customers.tax_ids.list(customer.id).data] == ["gb_vat", "eu_vat"]
