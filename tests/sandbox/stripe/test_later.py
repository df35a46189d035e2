"""What Stripe does by itself later: bank debits, late refunds, test clocks and the subscriptions on them."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import UNLIMITED, Client
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine

DEBIT = {
    "amount": "900",
    "currency": "eur",
    "confirm": "true",
    "payment_method_types[]": "sepa_debit",
    "payment_method_data[type]": "sepa_debit",
}
MONTH_S = 31 * 24 * 3600
START_S = 1_577_836_800


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(21), UNLIMITED))


def wait(stripe: Client) -> None:
    stripe.now_ms += UNLIMITED.settle_ms


def types(stripe: Client) -> list[str]:
    return [event["type"] for event in stripe.events()]


@pytest.mark.parametrize(
    ("iban", "status", "event"),
    [
        ("AT611904300234573201", "succeeded", "charge.succeeded"),
        ("AT861904300235473202", "requires_payment_method", "charge.failed"),
    ],
)
def test_a_debit_is_decided_later(stripe: Client, iban: str, status: str, event: str) -> None:
    made = stripe.ok("POST", "/v1/payment_intents", {**DEBIT, "payment_method_data[sepa_debit][iban]": iban})
    assert made["status"] == "processing"
    assert stripe.ok("GET", f"/v1/charges/{made['latest_charge']}")["status"] == "pending"
    assert event not in types(stripe)

    wait(stripe)

    assert stripe.ok("GET", f"/v1/payment_intents/{made['id']}")["status"] == status
    assert event in types(stripe)


def test_a_webhook_of_what_comes_later_is_due_then(stripe: Client) -> None:
    made = stripe.ok("POST", "/v1/payment_intents", DEBIT)
    stripe.machine.set_target(WebhookTarget("http://127.0.0.1:1/", "whsec_x"))
    assert stripe.machine.next_delivery_ms() == stripe.now_ms + UNLIMITED.settle_ms
    wait(stripe)

    bodies = [delivery.body for delivery in stripe.machine.take_deliveries(stripe.now_ms)]

    assert any(b"payment_intent.succeeded" in body and made["id"].encode() in body for body in bodies)
    assert stripe.machine.next_delivery_ms() is None


@pytest.mark.parametrize(
    ("card", "first", "last"), [("pendingRefund", "pending", "succeeded"), ("refundFail", "succeeded", "failed")]
)
def test_a_refund_ends_later(stripe: Client, card: str, first: str, last: str) -> None:
    paid = stripe.ok("POST", "/v1/charges", {"amount": "700", "currency": "usd", "source": f"tok_{card}"})["id"]
    refund = stripe.ok("POST", "/v1/refunds", {"charge": paid})
    assert refund["status"] == first

    wait(stripe)

    assert stripe.ok("GET", f"/v1/refunds/{refund['id']}")["status"] == last
    assert stripe.ok("GET", f"/v1/charges/{paid}")["refunded"] is (last == "succeeded")


def subscribe(stripe: Client, clock: str, method: str, **more: str) -> str:
    customer = stripe.ok("POST", "/v1/customers", {"test_clock": clock, "payment_method": method,
                         "invoice_settings[default_payment_method]": method})["id"]  # fmt: skip
    product = stripe.ok("POST", "/v1/products", {"name": "Tea"})["id"]
    price = {"product": product, "unit_amount": "900", "currency": "eur", "recurring[interval]": "month"}
    asked = {"customer": customer, "items[0][price]": stripe.ok("POST", "/v1/prices", price)["id"], **more}
    made: str = stripe.ok("POST", "/v1/subscriptions", asked)["id"]
    return made


def advance(stripe: Client, clock: str, to_s: int) -> None:
    stripe.ok("POST", f"/v1/test_helpers/test_clocks/{clock}/advance", {"frozen_time": str(to_s)})
    wait(stripe)


def test_a_subscription_renews_when_its_clock_is_advanced(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(START_S)})["id"]
    made = subscribe(stripe, clock, "pm_card_visa")

    advance(stripe, clock, START_S + 2 * MONTH_S)

    rows = stripe.ok("GET", "/v1/invoices", {"subscription": made})["data"]
    assert [row["billing_reason"] for row in rows] == [
        "subscription_cycle",
        "subscription_cycle",
        "subscription_create",
    ]
    assert {(row["status"], row["amount_paid"]) for row in rows} == {("paid", 900)}
    item = stripe.ok("GET", f"/v1/subscriptions/{made}")["items"]["data"][0]
    assert item["current_period_start"] <= START_S + 2 * MONTH_S < item["current_period_end"]


def test_with_its_customer_a_subscription_ends_and_nothing_comes_later(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(START_S)})["id"]
    made = subscribe(stripe, clock, "pm_card_visa")
    customer = stripe.ok("GET", f"/v1/subscriptions/{made}")["customer"]
    stripe.ok("POST", "/v1/payment_intents", {**DEBIT, "customer": customer})

    stripe.ok("DELETE", f"/v1/customers/{customer}")
    advance(stripe, clock, START_S + MONTH_S)

    assert stripe.ok("GET", f"/v1/subscriptions/{made}")["status"] == "canceled"
    assert len(stripe.ok("GET", "/v1/invoices", {"subscription": made})["data"]) == 1
    assert "charge.succeeded" in types(stripe)


def test_a_cancelled_subscription_ends_with_its_period(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(START_S)})["id"]
    made = subscribe(stripe, clock, "pm_card_visa")
    stripe.ok("POST", f"/v1/subscriptions/{made}", {"cancel_at_period_end": "true"})

    advance(stripe, clock, START_S + MONTH_S)

    assert stripe.ok("GET", f"/v1/subscriptions/{made}")["status"] == "canceled"
    assert "customer.subscription.deleted" in types(stripe)
    assert stripe.ok("GET", "/v1/subscriptions")["data"] == []
    assert len(stripe.ok("GET", "/v1/subscriptions", {"status": "all"})["data"]) == 1


def test_a_renewal_on_a_declined_card_is_past_due(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(START_S)})["id"]
    made = subscribe(stripe, clock, "pm_card_chargeCustomerFail", trial_period_days="7")

    advance(stripe, clock, START_S + 8 * 24 * 3600)

    assert stripe.ok("GET", f"/v1/subscriptions/{made}")["status"] == "past_due"
    assert "invoice.payment_failed" in types(stripe)


def test_a_clock_only_goes_forward_and_once_at_a_time(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(START_S)})["id"]
    path = f"/v1/test_helpers/test_clocks/{clock}/advance"
    assert stripe.refused("POST", path, {"frozen_time": str(START_S)})[2] == "frozen_time"
    stripe.ok("POST", path, {"frozen_time": str(START_S + 60)})
    assert stripe.refused("POST", path, {"frozen_time": str(START_S + 120)})[0] == 400
