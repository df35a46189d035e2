"""Stripe's endpoint and what arrived, in the cases that the stand-ins do not play."""

from __future__ import annotations

from tests.support.setup_ports import VERSION, FakeHubSpot, FakeStripe, add_endpoint
from tests.support.store_fixtures import Clock
from wanesync.core.errors import Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Event, Side
from wanesync.core.setup.setup_facts import RecentChange
from wanesync.ops.checks.findings import Finding, State
from wanesync.ops.checks.webhooks import (
    GRACE_MS,
    check_arrivals,
    check_endpoint,
    check_own_writes,
    check_subscriptions,
    is_same_address,
)
from wanesync.store import Store
from wanesync.store.tables.operating.webhook_counts import Outcome

PUBLIC = "https://sync.example.com/base/"
URL = "https://sync.example.com/base/webhooks/stripe"
EVENTS = ("customer.updated",)


def check(stripe: FakeStripe, public: str = PUBLIC, store: Store | None = None) -> list[Finding]:
    return list(check_endpoint(stripe, public, EVENTS, VERSION, store))


def test_addresses_are_compared_as_http_does() -> None:
    assert is_same_address("https://A.example:443/x/", "https://a.example/x")
    assert not is_same_address("http://a.example/x", "https://a.example/x")
    assert not is_same_address("https://a.example/x", "https://a.example/X")


def test_what_cannot_be_compared_is_no_fault() -> None:
    assert [finding.state for finding in check(FakeStripe(), "")] == [State.OK]
    assert [finding.state for finding in check(FakeStripe(trouble={"list_endpoints": Failure.FORBIDDEN}))] == [State.OK]
    (lost,) = check(FakeStripe(trouble={"list_endpoints": Failure.UNREACHED}))
    assert lost.state is State.FAIL


def test_several_faults_of_one_endpoint_are_lines_of_their_own() -> None:
    stripe = FakeStripe()
    add_endpoint(stripe, URL, ("charge.succeeded",), "", enabled=False)
    assert [finding.state for finding in check(stripe)] == [State.FAIL, State.FAIL, State.WARN, State.WARN]


def test_events_that_arrive_from_another_destination_are_well(store: Store) -> None:
    assert check(FakeStripe(), store=store)[0].state is State.FAIL
    store.run(lambda tx: tx.webhook_counts.add({(Side.STRIPE, Outcome.ACCEPTED): 1}))
    assert check(FakeStripe(), store=store)[0].state is State.OK


def test_arrivals_name_the_properties_without_a_change_yet(store: Store) -> None:
    store.run(lambda tx: tx.webhook_counts.add({(Side.HUBSPOT, Outcome.ACCEPTED): 1}))
    changed = {"phone": "+49", "name/firstname": "Ana"}
    arrive(store, "k", changed)
    hubspot, stripe = check_arrivals(store, FieldMap(DEFAULT_FIELDS))
    assert hubspot.text.startswith("the last one came 0 s ago; no change yet of email, lastname, company")
    assert "phone" not in hubspot.text
    assert (stripe.state, stripe.text) == (State.WARN, "none has arrived yet")


def arrive(store: Store, key: str, values: dict[str, str], source: str = "own") -> None:
    event = Event(
        key, Side.HUBSPOT, "updated", "1", store.now_ms(), values=values, source=source, received_ms=store.now_ms()
    )
    store.run(lambda tx: tx.events.put_many([event]))
    store.run(lambda tx: tx.events.mark_read([key]))
    store.run(lambda tx: tx.events.mark_judged([key]))


def subscriptions(store: Store, *changes: RecentChange) -> list[Finding]:
    return list(check_subscriptions(FakeHubSpot(changes=changes), store, FieldMap(DEFAULT_FIELDS)))


def test_a_property_whose_changes_bring_no_webhook_is_not_subscribed(store: Store, clock: Clock) -> None:
    assert subscriptions(store) == [], "before the first webhook nothing can be said"
    arrive(store, "k", {"name/firstname": "Ana"})
    changes = [RecentChange("1", name, store.now_ms()) for name in ("firstname", "lastname", "phone")]
    clock.advance(GRACE_MS + 1)
    store.run(lambda tx: tx.webhook_counts.add({(Side.HUBSPOT, Outcome.ACCEPTED): 1}))
    found = subscriptions(store, *changes, RecentChange("1", "phone", store.now_ms()), RecentChange("2", "phone", 0))
    assert [finding.text for finding in found] == [
        "no webhook came for 1 change of lastname in the last day",
        "no webhook came for 1 change of phone in the last day",
    ]
    assert all("wanesync webhooks hubspot write DIR" in finding.fix for finding in found)


def test_a_withheld_value_counts_as_arrived(store: Store, clock: Clock) -> None:
    arrive(store, "k", {})
    change = RecentChange("1", "phone", store.now_ms())
    clock.advance(GRACE_MS + 1)
    store.run(lambda tx: tx.webhook_counts.add({(Side.HUBSPOT, Outcome.ACCEPTED): 1}))
    assert [finding.state for finding in subscriptions(store, change)] == [State.OK]
    refused = FakeHubSpot(trouble={"read_recent_changes": Failure.FORBIDDEN})
    (finding,) = check_subscriptions(refused, store, FieldMap(DEFAULT_FIELDS))
    assert finding.text.startswith("not compared")


def test_writes_of_our_own_app_that_count_as_a_users_are_named(store: Store) -> None:
    arrive(store, "k", {"phone": "+49"}, source="app:INTEGRATION/99")
    assert list(check_own_writes(store, "77", ())) == []
    assert list(check_own_writes(store, "99", ("99",))) == []
    (finding,) = check_own_writes(store, "99", ())
    assert finding.fix.startswith('set hubspot.own_source_ids = ["99"]')
