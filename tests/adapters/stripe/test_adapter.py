"""Stripe's side: what it makes of each answer, and customers to and from the wire."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
import stripe as sdk

from tests.support.canned_server import Asked, CannedServer, Told, closed_port
from tests.support.network import ANY_ADDRESS
from tests.support.stripe_answers import CUSTOMER, FIELDS, INVALID, RETRY, open_side, problem
from wanesync.adapters.http_answers import MAX_SKEW_MS
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions, mode_of
from wanesync.adapters.stripe.events import EVENT_TYPES
from wanesync.adapters.stripe.transport import MAX_PAGE_BYTES
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.model import Side
from wanesync.core.setup.api_versions import STRIPE_VERSION


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
    assert first.headers["Stripe-Version"] == STRIPE_VERSION
    assert "X-Stripe-Client-Telemetry" not in second.headers


def test_an_answer_has_its_time_and_says_if_it_is_old() -> None:
    headers = {"Idempotent-Replayed": "true"}
    ticks = iter([10.0, 10.0, 10.25])
    with CannedServer(Told(200, CUSTOMER, headers)) as server:
        side = StripeAdapter(
            StripeOptions("sk_test_1", server.url, network=ANY_ADDRESS, event_key=b"k"),
            FIELDS,
            monotonic=lambda: next(ticks),
        )
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
    assert sdk.api_version == STRIPE_VERSION


def listed(*customers: object, more: bool = False) -> Told:
    return Told(200, {"object": "list", "data": list(customers), "has_more": more})


def test_one_customer_that_cannot_be_used_is_set_aside_and_the_page_goes_on() -> None:
    page = listed(
        {**CUSTOMER, "id": "cus_3"},
        {**CUSTOMER, "id": "cus_2", "name": "K\ud83d"},
        {"id": "acct_1", "object": "v2.core.account"},
        "nothing",
        {**CUSTOMER, "id": "cus_1\0"},
        more=True,
    )
    with CannedServer(page) as server:
        found = open_side(server).list_customers("", 0, 0)
    assert [record.id for record in found.records] == ["cus_3"]
    assert [(one.id, one.remains and one.remains.id) for one in found.set_aside] == [
        ("cus_2", "cus_2"), ("acct_1", None), ("", None), ("", None),
    ]  # fmt: skip
    assert found.next == "cus_2"


def test_a_page_that_does_not_go_on_is_no_answer() -> None:
    with CannedServer(listed({**CUSTOMER, "id": "cus_1"}, more=True)) as server, pytest.raises(CallError) as raised:
        open_side(server).list_customers("cus_1", 0, 0)
    assert raised.value.failure is Failure.NO_ANSWER


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones_and_its_large_customer_set_aside() -> None:
    large = {**CUSTOMER, "id": "cus_9", "name": "x" * MAX_PAGE_BYTES}

    def answer(asked: Asked) -> Told:
        if "starting_after=cus_9" in asked.path:
            return listed({**CUSTOMER, "id": "cus_8"})
        return listed(large, more=True)

    with CannedServer(answer=answer) as server:
        side = open_side(server)
        first = side.list_customers("", 0, 0)
        assert [asked.path.partition("limit=")[2].partition("&")[0] for asked in server.asked] == ["100", "10", "1"]
        assert ([one.id for one in first.set_aside], first.next) == (["cus_9"], "cus_9")
        assert [record.id for record in side.list_customers(first.next, 0, 0).records] == ["cus_8"]


@pytest.mark.parametrize("body", [{}, {**CUSTOMER, "id": "cus_2"}, {"id": "cus_1", "object": "customer"}])
def test_an_answer_that_is_not_the_customer_is_no_answer(body: object) -> None:
    with CannedServer(Told(200, body)) as server:
        side = open_side(server)
        with pytest.raises(CallError) as read:
            side.read_customer("cus_1")
        with pytest.raises(CallError) as written:
            side.update_customer("cus_1", "{}", "k")
    assert read.value.failure is written.value.failure is Failure.NO_ANSWER


def test_a_customer_that_cannot_be_used_is_unusable_when_read_and_unknown_after_a_write() -> None:
    with CannedServer(Told(200, {**CUSTOMER, "name": "a\0"})) as server:
        side = open_side(server)
        with pytest.raises(CallError) as read:
            side.read_customer("cus_1")
        with pytest.raises(CallError) as written:
            side.update_customer("cus_1", "{}", "k")
    assert read.value.failure is Failure.UNUSABLE
    assert read.value.remains is not None
    assert written.value.failure is Failure.NO_ANSWER


def test_one_event_of_the_list_that_cannot_be_used_is_set_aside() -> None:
    event = {
        "id": "evt_1", "object": "event", "livemode": False, "type": "customer.updated", "created": 1_700_000_000,
        "data": {"object": CUSTOMER}, "request": {"idempotency_key": None},
    }  # fmt: skip
    bad = {**event, "id": "evt_2", "request": {"idempotency_key": "k\0"}}
    with CannedServer(listed(event, bad)) as server:
        page = open_side(server).list_events(0, "")
    assert [row.record_id for row in page.events] == ["cus_1"]
    assert len(page.set_aside) == 1
    assert page.named == [(Side.STRIPE, "cus_1")]


@pytest.mark.parametrize(("status", "failure"), [(401, Failure.UNAUTHORISED), (429, Failure.RATE_LIMITED)])
@pytest.mark.parametrize("error", ["too many requests", ["x"], None, 7])
def test_the_error_of_a_gateway_keeps_its_status(status: int, failure: Failure, error: object) -> None:
    with CannedServer(Told(status, {"error": error})) as server, pytest.raises(CallError) as raised:
        open_side(server).read_customer("cus_1")
    assert raised.value.failure is failure


@pytest.mark.parametrize("more", [{}, {"has_more": None}, {"has_more": "true"}])
def test_a_page_that_does_not_say_whether_it_is_the_last_is_no_answer(more: dict[str, object]) -> None:
    with CannedServer(Told(200, {"object": "list", "data": [], **more})) as server, pytest.raises(CallError) as raised:
        open_side(server).list_customers("", 0, 0)
    assert raised.value.failure is Failure.NO_ANSWER
