"""The setup of a portal."""

from __future__ import annotations

import json

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.hubspot_answers import open_side
from wanesync.adapters.hubspot.setup import UNIQUE, property_definitions
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.purchases import ROLL_UP_PROPERTIES


def test_a_property_of_ours_that_is_not_unique_stops_the_setup() -> None:
    body = {"results": [{"name": "wanesync_intent", "hasUniqueValue": False}]}
    with CannedServer(Told(200, body)) as server, pytest.raises(ConfigError, match="wanesync_intent"):
        open_side(server).prepare(with_events=False)


def test_what_is_missing_is_created_and_what_another_process_created_meanwhile_is_not_listed() -> None:
    def answer(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told(200, {"results": [{"name": "wanesync_intent", "hasUniqueValue": True}]})
        name = json.loads(asked.body)["name"]
        return Told(409, {"category": "OBJECT_ALREADY_EXISTS"}) if name == "stripe_customer_id" else Told(201, {})

    with CannedServer(answer=answer) as server:
        made = open_side(server).prepare(with_events=False)
    assert made == [f"contact property {name}" for name in ROLL_UP_PROPERTIES]


def test_the_event_definition_is_created_where_there_is_none() -> None:
    properties = [{"name": name, "hasUniqueValue": True} for name in (*UNIQUE, *ROLL_UP_PROPERTIES)]

    def answer(asked: Asked) -> Told:
        if asked.path.startswith("/crm/"):
            return Told(200, {"results": properties})
        return Told(404, {"category": "OBJECT_NOT_FOUND"}) if asked.method == "GET" else Told(201, {})

    with CannedServer(answer=answer) as server:
        (made,) = open_side(server).prepare(with_events=True)
    assert made.startswith("event definition ")


def test_values_of_our_keys_are_unique() -> None:
    unique = {entry["name"] for entry in property_definitions() if entry.get("hasUniqueValue")}
    assert unique == set(UNIQUE)


def test_a_label_with_half_a_surrogate_pair_ends_no_check_of_the_portal() -> None:
    body = b'{"results": [{"name": "city", "type": "enumeration", "options": [{"label": "\\ud83d"}]}]}'
    with CannedServer(Told(200, body), Told(200, {})) as server:
        facts = open_side(server).inspect()
    assert facts.properties["city"].version


@pytest.mark.parametrize("body", [{}, {"results": []}, {"results": None}])
def test_an_answer_without_properties_is_no_portal_without_properties(body: dict[str, object]) -> None:
    with CannedServer(Told(200, body)) as server, pytest.raises(CallError) as raised:
        open_side(server).inspect()
    assert raised.value.failure is Failure.NO_ANSWER
