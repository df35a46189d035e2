"""The stand-in Stripe, what surprises programs: names filled in, partial answers, whole currencies, Accounts v2."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stripe.machine import StripeMachine


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(7), UNLIMITED))


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"business_name": "Nordwind"}, "Nordwind"),
        ({"individual_name": "Ada"}, "Ada"),
        ({"business_name": "Nordwind", "individual_name": "Ada"}, "Nordwind"),
        ({"business_name": "Nordwind", "name": "Bo"}, "Bo"),
        ({"email": "a@example.com"}, None),
    ],
)
def test_a_customer_created_without_a_name_gets_one(stripe: Client, params: dict[str, str], name: str | None) -> None:
    _, made, _ = stripe.send("POST", "/v1/customers", params)
    assert made["name"] == name
    filled = [entry for entry in stripe.machine.journal.after(0) if entry.source == "stripe"]
    assert [dict(entry.changes) for entry in filled] == ([{"name": name}] if name and "name" not in params else [])


def test_an_update_fills_in_no_name(stripe: Client) -> None:
    _, made, _ = stripe.send("POST", "/v1/customers", {"email": "a@example.com"})
    _, changed, _ = stripe.send("POST", f"/v1/customers/{made['id']}", {"business_name": "Nordwind"})
    assert changed["name"] is None


def test_filling_in_can_be_switched_off() -> None:
    stripe = Client(StripeMachine(random.Random(7), replace(UNLIMITED, fills_name=False)))
    assert stripe.send("POST", "/v1/customers", {"business_name": "Nordwind"})[1]["name"] is None


def test_answers_can_be_empty_or_lack_a_part_while_the_key_keeps_the_whole(stripe: Client) -> None:
    stripe.machine.set_faults(Faults(empty_answer=1.0))
    params = {"email": "a@example.com", "address[city]": "Lyon", "metadata[plan]": "gold", "name": "Ada"}
    assert stripe.send("POST", "/v1/customers", params, idempotency_key="k")[1] == {}
    stripe.machine.set_faults(Faults())
    _, made, _ = stripe.send("POST", "/v1/customers", params, idempotency_key="k")
    assert made["email"] == "a@example.com"
    stripe.machine.set_faults(Faults(partial_answer=1.0))
    lacking = set()
    for _ in range(120):
        _, held, _ = stripe.send("GET", f"/v1/customers/{made['id']}")
        lacking |= made.keys() - held.keys()
        lacking |= {f"address.{part}" for part in made["address"].keys() - held.get("address", made["address"]).keys()}
    assert {"id", "email", "name", "phone", "metadata", "address", "business_name", "address.city"} <= lacking


@pytest.mark.parametrize("currency", ["ugx", "isk"])
def test_fractions_of_whole_currencies_cannot_be_charged(stripe: Client, currency: str) -> None:
    values = {"amount": "500000", "currency": currency, "email": "a@example.com"}
    charge_id = stripe.machine.edit("purchase", None, values, NOW_MS)
    charge = stripe.machine.account.charges.get(charge_id)
    assert charge is not None
    assert (charge["amount"], charge["currency"]) == (500_000, currency)
    with pytest.raises(ValueError, match="divisible by 100"):
        stripe.machine.edit("purchase", None, {**values, "amount": "550"}, NOW_MS)


def test_a_buyer_of_accounts_v2_is_no_customer_and_no_guest(stripe: Client) -> None:
    values = {"amount": "500", "currency": "eur", "account": "acct_1Buyer"}
    charge = stripe.machine.account.charges.get(stripe.machine.edit("purchase", None, values, NOW_MS))
    assert charge is not None
    assert (charge["customer"], charge["customer_account"], charge["receipt_email"]) == (None, "acct_1Buyer", None)
