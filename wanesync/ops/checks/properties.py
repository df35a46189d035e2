"""Checks of the field map against the HubSpot account: what is missing, read-only, of a wrong type, or has rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wanesync.core.errors import CallError
from wanesync.core.model import Side
from wanesync.core.normalize import FREE_FORMS
from wanesync.core.purchases import Sink
from wanesync.core.setup.permissions import DEFINE_EVENTS
from wanesync.core.setup.portal_checks import OPTION_FORMS, OWN_PROPERTIES, SetupProblemKind, find_problems
from wanesync.ops.checks.accounts import describe_failure
from wanesync.ops.checks.findings import Finding, fail, ok, warn

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap, FieldSpec
    from wanesync.core.setup.portal_checks import PortalFacts
    from wanesync.core.setup.setup_facts import HubSpotSetupPort, PropertyDetail

CHECK = "hubspot properties"
RULES = "hubspot rules"
NO_EVENTS = (SetupProblemKind.PURCHASES, Sink.CUSTOM_EVENT)
ENUMERATION = "enumeration"
TYPED = frozenset({"number", "date", "datetime", "bool"})
MAX_OPTIONS = 5
"""Options that one line names."""


def read_facts(port: HubSpotSetupPort) -> PortalFacts | Finding:
    """Return what the account has, or why it cannot be read."""
    try:
        return port.inspect()
    except CallError as error:
        return describe_failure(CHECK, Side.HUBSPOT, error)


def is_prepared(facts: PortalFacts) -> bool:
    """Return whether our own properties exist."""
    return all(name in facts.properties for name in OWN_PROPERTIES)


def check_properties(fields: FieldMap, facts: PortalFacts, sink: Sink | None, event_name: str) -> Iterator[Finding]:
    """Check that our own properties, every mapped one and the event of purchases can be used."""
    # The scopes and the subscription have checks of their own.
    problems = find_problems(fields, replace(facts, scopes=None), sink, event_name)
    if facts.has_event is None and facts.scopes is not None:
        problems = [problem for problem in problems if (problem.kind, problem.name) != NO_EVENTS]
    for problem in problems:
        text, _, fix = problem.text.rpartition(": ")
        yield fail(CHECK, text, fix)
    if not problems:
        count = sum(len(spec.hubspot) for spec in fields.specs)
        yield ok(CHECK, f"all {count} mapped ones and our own exist and can be used")


def can_use_events(facts: PortalFacts) -> bool:
    """Return whether custom events can be used: False where the key has the scope and is refused all the same."""
    return facts.has_event is not None or DEFINE_EVENTS not in (facts.scopes or ())


def check_subscription(facts: PortalFacts, sink: Sink | None) -> Finding:
    """Check whether the account's subscription has what purchases are recorded as."""
    check = "hubspot subscription"
    if sink not in (None, Sink.CUSTOM_EVENT):
        return ok(check, f'purchases are recorded as "{sink}", which every subscription has')
    if can_use_events(facts):
        return ok(check, "purchases can become custom events")
    if sink is None:
        return ok(check, "it has no custom events, purchases become notes")
    fix = 'set purchases.sink = "note" (or "auto")'
    return fail(check, "the subscription of this account has no custom events, purchases wait", fix)


def check_event(port: HubSpotSetupPort, event_name: str) -> Iterator[Finding]:
    """Check that the event of purchases, where it is defined, has the properties that are sent with it."""
    try:
        gaps = port.find_event_gaps()
    except CallError as error:
        yield describe_failure(CHECK, Side.HUBSPOT, error)
        return
    if gaps:
        text = f"the event {event_name} lacks {', '.join(gaps)}, or has them with another type"
        fix = "set another purchases.event_name, then run wanesync init --hubspot: types cannot be changed"
        yield fail(CHECK, text, fix)


def check_rules(port: HubSpotSetupPort, fields: FieldMap) -> Iterator[Finding]:
    """Check what the mapped properties accept: drop-down options and the portal's validation rules."""
    try:
        details = port.read_details()
    except CallError as error:
        yield describe_failure(RULES, Side.HUBSPOT, error)
        return
    found = [finding for spec in fields.specs for finding in _check_field(spec, details)]
    yield from found or [ok(RULES, "no mapped property limits the values that are written to it")]


def _check_field(spec: FieldSpec, details: Mapping[str, PropertyDetail]) -> Iterator[Finding]:
    if not spec.direction.reaches(Side.HUBSPOT):
        return
    for name in spec.hubspot:
        detail = details.get(name)
        if detail is None or detail.read_only:
            continue  # named by the check of the properties
        if detail.type in TYPED and spec.transform in FREE_FORMS:
            text = f"{name} takes only values of type {detail.type}, and HubSpot refuses every other value of Stripe"
            yield warn(
                RULES,
                text,
                f'give field {spec.name} transform = "{detail.type}", so that two forms of one value are the same, and '
                'see that Stripe has such values, or give it direction = "to_stripe"',
            )
        if detail.type == ENUMERATION and detail.options:
            yield from _check_options(spec, name, detail.options)
        if detail.rules:
            kinds = ", ".join(detail.rules)
            text = f"{name} has validation rules ({kinds}), and HubSpot refuses other values"
            yield warn(
                RULES,
                text,
                f"loosen them (HubSpot: Settings, Properties, {name}, Rules); a refused value stays on Stripe and is "
                "listed in wanesync status",
            )


def _check_options(spec: FieldSpec, name: str, options: Sequence[str]) -> Iterator[Finding]:
    if spec.transform in OPTION_FORMS:
        return  # the check of the properties has looked whether any of them fits
    shown = ", ".join(options[:MAX_OPTIONS]) + (", …" if len(options) > MAX_OPTIONS else "")
    yield warn(
        RULES,
        f"{name} takes only its options ({shown}), and HubSpot refuses every other value of Stripe",
        f'add an option for each value, or give field {spec.name} direction = "to_stripe"',
    )
