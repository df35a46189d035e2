"""Every request to the stand-in Stripe has an answer, and every answer is JSON."""

from __future__ import annotations

import json
import random

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.stripe_client import KEY, NOW_MS, UNLIMITED, Client
from wanesync.sandbox.stand_in import Request
from wanesync.sandbox.stripe.form import Array, Hash, ParameterType
from wanesync.sandbox.stripe.machine import StripeMachine
from wanesync.sandbox.stripe.operations import OPERATIONS, Operation

VALUES = [
    "",
    "x",
    "0",
    "1",
    "101",
    "-5",
    "true",
    "false",
    "usd",
    "a@b.co",
    "card",
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "tok_visa",
    "sepa_debit",
    "customer_balance",
    "send_invoice",
    "month",
    "now",
    "payment",
    "subscription",
    "manual",
]
SUFFIXES = ["", "", "", "[]", "[0]", "[k]", "[0][name]", "[gte]", "[number]", "[[", "]", "[a][b][c][d][e][f][g][h][i]"]


def name_all(name: str, kind: ParameterType) -> list[str]:
    """Every parameter name below one parameter."""
    if isinstance(kind, Hash):
        return [name, *(inner for key, part in kind.fields.items() for inner in name_all(f"{name}[{key}]", part))]
    if isinstance(kind, Array):
        return [name, *name_all(f"{name}[0]", kind.kind)]
    return [name]


def build_stand_in() -> tuple[StripeMachine, list[str]]:
    """A machine with a little of everything, and the ids in it."""
    caller = Client(StripeMachine(random.Random(1), UNLIMITED))
    customer = caller.ok("POST", "/v1/customers", {"payment_method": "pm_card_visa", "address[city]": "Bath"})["id"]
    pay = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa"}
    intents = [
        caller.ok("POST", "/v1/payment_intents", {**pay, **more})["id"]
        for more in ({}, {"confirm": "true"}, {"confirm": "true", "capture_method": "manual", "customer": customer})
    ]
    endpoint = caller.ok("POST", "/v1/webhook_endpoints", {"url": "https://a.example/", "enabled_events[]": "*"})["id"]
    charge = caller.ok("GET", "/v1/charges")["data"][0]["id"]
    method = caller.ok("GET", "/v1/payment_methods")["data"][0]["id"]
    billed = fill_billing(caller, customer)
    ids = [customer, *intents, endpoint, charge, method, *billed, caller.events()[0]["id"], "cus_never", "é/"]
    return caller.machine, ids


def fill_billing(caller: Client, customer: str) -> list[str]:
    """The ids of a refund, a dispute and the objects of billing."""

    def make(path: str, params: dict[str, str]) -> str:
        made: str = caller.ok("POST", f"/v1/{path}", params)["id"]
        return made

    paid = make("charges", {"amount": "900", "currency": "usd", "source": "tok_visa", "customer": customer})
    disputed = make("charges", {"amount": "900", "currency": "usd", "source": "tok_createDispute"})
    dispute = caller.ok("GET", "/v1/disputes", {"charge": disputed})["data"][0]["id"]
    product = make("products", {"name": "Tea"})
    price = {"product": product, "unit_amount": "900", "currency": "usd"}
    once, monthly = make("prices", price), make("prices", {**price, "recurring[interval]": "month"})
    owner = {"customer": customer}
    item = make("invoiceitems", {**owner, "amount": "700", "currency": "usd"})
    draft, opened = (make("invoices", owner) for _ in range(2))
    billed = make("invoices", {**owner, "pending_invoice_items_behavior": "include"})
    caller.ok("POST", f"/v1/invoices/{billed}/finalize")
    card = make(f"customers/{customer}/sources", {"source": "tok_visa"})
    session = {"success_url": "https://a.example", "line_items[0][price]": once, "line_items[0][quantity]": "1"}
    clock = make("test_helpers/test_clocks", {"frozen_time": "1577836800"})
    return [
        make("refunds", {"charge": paid, "amount": "300"}), dispute, product, once, monthly, item, draft, opened,
        billed, card, clock, make("checkout/sessions", {**session, "mode": "payment"}),
        make("subscriptions", {**owner, "items[0][price]": monthly}), make("coupons", {"percent_off": "20"}),
        make("setup_intents", owner), make("credit_notes", {"invoice": billed, "amount": "100"}),
    ]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, operation: Operation, ids: list[str]) -> Request:
    path = operation.pattern
    while "{id}" in path:
        path = path.replace("{id}", draw(st.sampled_from(ids)), 1)
    known = [name for key, kind in operation.form.fields.items() for name in name_all(key, kind)]
    names = st.builds(str.__add__, st.sampled_from([*known, "expand", "nothing"]), st.sampled_from(SUFFIXES))
    values = st.sampled_from(VALUES + ids) | st.text(max_size=5)
    pairs = tuple(draw(st.lists(st.tuples(names, values), max_size=6)))
    required = [(name, draw(values)) for name in operation.form.required if draw(st.integers(0, 9))]
    return Request(operation.method, path, (*required, *pairs), {"authorization": f"Bearer {KEY}"})


@given(st.data())
def test_every_request_is_answered(data: st.DataObject) -> None:
    machine, ids = build_stand_in()
    for _ in range(5):
        request = data.draw(st.sampled_from(OPERATIONS).flatmap(lambda operation: requests(operation, ids)))

        response = machine.handle(request, NOW_MS)

        assert response.status in (200, 400, 402, 404), response.body
        assert isinstance(json.loads(response.body), dict)
        machine.records()
        machine.take_deliveries(NOW_MS)
    # What Stripe does by itself later has to end as well.
    machine.take_deliveries(NOW_MS + UNLIMITED.settle_ms)


@example(b"", "/v1/accounts/{id}", "")
@given(st.binary(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_every_body_path_and_key_is_answered(body: bytes, path: str, authorization: str) -> None:
    machine = StripeMachine(random.Random(1), UNLIMITED)
    good = {"authorization": f"Bearer {KEY}"}

    assert machine.handle(Request("POST", "/v1/customers", (), good, body), NOW_MS).status in (200, 400)
    assert machine.handle(Request("GET", path, (), good), NOW_MS).status == 404
    assert machine.handle(Request("GET", "/", (), {"authorization": authorization}), NOW_MS).status == 401
