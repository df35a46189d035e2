"""The stand-in Stripe: authentication, parameters, customers."""

from __future__ import annotations

import base64
import copy
import random

import pytest

from tests.support.stripe_client import KEY, NOW_MS, UNLIMITED, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Request
from wanesync.sandbox.stripe.machine import StripeMachine


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(7), UNLIMITED))


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer sk_live_51Abcdefghijklmnop", "Bearer nonsense", "Basic !!", "Token x"]
)
def test_wrong_keys_are_401(stripe: Client, authorization: str) -> None:
    status, body, response = stripe.send("GET", "/v1/customers", authorization=authorization)

    assert status == 401
    assert body["error"]["type"] == "invalid_request_error"
    assert "51Abcdef" not in response.body.decode()


@pytest.mark.parametrize("key", [KEY, "rk_test_51Abcdefghijklmnop"])
def test_bearer_and_basic_are_accepted(stripe: Client, key: str) -> None:
    basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    assert stripe.send("GET", "/v1/customers", authorization=basic)[0] == 200
    assert stripe.send("GET", "/v1/customers", authorization=f"Bearer {key}")[0] == 200


def test_account_is_named_to_both_kinds_of_key(stripe: Client) -> None:
    shown = stripe.ok("GET", "/v1/account")
    status, body, _ = stripe.send("GET", "/v1/account", authorization="Bearer rk_test_51Abcdefghijklmnop")

    assert shown["id"] == "acct_sandbox"
    assert status == 403
    assert "on account 'acct_sandbox'. Having the 'rak_" in body["error"]["message"]


def test_another_account_is_refused(stripe: Client) -> None:
    status, body, _ = stripe.send("GET", "/v1/customers", stripe_account="acct_other")

    assert (status, body["error"]["code"]) == (403, "account_invalid")


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nme": "Ada"}, "parameter_unknown", "nme"),
        ({"address[town]": "Bath"}, "parameter_unknown", "address[town]"),
        ({"email": "not an address"}, "email_invalid", "email"),
        ({"phone": "1" * 21}, None, "phone"),
        ({"name": "n" * 257}, None, "name"),
        ({"business_name": "n" * 151}, None, "business_name"),
        ({"shipping[name]": "Ada"}, "parameter_missing", "shipping[address]"),
        ({"metadata[" + "k" * 41 + "]": "v"}, None, "metadata[" + "k" * 41 + "]"),
        ({"metadata[k]": "v" * 501}, None, "metadata[k]"),
        ({f"metadata[k{n}]": "v" for n in range(51)}, None, "metadata"),
        ({"metadata[k][x]": "v"}, None, "metadata[k]"),
        ({"tax_exempt": "maybe"}, None, "tax_exempt"),
        ({"balance": "1.5"}, "parameter_invalid_integer", "balance"),
        ({"preferred_locales": "de"}, None, "preferred_locales"),
        ({"address": "Bath"}, None, "address"),
        ({"name[x]": "Ada"}, None, "name"),
        ({"[]": "Ada"}, "parameter_unknown", "[]"),
    ],
)
def test_wrong_parameters_are_400(stripe: Client, params: dict[str, str], code: str | None, param: str) -> None:
    assert stripe.refused("POST", "/v1/customers", params) == (400, code, param)
    assert stripe.ok("GET", "/v1/customers")["data"] == []


def test_length_limits_are_inclusive(stripe: Client) -> None:
    params = {"phone": "1" * 20, "name": "n" * 256, **{f"metadata[k{n}]": "v" * 500 for n in range(50)}}

    assert stripe.ok("POST", "/v1/customers", params)["phone"] == "1" * 20


def test_unreadable_bodies_are_400(stripe: Client) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    json_body = Request("POST", "/v1/customers", (), {**headers, "content-type": "application/json"}, b"{}")

    assert stripe.machine.handle(json_body, NOW_MS).status == 400
    for body in (b"name=%FF", b"\xff\xfe"):
        assert stripe.machine.handle(Request("POST", "/v1/customers", (), headers, body), NOW_MS).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/v1/customers/"),
        ("PUT", "/v1/customers"),
        ("GET", "/v2/core/events"),
        ("GET", "/"),
    ],
)
def test_unknown_paths_are_404(stripe: Client, method: str, path: str) -> None:
    assert stripe.refused(method, path) == (404, None, None)


def test_update_merges_and_clears(stripe: Client) -> None:
    made = stripe.ok(
        "POST",
        "/v1/customers",
        {
            "name": "Ada",
            "phone": "+44",
            "metadata[a]": "1",
            "metadata[b]": "2",
            "address[city]": "Bath",
            "address[country]": "GB",
            "shipping[name]": "Ada",
            "shipping[address][line1]": "1 High St",
            "preferred_locales[0]": "de",
            "preferred_locales[1]": "fr",
            "invoice_settings[custom_fields][0][name]": "PO",
            "invoice_settings[custom_fields][0][value]": "7",
        },
    )
    path = f"/v1/customers/{made['id']}"
    assert made["preferred_locales"] == ["de", "fr"]
    assert made["invoice_settings"]["custom_fields"] == [{"name": "PO", "value": "7"}]

    merged = stripe.ok("POST", path, {"metadata[a]": "", "metadata[c]": "3", "address[city]": "York", "phone": ""})

    assert merged["metadata"] == {"b": "2", "c": "3"}
    assert (merged["address"]["city"], merged["address"]["country"]) == ("York", "GB")
    assert (merged["phone"], merged["name"]) == (None, "Ada")
    cleared = stripe.ok("POST", path, {"metadata": "", "address": "", "shipping": "", "preferred_locales": ""})
    assert (cleared["metadata"], cleared["address"], cleared["shipping"]) == ({}, None, None)
    assert cleared["preferred_locales"] == []


