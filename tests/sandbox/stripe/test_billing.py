"""Stripe Billing on the stand-in: refusals, amounts, items of subscriptions, searches, credit balances, payouts."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import UNLIMITED, Client
from wanesync.sandbox.stripe.machine import StripeMachine


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(31), UNLIMITED))


def make(stripe: Client, path: str, **params: str) -> str:
    made: str = stripe.ok("POST", f"/v1/{path}", params)["id"]
    return made


def price(stripe: Client, amount: int = 900, interval: str = "month") -> str:
    product = make(stripe, "products", name=f"Tea {amount}")
    params = {"product": product, "unit_amount": str(amount), "currency": "eur"}
    return make(stripe, "prices", **params, **({"recurring[interval]": interval} if interval else {}))


def payer(stripe: Client) -> str:
    return make(
        stripe,
        "customers",
        name="Ada",
        payment_method="pm_card_visa",
        **{"invoice_settings[default_payment_method]": "pm_card_visa"},
    )


@pytest.mark.parametrize(
    ("path", "params", "code", "param"),
    [
        ("products", {}, "parameter_missing", "name"),
        ("products", {"name": "Tea", "colour": "green"}, "parameter_unknown", "colour"),
        ("prices", {"currency": "eur", "unit_amount": "5"}, "parameter_missing", "product"),
        ("prices", {"currency": "eur", "unit_amount": "x", "product": "p"}, "parameter_invalid_integer", "unit_amount"),
        ("prices", {"currency": "eur", "unit_amount": "5", "product": "prod_never"}, "resource_missing", "product"),
        ("coupons", {"duration": "once"}, "parameter_missing", "percent_off"),
        ("coupons", {"percent_off": "101"}, "parameter_invalid_decimal", "percent_off"),
        ("coupons", {"amount_off": "100"}, "parameter_missing", "currency"),
        ("promotion_codes", {"coupon": "x"}, "parameter_unknown", "coupon"),
        ("customers", {"coupon": "x"}, "parameter_unknown", "coupon"),
        ("tax_rates", {"display_name": "VAT", "inclusive": "true"}, "parameter_missing", "percentage"),
        ("invoiceitems", {"amount": "5", "currency": "eur"}, "parameter_missing", "customer"),
        ("invoices", {"customer": "cus_never"}, "resource_missing", "customer"),
        ("subscriptions", {"customer": "cus_never", "items[0][price]": "x"}, "resource_missing", "customer"),
        ("checkout/sessions", {"mode": "payment"}, "parameter_missing", "success_url"),
        (
            "checkout/sessions",
            {"mode": "payment", "success_url": "https://a.example"},
            "parameter_missing",
            "line_items",
        ),
        ("payouts", {"amount": "500", "currency": "eur"}, "balance_insufficient", "amount"),
        ("refunds", {}, "parameter_missing", "charge"),
    ],
)
def test_what_stripe_refuses(stripe: Client, path: str, params: dict[str, str], code: str, param: str) -> None:
    assert stripe.refused("POST", f"/v1/{path}", params) == (400, code, param)


def test_a_recurring_price_is_not_for_one_payment(stripe: Client) -> None:
    session = {"success_url": "https://a.example", "line_items[0][quantity]": "1"}
    asked = {**session, "mode": "payment", "line_items[0][price]": price(stripe)}
    assert stripe.refused("POST", "/v1/checkout/sessions", asked)[2] == "line_items"
    asked = {**session, "mode": "subscription", "line_items[0][price]": price(stripe, interval="")}
    assert stripe.refused("POST", "/v1/checkout/sessions", asked)[2] == "line_items"


def test_items_of_a_subscription(stripe: Client) -> None:
    made = make(stripe, "subscriptions", customer=payer(stripe), **{"items[0][price]": price(stripe)})
    first = stripe.ok("GET", "/v1/subscription_items", {"subscription": made})["data"][0]["id"]
    other = make(stripe, "subscription_items", subscription=made, price=price(stripe, 300), quantity="2")

    changed = stripe.ok("POST", f"/v1/subscription_items/{other}", {"quantity": "5"})
    removed = stripe.ok("DELETE", f"/v1/subscription_items/{first}")

    assert (changed["quantity"], removed["deleted"]) == (5, True)
    rows = stripe.ok("GET", f"/v1/subscriptions/{made}")["items"]["data"]
    assert [(row["id"], row["quantity"]) for row in rows] == [(other, 5)]
    assert stripe.refused("DELETE", f"/v1/subscription_items/{other}")[0] == 400
    assert stripe.refused("GET", f"/v1/subscription_items/{first}")[1] == "resource_missing"


def test_the_payment_of_a_first_invoice_activates_its_subscription(stripe: Client) -> None:
    customer = make(stripe, "customers", name="Ada")
    asked = {"items[0][price]": price(stripe), "payment_behavior": "default_incomplete",
             "expand[0]": "latest_invoice.confirmation_secret",
             "expand[1]": "latest_invoice.payments.data.payment.payment_intent"}  # fmt: skip
    made = stripe.ok("POST", "/v1/subscriptions", {"customer": customer, **asked})
    invoice = made["latest_invoice"]
    intent = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    assert (made["status"], invoice["status"], intent["status"]) == ("incomplete", "open", "requires_payment_method")
    assert invoice["confirmation_secret"]["client_secret"] == intent["client_secret"]

    stripe.ok("POST", f"/v1/payment_intents/{intent['id']}/confirm", {"payment_method": "pm_card_visa"})

    assert stripe.ok("GET", f"/v1/subscriptions/{made['id']}")["status"] == "active"
    assert stripe.ok("GET", f"/v1/invoices/{invoice['id']}")["status"] == "paid"
    assert [event["type"] for event in stripe.events()].count("invoice.paid") == 1


def test_an_invoice_that_needs_its_buyer_is_paid_when_the_buyer_confirms(stripe: Client) -> None:
    customer = payer(stripe)
    make(stripe, "invoiceitems", customer=customer, amount="700", currency="eur")
    draft = make(stripe, "invoices", customer=customer, pending_invoice_items_behavior="include")
    asked = {"payment_method": "pm_card_authenticationRequired"}
    code = "invoice_payment_intent_requires_action"
    assert stripe.refused("POST", f"/v1/invoices/{draft}/pay", asked)[:2] == (402, code)
    intent = stripe.ok("GET", "/v1/payment_intents")["data"][0]["id"]

    stripe.machine.edit("authenticate", intent, {}, stripe.now_ms)

    assert stripe.ok("GET", f"/v1/invoices/{draft}")["status"] == "paid"


def test_a_paused_subscription_is_resumed(stripe: Client) -> None:
    customer = make(stripe, "customers", name="Ada")
    trial = {"items[0][price]": price(stripe), "trial_period_days": "7",
             "trial_settings[end_behavior][missing_payment_method]": "pause"}  # fmt: skip
    made = make(stripe, "subscriptions", customer=customer, **trial)
    assert stripe.refused("POST", f"/v1/subscriptions/{made}/resume")[0] == 400
    assert stripe.ok("POST", f"/v1/subscriptions/{made}", {"trial_end": "now"})["status"] == "paused"
    card = make(stripe, "payment_methods/pm_card_visa/attach", customer=customer)
    stripe.ok("POST", f"/v1/customers/{customer}", {"invoice_settings[default_payment_method]": card})

    resumed = stripe.ok("POST", f"/v1/subscriptions/{made}/resume", {"expand[]": "latest_invoice"})

    assert (resumed["status"], resumed["latest_invoice"]["status"]) == ("active", "paid")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("products", "name~'tea' AND active:'true'"),
        ("prices", "currency:'eur' AND type:'recurring'"),
        ("subscriptions", "status:'active'"),
        ("invoices", "total>100 AND status:'paid'"),
    ],
)
def test_searches_of_billing(stripe: Client, path: str, query: str) -> None:
    make(stripe, "subscriptions", customer=payer(stripe), **{"items[0][price]": price(stripe)})
    stripe.now_ms += UNLIMITED.search_lag_ms

    assert len(stripe.ok("GET", f"/v1/{path}/search", {"query": query})["data"]) == 1


def test_a_credit_changes_the_balance_of_a_customer(stripe: Client) -> None:
    customer = make(stripe, "customers", name="Ada")
    path = f"/v1/customers/{customer}/balance_transactions"
    made = stripe.ok("POST", path, {"amount": "-500", "currency": "eur", "description": "sorry"})

    assert (made["ending_balance"], stripe.ok("GET", f"/v1/customers/{customer}")["balance"]) == (-500, -500)
    assert stripe.ok("POST", f"{path}/{made['id']}", {"metadata[k]": "v"})["metadata"] == {"k": "v"}
    assert [row["id"] for row in stripe.ok("GET", path)["data"]] == [made["id"]]
    assert stripe.refused("POST", path, {"amount": "1", "currency": "usd"})[2] == "currency"


def test_a_payout_takes_what_is_available(stripe: Client) -> None:
    make(stripe, "charges", amount="10000", currency="eur", source="tok_bypassPending")
    made = make(stripe, "payouts", amount="9000", currency="eur")
    balance = stripe.ok("GET", "/v1/balance")
    assert (balance["available"][0]["amount"], balance["pending"][0]["amount"]) == (10_000 - 320 - 9000, 0)
    assert stripe.refused("POST", "/v1/payouts", {"amount": "9000", "currency": "eur"})[1] == "balance_insufficient"

    assert stripe.ok("POST", f"/v1/payouts/{made}/cancel")["status"] == "canceled"
    assert stripe.ok("GET", "/v1/balance")["available"][0]["amount"] == 10_000 - 320


def test_an_invoice_of_prices_with_a_discount_and_a_credit_note(stripe: Client) -> None:
    customer = payer(stripe)
    stripe.ok(
        "POST", "/v1/invoiceitems", {"customer": customer, "pricing[price]": price(stripe, 400, ""), "quantity": "3"}
    )
    coupon = make(stripe, "coupons", amount_off="200", currency="eur")
    draft = make(stripe, "invoices", customer=customer, pending_invoice_items_behavior="include",
                 **{"discounts[0][coupon]": coupon})  # fmt: skip
    opened = stripe.ok("POST", f"/v1/invoices/{draft}/finalize")
    stripe.ok("POST", "/v1/credit_notes", {"invoice": draft, "amount": "300"})

    assert (opened["subtotal"], opened["total"], opened["number"][-5:]) == (1200, 1000, "-0001")
    assert stripe.refused("POST", "/v1/credit_notes", {"invoice": draft, "amount": "701"})[2] == "amount"
    assert stripe.ok("GET", f"/v1/invoices/{draft}")["amount_due"] == 700
    assert stripe.ok("POST", f"/v1/invoices/{draft}/pay")["amount_paid"] == 700
    assert stripe.ok("GET", "/v1/charges")["data"][0]["amount"] == 700
