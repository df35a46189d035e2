"""Search on the stand-in Stripe: the query language, pages, and the lag."""

from __future__ import annotations

import random

import pytest

from tests.support.stripe_client import NOW_MS, UNLIMITED, Client
from wanesync.sandbox.stripe.machine import StripeMachine

PEOPLE = [
    {"name": "Ada Lovelace", "email": "Ada@Maths.example", "metadata[plan]": "gold", "phone": "+441"},
    {"name": "Grace Hopper", "email": "grace@navy.example", "metadata[plan]": "GOLD"},
    {"name": 'Edsger "D" Dijkstra', "email": "ed@eth.example", "metadata[my key]": "x"},
    {"name": "Alan Turing"},
]


@pytest.fixture
def stripe() -> Client:
    caller = Client(StripeMachine(random.Random(3), UNLIMITED))
    for n, person in enumerate(PEOPLE):
        caller.now_ms = NOW_MS + n * 1000
        caller.ok("POST", "/v1/customers", person)
    caller.now_ms += 1000
    return caller


def find(stripe: Client, query: str) -> list[int]:
    body = stripe.ok("GET", "/v1/customers/search", {"query": query})
    names = [person["name"] for person in PEOPLE]
    return [names.index(row["name"]) for row in body["data"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("email:'ada@maths.EXAMPLE'", [0]),
        ('metadata["plan"]:"gold"', [1, 0]),
        ("metadata['my key']:'x'", [2]),
        ("name~'pp'", None),
        ("name~'hopp'", [1]),
        ("name:'Edsger \\\"D\\\" Dijkstra'", [2]),
        ("-metadata['plan']:'gold'", [3, 2]),
        ("email:null", [3]),
        ("-phone:null", [0]),
        (f"created>{NOW_MS // 1000 + 1}", [3, 2]),
        (f"created>={NOW_MS // 1000} AND created<={NOW_MS // 1000 + 1}", [1, 0]),
        ("metadata['plan']:'gold' name~'ada'", [0]),
        ("name:'Alan Turing' OR phone:'+441'", [3, 0]),
        ("name:'nobody'", []),
        ("name:'a' AND name:'b' OR name:'c'", None),
        ("address:'x'", None),
        ("currency:null", None),
        ("metadata:'x'", None),
        ("created~'170'", None),
        ("name>'a'", None),
        ("created:'soon'", None),
        ("name:'a' AND", None),
        ("name", None),
        (" ", None),
        (" AND ".join(["created>1"] * 11), None),
    ],
)
def test_queries(stripe: Client, query: str, found: list[int] | None) -> None:
    if found is None:
        assert stripe.refused("GET", "/v1/customers/search", {"query": query}) == (400, None, "query")
    else:
        assert find(stripe, query) == found


def test_the_query_is_required(stripe: Client) -> None:
    assert stripe.refused("GET", "/v1/customers/search") == (400, "parameter_missing", "query")


def test_changes_are_seen_only_after_the_lag(stripe: Client) -> None:
    made = stripe.ok("POST", "/v1/customers", {"email": "new@b.co"})
    assert stripe.ok("GET", "/v1/customers/search", {"query": "email:'new@b.co'"})["data"] == []
    stripe.now_ms += UNLIMITED.search_lag_ms
    assert len(stripe.ok("GET", "/v1/customers/search", {"query": "email:'new@b.co'"})["data"]) == 1

    stripe.ok("POST", f"/v1/customers/{made['id']}", {"email": "newer@b.co"})

    assert len(stripe.ok("GET", "/v1/customers/search", {"query": "email:'new@b.co'"})["data"]) == 1
    stripe.now_ms += UNLIMITED.search_lag_ms
    assert stripe.ok("GET", "/v1/customers/search", {"query": "email:'new@b.co'"})["data"] == []
    assert len(stripe.ok("GET", "/v1/customers/search", {"query": "email:'newer@b.co'"})["data"]) == 1


@pytest.mark.parametrize("query", ["created>1", "metadata['all']:'1'"])
def test_pages_show_everything_once(stripe: Client, query: str) -> None:
    for n in range(20):
        stripe.ok("POST", "/v1/customers", {"name": f"n{n}", "metadata[all]": "1"})
    stripe.now_ms += 1000
    seen: list[str] = []
    page: dict[str, str] = {}
    while True:
        body = stripe.ok(
            "GET", "/v1/customers/search", {"query": query, "limit": "7", "expand[]": "total_count", **page}
        )
        seen += [row["id"] for row in body["data"]]
        assert body["total_count"] == (24 if "created" in query else 20)
        if not body["has_more"]:
            break
        page = {"page": body["next_page"]}

    assert len(seen) == len(set(seen)) == body["total_count"]
    assert stripe.refused("GET", "/v1/customers/search", {"query": query, "page": "7"}) == (400, None, "page")


def test_deleted_customers_are_not_found(stripe: Client) -> None:
    found = stripe.ok("GET", "/v1/customers/search", {"query": "name:'Alan Turing'"})["data"][0]
    stripe.ok("DELETE", f"/v1/customers/{found['id']}")

    assert find(stripe, "name:'Alan Turing'") == []
    assert find(stripe, "created>1") == [2, 1, 0]


def test_search_has_its_own_rate() -> None:
    caller = Client(StripeMachine(random.Random(3)))
    statuses = [caller.send("GET", "/v1/customers/search", {"query": "created>1"})[0] for _ in range(20)]
    status, _, response = caller.send("GET", "/v1/charges/search", {"query": "created>1"})

    assert statuses == [200] * 20
    assert (status, response.headers["Stripe-Rate-Limited-Reason"]) == (429, "endpoint-rate")


def test_payments_are_searchable(stripe: Client) -> None:
    customer = stripe.ok("POST", "/v1/customers")["id"]
    for amount in ("100", "900"):
        params = {"amount": amount, "currency": "eur", "confirm": "true", "payment_method": "pm_card_visa"}
        stripe.ok("POST", "/v1/payment_intents", {**params, "customer": customer, "metadata[order]": amount})
    stripe.now_ms += 1000

    intents = stripe.ok("GET", "/v1/payment_intents/search", {"query": f"customer:'{customer}' AND amount>500"})
    charges = stripe.ok(
        "GET", "/v1/charges/search", {"query": "metadata['order']:'100' payment_method_details.card.last4:4242"}
    )

    assert [row["amount"] for row in intents["data"]] == [900]
    assert [row["amount"] for row in charges["data"]] == [100]
