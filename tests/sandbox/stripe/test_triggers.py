"""The triggers of Stripe's own command line, replayed over HTTP from a record of what it sends.

``python -m tests.sandbox.stripe_triggers`` runs the program itself and makes the record.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.sandbox.stripe.replay import RECORD, fill, read_pairs
from tests.sandbox.stripe_triggers import ENDS_WITH
from wanesync.sandbox.server import STRIPE_KEY, Options, Sandbox

# What each fixture expects to be refused; all other answers must be 200.
MAY_FAIL = {"charge.failed", "payment_intent.payment_failed", "setup_intent.setup_failed", "invoice.payment_failed",
            "invoice.payment_action_required", "checkout.session.async_payment_failed"}  # fmt: skip
HEADERS = {"Authorization": f"Bearer {STRIPE_KEY}", "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(Options(stripe_limit=10_000)) as sandbox:
        account = sandbox.stripe.account
        account.settings = replace(account.settings, settle_ms=0)
        yield sandbox


def test_the_record_holds_more_than_sixty_triggers() -> None:
    assert len(RECORD) >= 80


@pytest.mark.parametrize("name", sorted(RECORD))
def test_a_trigger_makes_its_event(running: Sandbox, name: str) -> None:
    parts = urlsplit(running.stripe_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    wanted = ENDS_WITH.get(name, name)
    answers: list[Any] = []

    def ask(method: str, path: str, query: list[tuple[str, str]], body: list[tuple[str, str]]) -> int:
        connection.request(method, f"{path}?{urlencode(query)}", urlencode(body), HEADERS)
        answer = connection.getresponse()
        answers.append(json.loads(answer.read()))
        return answer.status

    ask("GET", "/v1/events", [("limit", "1")], [])
    newest = answers.pop()["data"]
    statuses = [
        ask(method, fill(path, answers), read_pairs(fill(query, answers)), read_pairs(fill(body, answers)))
        for method, path, query, body in RECORD[name]
    ]
    since = [("ending_before", newest[0]["id"])] if newest else []
    ask("GET", "/v1/events", [("limit", "100"), *since], [])
    connection.close()

    assert set(statuses) <= {200} | ({402} if name in MAY_FAIL else set()), answers
    assert wanted in {event["type"] for event in answers[-1]["data"]}
