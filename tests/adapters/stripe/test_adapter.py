"""Stripe's side: what it makes of each answer, and customers to and from the wire."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
import stripe as sdk

from tests.support.canned_server import CannedServer, Told, closed_port
from tests.support.stripe_answers import CUSTOMER, FIELDS, INVALID, RETRY, open_side, problem
from wanesync.adapters.http_answers import MAX_SKEW_MS
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions, mode_of
from wanesync.adapters.stripe.customers import API_VERSION
from wanesync.adapters.stripe.events import EVENT_TYPES
from wanesync.core.errors import CallError, ConfigError, Failure


def test_a_port_without_a_listener_is_unreached() -> None:
    with pytest.raises(CallError) as raised:
        open_side(closed_port()).read_customer("cus_1")
    assert raised.value.failure is Failure.UNREACHED


def test_nothing_is_repeated() -> None:
    for told in (Told(409, problem("api_error")), Told(503, b"", {RETRY: "true"}), Told(reset=True)):
        with CannedServer(told) as server:
            with pytest.raises(CallError):
                open_side(server).read_customer("cus_1")
            assert len(server.asked) == 1


def test_the_stored_body_makes_the_request() -> None:
    body = {"name": "Zoë & Co", "address": {"line1": "1", "city": ""}, "preferred_locales": ["de", "en"], "phone": ""}
    with CannedServer(Told(200, CUSTOMER)) as server:
        side = open_side(server)
        side.create_customer(json.dumps(body), "wane-c-42-7-0")
        side.create_customer(json.dumps(body), "wane-c-42-7-0")
        first, second = server.asked
    assert (
        first.body
        == second.body
        == (
            b"name=Zo%C3%AB+%26+Co&address[line1]=1&address[city]=&preferred_locales[0]=de&preferred_locales[1]=en&phone="
        )
    )
    assert first.headers["Idempotency-Key"] == "wane-c-42-7-0"
    assert first.headers["Stripe-Version"] == API_VERSION
    assert "X-Stripe-Client-Telemetry" not in second.headers


def test_an_answer_has_its_time_and_says_if_it_is_old() -> None:
    headers = {"Idempotent-Replayed": "true"}
    ticks = iter([10.0, 10.0, 10.25])
    with CannedServer(Told(200, CUSTOMER, headers)) as server:
        side = StripeAdapter(StripeOptions("sk_test_1", server.url), FIELDS, monotonic=lambda: next(ticks))
        answer = side.read_customer("cus_1")
    assert answer.replayed
    assert answer.timing.to_ms - answer.timing.from_ms == 999 + 250 + 2 * MAX_SKEW_MS
    assert answer.timing.to_ms % 1000 == 999


def test_deleted_and_missing_customers_are_none() -> None:
    with CannedServer(Told(200, {"id": "cus_1", "object": "customer", "deleted": True})) as server:
        assert open_side(server).read_customer("cus_1").record is None
    with CannedServer(Told(404, problem(INVALID, "resource_missing", "id"))) as server:
        assert open_side(server).read_customer("cus_1").record is None


def test_a_restricted_key_learns_its_account_from_the_refusal() -> None:
    message = (
        "The provided key 'rk_test_*' does not have the required permissions for this endpoint on account 'acct_1Ab'. "
        "Having the 'rak_account_read' permission would allow this request to continue."
    )
    with CannedServer(Told(403, problem(INVALID, message=message))) as server:
        account = open_side(server).account()
    assert (account.id, account.mode) == ("acct_1Ab", "test")
    with CannedServer(Told(403, problem(INVALID, message="no"))) as server, pytest.raises(CallError):
        open_side(server).account()


def test_the_mode_is_told_by_the_key() -> None:
    assert [mode_of(key) for key in ("sk_live_1", "rk_live_1", "sk_test_1", "rk_test_1")] == ["live"] * 2 + ["test"] * 2
    with pytest.raises(ConfigError):
        mode_of("pk_live_1")


def test_lists_ask_for_what_is_wanted() -> None:
    told = {"object": "list", "data": [CUSTOMER], "has_more": True}
    with CannedServer(Told(200, told), Told(200, {**told, "data": [], "has_more": False})) as server:
        side = open_side(server)
        page = side.list_customers("cus_0", 5, 9)
        events = side.list_events(7, "evt_1")
        paths = [unquote(asked.path) for asked in server.asked]
    assert page.next == "cus_1"
    assert events.next == ""
    assert paths[0] == "/v1/customers?limit=100&starting_after=cus_0&created[gte]=5&created[lte]=9"
    assert paths[1].startswith("/v1/events?limit=100&starting_after=evt_1&types[0]=customer.created")
    assert paths[1].count("types[") == len(EVENT_TYPES)


def test_the_version_is_the_sdks() -> None:
    assert sdk.api_version == API_VERSION
