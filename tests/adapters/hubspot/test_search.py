"""HubSpot's search of contacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.hubspot_answers import load_sample, open_side
from wanesync.core.errors import CallError, Failure
from wanesync.core.ports import Survey


def test_a_search(shared: Path) -> None:
    asked = load_sample(shared, "test__read-via-search__contacts-payload.json")
    body = load_sample(shared, "test__read-via-search__contacts-response.json")
    with CannedServer(Told(200, body)) as server:
        assert open_side(server).search_modified(5, "7") == [("220006890315", 1_778_095_578_036)]
        ours = json.loads(server.asked[0].body)
    [condition] = asked["filterGroups"][0]["filters"]  # type: ignore[index] # plain JSON
    first = ours["filterGroups"][0]["filters"][0]
    assert (first["propertyName"], first["operator"]) == (condition["propertyName"], condition["operator"])


def test_a_search_begins_at_a_time_and_goes_on_above_an_id() -> None:
    hit = {"id": "8", "properties": {"lastmodifieddate": "1970-01-01T00:00:00.007Z"}}
    with CannedServer(Told(200, {"results": [hit]}), Told(200, {"results": []})) as server:
        side = open_side(server)
        assert list(side.search_modified(5, "")) == [("8", 7)]
        assert list(side.search_modified(5, "8")) == []
        first, second = (json.loads(asked.body)["filterGroups"][0]["filters"] for asked in server.asked)
    assert [(entry["operator"], entry["value"]) for entry in first] == [("GTE", "5")]
    assert [(entry["operator"], entry["value"]) for entry in second] == [("GTE", "5"), ("GT", "8")]


def test_a_search_that_shows_the_same_hits_again_is_no_answer() -> None:
    hits = [{"id": str(number), "properties": {}} for number in range(1, 201)]
    with CannedServer(Told(200, {"results": hits})) as server, pytest.raises(CallError) as raised:
        open_side(server).search_modified(5, "200")
    assert raised.value.failure is Failure.NO_ANSWER


def test_a_survey_returns_the_total_and_the_highest_id() -> None:
    with CannedServer(Told(200, {"total": 12, "results": [{"id": "99"}]}), Told(200, {"results": []})) as server:
        side = open_side(server)
        assert side.survey_contacts() == Survey(12, 99)
        assert side.survey_contacts() == Survey(0, 0), "an answer without a total counts nothing"


def test_a_hit_without_a_usable_id_is_left_out_and_the_search_goes_on() -> None:
    def page(ids: list[str]) -> Told:
        return Told(200, {"results": [{"id": hit_id, "properties": {"lastmodifieddate": "7"}} for hit_id in ids]})

    ids = [*map(str, range(1, 199)), "9\0", "x" * 300]
    with CannedServer(page(ids), page(["250"])) as server:
        found = open_side(server).search_modified(5, "")
        assert json.loads(server.asked[1].body)["filterGroups"][0]["filters"][1]["value"] == "198"
    assert [hit_id for hit_id, _ in found] == [*ids[:198], "250"]


def test_a_search_without_results_is_no_empty_one() -> None:
    with CannedServer(Told(200, {})) as server, pytest.raises(CallError) as raised:
        open_side(server).search_modified(5, "")
    assert raised.value.failure is Failure.NO_ANSWER
