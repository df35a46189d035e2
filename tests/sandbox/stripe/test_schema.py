"""The answers of the stand-in against the schema and example objects of Stripe."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest

from tests.sandbox.stripe.replay import RECORD, fill, read_pairs
from tests.support.stripe_client import UNLIMITED
from wanesync.sandbox.stand_in import Request, WebhookTarget
from wanesync.sandbox.stripe.collection import FOREVER, Window
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings

NOW_MS = 1_700_000_000_000
FORM = "application/x-www-form-urlencoded"
# Shown only on request at the version spoken.
HIDDEN = {"charge": {"refunds"}}
# More than the examples show, all of it in the schema of the version spoken.
NEWER = {"customer": {"business_name", "individual_name", "customer_account"}}
# In the examples of Stripe, and no longer in the types of its SDK.
OLDER = {"invoice": {"subscription"}}


class FilledStandIn:
    """A machine with one of everything."""

    def __init__(self) -> None:
        self.machine = StripeMachine(
            random.Random(2), StripeSettings(rate_per_s=10**6, operation_rate_per_s=None, search_lag_ms=0)
        )
        self.machine.set_target(WebhookTarget("http://127.0.0.1:1/", "whsec_x"))
        full = {
            "name": "Ada",
            "email": "a@b.co",
            "phone": "+441",
            "address[city]": "Bath",
            "shipping[name]": "Ada",
            "shipping[address][city]": "Bath",
            "metadata[k]": "v",
            "preferred_locales[0]": "de",
            "tax_id_data[0][type]": "eu_vat",
            "tax_id_data[0][value]": "DE1",
            "payment_method": "pm_card_visa",
        }
        self.customer = self.ok("POST", "/v1/customers", full)["id"]
        self.ok("POST", "/v1/customers", {"email": "bare@b.co"})
        pay = {"amount": "500", "currency": "usd", "confirm": "true", "customer": self.customer}
        self.intent = self.ok("POST", "/v1/payment_intents", {**pay, "payment_method": "pm_card_visa"})
        declined = {**pay, "payment_method": "pm_card_chargeDeclined"}
        self.declined = self.call("POST", "/v1/payment_intents", declined)
        held = {**pay, "payment_method": "pm_card_visa", "capture_method": "manual"}
        self.ok("POST", "/v1/payment_intents", held)
        self.ok("POST", "/v1/payment_intents", {"amount": "500", "currency": "usd"})
        self.ok("POST", f"/v1/customers/{self.customer}", {"name": "Eve", "metadata[k]": ""})
        self._fill_billing()
        self.endpoint = self.ok("POST", "/v1/webhook_endpoints", {"url": "https://a.example/", "enabled_events[]": "*"})

    def _fill_billing(self) -> None:
        paid = self.ok("POST", "/v1/charges", {"amount": "900", "currency": "usd", "source": "tok_visa"})
        self.ok("POST", "/v1/refunds", {"charge": paid["id"], "amount": "300"})
        self.ok("POST", "/v1/charges", {"amount": "900", "currency": "usd", "source": "tok_createDispute"})
        self.ok("POST", f"/v1/customers/{self.customer}/sources", {"source": "tok_visa"})
        coupon = self.ok("POST", "/v1/coupons", {"percent_off": "25.5"})["id"]
        self.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": "1577836800"})
        product = self.ok("POST", "/v1/products", {"name": "Tea"})["id"]
        price = {"product": product, "unit_amount": "900", "currency": "usd"}
        once = self.ok("POST", "/v1/prices", price)["id"]
        monthly = self.ok("POST", "/v1/prices", {**price, "recurring[interval]": "month"})["id"]
        owner = {"customer": self.customer}
        self.ok("POST", "/v1/invoiceitems", {**owner, "amount": "700", "currency": "usd"})
        asked = {**owner, "pending_invoice_items_behavior": "include", "discounts[0][coupon]": coupon}
        invoice = self.ok("POST", "/v1/invoices", asked)["id"]
        self.ok("POST", f"/v1/invoices/{invoice}/pay", {"payment_method": "pm_card_visa"})
        self.ok("POST", "/v1/subscriptions", {**owner, "items[0][price]": monthly})
        session = {"success_url": "https://a.example", "line_items[0][price]": once, "line_items[0][quantity]": "2"}
        self.session = self.ok("POST", "/v1/checkout/sessions", {**session, "mode": "payment"})["id"]
        paying = {"payment_method": "pm_card_visa"}
        self.ok("POST", f"/v1/payment_pages/{self.session}/confirm", paying)
        self.ok("POST", "/v1/checkout/sessions", {**session, "mode": "payment"})

    def call(self, method: str, path: str, params: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        pairs = tuple((params or {}).items())
        headers = {"authorization": "Bearer sk_test_51Abcdefghijklmnop"}
        body = urlencode(pairs).encode() if method != "GET" else b""
        response = self.machine.handle(Request(method, path, pairs if method == "GET" else (), headers, body), NOW_MS)
        return response.status, json.loads(response.body)

    def ok(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        status, body = self.call(method, path, params)
        assert status == 200, body
        return body


@pytest.fixture(scope="module")
def spec(shared: Path) -> dict[str, Any]:
    text = (shared / "specs" / "stripe-openapi-endive-from-sdk.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


@pytest.fixture(scope="module")
def examples(shared: Path) -> dict[str, Any]:
    text = (shared / "specs" / "stripe-fixtures-trimmed.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)["resources"]
    return read


@pytest.fixture(scope="module")
def filled() -> FilledStandIn:
    return FilledStandIn()


def allow_null(schema: Any) -> Any:
    """OpenAPI's ``nullable`` as JSON Schema expresses it."""
    if isinstance(schema, list):
        return [allow_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: allow_null(part) for name, part in schema.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def check(spec: dict[str, Any], name: str, value: object) -> None:
    """Raises jsonschema.ValidationError when the value violates the schema."""
    root = {"$ref": f"#/components/schemas/{name}", "components": allow_null(spec["components"])}
    jsonschema.Draft202012Validator(root).validate(value)


def test_the_schema_check_itself_finds_errors(spec: dict[str, Any], filled: FilledStandIn) -> None:
    customer = filled.ok("GET", f"/v1/customers/{filled.customer}")
    check(spec, "customer", customer)

    for broken in ({**customer, "balance": "0"}, {**customer, "address": []}, {"id": "cus_1"}):
        with pytest.raises(jsonschema.ValidationError):
            check(spec, "customer", broken)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("customer", "/v1/customers"),
        ("charge", "/v1/charges"),
        ("payment_intent", "/v1/payment_intents"),
        ("event", "/v1/events"),
        ("webhook_endpoint", "/v1/webhook_endpoints"),
        ("refund", "/v1/refunds"),
        ("invoice", "/v1/invoices"),
        ("invoice_payment", "/v1/invoice_payments"),
        ("checkout.session", "/v1/checkout/sessions"),
        ("test_helpers.test_clock", "/v1/test_helpers/test_clocks"),
    ],
)
def test_every_object_fits_the_schema(spec: dict[str, Any], filled: FilledStandIn, schema: str, path: str) -> None:
    rows = filled.ok("GET", path, {"limit": "100"})["data"]

    assert rows
    for row in rows:
        check(spec, schema, row)
        assert row["object"] == schema
        unknown = set(row) - set(spec["components"]["schemas"][schema]["properties"])
        assert unknown == OLDER.get(schema, set())


