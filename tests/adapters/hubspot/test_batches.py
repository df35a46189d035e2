"""Answers to batches, matched to their inputs in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told, closed_port
from tests.support.hubspot_answers import load_sample, open_side, raw
from wanesync.adapters.hubspot.batches import ChunkedBatch, match_created, match_updated
from wanesync.adapters.hubspot.errors import ErrorTable
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Record, Side
from wanesync.core.ports import CreateItem, UpdateItem


def conflict(trace: str) -> dict[str, object]:
    message = "Contact already exists. Existing ID: 51"
    return {"status": "error", "category": "CONFLICT", "message": message, "context": {"objectWriteTraceId": [trace]}}


ITEMS = (
    CreateItem("a", {"email": "A@x.de", "wanesync_intent": "i1"}),
    CreateItem("b", {"email": "b@x.de", "wanesync_intent": "i2"}),
    CreateItem("c", {"email": "c@x.de", "wanesync_intent": "i3"}),
)


def create(body: object, status: int = 207) -> Mapping[str, Record | CallError]:
    with CannedServer(Told(status, body)) as server:
        outcomes = open_side(server).create_contacts(ITEMS)
        assert len(server.asked) == 1
    return outcomes


def test_answers_in_any_order_are_matched() -> None:
    results = [raw("3", email="other@x.de", wanesync_intent="i3"), raw("1", email="a@x.de")]
    outcomes = create({"status": "COMPLETE", "results": results, "errors": [conflict("b")], "numErrors": 1})
    one, two, three = (outcomes[trace] for trace in "abc")
    assert isinstance(one, Record)
    assert isinstance(three, Record)
    assert isinstance(two, CallError)
    assert (one.id, three.id, two.failure, two.existing_id) == ("1", "3", Failure.CONFLICT, "51")


def test_what_no_answer_names_is_unknown() -> None:
    outcomes = create({"results": [raw("1", email="a@x.de"), raw("9", email="stranger@x.de")]}, 201)
    assert [getattr(outcomes[trace], "failure", None) for trace in "abc"] == [
        None, Failure.NO_ANSWER, Failure.NO_ANSWER,
    ]  # fmt: skip


def test_errors_without_a_name_belong_to_no_input() -> None:
    entry = {**conflict("x"), "context": {}}
    outcomes = create({"results": [raw("1", email="a@x.de")], "errors": [entry]})
    assert [getattr(outcomes[trace], "failure", None) for trace in "bc"] == [Failure.NO_ANSWER] * 2


def test_wrong_sizes_are_our_own_mistake() -> None:
    side = open_side(closed_port())
    with pytest.raises(ValueError, match="at most 100"):
        side.create_contacts([CreateItem(str(n), {}) for n in range(101)])
    with pytest.raises(ValueError, match="share a key"):
        side.update_contacts([UpdateItem("a", "1", {}), UpdateItem("b", "1", {})])


def test_creations(shared: Path) -> None:
    body = load_sample(shared, "test__batch__create__contacts__success.json")
    items = [
        CreateItem("x", {"email": "MarleyFleming@hubspot.com"}),
        CreateItem("y", {"email": "lilyskinner@hubspot.com"}),
    ]
    with CannedServer(Told(201, body)) as server:
        outcomes = open_side(server).create_contacts(items)
    first, second = outcomes["x"], outcomes["y"]
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.id, second.id) == ("171596044870", "171596044869")
    assert second.values["name"] == "Lily\x1fSkinner"
    assert second.modified_ms == 1_762_212_973_632


def test_a_partial_creation(shared: Path) -> None:
    body = load_sample(shared, "test__batch__create__contacts__err-partial-success.json")
    items = [CreateItem("0", {"email": "taken@hubspot.com"}), CreateItem("1", {"email": "siena.dyer@hubspot.com"})]
    with CannedServer(Told(207, body)) as server:
        outcomes = open_side(server).create_contacts(items)
    refused = outcomes["0"]
    assert isinstance(refused, CallError)
    assert (refused.failure, refused.existing_id) == (Failure.CONFLICT, "171591000198")
    assert isinstance(outcomes["1"], Record)


TABLE = ErrorTable({})


def test_a_result_is_matched_by_its_trace_before_its_intent_and_by_its_intent_before_its_address() -> None:
    items = [CreateItem("a", {"email": "x@x.de", "wanesync_intent": "i1"}), CreateItem("b", {"email": "y@x.de"})]
    by_trace = {"id": "1", "objectWriteTraceId": "b", "properties": {"wanesync_intent": "i1"}}
    by_intent = {"id": "2", "properties": {"wanesync_intent": "i1", "email": "y@x.de"}}
    assert match_created(items, {"results": [by_trace, by_intent]}, TABLE) == {"a": by_intent, "b": by_trace}


def test_a_single_update_is_matched_to_the_survivor_of_a_merge() -> None:
    survivor = {"id": "9", "properties": {}}
    assert match_updated([UpdateItem("t", "5", {})], {"results": [survivor]}, TABLE) == {"t": survivor}


def test_a_later_chunk_that_fails_leaves_the_outcomes_of_the_first() -> None:
    error = CallError(Side.HUBSPOT, Failure.UNAVAILABLE, "down")
    extra: list[str] = []

    def work(chunk: Sequence[str]) -> dict[str, str | CallError]:
        if "c" in chunk:
            raise error
        return dict.fromkeys(chunk, "done")

    outcomes = ChunkedBatch[str, str](2, str, lambda: extra.append("request")).run("abcd", work)
    assert outcomes == {"a": "done", "b": "done", "c": error, "d": error}
    assert extra == ["request"]


def test_a_first_chunk_that_fails_is_the_failure_of_the_whole() -> None:
    def work(chunk: Sequence[str]) -> dict[str, str | CallError]:
        raise CallError(Side.HUBSPOT, Failure.UNAVAILABLE, "down")

    with pytest.raises(CallError):
        ChunkedBatch[str, str](2, str, lambda: None).run("abcd", work)
