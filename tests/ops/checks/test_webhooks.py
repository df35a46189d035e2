"""Stripe's endpoint and what arrived, in the cases that the stand-ins do not play."""

from __future__ import annotations

from tests.support.setup_ports import VERSION, FakeStripe, add_endpoint
from tests.support.store_fixtures import Clock
from wanesync.core.errors import Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Event, Side
from wanesync.ops.checks.findings import Finding, State
from wanesync.ops.checks.webhooks import check_arrivals, check_endpoint, is_same_address
from wanesync.store import Store
from wanesync.store.tables.webhook_counts import Outcome

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


def test_arrivals_name_the_properties_without_a_change_yet(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.webhook_counts.add({(Side.HUBSPOT, Outcome.ACCEPTED): 1}))
    changed = {"phone": "+49", "name/firstname": "Ana"}
    event = Event("k", Side.HUBSPOT, "updated", "1", clock.ms, values=changed, received_ms=clock.ms)
    store.run(lambda tx: tx.events.put_many([event]))
    store.run(lambda tx: tx.events.mark_read(["k"]))
    store.run(lambda tx: tx.events.mark_judged(["k"]))
    hubspot, stripe = check_arrivals(store, FieldMap(DEFAULT_FIELDS))
    assert hubspot.text.startswith("the last one came 0 s ago; no change yet of email, lastname, company")
    assert "phone" not in hubspot.text
    assert (stripe.state, stripe.text) == (State.WARN, "none has arrived yet")
