"""Payments on the stand-in Stripe: intents, charges, payment methods, expand."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.stripe.machine import StripeMachine

CHARGE = {"amount": "500", "currency": "usd", "source": "tok_visa"}
PAY = {"amount": "1999", "currency": "eur", "confirm": "true", "payment_method": "pm_card_visa"}


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(11), UNLIMITED))


def types(stripe: Client) -> list[str]:
    return [event["type"] for event in stripe.events()]


def test_intent_step_by_step(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers", {"name": "Ada"})["id"]
    made = stripe.ok("POST", "/v1/payment_intents", {"amount": "1999", "currency": "EUR", "customer": customer})
    assert (made["status"], made["currency"], made["latest_charge"]) == ("requires_payment_method", "eur", None)
    path = f"/v1/payment_intents/{made['id']}"
    assert stripe.refused("POST", f"{path}/confirm")[:2] == (400, "payment_intent_unexpected_state")

    updated = stripe.ok("POST", path, {"payment_method": "pm_card_visa", "metadata[order]": "7"})
    paid = stripe.ok("POST", f"{path}/confirm", {"expand[]": "latest_charge"})

    assert updated["status"] == "requires_confirmation"
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 1999)
    charge = paid["latest_charge"]
    assert (charge["paid"], charge["captured"], charge["amount_captured"]) == (True, True, 1999)
    assert (charge["customer"], charge["payment_intent"], charge["metadata"]) == (customer, made["id"], {"order": "7"})
    assert types(stripe) == [
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "customer.updated",
        "payment_intent.succeeded",
    ]
    assert stripe.refused("POST", f"{path}/confirm")[1] == "payment_intent_unexpected_state"
    assert stripe.refused("POST", f"{path}/cancel")[1] == "payment_intent_unexpected_state"
    assert stripe.refused("POST", path, {"amount": "5"})[1] == "payment_intent_unexpected_state"
    assert stripe.ok("POST", path, {"description": "books"})["description"] == "books"


def test_the_first_payment_sets_the_currency_of_the_customer_once(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers", {"name": "Ada"})["id"]
    stripe.ok("POST", "/v1/payment_intents", {**PAY, "customer": customer})
    stripe.ok("POST", "/v1/payment_intents", {**PAY, "currency": "usd", "customer": customer})

    updates = [event for event in stripe.events() if event["type"] == "customer.updated"]

    assert stripe.ok("GET", f"/v1/customers/{customer}")["currency"] == "eur"
    assert [event["data"]["previous_attributes"] for event in updates] == [{"currency": None}]
    automatic = [entry for entry in stripe.machine.journal.after(0) if entry.source == "stripe"]
    assert [entry.changes for entry in automatic] == [{"currency": "eur"}]


def test_manual_capture(stripe: Client) -> None:
    held = stripe.ok("POST", "/v1/payment_intents", {**PAY, "capture_method": "manual"})
    charge = stripe.ok("GET", f"/v1/charges/{held['latest_charge']}")
    assert (held["status"], held["amount_capturable"]) == ("requires_capture", 1999)
    assert (charge["paid"], charge["captured"], charge["amount_captured"]) == (True, False, 0)
    path = f"/v1/payment_intents/{held['id']}/capture"
    assert stripe.refused("POST", path, {"amount_to_capture": "2000"})[1] == "amount_too_large"

    paid = stripe.ok("POST", path, {"amount_to_capture": "1500"})

    assert (paid["status"], paid["amount_received"], paid["amount_capturable"]) == ("succeeded", 1500, 0)
    assert stripe.ok("GET", f"/v1/charges/{held['latest_charge']}")["amount_captured"] == 1500
    assert types(stripe)[-2:] == ["charge.captured", "payment_intent.succeeded"]
    assert stripe.refused("POST", f"/v1/charges/{charge['id']}/capture")[1] == "charge_already_captured"


def test_cancelled_intent_releases_its_charge(stripe: Client) -> None:
    held = stripe.ok("POST", "/v1/payment_intents", {**PAY, "capture_method": "manual"})

    ended = stripe.ok("POST", f"/v1/payment_intents/{held['id']}/cancel", {"cancellation_reason": "abandoned"})

    assert (ended["status"], ended["canceled_at"]) == ("canceled", NOW_MS // 1000)
    assert stripe.refused("POST", f"/v1/charges/{held['latest_charge']}/capture")[1] == "charge_expired_for_capture"


def test_declined_card(stripe: Client) -> None:
    status, body, _ = stripe.send(
        "POST", "/v1/payment_intents", {**PAY, "payment_method": "pm_card_chargeDeclined"}, idempotency_key="k1"
    )

    error = body["error"]
    assert (status, error["type"], error["code"], error["decline_code"]) == (
        402,
        "card_error",
        "card_declined",
        "generic_decline",
    )
    intent = stripe.ok("GET", f"/v1/payment_intents/{error['payment_intent']['id']}")
    assert (intent["status"], intent["last_payment_error"]["code"]) == ("requires_payment_method", "card_declined")
    charge = stripe.ok("GET", f"/v1/charges/{error['charge']}")
    assert (charge["status"], charge["paid"], charge["captured"]) == ("failed", False, False)
    assert types(stripe) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    replay = stripe.send(
        "POST", "/v1/payment_intents", {**PAY, "payment_method": "pm_card_chargeDeclined"}, idempotency_key="k1"
    )
    assert replay[2].headers["Idempotent-Replayed"] == "true"
    assert (
        stripe.ok("POST", f"/v1/payment_intents/{intent['id']}/confirm", {"payment_method": "pm_card_visa"})["status"]
        == "succeeded"
    )


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": "100"}, "parameter_missing", "currency"),
        ({"amount": "100", "currency": "xyz"}, None, "currency"),
        ({"amount": "0", "currency": "eur"}, "parameter_invalid_integer", "amount"),
        ({"amount": "", "currency": "eur"}, "parameter_invalid_integer", "amount"),
        ({**PAY, "customer": "cus_never"}, "resource_missing", "customer"),
        ({**PAY, "payment_method": "pm_never"}, "resource_missing", "payment_method"),
        ({**PAY, "payment_method": ""}, "parameter_invalid_empty", "payment_method"),
        ({**PAY, "confirm": "yes"}, None, "confirm"),
    ],
)
def test_wrong_intents_are_400(stripe: Client, params: dict[str, str], code: str | None, param: str) -> None:
    assert stripe.refused("POST", "/v1/payment_intents", params) == (400, code, param)
    assert stripe.ok("GET", "/v1/payment_intents")["data"] == []


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "500"), ("kwd", "5000"), ("USD", "50")])
def test_currencies_of_all_kinds(stripe: Client, currency: str, amount: str) -> None:
    charge = stripe.ok("POST", "/v1/charges", {"amount": amount, "currency": currency, "source": "tok_visa"})

    assert (charge["amount"], charge["currency"], charge["payment_intent"]) == (int(amount), currency.lower(), None)


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/payment_intents"])
def test_too_little_is_refused(stripe: Client, path: str) -> None:
    params = {"amount": "49", "currency": "eur"} | ({"source": "tok_visa"} if "charges" in path else {})

    assert stripe.refused("POST", path, params) == (400, "amount_too_small", "amount")


def test_older_charges(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers")["id"]
    params = {"amount": "100", "currency": "usd", "customer": customer, "source": "tok_visa", "capture": "false"}
    held = stripe.ok("POST", "/v1/charges", {**params, "receipt_email": "a@b.co"})
    taken = stripe.ok("POST", f"/v1/charges/{held['id']}/capture")
    changed = stripe.ok("POST", f"/v1/charges/{held['id']}", {"metadata[k]": "v", "description": "d"})

    assert (held["captured"], taken["captured"], taken["receipt_email"]) == (False, True, "a@b.co")
    assert changed["metadata"] == {"k": "v"}
    assert stripe.events()[-1]["data"]["previous_attributes"] == {"description": None, "metadata": {"k": None}}
    assert stripe.refused("POST", "/v1/charges", {**params, "source": "tok_chargeDeclined"})[:2] == (
        402,
        "card_declined",
    )


def test_lists_of_payments(stripe: Client) -> None:
    one, two = (stripe.ok("POST", "/v1/customers")["id"] for _ in range(2))
    first = stripe.ok("POST", "/v1/payment_intents", {**PAY, "customer": one})
    stripe.ok("POST", "/v1/payment_intents", {**PAY, "customer": two})
    stripe.ok("POST", "/v1/charges", {**CHARGE, "customer": one})

    of_one = stripe.ok("GET", "/v1/charges", {"customer": one})["data"]
    of_first = stripe.ok("GET", "/v1/charges", {"payment_intent": first["id"], "expand[]": "data.customer"})["data"]

    assert [row["amount"] for row in of_one] == [500, 1999]
    assert [row["customer"]["id"] for row in of_first] == [one]
    assert stripe.ok("GET", "/v1/charges", {"payment_intent": first["id"], "customer": two})["data"] == []
    assert len(stripe.ok("GET", "/v1/payment_intents", {"customer": two})["data"]) == 1
    assert stripe.ok("GET", "/v1/balance")["pending"] == [
        {"amount": 2 * (1999 - 88), "currency": "eur", "source_types": {"card": 2 * (1999 - 88)}},
        {"amount": 500 - 44, "currency": "usd", "source_types": {"card": 500 - 44}},
    ]


def test_payment_methods(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers")["id"]
    made = stripe.ok(
        "POST",
        "/v1/payment_methods",
        {"type": "card", "card[token]": "tok_mastercard", "billing_details[email]": "a@b.co"},
    )
    path = f"/v1/payment_methods/{made['id']}"
    assert (made["card"]["brand"], made["billing_details"]["email"]) == ("mastercard", "a@b.co")

    attached = stripe.ok("POST", f"{path}/attach", {"customer": customer})

    assert attached["customer"] == customer
    assert stripe.refused("POST", f"{path}/attach", {"customer": customer})[1] == "payment_method_unexpected_state"
    assert [row["id"] for row in stripe.ok("GET", f"/v1/customers/{customer}/payment_methods")["data"]] == [made["id"]]
    assert stripe.ok("GET", "/v1/payment_methods", {"customer": customer, "type": "link"})["data"] == []
    assert stripe.refused("POST", "/v1/payment_intents", {**PAY, "payment_method": made["id"]})[2] == "payment_method"
    charged = stripe.ok(
        "POST",
        "/v1/payment_intents",
        {**PAY, "payment_method": made["id"], "customer": customer, "expand[]": "latest_charge"},
    )
    assert charged["latest_charge"]["billing_details"]["email"] == "a@b.co"
    assert stripe.ok("POST", path, {"billing_details[name]": "Ada"})["billing_details"]["email"] == "a@b.co"
    assert stripe.ok("POST", f"{path}/detach")["customer"] is None
    assert stripe.refused("POST", f"{path}/detach")[0] == 400
    seen = types(stripe)
    assert "payment_method.attached" in seen
    assert seen[-2:] == ["payment_method.updated", "payment_method.detached"]


def test_deleting_a_customer_detaches_its_cards(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers", {"payment_method": "pm_card_visa"})["id"]
    card = stripe.ok("GET", "/v1/payment_methods", {"customer": customer})["data"][0]["id"]

    stripe.ok("DELETE", f"/v1/customers/{customer}")

    assert stripe.ok("GET", f"/v1/payment_methods/{card}")["customer"] is None


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("latest_charge.customer.sources", True),
        ("payment_method.customer", True),
        ("amount", False),
        ("a.b.c.d.e", False),
    ],
)
def test_expand(stripe: Client, path: str, wanted: bool) -> None:
    customer = stripe.ok("POST", "/v1/customers")["id"]
    made = stripe.ok("POST", "/v1/payment_intents", {**PAY, "customer": customer, "setup_future_usage": "off_session"})

    status, body, _ = stripe.send("GET", f"/v1/payment_intents/{made['id']}", {"expand[]": path})

    assert (status == 200) == wanted
    if not wanted:
        assert body["error"]["param"] == "expand"
    elif "sources" in path:
        assert body["latest_charge"]["customer"]["sources"]["object"] == "list"
    else:
        assert body["payment_method"]["customer"]["id"] == customer


def test_expanding_a_deleted_customer(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers")["id"]
    charge = stripe.ok("POST", "/v1/charges", {**CHARGE, "customer": customer})["id"]
    stripe.ok("DELETE", f"/v1/customers/{customer}")

    shown = stripe.ok("GET", f"/v1/charges/{charge}", {"expand[]": "customer"})

    assert shown["customer"] == {"id": customer, "object": "customer", "deleted": True}