def test_previous_attributes_hold_only_what_changed(stripe: Client) -> None:
    made = stripe.ok(
        "POST", "/v1/customers", {"name": "Ada", "metadata[a]": "1", "metadata[b]": "2", "address[city]": "Bath"}
    )
    stripe.send(
        "POST",
        f"/v1/customers/{made['id']}",
        {"name": "Ada", "metadata[a]": "9", "metadata[c]": "3", "address[city]": "York"},
        idempotency_key="wane-u-1",
    )

    event = stripe.events()[-1]

    assert event["type"] == "customer.updated"
    assert event["data"]["previous_attributes"] == {"metadata": {"a": "1", "c": None}, "address": {"city": "Bath"}}
    assert event["data"]["object"]["metadata"] == {"a": "9", "b": "2", "c": "3"}
    assert event["request"]["idempotency_key"] == "wane-u-1"
    assert event["request"]["id"].startswith("req_")
    assert (event["created"], event["api_version"]) == (NOW_MS // 1000, "2026-10-28.endive")


def test_update_that_changes_nothing_has_no_event(stripe: Client) -> None:
    made = stripe.ok("POST", "/v1/customers", {"name": "Ada", "metadata[a]": "1"})

    stripe.ok("POST", f"/v1/customers/{made['id']}", {"name": "Ada", "metadata[a]": "1", "phone": ""})

    assert [event["type"] for event in stripe.events()] == ["customer.created"]
    assert len(stripe.machine.journal) == 1


def test_deleted_customer(stripe: Client) -> None:
    made = stripe.ok("POST", "/v1/customers", {"email": "a@b.co"})
    path = f"/v1/customers/{made['id']}"

    gone = {"id": made["id"], "object": "customer", "deleted": True}
    assert stripe.ok("DELETE", path) == gone
    assert stripe.ok("GET", path) == gone
    assert stripe.ok("GET", "/v1/customers")["data"] == []
    assert stripe.ok("GET", "/v1/customers", {"email": "a@b.co"})["data"] == []
    assert stripe.refused("POST", path, {"name": "x"}) == (404, "resource_missing", "id")
    assert stripe.refused("DELETE", path) == (404, "resource_missing", "id")
    assert stripe.refused("GET", "/v1/customers/cus_never") == (404, "resource_missing", "id")
    assert stripe.events()[-1]["type"] == "customer.deleted"


def test_the_same_seed_gives_the_same_records_and_copies_are_independent(stripe: Client) -> None:
    other = Client(StripeMachine(random.Random(7), UNLIMITED))
    assert stripe.ok("POST", "/v1/customers") == other.ok("POST", "/v1/customers")

    copied = Client(copy.deepcopy(stripe.machine))
    copied.machine.set_faults(Faults(error_503=1.0))

    assert copied.refused("GET", "/v1/customers")[0] == 503
    assert stripe.ok("POST", "/v1/customers") == other.ok("POST", "/v1/customers")


def test_records_are_the_set_values_of_existing_customers(stripe: Client) -> None:
    first = stripe.ok("POST", "/v1/customers", {"name": "Ada", "address[city]": "Bath", "metadata[k]": "v"})
    gone = stripe.ok("POST", "/v1/customers", {"name": "Eve"})
    stripe.ok("DELETE", f"/v1/customers/{gone['id']}")

    assert stripe.machine.records() == [{"id": first["id"], "name": "Ada", "address.city": "Bath", "metadata.k": "v"}]


def test_tax_ids_of_a_customer(stripe: Client) -> None:
    made = stripe.ok(
        "POST", "/v1/customers", {"tax_id_data[0][type]": "eu_vat", "tax_id_data[0][value]": "DE123456789"}
    )
    path = f"/v1/customers/{made['id']}"
    added = stripe.ok("POST", f"{path}/tax_ids", {"type": "gb_vat", "value": "GB123"})

    shown = stripe.ok("GET", path, {"expand[]": "tax_ids"})

    assert [row["country"] for row in shown["tax_ids"]["data"]] == ["GB", "DE"]
    assert stripe.ok("DELETE", f"{path}/tax_ids/{added['id']}")["deleted"] is True
    assert len(stripe.ok("GET", f"{path}/tax_ids")["data"]) == 1
    assert stripe.refused("GET", f"{path}/tax_ids/{added['id']}") == (404, "resource_missing", "id")
