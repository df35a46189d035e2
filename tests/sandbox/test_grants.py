"""Tokens and keys with few rights: HubSpot's scopes and Stripe's restricted keys."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.support.stripe_client import NOW_MS
from wanesync.sandbox import control
from wanesync.sandbox.__main__ import read_options, write_options
from wanesync.sandbox.errors import InvalidRequest
from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.sandbox.hubspot.routes import Routes
from wanesync.sandbox.hubspot.scopes import NEEDED
from wanesync.sandbox.server import HUBSPOT_KEY, RESTRICTED_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import Request, StandIn
from wanesync.sandbox.stripe.machine import StripeMachine
from wanesync.sandbox.stripe.operations import OPERATIONS
from wanesync.sandbox.stripe.permissions import RESOURCES

TOKEN, KEY = "pat-na1-few", "rk_test_51Abcdefghijklmnop"
BODY = '{"properties": {"email": "ada@maths.example"}}'


@pytest.fixture
def hubspot() -> HubSpotMachine:
    return HubSpotMachine(random.Random(3))


@pytest.fixture
def stripe() -> StripeMachine:
    return StripeMachine(random.Random(4))


def ask(machine: HubSpotMachine | StripeMachine, key: str, method: str, path: str, body: str = "") -> tuple[int, Any]:
    path, _, query = path.partition("?")
    pairs = tuple((name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part))
    form = "x-www-form-urlencoded" if isinstance(machine, StripeMachine) else "json"
    headers = {"authorization": f"Bearer {key}", "content-type": f"application/{form}"}
    answer = machine.handle(Request(method, path, pairs, headers, body.encode()), NOW_MS)
    return answer.status, json.loads(answer.body) if answer.body else None


def test_every_operation_has_a_row(hubspot: HubSpotMachine) -> None:
    routes = Routes(hubspot.events, hubspot.notes, hubspot.rate_limiter)
    operations = {route.operation for rows in routes._by_shape.values() for _, route in rows}

    assert operations <= NEEDED.keys()
    assert {operation.pattern.split("/")[2] for operation in OPERATIONS} <= RESOURCES.keys()


def test_a_token_without_a_scope_is_refused_with_its_name(hubspot: HubSpotMachine) -> None:
    hubspot.set_grants(TOKEN, ["crm.objects.contacts.read"])

    assert ask(hubspot, TOKEN, "GET", "/crm/v3/objects/contacts")[0] == 200
    assert ask(hubspot, TOKEN, "GET", "/crm/v3/properties/contacts")[0] == 200
    assert ask(hubspot, TOKEN, "GET", "/account-info/v3/details")[0] == 200
    status, body = ask(hubspot, TOKEN, "POST", "/crm/v3/objects/contacts", BODY)
    assert (status, body["category"]) == (403, "MISSING_SCOPES")
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.contacts.write"]
    assert ask(hubspot, TOKEN, "GET", "/events/v3/event-definitions")[0] == 403
    assert hubspot.records() == []
    assert ask(hubspot, "pat-na1-all", "POST", "/crm/v3/objects/contacts", BODY)[0] == 201
    hubspot.set_grants(TOKEN, None)
    assert ask(hubspot, TOKEN, "POST", "/crm/v3/objects/contacts", BODY.replace("ada", "eve"))[0] == 201


def test_a_restricted_key_is_refused_with_the_permission(stripe: StripeMachine) -> None:
    stripe.set_grants(KEY, ["customer:write", "event:read"])

    status, made = ask(stripe, KEY, "POST", "/v1/customers", "name=Ada")
    assert status == 200
    assert ask(stripe, KEY, "GET", f"/v1/customers/{made['id']}")[0] == 200
    assert ask(stripe, KEY, "GET", "/v1/events")[0] == 200
    status, body = ask(stripe, KEY, "GET", "/v1/charges")
    assert (status, body["error"]["type"]) == (403, "invalid_request_error")
    assert "'rak_charge_read'" in body["error"]["message"]
    assert "acct_sandbox" in body["error"]["message"]
    assert KEY not in body["error"]["message"]
    status, body = ask(stripe, KEY, "POST", "/v1/webhook_endpoints", "url=https://a.example/")
    assert "'rak_webhook_write'" in body["error"]["message"]
    assert ask(stripe, "sk_test_51Abcdefghijklmnop", "GET", "/v1/charges")[0] == 200


def test_an_expanded_object_needs_its_own_permission(stripe: StripeMachine) -> None:
    stripe.set_grants(KEY, ["charge:read"])
    customer = ask(stripe, "sk_test_51Abcdefghijklmnop", "POST", "/v1/customers", "name=Ada")[1]["id"]
    pay = f"amount=100&currency=eur&source=tok_visa&customer={customer}"
    charge = ask(stripe, "sk_test_51Abcdefghijklmnop", "POST", "/v1/charges", pay)[1]["id"]

    assert ask(stripe, KEY, "GET", f"/v1/charges/{charge}")[1]["customer"] == customer
    status, body = ask(stripe, KEY, "GET", f"/v1/charges/{charge}?expand[]=customer")
    assert (status, "'rak_customer_read'" in body["error"]["message"]) == (403, True)


def test_the_account_is_no_default_of_a_restricted_key(stripe: StripeMachine) -> None:
    assert ask(stripe, KEY, "GET", "/v1/account")[0] == 403
    stripe.set_grants(KEY, ["accounts_kyc_basic:read"])
    assert ask(stripe, KEY, "GET", "/v1/account")[0] == 200


def test_options_start_a_sandbox_of_few_rights() -> None:
    options = Options(hubspot_scopes=("crm.objects.contacts.read",), stripe_permissions=("customer:read",))
    assert read_options(write_options(options)) == options

    sandbox = Sandbox(options)

    assert sandbox.stripe_key == RESTRICTED_KEY
    assert ask(sandbox.hubspot, HUBSPOT_KEY, "POST", "/crm/v3/objects/contacts", "{}")[0] == 403
    assert ask(sandbox.stripe, RESTRICTED_KEY, "GET", "/v1/charges")[0] == 403
    for wrong in (Options(hubspot_scopes=("contacts",)), Options(stripe_permissions=("customers:read",))):
        with pytest.raises(InvalidRequest):
            Sandbox(wrong)


def test_rights_are_changed_while_it_runs(hubspot: HubSpotMachine, stripe: StripeMachine) -> None:
    machines: dict[str, StandIn] = {"hubspot": hubspot, "stripe": stripe}

    def post(content: object) -> tuple[int, Any]:
        request = Request("POST", "/_sandbox/grants", body=json.dumps(content).encode())
        answer = control.answer(machines, "stripe", request, NOW_MS)
        return answer.status, json.loads(answer.body)

    assert post({"side": "hubspot", "key": TOKEN, "grants": []}) == (
        200,
        {"key": TOKEN, "grants": [], "side": "hubspot"},
    )
    assert ask(hubspot, TOKEN, "GET", "/crm/v3/objects/contacts")[0] == 403
    assert post({"key": KEY, "grants": ["charge:read"]})[0] == 200
    assert ask(stripe, KEY, "GET", "/v1/customers")[0] == 403
    refused: list[dict[str, object]] = [
        {"grants": []},
        {"key": KEY, "grants": "charge:read"},
        {"key": KEY, "grants": ["charge"]},
        {"key": "sk_test_1", "grants": []},
        {"side": "hubspot", "key": TOKEN, "grants": ["all"]},
    ]
    for wrong in refused:
        assert post(wrong)[0] == 400, wrong


def test_a_revoked_key_is_refused(hubspot: HubSpotMachine, stripe: StripeMachine) -> None:
    machines: dict[str, StandIn] = {"hubspot": hubspot, "stripe": stripe}
    for side, key in (("hubspot", TOKEN), ("stripe", KEY)):
        request = Request("POST", "/_sandbox/revoke", body=json.dumps({"side": side, "key": key}).encode())
        assert control.answer(machines, "stripe", request, NOW_MS).status == 200
    assert ask(hubspot, TOKEN, "GET", "/crm/v3/objects/contacts")[0] == 401
    assert ask(stripe, KEY, "GET", "/v1/customers")[0] == 401
    assert ask(hubspot, f"{TOKEN}-new", "GET", "/crm/v3/objects/contacts")[0] == 200
    assert control.answer(machines, "stripe", Request("POST", "/_sandbox/revoke", body=b"{}"), NOW_MS).status == 400