def test_objects_within_events_fit_the_schema(spec: dict[str, Any], filled: FilledStandIn) -> None:
    known = spec["components"]["schemas"]
    events = filled.ok("GET", "/v1/events", {"limit": "100"})["data"]
    checked = 0
    for event in events:
        subject = event["data"]["object"]
        if subject["object"] in known:
            check(spec, subject["object"], subject)
            checked += 1
        assert event["type"] in known["event"]["properties"]["type"]["enum"]

    assert checked >= 10


def test_what_the_triggers_of_the_command_line_get_fits_the_schema(spec: dict[str, Any]) -> None:
    known = spec["components"]["schemas"]
    machine = StripeMachine(random.Random(7), replace(UNLIMITED, settle_ms=0))
    checked: set[str] = set()
    for requests in RECORD.values():
        answers: list[Any] = []
        for method, path, query, body in requests:
            given = tuple(read_pairs(fill(query, answers)))
            form = urlencode(read_pairs(fill(body, answers))).encode()
            headers = {"authorization": "Bearer sk_test_51Abcdefghijklmnop"}
            response = machine.handle(Request(method, fill(path, answers), given, headers, form), NOW_MS)
            answers.append(json.loads(response.body))
            kind = ("deleted_" if answers[-1].get("deleted") else "") + answers[-1].get("object", "error")
            if response.status == 200 and kind in known and not path.startswith("/v1/payment_pages"):
                check(spec, kind, answers[-1])
                checked.add(kind)

    assert checked >= {"customer", "payment_intent", "refund", "invoice", "checkout.session"}
    for event in machine.account.events.page(Window(FOREVER), machine.account.events.listed())[0]:
        check(spec, "event", event)
        subject = event["data"]["object"]
        if subject["object"] in known:
            check(spec, subject["object"], subject)


