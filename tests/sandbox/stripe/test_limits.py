"""Idempotency keys, rate limits and faults of the stand-in Stripe."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import UNLIMITED, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(7), UNLIMITED))


def test_idempotency_key_replays_the_first_answer(stripe: Client) -> None:
    first = stripe.send("POST", "/v1/customers", {"name": "Ada", "phone": "1"}, idempotency_key="k1")
    again = stripe.send("POST", "/v1/customers", {"phone": "1", "name": "Ada"}, idempotency_key="k1")

    assert again[2].body == first[2].body
    assert again[2].headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first[2].headers
    assert first[2].headers["Idempotency-Key"] == "k1"
    assert len(stripe.machine.account.customers) == 1


@pytest.mark.parametrize(("path", "params"), [("/v1/customers", {"name": "Eve"}), ("/v1/charges", {"name": "Ada"})])
def test_one_key_with_two_requests_is_an_error(stripe: Client, path: str, params: dict[str, str]) -> None:
    stripe.send("POST", "/v1/customers", {"name": "Ada"}, idempotency_key="k1")
    status, body, _ = stripe.send("POST", path, params, idempotency_key="k1")

    assert (status, body["error"]["type"]) == (400, "idempotency_error")


def test_key_in_flight_is_409(stripe: Client) -> None:
    stripe.machine.hold_key("k1")
    status, body, response = stripe.send("POST", "/v1/customers", idempotency_key="k1")
    assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
    assert response.headers["Stripe-Should-Retry"] == "true"

    stripe.machine.release_key("k1")

    assert stripe.send("POST", "/v1/customers", idempotency_key="k1")[0] == 200


def test_keys_live_for_a_day(stripe: Client) -> None:
    stripe.send("POST", "/v1/customers", idempotency_key="k1")
    stripe.now_ms += 24 * 3600 * 1000 - 1
    assert "Idempotent-Replayed" in stripe.send("POST", "/v1/customers", idempotency_key="k1")[2].headers

    stripe.now_ms += 1
    response = stripe.send("POST", "/v1/customers", idempotency_key="k1")[2]

    assert "Idempotent-Replayed" not in response.headers
    assert len(stripe.machine.account.customers) == 2


def test_validation_failures_are_not_stored_but_executed_ones_are(stripe: Client) -> None:
    assert stripe.send("POST", "/v1/customers", {"email": "x"}, idempotency_key="k1")[0] == 400
    assert stripe.send("POST", "/v1/customers", {"email": "a@b.co"}, idempotency_key="k1")[0] == 200
    assert stripe.send("POST", "/v1/customers/cus_never", {"name": "x"}, idempotency_key="k2")[0] == 404
    assert (
        "Idempotent-Replayed"
        in stripe.send("POST", "/v1/customers/cus_never", {"name": "x"}, idempotency_key="k2")[2].headers
    )


def test_operation_and_global_limits_name_themselves() -> None:
    stripe = Client(StripeMachine(random.Random(1), StripeSettings(rate_per_s=30, operation_rate_per_s=25)))

    made = [stripe.send("POST", "/v1/customers", idempotency_key=f"k{n}") for n in range(26)]
    listed = [stripe.send("GET", "/v1/customers") for _ in range(6)]

    assert [status for status, _, _ in made] == [200] * 25 + [429]
    assert made[-1][1]["error"]["code"] == "rate_limit"
    assert made[-1][2].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert [status for status, _, _ in listed] == [200] * 5 + [429]
    assert listed[-1][2].headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    stripe.now_ms += 1000
    assert stripe.send("POST", "/v1/customers", idempotency_key="k25")[0] == 200
    stats = stripe.machine.stats(stripe.now_ms)
    assert (stats["requests"], stats["rate_limited"], stats["largest_window_1s"]) == (33, 2, 32)
    assert stats["operations"] == {"POST /v1/customers": 27, "GET /v1/customers": 6}


def test_rate_can_be_lifted_while_running() -> None:
    stripe = Client(StripeMachine(random.Random(1), StripeSettings(rate_per_s=5, operation_rate_per_s=5)))
    assert [stripe.send("POST", "/v1/customers")[0] for _ in range(6)][-1] == 429

    stripe.machine.set_rate(50)

    assert [stripe.send("POST", "/v1/customers")[0] for _ in range(45)] == [200] * 45
    assert stripe.send("POST", "/v1/customers")[0] == 429


def test_every_answer_carries_its_headers(stripe: Client) -> None:
    headers = stripe.send("GET", "/v1/customers", stripe_version="2025-09-30.clover")[2].headers

    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == "2025-09-30.clover"
    assert headers["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert stripe.refused("GET", "/v1/customers", {"limit": "x"})[1] == "parameter_invalid_integer"


def test_stored_500_leaves_the_outcome_open(stripe: Client) -> None:
    stripe.machine.set_faults(Faults(error_500=1.0))
    answers = [stripe.send("POST", "/v1/customers", idempotency_key=f"k{n}") for n in range(40)]
    happened = len(stripe.machine.account.customers)
    stripe.machine.set_faults(Faults())

    assert {status for status, _, _ in answers} == {500}
    assert 5 < happened < 35
    status, _, response = stripe.send("POST", "/v1/customers", idempotency_key="k0")
    assert status == 500
    assert response.headers["Idempotent-Replayed"] == "true"
    assert response.headers["Stripe-Should-Retry"] == "false"
    assert len(stripe.machine.account.customers) == happened


def test_503_is_refused_before_any_effect(stripe: Client) -> None:
    stripe.machine.set_faults(Faults(error_503=1.0))
    assert stripe.send("POST", "/v1/customers", idempotency_key="k1")[0] == 503
    stripe.machine.set_faults(Faults())

    assert len(stripe.machine.account.customers) == 0
    assert "Idempotent-Replayed" not in stripe.send("POST", "/v1/customers", idempotency_key="k1")[2].headers


def test_lock_timeout_is_no_rate_limit(stripe: Client) -> None:
    made = stripe.ok("POST", "/v1/customers", {"name": "Ada"})
    stripe.machine.set_faults(Faults(lock=1.0))

    status, body, response = stripe.send("POST", f"/v1/customers/{made['id']}", {"name": "Eve"}, idempotency_key="k1")

    assert (status, body["error"]["code"]) == (429, "lock_timeout")
    assert "Stripe-Rate-Limited-Reason" not in response.headers
    assert "Request-Id" not in response.headers
    assert response.headers["Stripe-Should-Retry"] == "true"
    stripe.machine.set_faults(Faults())
    path = f"/v1/customers/{made['id']}"
    assert stripe.send("POST", path, {"name": "Eve"}, idempotency_key="k1")[1]["name"] == "Eve"


def test_requests_with_lost_answers_took_effect(stripe: Client) -> None:
    stripe.machine.set_faults(Faults(lost_answer=1.0))
    lost = stripe.send("POST", "/v1/customers", idempotency_key="k1")[2]
    stripe.machine.set_faults(Faults())

    assert lost.lost
    replay = stripe.send("POST", "/v1/customers", idempotency_key="k1")[2]
    assert replay.body == lost.body
    assert not replay.lost
