"""Lists of the stand-in Stripe: filters, pages, order."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stripe.machine import StripeMachine


@pytest.fixture
def stripe() -> Client:
    return Client(StripeMachine(random.Random(7), UNLIMITED))


def test_list_filters_and_pages(stripe: Client) -> None:
    ids = []
    for n in range(7):
        stripe.now_ms = NOW_MS + n * 1000
        ids.append(stripe.ok("POST", "/v1/customers", {"email": "Ada@b.co" if n % 2 else "ada@b.co"})["id"])

    def listed(**params: str) -> list[str]:
        body = stripe.ok(
            "GET", "/v1/customers", {name.replace("__", "[") + "]" * ("__" in name): v for name, v in params.items()}
        )
        return [row["id"] for row in body["data"]]

    second = NOW_MS // 1000
    assert listed() == ids[::-1]
    assert listed(email="Ada@b.co") == [ids[5], ids[3], ids[1]]
    assert listed(email="ADA@b.co") == []
    assert listed(limit="2", starting_after=ids[5]) == [ids[4], ids[3]]
    assert listed(limit="2", ending_before=ids[1]) == [ids[3], ids[2]]
    assert listed(created__gte=str(second + 2), created__lt=str(second + 4)) == [ids[3], ids[2]]
    assert listed(created__gt=str(second + 4), created__lte=str(second + 6)) == [ids[6], ids[5]]
    assert listed(created=str(second + 3)) == [ids[3]]
    assert stripe.ok("GET", "/v1/customers", {"limit": "7"})["has_more"] is False
    assert stripe.ok("GET", "/v1/customers", {"limit": "6"})["has_more"] is True
    assert stripe.ok("GET", "/v1/customers", {"limit": "2", "ending_before": ids[4]})["has_more"] is False
    stripe.ok("DELETE", f"/v1/customers/{ids[3]}")
    assert listed(limit="2", starting_after=ids[3]) == [ids[2], ids[1]]


def test_a_list_may_be_refused_that_goes_on_from_a_deleted_object(stripe: Client) -> None:
    kept, gone = (stripe.ok("POST", "/v1/customers", {})["id"] for _ in range(2))
    stripe.ok("DELETE", f"/v1/customers/{gone}")
    stripe.machine.set_faults(Faults(gone_cursor=1.0))

    assert stripe.refused("GET", "/v1/customers", {"starting_after": gone})[::2] == (400, "starting_after")
    assert stripe.ok("GET", "/v1/customers", {"starting_after": kept})["data"] == []


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"starting_after": "cus_x"}, "starting_after"),
        ({"q": "1"}, "q"),
    ],
)
def test_wrong_lists_are_400(stripe: Client, params: dict[str, str], param: str) -> None:
    status, _, named = stripe.refused("GET", "/v1/customers", params)

    assert (status, named) == (400, param)


def test_test_clock_customers_are_listed_only_when_asked_for(stripe: Client) -> None:
    clock = stripe.ok("POST", "/v1/test_helpers/test_clocks", {"frozen_time": "1577836800"})["id"]
    clocked = stripe.ok("POST", "/v1/customers", {"test_clock": clock})["id"]
    plain = stripe.ok("POST", "/v1/customers")["id"]

    assert [row["id"] for row in stripe.ok("GET", "/v1/customers")["data"]] == [plain]
    assert [row["id"] for row in stripe.ok("GET", "/v1/customers", {"test_clock": clock})["data"]] == [clocked]