def test_expanded_and_single_objects_fit_the_schema(spec: dict[str, Any], filled: FilledStandIn) -> None:
    customer = filled.ok(
        "GET",
        f"/v1/customers/{filled.customer}",
        {f"expand[{n}]": name for n, name in enumerate(("sources", "subscriptions", "tax_ids", "tax"))},
    )
    check(spec, "customer", customer)
    check(spec, "tax_id", customer["tax_ids"]["data"][0])
    intent = filled.ok("GET", f"/v1/payment_intents/{filled.intent['id']}", {"expand[]": "latest_charge.customer"})
    check(spec, "payment_intent", intent)
    check(spec, "balance", filled.ok("GET", "/v1/balance"))
    check(spec, "webhook_endpoint", filled.endpoint)
    made = filled.ok("POST", "/v1/customers")["id"]
    check(spec, "deleted_customer", filled.ok("DELETE", f"/v1/customers/{made}"))


def test_deliveries_fit_the_schema(spec: dict[str, Any]) -> None:
    deliveries = FilledStandIn().machine.take_deliveries(NOW_MS)

    assert len(deliveries) > 10
    for delivery in deliveries:
        check(spec, "event", json.loads(delivery.body))


def test_errors_fit_the_schema(spec: dict[str, Any], filled: FilledStandIn) -> None:
    answers = [
        filled.declined,
        filled.call("GET", "/v1/nothing"),
        filled.call("GET", "/v1/customers/cus_never"),
        filled.call("POST", "/v1/customers", {"nme": "x"}),
        filled.call("POST", f"/v1/payment_intents/{filled.intent['id']}/confirm"),
    ]

    assert [status for status, _ in answers] == [402, 404, 404, 400, 400]
    for _, body in answers:
        check(spec, "error", body)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("customer", "/v1/customers"),
        ("charge", "/v1/charges"),
        ("payment_intent", "/v1/payment_intents"),
        ("payment_method", "/v1/payment_methods"),
        ("webhook_endpoint", "/v1/webhook_endpoints"),
        ("event", "/v1/events"),
        ("tax_id", "/v1/customers/{customer}/tax_ids"),
        ("refund", "/v1/refunds"),
        ("dispute", "/v1/disputes"),
        ("invoice", "/v1/invoices"),
        ("invoice_payment", "/v1/invoice_payments"),
        ("checkout.session", "/v1/checkout/sessions"),
        ("item", "/v1/checkout/sessions/{session}/line_items"),
        ("card", "/v1/customers/{customer}/sources"),
        ("product", "/v1/products"),
        ("price", "/v1/prices"),
        ("coupon", "/v1/coupons"),
        ("subscription", "/v1/subscriptions"),
        ("balance_transaction", "/v1/balance_transactions"),
        ("test_helpers.test_clock", "/v1/test_helpers/test_clocks"),
    ],
)
def test_objects_have_the_members_of_the_examples(
    examples: dict[str, Any], filled: FilledStandIn, name: str, path: str
) -> None:
    rows = filled.ok("GET", path.format(customer=filled.customer, session=filled.session))["data"]
    expected = set(examples[name]) - HIDDEN.get(name, set())

    assert set(rows[0]) == expected | NEWER.get(name, set())


