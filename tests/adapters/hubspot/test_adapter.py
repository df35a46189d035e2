"""HubSpot's side: what it makes of each answer, of batches in any order, and of broken connections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.hubspot_answers import RATE, load_sample, open_side, raw
from wanesync.adapters.http_answers import MAX_BODY_BYTES
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Record
from wanesync.core.ports import CreateItem, UpdateItem
from wanesync.core.purchases import Purchase


def test_an_update_that_cannot_be_read_back_is_unknown() -> None:
    with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), Told(503)) as server:
        outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER


def test_an_update_that_is_not_found_afterwards_is_no_refusal_because_it_took_effect() -> None:
    written = Told(200, {"results": [raw("5", city="Rom")]})
    told = (written, Told(200, {"results": []}), Told(404, {"category": "OBJECT_NOT_FOUND"}))
    with CannedServer(*told) as server:
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


def test_an_update_that_is_answered_with_another_contact_is_unknown() -> None:
    told = (Told(200, {"results": [raw("9", city="Oslo")]}), Told(200, {"results": [raw("5", city="Rom")]}))
    with CannedServer(*told) as server:
        outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER


def test_a_creation_that_is_answered_with_another_contact_is_unknown() -> None:
    item = CreateItem("t", {"email": "ada@x.de", "wanesync_intent": "i1"})
    with CannedServer(Told(201, {"results": [raw("9", email="bob@x.de", wanesync_intent="i2")]})) as server:
        outcome = open_side(server).create_contacts([item])["t"]
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER


ODD_SUCCESSES = (
    {"status": "error", "category": "VALIDATION_ERROR", "message": "no"},
    {"status": "COMPLETE", "results": [], "numErrors": 1},
    {"status": "COMPLETE", "errors": {"category": "VALIDATION_ERROR"}},
)


@pytest.mark.parametrize("body", ODD_SUCCESSES)
def test_an_error_in_an_answer_that_reports_success_is_no_success(body: object) -> None:
    with CannedServer(Told(200, body)) as server, pytest.raises(CallError) as raised:
        open_side(server).send_events({"pi_1": PURCHASE})
    assert raised.value.failure is Failure.NO_ANSWER


def test_an_error_in_the_place_of_an_answer_is_none() -> None:
    with CannedServer(Told(200, ODD_SUCCESSES[0])) as server, pytest.raises(CallError) as raised:
        open_side(server).account()
    assert raised.value.failure is Failure.NO_ANSWER


def test_an_edit_that_comes_between_is_not_taken_for_ours() -> None:
    later = raw("5", city="Oslo", phone="1", lastmodifieddate="2025-11-04T12:10:36Z")
    written = {"id": "5", "properties": {"city": "Rom", "lastmodifieddate": "2025-11-04T12:10:35.352Z"}}
    with CannedServer(Told(200, {"results": [written]}), Told(200, {"results": [later]})) as server:
        record = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(record, Record)
    assert (record.values["city"], record.values["phone"]) == ("Rom", "1")
    assert record.modified_ms == 1_762_258_235_352


def test_an_id_the_answer_leaves_open_is_read_alone() -> None:
    survivor = raw("9", email="a@x.de", hs_merged_object_ids="2")
    extra: list[str] = []
    told = (Told(200, {"results": [raw("1")]}), Told(200, survivor), Told(404, {"category": "OBJECT_NOT_FOUND"}))
    with CannedServer(*told) as server:
        found = open_side(server, extra).read_contacts(["1", "2", "3"])
    ids = {asked: record.id if isinstance(record, Record) else record for asked, record in found.items()}
    assert ids == {"1": "1", "2": "9", "3": None}
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


REPEATED = [
    Told(409, {"category": "CONFLICT"}),
    Told(409, {"category": "OBJECT_ALREADY_EXISTS"}),
    Told(400, {"category": "VALIDATION_ERROR", "message": "An event with this uuid already exists"}),
    Told(400, {"category": "VALIDATION_ERROR", "errors": [{"message": "duplicate uuid 1-2"}]}),
    Told(207, {"status": "COMPLETE", "errors": [{"category": "CONFLICT", "message": "uuid exists"}], "links": {}}),
]


@pytest.mark.parametrize("told", REPEATED)
def test_an_event_hubspot_has_already_counts_as_taken(told: Told) -> None:
    with CannedServer(told) as server:
        assert open_side(server).send_events({"pi_1": PURCHASE}) == {"pi_1": None}


@pytest.mark.parametrize("told", REPEATED)
def test_an_event_of_a_batch_that_hubspot_has_already_stops_no_other(told: Told) -> None:
    repeated = PURCHASE.event_uuid
    both = {"pi_1": PURCHASE, "pi_2": replace(PURCHASE, payment_id="pi_2")}

    def answer(asked: Asked) -> Told:
        return told if any(one["uuid"] == repeated for one in asked.inputs) else Told(204)

    with CannedServer(answer=answer) as server:
        assert open_side(server).send_events(both) == {"pi_1": None, "pi_2": None}


def test_an_event_that_a_207_refuses_is_not_taken() -> None:
    told = Told(207, {"errors": [{"category": "VALIDATION_ERROR", "message": "no such event"}], "links": {}})
    with CannedServer(told) as server:
        [outcome] = open_side(server).send_events({"pi_1": PURCHASE}).values()
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.REFUSED


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


@pytest.mark.case(7)
def test_one_contact_that_cannot_be_used_is_set_aside_and_the_page_goes_on() -> None:
    page = [raw("1"), raw("2", firstname="K\ud83d", email="b@x.de"), raw("3"), raw("4")]
    with CannedServer(Told(200, {"results": page, "paging": {"next": {"after": "4"}}})) as server:
        found = open_side(server).list_contacts("")
    assert [record.id for record in found.records] == ["1", "3", "4"]
    [aside] = found.set_aside
    assert (aside.id, aside.reason) == ("2", "set aside: firstname holds half of a surrogate pair")
    assert aside.remains is not None
    assert aside.remains.emails == {"b@x.de"}
    assert found.next == "4"


@pytest.mark.parametrize("after", ["x" * 256, "a\0", "7"])
def test_a_cursor_that_cannot_be_used_is_no_answer(after: str) -> None:
    page = {"results": [raw("1")], "paging": {"next": {"after": after}}}
    with CannedServer(Told(200, page)) as server, pytest.raises(CallError) as raised:
        open_side(server).list_contacts("7")
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.case(9)
@pytest.mark.case(10)
def test_an_answer_that_lacks_what_was_asked_for_is_no_answer_for_that_contact_only() -> None:
    bare = {"id": "1", "updatedAt": "2025-11-04T12:10:35Z"}
    told = Told(200, {"results": [bare, raw("2"), raw("3", city="a\0", email="c@x.de")]}), Told(200, {})
    with CannedServer(*told) as server:
        found = open_side(server).read_contacts(["1", "2", "3", "4"])
    failures = {i: one.failure if isinstance(one, CallError) else None for i, one in found.items()}
    assert failures == {"1": Failure.NO_ANSWER, "2": None, "3": Failure.UNUSABLE, "4": Failure.NO_ANSWER}


@pytest.mark.case(10)
@pytest.mark.parametrize("body", [b"", {}, {"results": None}, {"results": {}}])
def test_an_empty_answer_to_a_batch_read_is_no_answer(body: object) -> None:
    with CannedServer(Told(200, body)) as server, pytest.raises(CallError) as raised:
        open_side(server).read_contacts(["1"])
    assert raised.value.failure is Failure.NO_ANSWER


def test_another_contact_than_the_one_that_was_asked_for_is_no_answer() -> None:
    with CannedServer(Told(200, {"results": []}), Told(200, raw("9"))) as server:
        found = open_side(server).read_contacts(["1"])["1"]
    assert isinstance(found, CallError)
    assert found.failure is Failure.NO_ANSWER


def test_answers_to_writes_without_properties_leave_the_outcome_unknown() -> None:
    with CannedServer(Told(201, {"results": [{"id": "9", "objectWriteTraceId": "t"}]})) as server:
        created = open_side(server).create_contacts([CreateItem("t", {"email": "a@x.de"})])["t"]
    assert isinstance(created, CallError)
    assert created.failure is Failure.NO_ANSWER
    with CannedServer(Told(200, {"results": [{"id": "5"}]})) as server:
        updated = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
    assert isinstance(updated, CallError)
    assert updated.failure is Failure.NO_ANSWER


def test_a_created_contacts_blanks_are_known_and_what_was_sent_and_is_missing_is_unknown() -> None:
    shown = {"email": "a@x.de", "lastmodifieddate": "2025-11-04T12:10:35.352Z"}
    with CannedServer(Told(201, {"results": [{"id": "9", "properties": shown}]})) as server:
        found = open_side(server).create_contacts([CreateItem("t", {"email": "a@x.de", "phone": "1"})])["t"]
    assert isinstance(found, Record)
    assert found.unknown == {"phone"}
    assert found.values["city"] == ""


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones_and_its_large_contact_set_aside() -> None:
    large = raw("7", email="a@x.de", city="x" * MAX_BODY_BYTES)

    def answer(asked: Asked) -> Told:
        if "firstname" not in asked.path:
            return Told(200, {"results": [raw("7", email="a@x.de")], "paging": {"next": {"after": "7"}}})
        return Told(200, {"results": [large], "paging": {"next": {"after": "7"}}})

    with CannedServer(answer=answer) as server:
        page = open_side(server).list_contacts("")
        limits = [asked.path.partition("limit=")[2].partition("&")[0] for asked in server.asked]
    assert limits == ["100", "10", "1", "1"]
    assert (list(page.records), [one.id for one in page.set_aside], page.next) == ([], ["7"], "7")


def test_a_batch_that_is_too_large_is_read_in_halves_and_only_its_large_contact_is_unusable() -> None:
    def answer(asked: Asked) -> Told:
        ids = [str(one["id"]) for one in asked.inputs]
        return Told(200, {"results": [raw(i, city="x" * (MAX_BODY_BYTES if i == "3" else 1)) for i in ids]})

    with CannedServer(answer=answer) as server:
        found = open_side(server).read_contacts(["1", "2", "3", "4"])
    failed = [i for i, one in found.items() if isinstance(one, CallError) and one.failure is Failure.UNUSABLE]
    assert (failed, len(found)) == (["3"], 4)


def test_an_archived_contact_in_an_answer_is_no_living_one() -> None:
    archived = {**raw("1"), "archived": True}
    told = (Told(200, {"results": [archived, raw("2")]}), Told(200, archived), Told(200, {"results": [archived]}))
    with CannedServer(*told) as server:
        side = open_side(server)
        found = side.read_contacts(["1", "2"])
        assert (found["1"], isinstance(found["2"], Record)) == (None, True)
        assert side.find_archived(["1", "3"]) == frozenset()
        assert side.list_contacts("").records == []


def test_the_recycle_bin_shows_which_contacts_were_deleted() -> None:
    with CannedServer(Told(207, {"results": [{**raw("1"), "archived": True}, raw("2")]})) as server:
        assert open_side(server).find_archived(["1", "2", "3"]) == {"1"}
        assert "archived=true" in server.asked[0].path.lower()


def test_an_id_with_another_error_than_not_found_is_not_absent() -> None:
    errors = [
        {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["2"]}},
        {"category": "INTERNAL_ERROR", "context": {"ids": ["3"]}},
        {"category": "MISSING_SCOPES", "context": {"ids": ["4"]}},
    ]
    with CannedServer(Told(207, {"results": [raw("1")], "errors": errors})) as server:
        found = open_side(server).read_contacts(["1", "2", "3", "4"])
    assert isinstance(found["1"], Record)
    assert found["2"] is None
    assert isinstance(found["3"], CallError)
    assert isinstance(found["4"], CallError)


def test_an_account_without_its_id_is_no_account() -> None:
    with CannedServer(Told(200, {"accountType": "STANDARD"})) as server, pytest.raises(CallError) as raised:
        open_side(server).account()
    assert raised.value.failure is Failure.NO_ANSWER


def test_notes_and_histories_that_an_answer_lacks_are_not_none() -> None:
    note = {"from": {"id": "7"}, "to": [{"toObjectId": 5}]}
    other = {"from": {"id": "8"}, "to": [{"toObjectId": 5}]}
    for told in (
        [Told(200, {})],
        [Told(200, {"results": []})],
        [Told(200, {"results": [other]})],
        [Told(200, {"results": [{"from": {"id": "7"}}]})],
        [Told(200, {"results": [note]}), Told(200, {})],
        [Told(207, {"results": [], "errors": [{"status": "error", "category": "INTERNAL_ERROR"}]})],
    ):
        with CannedServer(*told) as server, pytest.raises(CallError):
            open_side(server).read_note_marks("7")
    with CannedServer(Told(200, raw("7"))) as server, pytest.raises(CallError):
        open_side(server).wrote_current("7", ["city"])


def test_notes_are_read_a_page_at_a_time_until_none_is_left() -> None:
    def page(*ids: object, after: str = "") -> Told:
        more = {"paging": {"next": {"after": after}}} if after else {}
        return Told(200, {"results": [{"from": {"id": "7"}, "to": [{"toObjectId": i} for i in ids], **more}]})

    none = Told(207, {"results": [], "errors": [{"category": "OBJECT_NOT_FOUND", "subCategory": "NO_ASSOCIATIONS"}]})
    notes = Told(200, {"results": [{"id": "5", "properties": {"hs_note_body": "x[wanesync:pi_1]"}}]})
    with CannedServer(page(5, "6", after="c"), page("8"), notes) as server:
        extra: list[str] = []
        assert open_side(server, extra).read_note_marks("7") == {"pi_1"}
        assert json.loads(server.asked[1].body) == {"inputs": [{"id": "7", "after": "c"}]}
        assert [entry["id"] for entry in json.loads(server.asked[2].body)["inputs"]] == ["5", "6", "8"]
        assert len(extra) == 2
    there = Told(200, {"results": [raw("7")]})
    with CannedServer(none, there, none) as server:
        assert open_side(server).read_note_marks("7") == frozenset()
    with CannedServer(none, there, page(5), notes) as server:
        assert open_side(server).read_note_marks("7") == {"pi_1"}


def test_a_contact_that_is_gone_is_not_one_without_notes() -> None:
    """Its associations are answered like those of a contact without any, and it may be restored with its notes."""
    none = Told(207, {"results": [], "errors": [{"category": "OBJECT_NOT_FOUND", "subCategory": "NO_ASSOCIATIONS"}]})
    gone = Told(207, {"results": [], "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": ["7"]}}]})
    with CannedServer(none, gone) as server, pytest.raises(CallError) as raised:
        open_side(server).read_note_marks("7")
    assert raised.value.failure is Failure.NOT_FOUND


def test_notes_whose_pages_lead_back_are_no_answer() -> None:
    def page(after: str) -> Told:
        more = {"paging": {"next": {"after": after}}}
        return Told(200, {"results": [{"from": {"id": "7"}, "to": [{"toObjectId": 5}], **more}]})

    with CannedServer(page("a"), page("b"), page("a")) as server, pytest.raises(CallError) as raised:
        open_side(server).read_note_marks("7")
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("archived", ["true", "false", 1, [], {}])
def test_a_mark_that_is_neither_true_nor_false_does_not_count_as_living(archived: object) -> None:
    odd = {**raw("1"), "archived": archived}
    with CannedServer(Told(200, {"results": [odd, raw("2")]})) as server:
        found = open_side(server).read_contacts(["1", "2"])
        page = open_side(server).list_contacts("")
        assert not open_side(server).find_archived(["1"])
    assert isinstance(found["1"], CallError)
    assert found["1"].failure is Failure.NO_ANSWER
    assert not isinstance(found["2"], CallError)
    assert [record.id for record in page.records] == ["2"]
    assert [aside.id for aside in page.set_aside] == ["1"]
    with CannedServer(Told(200, odd)) as server:
        alone = open_side(server)._read_alone("1")
    assert isinstance(alone, CallError)


@pytest.mark.parametrize("paging", ["x", {"next": {}}, {"next": {"after": None}}, {"next": "x"}, [1]])
def test_a_page_with_a_next_one_that_cannot_be_asked_for_is_not_the_last(paging: object) -> None:
    with CannedServer(Told(200, {"results": [raw("1")], "paging": paging})) as server, pytest.raises(CallError) as one:
        open_side(server).list_contacts("")
    assert one.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("paging", [None, {}, {"next": None}, {"prev": {"before": "1"}}])
def test_a_page_without_a_next_one_is_the_last(paging: object) -> None:
    with CannedServer(Told(200, {"results": [raw("1")], "paging": paging})) as server:
        assert open_side(server).list_contacts("").next == ""
