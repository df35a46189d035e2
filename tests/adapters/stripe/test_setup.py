"""What a set-up reads from Stripe, and its webhook endpoints, over real HTTP against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.network import ANY_ADDRESS
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.adapters.stripe.setup import StripeSetup
from wanesync.core.errors import CallError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.setup.api_versions import STRIPE_VERSION
from wanesync.core.setup.setup_facts import EndpointWish, StripeSetupPort
from wanesync.sandbox.server import STRIPE_KEY, Options, Sandbox

WISH = EndpointWish(
    "https://sync.example.com/webhooks/stripe", ("customer.updated",), STRIPE_VERSION, {"wanesync": "1"}
)


def open_port(address: str, key: str = STRIPE_KEY) -> StripeSetupPort:
    return StripeSetup(
        StripeAdapter(StripeOptions(key, address, network=ANY_ADDRESS, event_key=b""), FieldMap(DEFAULT_FIELDS))
    )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Options()) as running:
        yield running


def test_an_endpoint_is_created_once_per_key_changed_and_deleted(sandbox: Sandbox) -> None:
    port = open_port(sandbox.stripe_url)
    made = port.create_endpoint(WISH, "key-1")
    assert made.secret.startswith("whsec_")
    assert port.create_endpoint(WISH, "key-1").id == made.id
    (found,) = port.list_endpoints()
    assert found == replace(made, secret="")
    assert (found.url, found.events, found.version, found.enabled) == (WISH.url, WISH.events, STRIPE_VERSION, True)
    changed = port.update_endpoint(made.id, replace(WISH, events=("customer.created", "customer.deleted")))
    assert changed.events == ("customer.created", "customer.deleted")
    port.delete_endpoint(made.id)
    port.delete_endpoint(made.id)
    assert port.list_endpoints() == []


def test_all_pages_of_endpoints_are_read(sandbox: Sandbox) -> None:
    port = open_port(sandbox.stripe_url)
    for number in range(12):
        port.create_endpoint(replace(WISH, url=f"https://sync.example.com/{number}"), f"key-{number}")
    assert len(port.list_endpoints()) == 12


def test_a_restricted_key_shows_which_resources_it_may_read(sandbox: Sandbox) -> None:
    key = "rk_test_few"
    sandbox.stripe.set_grants(key, ["customer:write"])
    port = open_port(sandbox.stripe_url, key)
    assert [port.may_read(name) for name in ("customers", "charges", "events")] == [True, False, False]
    assert port.account().id == sandbox.stripe.settings.account_id
    assert port.may_write_customers()
    sandbox.stripe.set_grants(key, ["customer:read"])
    assert not port.may_write_customers()
    with pytest.raises(CallError, match="forbidden"):
        port.list_endpoints()


def test_what_is_no_endpoint_is_no_answer() -> None:
    body = {"object": "list", "data": [{"id": "cus_1"}], "has_more": False}
    with CannedServer(Told(200, body)) as server, pytest.raises(CallError, match="not a webhook endpoint"):
        open_port(server.url).list_endpoints()