@pytest.mark.parametrize("name", ["account", "balance"])
def test_singletons_have_the_members_of_the_examples(
    examples: dict[str, Any], filled: FilledStandIn, name: str
) -> None:
    assert set(filled.ok("GET", f"/v1/{name}")) == set(examples[name])


def sample(schema: dict[str, Any]) -> dict[str, str]:
    """A form value for a parameter, by its schema: bracketed name behind the parameter -> text."""
    options = [part for part in schema.get("anyOf", [schema]) if part.get("enum") != [""]]
    chosen = options[0]
    kind = chosen.get("type")
    if kind == "object":
        fields = chosen.get("properties")
        if not fields:
            return {"[key]": "value"}
        return {f"[{name}]{rest}": text for name, part in fields.items() for rest, text in sample(part).items()}
    if kind == "array":
        return {f"[0]{rest}": text for rest, text in sample(chosen["items"]).items()}
    if kind in ("integer", "boolean"):
        return {"": "1" if kind == "integer" else "true"}
    return {"": (chosen.get("enum") or chosen.get("x-known-values") or ["text"])[0]}


OBJECTS = {"payment_method": "pm_card_visa", "email": "a@b.co", "url": "https://a.example/hook", "source": "tok_visa"}


@pytest.mark.parametrize("pattern", ["/v1/customers", "/v1/customers/{customer}", "/v1/webhook_endpoints"])
def test_every_parameter_of_the_schema_is_accepted(spec: dict[str, Any], filled: FilledStandIn, pattern: str) -> None:
    content = spec["paths"][pattern]["post"]["requestBody"]["content"][FORM]["schema"]
    path = pattern.format(customer=filled.customer)
    needed = {"url": "https://a.example/", "enabled_events[0]": "*"} if "webhook" in pattern else {}
    refused: dict[str, object] = {}
    for name, schema in content["properties"].items():
        if name == "expand":
            continue
        values = {"": OBJECTS[name]} if name in OBJECTS else sample(schema)
        if name == "enabled_events":
            values = {"[0]": "customer.created"}
        if name == "test_clock":
            values = {"": filled.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": "1577836800"})["id"]}
        # Both must belong to the customer.
        values.pop("[default_payment_method]", None)
        if name == "default_source":
            continue
        status, body = filled.call("POST", path, needed | {f"{name}{rest}": text for rest, text in values.items()})
        if status != 200:
            refused[name] = body

    assert refused == {}
    assert len(content["properties"]) > 5


@pytest.mark.parametrize(
    "pattern",
    [
        "/v1/customers",
        "/v1/customers/search",
        "/v1/customers/{customer}/tax_ids",
        "/v1/charges",
        "/v1/charges/search",
        "/v1/payment_intents",
        "/v1/payment_intents/search",
        "/v1/events",
        "/v1/webhook_endpoints",
    ],
)
def test_every_filter_of_the_schema_is_known(spec: dict[str, Any], filled: FilledStandIn, pattern: str) -> None:
    path = pattern.format(customer=filled.customer)
    values = {"limit": "5", "query": "created>1", "page": "p_1_1", "delivery_success": "true", "created": "5"}
    for parameter in spec["paths"][pattern]["get"]["parameters"]:
        name = parameter["name"]
        if parameter["in"] == "path" or name == "expand":
            continue
        params = {"query": "created>1"} if pattern.endswith("search") else {}
        params["types[0]" if name == "types" else name] = values.get(name, "x")

        status, body = filled.call("GET", path, params)

        assert status == 200 or body["error"].get("code") == "resource_missing", (name, body)


def test_our_events_have_every_member_of_the_sample_events(shared: Path, filled: FilledStandIn) -> None:
    """Old events (API 2020) carry members that are gone; the envelope is the same."""
    ours = filled.ok("GET", "/v1/events", {"limit": "100", "type": "customer.updated"})["data"][0]
    for name in ("customer_updated", "charge_succeeded", "customer_deleted", "payment_intent_succeeded"):
        theirs = json.loads((shared / "samples" / f"stripe_evt_{name}.json").read_text(encoding="utf-8"))

        assert set(theirs) <= set(ours)
        assert set(theirs["request"]) == set(ours["request"])
        assert set(theirs["data"]) <= set(ours["data"])
