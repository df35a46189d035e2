"""What a HubSpot account lacks, and what each problem pauses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, HUBSPOT, STRIPE, contact, context, customer, link, only_action, run
from wanesync.core.fields import Direction, FieldMap, FieldSpec
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Side
from wanesync.core.purchases import ROLL_UP_PROPERTIES, Sink
from wanesync.core.setup.portal_checks import (
    NOT_CHECKED,
    OWN_PROPERTIES,
    FieldDefinitions,
    PortalFacts,
    PortalState,
    PropertyFacts,
    SetupProblem,
    SetupProblemKind,
    find_problems,
    unpack_definitions,
    unpack_state,
)

TITLE = FieldSpec("title", ("jobtitle",), ("metadata.title",))
WHOLE = {name: PropertyFacts() for name in FIELDS.properties()} | {
    **dict.fromkeys(OWN_PROPERTIES, PropertyFacts(unique=True)),
    **dict.fromkeys(ROLL_UP_PROPERTIES, PropertyFacts()),
    "jobtitle": PropertyFacts(),
}


def texts(
    spec: FieldSpec = TITLE,
    sink: Sink | None = None,
    *,
    has_event: bool | None = True,
    without: str = "",
    **changed: PropertyFacts | None,
) -> list[str]:
    properties = {n: facts for n, facts in {**WHOLE, **changed}.items() if facts is not None and n != without}
    found = find_problems(FieldMap((spec,)), PortalFacts(properties, has_event), sink, "stripe_purchase")
    return [f"{problem.kind}: {problem.text}" for problem in found]


def test_a_whole_account_has_no_problem() -> None:
    for sink in (None, *Sink):
        assert texts(sink=sink) == []
    assert find_problems(FIELDS, PortalFacts(WHOLE, has_event=True), None, "e") == []


def test_scopes_that_the_key_lacks_are_named_where_hubspot_lists_them() -> None:
    def found(scopes: frozenset[str] | None, sink: Sink | None = None) -> list[str]:
        facts = PortalFacts(WHOLE, has_event=True, scopes=scopes)
        return [f"{one.kind}: {one.text}" for one in find_problems(FIELDS, facts, sink, "e")]

    everything = frozenset({"crm.objects.contacts.write", "analytics.behavioral_events.send"})
    assert found(None, Sink.CUSTOM_EVENT) == found(everything, Sink.CUSTOM_EVENT) == []
    (text,) = found(everything - {"crm.objects.contacts.write"})
    assert text.startswith("creations: HubSpot's key lacks the scope crm.objects.contacts.write: add it")
    (text,) = found(everything - {"analytics.behavioral_events.send"}, Sink.CUSTOM_EVENT)
    assert text.startswith("purchases: HubSpot's key lacks the scope analytics.behavioral_events.send: add it")
    assert found(everything - {"analytics.behavioral_events.send"}) == []


def test_our_missing_properties_are_named_once_with_the_command() -> None:
    (text,) = texts(stripe_customer_id=None, wanesync_intent=None)
    assert text.startswith(
        "creations: HubSpot has no contact property stripe_customer_id and wanesync_intent: run wane"
    )
    (text,) = texts(wanesync_intent=PropertyFacts())
    assert "are not unique: delete it there, then run wanesync init --hubspot" in text


@pytest.mark.parametrize(
    ("transform", "options", "paused"),
    [
        ("country", ("north", "south"), True),
        ("country", ("north", "Germany"), False),
        ("country", (), False),
        ("language", ("de_at", "en"), False),
        ("language", ("German (Austria)",), True),
        ("text", ("gold",), False),
    ],
)
def test_a_drop_down_none_of_whose_options_can_be_written_pauses_its_field(
    transform: str, options: tuple[str, ...], paused: bool
) -> None:
    spec = replace(TITLE, transform=transform)
    found = texts(spec, jobtitle=PropertyFacts("enumeration", options=options))
    assert len(found) == paused
    assert all("jobtitle takes only its options" in text and "name another property" in text for text in found)
    assert not texts(replace(spec, direction=Direction.TO_STRIPE), jobtitle=PropertyFacts("enumeration"))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (None, "jobtitle does not exist"),
        (PropertyFacts(read_only=True), 'jobtitle is read-only: give the field direction = "to_stripe"'),
        (PropertyFacts("json"), "is of type json"),
    ],
)
def test_a_mapped_property_that_cannot_be_used_pauses_its_field(facts: PropertyFacts | None, expected: str) -> None:
    (text,) = texts(jobtitle=facts)
    assert text.startswith("field: field title is paused: HubSpot's contact property ")
    assert expected in text


def test_a_misspelt_property_is_guessed() -> None:
    (text,) = texts(replace(TITLE, hubspot=("jobtitel",)))
    assert "did you mean jobtitle?" in text


@pytest.mark.parametrize("transform", ["email", "phone"])
def test_a_number_holds_no_address_and_no_phone(transform: str) -> None:
    (text,) = texts(replace(TITLE, transform=transform), jobtitle=PropertyFacts("number"))
    assert f"is of type number, which holds no {transform}" in text


@pytest.mark.parametrize(
    ("transform", "takes", "refuses"),
    [("date", "date", "datetime"), ("datetime", "datetime", "date"), ("number", "number", "bool"),
     ("bool", "enumeration", "number"), ("choices", "enumeration", "date")],
)  # fmt: skip
def test_a_typed_field_needs_a_property_of_its_type_or_a_text(transform: str, takes: str, refuses: str) -> None:
    spec = replace(TITLE, transform=transform)
    assert texts(spec, jobtitle=PropertyFacts(takes)) == texts(spec, jobtitle=PropertyFacts("string")) == []
    (text,) = texts(spec, jobtitle=PropertyFacts(refuses))
    assert f"is of type {refuses}, which holds no {transform}" in text


def test_a_read_only_property_may_be_read() -> None:
    assert texts(replace(TITLE, direction=Direction.TO_STRIPE), jobtitle=PropertyFacts(read_only=True)) == []


@pytest.mark.parametrize(
    ("sink", "has_event", "expected"),
    [
        (Sink.CUSTOM_EVENT, False, "no event definition stripe_purchase: run wanesync init --hubspot"),
        (None, False, "no event definition stripe_purchase"),
        (Sink.CUSTOM_EVENT, None, "behavioral_events.event_definitions.read_write"),
    ],
)
def test_purchases_wait_for_their_event(sink: Sink | None, has_event: bool | None, expected: str) -> None:
    (text,) = texts(sink=sink, has_event=has_event)
    assert text.startswith("purchases: ")
    assert expected in text


def test_purchases_wait_for_their_properties() -> None:
    name = next(iter(ROLL_UP_PROPERTIES))
    (text,) = texts(sink=Sink.PROPERTIES, has_event=None, without=name)
    assert name in text
    assert texts(sink=Sink.NOTE, has_event=None, without=name) == []
    assert texts(sink=None, has_event=None) == []


def test_a_state_comes_back_from_its_text() -> None:
    state = PortalState(
        (
            SetupProblem(SetupProblemKind.FIELD, "title", "t"),
            SetupProblem(SetupProblemKind.PURCHASES, "custom_event", "p"),
        )
    )
    assert unpack_state(state.pack()) == state
    assert state.paused_fields == {"title"}
    assert not state.blocked
    assert state.blocked_sinks == {"custom_event"}
    assert NOT_CHECKED.blocked == {Side.HUBSPOT}


# -- what the planner does with it


def test_a_paused_field_is_neither_written_nor_cleared_nor_read_for() -> None:
    ada, ada_there = (
        contact(email="a@example.com", phone="110"),
        customer(email="a@example.com", phone="112", city="Ulm"),
    )
    base = {"email": ("a@example.com", "a@example.com"), "phone": ("110", "110"), "city": ("Bonn", "Bonn")}
    at = context("contact:1", ada, ada_there, links=[link(base=base)], unusable=frozenset({"city"}))
    outcome = run(at)
    assert only_action(outcome).changes.keys() == {"phone"}
    lacking = replace(ada, unknown=frozenset({"city"}))
    assert not run(
        context("contact:1", lacking, ada_there, links=[link(base=base)], unusable=frozenset({"city"}))
    ).reads


def test_a_creation_waits_while_our_properties_are_missing_and_leaves_out_a_paused_field() -> None:
    ada = customer(email="a@example.com", city="Ulm")
    waiting = run(context("customer:cus_1", ada, blocked=frozenset({HUBSPOT})))
    assert waiting.wait is WaitCode.SETUP
    assert not waiting.actions
    made = run(context("customer:cus_1", ada, unusable=frozenset({"city"})))
    assert "city" not in only_action(made).changes
    there = run(context("contact:1", contact(email="b@example.com"), blocked=frozenset({HUBSPOT})))
    assert only_action(there).side is STRIPE


@pytest.mark.parametrize(
    ("transform", "options", "value", "chosen"),
    [
        ("country", ("DE", "AT"), "Austria", "AT"),
        ("country", ("de", "at"), "Austria", "at"),
        ("country", ("DEU", "AUT"), "Austria", "AUT"),
        ("country", ("germany", "österreich"), "Austria", "österreich"),
        ("country", ("AT", "Austria"), "Austria", "Austria"),
        ("country", ("DE",), "Austria", "Austria"),
        ("country", ("DE",), "", ""),
        ("language", ("de_AT", "en"), "de-at", "de_AT"),
        ("text", ("gold", ""), "gold", "gold"),
    ],
)
def test_a_value_is_written_as_the_option_that_means_it(
    transform: str, options: tuple[str, ...], value: str, chosen: str
) -> None:
    fields = FieldMap((replace(TITLE, transform=transform),))
    facts = PortalFacts({"jobtitle": PropertyFacts("enumeration", options=options)})
    found = unpack_definitions(FieldDefinitions().follow(fields, facts, 0).doubt([], 0).pack())
    assert found.choose_options(fields, {"title": value}) == {"title": chosen}
