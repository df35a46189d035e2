"""The field map against what the properties of an account accept."""

from __future__ import annotations

import pytest

from tests.support.setup_ports import FakeHubSpot
from wanesync.core.errors import Failure
from wanesync.core.fields import Direction, FieldMap, FieldSpec
from wanesync.core.purchases import Sink
from wanesync.core.setup.permissions import DEFINE_EVENTS
from wanesync.core.setup.portal_checks import PortalFacts
from wanesync.core.setup.setup_facts import PropertyDetail
from wanesync.ops.checks.findings import Finding, State
from wanesync.ops.checks.properties import (
    check_event,
    check_properties,
    check_rules,
    check_subscription,
    is_prepared,
    read_facts,
)

VIP = FieldSpec("vip", ("vip",), ("metadata.vip",))
LAND = FieldSpec("land", ("land",), ("address.country",), transform="country")
NUMBERS = FieldMap((FieldSpec("vip", ("vip",), ("metadata.vip",), transform="number"),))
OPTIONS = PropertyDetail("enumeration", options=("a", "b", "c", "d", "e", "f"))


def test_a_drop_down_names_some_options() -> None:
    (finding,) = check_rules(FakeHubSpot(details={"vip": OPTIONS}), FieldMap((VIP,)))
    assert finding.state is State.WARN
    assert "(a, b, c, d, e, …)" in finding.text


def test_a_number_takes_no_other_text() -> None:
    (finding,) = check_rules(FakeHubSpot(details={"vip": PropertyDetail("number")}), FieldMap((VIP,)))
    assert finding.text.startswith("vip takes only values of type number")
    assert 'give field vip transform = "number"' in finding.fix
    (typed,) = check_rules(FakeHubSpot(details={"vip": PropertyDetail("number")}), NUMBERS)
    assert typed.state is State.OK


def test_an_event_of_purchases_without_our_properties_is_named() -> None:
    assert list(check_event(FakeHubSpot(), "buy")) == []
    (finding,) = check_event(FakeHubSpot(gaps=("amount", "currency")), "buy")
    assert "the event buy lacks amount, currency" in finding.text
    (lost,) = check_event(FakeHubSpot(trouble={"find_event_gaps": Failure.UNREACHED}), "buy")
    assert "cannot be reached" in lost.text


@pytest.mark.parametrize(
    ("has_event", "scopes", "sink", "state", "text"),
    [
        (True, None, None, State.OK, "can become custom events"),
        (None, frozenset({DEFINE_EVENTS}), None, State.OK, "purchases become notes"),
        (None, frozenset({DEFINE_EVENTS}), Sink.CUSTOM_EVENT, State.FAIL, "has no custom events"),
        (None, frozenset(), Sink.CUSTOM_EVENT, State.OK, "can become"),
        (None, frozenset({DEFINE_EVENTS}), Sink.NOTE, State.OK, "every subscription"),
    ],
)
def test_a_subscription_without_custom_events_is_told_from_a_missing_scope(
    has_event: bool | None, scopes: frozenset[str] | None, sink: Sink | None, state: State, text: str
) -> None:
    finding = check_subscription(PortalFacts({}, has_event=has_event, scopes=scopes), sink)
    assert finding.state is state
    assert text in finding.text


def test_what_is_not_written_to_hubspot_has_no_rules() -> None:
    one_way = FieldSpec("vip", ("vip",), ("metadata.vip",), direction=Direction.TO_STRIPE)
    read_only = {"vip": PropertyDetail("enumeration", read_only=True, options=("a",))}
    for port, spec in ((FakeHubSpot(details={"vip": OPTIONS}), one_way), (FakeHubSpot(details=read_only), VIP)):
        (finding,) = check_rules(port, FieldMap((spec,)))
        assert finding.state is State.OK


def test_options_that_are_codes_are_well() -> None:
    detail = PropertyDetail("enumeration", options=("DE", "Elsewhere"))
    (finding,) = check_rules(FakeHubSpot(details={"land": detail}), FieldMap((LAND,)))
    assert finding.state is State.OK


def test_an_account_that_cannot_be_read_is_one_finding() -> None:
    assert isinstance(read_facts(FakeHubSpot(trouble={"inspect": Failure.UNREACHED})), Finding)
    (finding,) = check_rules(FakeHubSpot(trouble={"read_details": Failure.UNREACHED}), FieldMap((VIP,)))
    assert finding.state is State.FAIL


def test_our_own_properties_are_part_of_it() -> None:
    facts = FakeHubSpot().inspect()
    assert is_prepared(facts)
    empty = PortalFacts({}, has_event=True)
    assert not is_prepared(empty)
    findings = list(check_properties(FieldMap((VIP,)), empty, None, "purchase"))
    assert [finding.fix.split(":")[0] for finding in findings] == [
        "run wanesync init --hubspot; until then no contact is created",
        "create it there, or name another one in [[field]]",
    ]
