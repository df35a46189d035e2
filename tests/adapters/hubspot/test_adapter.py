"""HubSpot's side: what it makes of each answer, of batches in any order, and of broken connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.hubspot_answers import RATE, load_sample, open_side, raw
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Record
from wanesync.core.ports import UpdateItem
from wanesync.core.purchases import Purchase


def test_an_update_that_cannot_be_read_back_is_unknown() -> None:
    with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), Told(503)) as server:
        outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER


def test_a_reading_back_that_is_refused_says_so() -> None:
    refusal = Told(429, {**RATE, "policyName": "SECONDLY"})
    with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), refusal) as server:
        outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER
    assert isinstance(outcome.__cause__, CallError)
    assert outcome.__cause__.failure is Failure.RATE_LIMITED


def test_an_edit_that_comes_between_is_not_taken_for_ours() -> None:
    later = {"id": "5", "properties": {"city": "Oslo", "phone": "1", "lastmodifieddate": "2025-11-04T12:10:36Z"}}
    with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), Told(200, {"results": [later]})) as server:
        record = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(record, Record)
    assert (record.values["city"], record.values["phone"]) == ("Rom", "1")
    assert record.modified_ms == 1_762_258_235_352


def test_an_id_the_answer_leaves_open_is_read_alone() -> None:
    survivor = raw("9", email="a@x.de")
    extra: list[str] = []
    told = (Told(200, {"results": [raw("1")]}), Told(200, survivor), Told(404, {"category": "OBJECT_NOT_FOUND"}))
    with CannedServer(*told) as server:
        found = open_side(server, extra).read_contacts(["1", "2", "3"])
    assert {asked: record.id if record else None for asked, record in found.items()} == {
        "1": "1",
        "2": "9",
        "3": None,
    }
    assert len(extra) == 2


def test_a_listing_without_results_is_no_empty_page() -> None:
    with CannedServer(Told(200, {"total": 0})) as server, pytest.raises(CallError) as raised:
        open_side(server).list_contacts("")
    assert raised.value.failure is Failure.NO_ANSWER


def test_a_page_has_the_time_of_its_answer() -> None:
    body = {"results": [raw("1")], "paging": {"next": {"after": "2"}}}
    with CannedServer(Told(200, body)) as server:
        page = open_side(server).list_contacts("1", 5)
        assert "limit=5&after=1&" in server.asked[0].path
    assert (page.next, [record.id for record in page.records]) == ("2", ["1"])
    assert page.timing.to_ms - page.timing.from_ms >= 999


def test_origin_by_source_id() -> None:
    def version(source: str, kind: str, at: str) -> dict[str, str]:
        return {"value": "x", "timestamp": f"2026-01-01T00:00:{at}Z", "sourceType": kind, "sourceId": source}

    histories = {
        "phone": [version("5", "INTEGRATION", "01"), version("userId:1", "CRM_UI", "02")],
        "city": [version("userId:1", "CRM_UI", "01"), version("5", "INTEGRATION", "02")],
        "zip": [version("77", "API", "01")],
        "state": [version("6", "INTEGRATION", "01")],
        "stripe_customer_id": [version("userId:1", "CRM_UI", "03"), version("5", "INTEGRATION", "00")],
    }
    with CannedServer(Told(200, {"id": "1", "properties": {}, "propertiesWithHistory": histories})) as server:
        told = open_side(server).wrote_current("1", ["phone", "city", "zip", "state", "country"])
    assert told.ours == {"phone": False, "city": True, "zip": True, "state": False, "country": False}


PURCHASE = Purchase(
    "pi_1", "ch_1", "", "", "", 1500, "jpy", 1_700_000_000_123, "Tee <b>& Gebäck</b>" * 20, contact_id="12"
)


def test_an_event_hubspot_has_already_counts_as_taken() -> None:
    with CannedServer(Told(409, {"category": "CONFLICT"})) as server:
        assert open_side(server).send_events({"pi_1": PURCHASE}) == {"pi_1": None}


@pytest.mark.parametrize("name", ["success", "err-partial-success"])
def test_updates(shared: Path, name: str) -> None:
    body = load_sample(shared, f"test__batch__update__contacts__{name}.json")
    ids = ("171591000199", "171591000198" if name == "success" else "unknownIdentifier888")
    items = [UpdateItem(f"t{own_id}", own_id, {"firstname": "x", "lastname": "y"}) for own_id in ids]
    whole = [raw(own_id, phone="1") for own_id in ids]
    with CannedServer(Told(207, body), Told(200, {"results": whole})) as server:
        outcomes = open_side(server).update_contacts(items)
    first, second = (outcomes[f"t{own_id}"] for own_id in ids)
    assert isinstance(first, Record)
    assert first.values["name"] == "Siena (updated)\x1fDyer (updated)"
    assert first.values["phone"] == "1"
    if name == "success":
        assert isinstance(second, Record)
    else:
        assert isinstance(second, CallError)
        assert second.failure is Failure.NOT_FOUND
