"""The handler of AWS Lambda, called with the events of API Gateway and of function URLs."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.serverless_door import (
    PUBLIC_URL,
    Installed,
    api_gateway_event,
    change,
    function_url_event,
    sign,
)
from wanesync.core.model import Side
from wanesync.store.tables.operating.webhook_counts import Outcome

HUBSPOT, STRIPE = "/webhooks/hubspot", "/webhooks/stripe"


@pytest.fixture
def function(installed: Installed) -> Iterator[ModuleType]:
    """The module as a new instance of the function imports it; its event loop lives as long as the instance."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    module = importlib.import_module("wanesync.serverless.aws_lambda")
    yield module
    module._app.close()
    del sys.modules[module.__name__]
    asyncio.set_event_loop(None)
    loop.close()


def test_the_stage_is_a_part_of_the_address_that_hubspot_signs_and_the_body_stays_as_it_was_sent(
    installed: Installed, function: ModuleType
) -> None:
    body = change()
    answer = function.handler(api_gateway_event(HUBSPOT, body, sign(Side.HUBSPOT, body, HUBSPOT)), None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"stored": 1})
    assert installed.read_names() == ["Zoë"]


def test_a_function_url_sends_base64(
    installed: Installed, function: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = change(name="Ä" * 50)
    answer = function.handler(function_url_event(HUBSPOT, body, sign(Side.HUBSPOT, body, HUBSPOT)), None)
    assert answer["statusCode"] == 200
    assert installed.read_names() == ["Ä" * 50]


def test_a_webhook_of_stripe_is_stored(installed: Installed, function: ModuleType) -> None:
    body = json.dumps({
        "id": "evt_1", "object": "event", "api_version": "2026-10-29.dahlia", "created": 1_700_000_000,
        "livemode": False, "type": "customer.deleted", "request": {"id": None, "idempotency_key": None},
        "data": {"object": {"id": "cus_1", "object": "customer", "livemode": False}},
    }).encode()  # fmt: skip
    answer = function.handler(api_gateway_event(STRIPE, body, sign(Side.STRIPE, body, STRIPE)), None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"stored": 1})


@pytest.mark.parametrize("base", ["", "/other/webhooks"])
def test_a_signature_over_another_address_is_refused(installed: Installed, function: ModuleType, base: str) -> None:
    body = change()
    headers = sign(Side.HUBSPOT, body, HUBSPOT, PUBLIC_URL.replace("/live", base))
    answer = function.handler(api_gateway_event(HUBSPOT, body, headers), None)
    assert answer["statusCode"] == 401
    assert installed.read_names() == []


def test_what_was_refused_is_counted_before_the_instance_is_frozen(installed: Installed, function: ModuleType) -> None:
    body = change()
    function.handler(api_gateway_event(HUBSPOT, body, {}), None)
    assert installed.read_counts() == {(Side.HUBSPOT, Outcome.SIGNATURE): 1}


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/", "/webhooks/other"])
def test_nothing_else_is_public(installed: Installed, function: ModuleType, path: str) -> None:
    assert function.handler(api_gateway_event(path, b"", {}), None)["statusCode"] == 404


@pytest.mark.parametrize(
    "event", [{}, {"version": "2.0"}, {"Records": []}, {"requestContext": None}, {"requestContext": {"http": "GET"}}]
)
def test_an_event_that_is_no_request_is_refused(function: ModuleType, event: dict[str, Any]) -> None:
    assert function.handler(event, None)["statusCode"] == 400


def test_a_request_that_cannot_be_read_is_answered_with_503(function: ModuleType) -> None:
    event = api_gateway_event(HUBSPOT, b"[]", {"host": "a:b:c"})
    assert function.handler(event, None)["statusCode"] == 503
