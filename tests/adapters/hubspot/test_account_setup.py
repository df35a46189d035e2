"""What a set-up reads from HubSpot, over real HTTP against the stand-in, in every version of the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.network import ANY_ADDRESS
from wanesync.adapters.hubspot.account_setup import HubSpotSetup
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.setup.api_versions import HubSpotVersion
from wanesync.core.setup.permissions import READ_CONTACTS, WRITE_CONTACTS
from wanesync.core.setup.setup_facts import HubSpotSetupPort, PropertyDetail, RecentChange
from wanesync.sandbox.hubspot.scopes import KNOWN
from wanesync.sandbox.server import HUBSPOT_KEY, Options, Sandbox, clock_ms

FIELDS = FieldMap(DEFAULT_FIELDS)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Options(tier="enterprise")) as running:
        yield running


@pytest.fixture(params=get_args(HubSpotVersion))
def port(request: pytest.FixtureRequest, sandbox: Sandbox) -> HubSpotSetupPort:
    return HubSpotSetup(
        HubSpotOptions(HUBSPOT_KEY, sandbox.hubspot_url, network=ANY_ADDRESS, api_version=request.param), FIELDS
    )


def test_a_token_shows_what_it_may_do(port: HubSpotSetupPort, sandbox: Sandbox) -> None:
    assert port.read_token().scopes == KNOWN
    sandbox.hubspot.set_grants(HUBSPOT_KEY, [WRITE_CONTACTS])
    found = port.read_token()
    assert (found.portal, found.app_id, found.scopes) == ("4242", "99", frozenset({WRITE_CONTACTS}))
    assert not port.can_read_contacts()
    assert not port.can_define_events()
    sandbox.hubspot.set_grants(HUBSPOT_KEY, [READ_CONTACTS])
    assert port.can_read_contacts()


def test_usage_properties_and_rules(port: HubSpotSetupPort, sandbox: Sandbox) -> None:
    sandbox.edit("hubspot", "property", "vip", {"type": "enumeration", "options": "Yes;No", "read_only": "true"})
    sandbox.edit("hubspot", "property", "zip", {"pattern": "[0-9]+"})
    details = port.read_details()
    assert details["vip"] == PropertyDetail("enumeration", read_only=True, options=("Yes", "No"))
    assert details["zip"] == PropertyDetail("string", rules=("REGEX",))
    usage = port.read_usage()
    assert usage.limit == 1_000_000
    assert 0 < usage.used < 20
    assert port.account().id == "4242"
    assert port.last_limits.daily == 1_000_000
    assert port.inspect().has_event is False


def test_recent_changes_are_those_after_a_creation(port: HubSpotSetupPort, sandbox: Sandbox) -> None:
    assert port.read_recent_changes(0, ["phone"]) == []
    hour_ms = 3_600_000
    now_ms = clock_ms()
    machine = sandbox.hubspot
    record_id = machine.edit("create", None, {"email": "a@example.com", "phone": "1"}, now_ms - hour_ms)
    machine.edit("update", record_id, {"phone": "2", "city": "Lyon"}, now_ms - hour_ms // 2)
    changed = RecentChange(record_id, "phone", now_ms - hour_ms // 2)
    assert port.read_recent_changes(now_ms - 2 * hour_ms, ["phone", "email"]) == [changed]
    assert port.read_recent_changes(now_ms - hour_ms // 4, ["phone"]) == []


def test_an_event_of_purchases_is_compared_with_ours(sandbox: Sandbox) -> None:
    options = HubSpotOptions(HUBSPOT_KEY, sandbox.hubspot_url, network=ANY_ADDRESS, portal="4242")
    port = HubSpotSetup(options, FIELDS)
    assert port.find_event_gaps() == [], "there is none"
    HubSpotAdapter(options, FIELDS).prepare(with_events=True)
    assert port.find_event_gaps() == []
    definitions = sandbox.hubspot.events.store.definitions
    (name,) = definitions
    types = {**definitions[name].types, "amount": "number"}
    definitions[name] = replace(definitions[name], types=types)
    assert port.find_event_gaps() == ["amount"]


def test_an_account_that_shows_no_rules_has_none() -> None:
    properties = {"results": [{"name": "zip", "type": "string", "options": [{"value": "a", "hidden": True}]}]}
    with CannedServer(Told(200, properties), Told(403, {"category": "MISSING_SCOPES"})) as server:
        details = HubSpotSetup(HubSpotOptions("pat-x", server.url, network=ANY_ADDRESS), FIELDS).read_details()
    assert details == {"zip": PropertyDetail("string")}


def test_other_failures_of_the_rules_are_reported() -> None:
    with (
        CannedServer(Told(200, {"results": [{"name": "zip"}]}), Told(401, {})) as server,
        pytest.raises(CallError) as e,
    ):
        HubSpotSetup(HubSpotOptions("pat-x", server.url, network=ANY_ADDRESS), FIELDS).read_details()
    assert e.value.failure is Failure.UNAUTHORISED


def test_a_token_without_scopes_is_no_answer() -> None:
    with CannedServer(Told(200, {"hubId": 1, "scopes": []})) as server, pytest.raises(CallError, match="no_answer"):
        HubSpotSetup(HubSpotOptions("pat-x", server.url, network=ANY_ADDRESS), FIELDS).read_token()
