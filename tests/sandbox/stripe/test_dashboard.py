"""Edits by a user on the stand-in Stripe."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.stripe.machine import StripeMachine


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(11), UNLIMITED))


def test_edits_by_a_user_have_no_request(stripe: Client) -> None:
    machine = stripe.machine
    customer = machine.edit("create", None, {"name": "Ada", "address.city": "Bath", "preferred_locales": "de"}, NOW_MS)
    machine.edit(
        "update",
        customer,
        {"name": "Eve", "metadata.a.b": "1", "shipping.name": "E", "shipping.address.city": "X"},
        NOW_MS,
    )
    shown = stripe.ok("GET", f"/v1/customers/{customer}")
    machine.edit("update", customer, {"preferred_locales": ""}, NOW_MS)
    assert stripe.ok("GET", f"/v1/customers/{customer}")["preferred_locales"] == []
    machine.edit("delete", customer, {}, NOW_MS)

    assert (shown["name"], shown["address"]["city"], shown["preferred_locales"]) == ("Eve", "Bath", ["de"])
    assert (shown["metadata"], shown["shipping"]["address"]["city"]) == ({"a.b": "1"}, "X")
    assert {str(event["request"]) for event in stripe.events()} == {"{'id': None, 'idempotency_key': None}"}
    entries = machine.journal.after(0)
    assert [(entry.kind, entry.source) for entry in entries] == [
        ("customer.created", "user"),
        ("customer.updated", "user"),
        ("customer.updated", "user"),
        ("customer.deleted", "user"),
    ]
    assert entries[0].changes["address.city"] == "Bath"
    assert entries[1].changes["name"] == "Eve"
    stripe.ok("POST", "/v1/customers", {"name": "x"})
    assert machine.journal.after(4)[0].source == f"api:{'mnop'}"


def test_purchase_by_a_guest_and_its_capture(stripe: Client) -> None:
    machine = stripe.machine
    values = {"amount": "2500", "currency": "kwd", "email": "guest@b.co", "capture": "manual", "metadata.order": "9"}
    charge = machine.edit("purchase", None, values, NOW_MS)
    held = stripe.ok("GET", f"/v1/charges/{charge}")
    assert (held["captured"], held["customer"], held["metadata"]) == (False, None, {"order": "9"})
    assert (held["billing_details"]["email"], held["receipt_email"]) == ("guest@b.co", "guest@b.co")

    assert machine.edit("capture", held["payment_intent"], {}, NOW_MS) == charge

    assert stripe.ok("GET", f"/v1/payment_intents/{held['payment_intent']}")["status"] == "succeeded"
    kinds = [(entry.kind, entry.changes["amount"]) for entry in machine.journal.after(0)]
    assert kinds == [("charge.succeeded", "2500"), ("charge.captured", "2500")]
    with pytest.raises(ValueError, match="already been captured"):
        machine.edit("capture", charge, {}, NOW_MS)


@pytest.mark.parametrize(
    ("kind", "record_id", "values", "reason"),
    [
        ("merge", None, {}, "unknown kind"),
        ("update", None, {"name": "x"}, "needs the id"),
        ("update", "cus_never", {"name": "x"}, "No such customer"),
        ("create", None, {"nme": "x"}, "unknown parameter"),
        ("purchase", None, {"amount": "1"}, "currency"),
        ("purchase", "cus_never", {"amount": "100", "currency": "usd"}, "No such customer"),
        ("capture", "ch_never", {}, "No such charge"),
    ],
)
def test_wrong_edits(stripe: Client, kind: str, record_id: str | None, values: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        stripe.machine.edit(kind, record_id, values, NOW_MS)


def test_what_buyers_and_their_banks_do(stripe: Client) -> None:
    machine = stripe.machine
    product = stripe.ok("POST", "/v1/products", {"name": "Tea"})["id"]
    price = stripe.ok("POST", "/v1/prices", {"product": product, "unit_amount": "900", "currency": "eur"})["id"]
    session = stripe.ok(
        "POST",
        "/v1/checkout/sessions",
        {
            "mode": "payment",
            "success_url": "https://a.example",
            "customer_creation": "always",
            "line_items[0][price]": price,
            "line_items[0][quantity]": "2",
        },
    )["id"]

    machine.edit("pay", session, {"email": "ada@maths.example", "name": "Ada", "card": "mastercard"}, NOW_MS)

    paid = stripe.ok("GET", f"/v1/checkout/sessions/{session}", {"expand[]": "payment_intent.latest_charge"})
    charge = paid["payment_intent"]["latest_charge"]
    assert (paid["status"], paid["payment_status"], charge["amount"]) == ("complete", "paid", 1800)
    assert charge["billing_details"]["email"] == paid["customer_details"]["email"] == "ada@maths.example"
    assert stripe.ok("GET", f"/v1/customers/{charge['customer']}")["name"] == "Ada"
    assert charge["payment_method_details"]["card"]["brand"] == "mastercard"

    refund = machine.edit("refund", charge["id"], {"amount": "300"}, NOW_MS)
    dispute = machine.edit("dispute", charge["id"], {"reason": "general"}, NOW_MS)

    assert stripe.ok("GET", f"/v1/refunds/{refund}")["amount"] == 300
    assert stripe.ok("GET", f"/v1/disputes/{dispute}")["status"] == "warning_needs_response"
    for kind in ("pay", "dispute"):
        with pytest.raises(ValueError, match=r"not open|disputed already"):
            machine.edit(kind, session if kind == "pay" else charge["id"], {}, NOW_MS)


def test_a_buyer_confirms_a_payment(stripe: Client) -> None:
    pay = {"amount": "500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_authenticationRequired"}
    waiting = stripe.ok("POST", "/v1/payment_intents", pay)

    charge = stripe.machine.edit("authenticate", waiting["id"], {}, NOW_MS)

    assert stripe.ok("GET", f"/v1/payment_intents/{waiting['id']}")["status"] == "succeeded"
    assert stripe.ok("GET", f"/v1/charges/{charge}")["paid"]
    with pytest.raises(ValueError, match="succeeded"):
        stripe.machine.edit("authenticate", waiting["id"], {}, NOW_MS)
