"""HubSpot's side: what it makes of each answer, of batches in any order, and of broken connections."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.canned_server import Asked, CannedServer, Told, closed_port
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.hubspot.contacts import field_names, properties_to_read, read_contact, write_properties
from wanesync.adapters.hubspot.errors import ErrorTable
from wanesync.adapters.hubspot.purchases import EVENT_PROPERTIES, write_event, write_note
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Record
from wanesync.core.ports import CreateItem, Limits, UpdateItem
from wanesync.core.purchases import Purchase

FIELDS = FieldMap(DEFAULT_FIELDS)
TABLE = ErrorTable(field_names(FIELDS))


def open_side(server: CannedServer | str, extra: list[str] | None = None) -> HubSpotAdapter:
    url = server if isinstance(server, str) else server.url
    calls = extra if extra is not None else []
    options = HubSpotOptions("pat-secret", url, portal="42", own_source_ids=frozenset({"77"}))
    return HubSpotAdapter(options, FIELDS, before_extra=lambda: calls.append("request"))


def ask(told: Told) -> CallError:
    with CannedServer(told) as server, pytest.raises(CallError) as raised:
        open_side(server).account()
    return raised.value


def raw(contact_id: str, **properties: str) -> dict[str, object]:
    return {"id": contact_id, "properties": {"lastmodifieddate": "2025-11-04T12:10:35.352Z", **properties}}


def conflict(trace: str) -> dict[str, object]:
    message = "Contact already exists. Existing ID: 51"
    return {"status": "error", "category": "CONFLICT", "message": message, "context": {"objectWriteTraceId": [trace]}}


RATE = {"status": "error", "errorType": "RATE_LIMIT", "message": "You have reached your limit."}


@pytest.mark.parametrize(
    ("told", "failure", "retry_ms", "scope"),
    [
        (Told(429, {**RATE, "policyName": "SECONDLY"}), Failure.RATE_LIMITED, 1_000, "SECONDLY"),
        (
            Told(429, {**RATE, "policyName": "TEN_SECONDLY_ROLLING"}),
            Failure.RATE_LIMITED, 10_000, "TEN_SECONDLY_ROLLING",
        ),
        (Told(429, {**RATE, "policyName": "SECONDLY"}, {"Retry-After": "3"}), Failure.RATE_LIMITED, 3_000, "SECONDLY"),
        (Told(429, {**RATE, "policyName": "DAILY"}), Failure.DAILY_LIMIT, None, "DAILY"),
        (Told(429, {"category": "RATE_LIMITS"}), Failure.RATE_LIMITED, None, ""),
        (Told(423, {"category": "LOCKED"}), Failure.BUSY, 2_000, ""),
        (Told(477, {}, {"Retry-After": "3600"}), Failure.MOVING, 3_600_000, ""),
        (Told(401, {"category": "INVALID_AUTHENTICATION"}), Failure.UNAUTHORISED, None, ""),
        (Told(403, b"<html>"), Failure.FORBIDDEN, None, ""),
        (Told(400, {"category": "VALIDATION_ERROR"}), Failure.REFUSED, None, ""),
        (Told(404, {"category": "OBJECT_NOT_FOUND"}), Failure.NOT_FOUND, None, ""),
        (Told(404, b"<html>no such page"), Failure.UNAVAILABLE, None, ""),
        (Told(409, {"category": "OBJECT_ALREADY_EXISTS"}), Failure.REFUSED, None, ""),
        (Told(500, {"category": "INTERNAL_ERROR"}), Failure.NO_ANSWER, None, ""),
        (Told(502, b"<html>"), Failure.UNAVAILABLE, None, ""),
        (Told(503, b"\xff\xfe"), Failure.UNAVAILABLE, None, ""),
        (Told(524, b""), Failure.UNAVAILABLE, None, ""),
        (Told(302, b"", {"Location": "http://127.0.0.1:9/"}), Failure.UNAVAILABLE, None, ""),
        (Told(200, b"<html>hello</html>"), Failure.NO_ANSWER, None, ""),
        (Told(200, b'{"portalId": 4'), Failure.NO_ANSWER, None, ""),
        (Told(200, b"[1]"), Failure.NO_ANSWER, None, ""),
        (Told(200, b'{"portalId": 4}', cut=True), Failure.NO_ANSWER, None, ""),
        (Told(reset=True), Failure.NO_ANSWER, None, ""),
    ],
)  # fmt: skip
def test_the_error_table(told: Told, failure: Failure, retry_ms: int | None, scope: str) -> None:
    error = ask(told)
    assert (error.failure, error.retry_after_ms, error.scope) == (failure, retry_ms, scope)


def test_nobody_listening_is_unreached() -> None:
    with pytest.raises(CallError) as raised:
        open_side(closed_port()).account()
    assert raised.value.failure is Failure.UNREACHED


def test_nothing_is_repeated_or_followed() -> None:
    for told in (Told(503, b"", {"Retry-After": "0"}), Told(429, {}, {"Retry-After": "0"})):
        with CannedServer(told) as server:
            with pytest.raises(CallError):
                open_side(server).account()
            assert len(server.asked) == 1
    with (
        CannedServer(Told(200, {"portalId": 1})) as away,
        CannedServer(Told(307, b"", {"Location": away.url})) as server,
    ):
        with pytest.raises(CallError):
            open_side(server).account()
        assert away.asked == []


def test_a_reason_quotes_no_values() -> None:
    message = "Email address ada@example.com is invalid; Property values were not valid: [secret]"
    body = {
        "category": "VALIDATION_ERROR",
        "message": message,
        "errors": [{"message": message, "code": "INVALID_EMAIL", "context": {"propertyName": ["email"]}}],
    }
    error = ask(Told(400, body))
    assert str(error) == "hubspot: refused (400): VALIDATION_ERROR: INVALID_EMAIL (email), status 400"
    assert error.fields == ("email",)
    assert error.__cause__ is None
    assert "pat-secret" not in repr(HubSpotOptions("pat-secret"))


def test_a_missing_scope_is_named() -> None:
    scopes = {"requiredGranularScopes": ["crm.objects.contacts.write"]}
    error = ask(Told(403, {"category": "MISSING_SCOPES", "errors": [{"message": "x", "context": scopes}]}))
    assert (error.failure, error.scope) == (Failure.FORBIDDEN, "crm.objects.contacts.write")


def test_rate_headers_are_kept() -> None:
    headers = {
        "X-HubSpot-RateLimit-Max": "190",
        "X-HubSpot-RateLimit-Remaining": "12",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Daily-Remaining": "624999",
    }
    with CannedServer(
        Told(200, {"portalId": 7, "accountType": "SANDBOX", "timeZone": "Asia/Tokyo"}, headers)
    ) as server:
        side = open_side(server)
        account = side.account()
        assert (account.id, account.mode, account.time_zone) == ("7", "test", "Asia/Tokyo")
        assert side.last_limits == Limits(190, 10_000, 12, 624_999)
        assert server.asked[0].headers["Authorization"] == "Bearer pat-secret"


class TestBatches:
    ITEMS = (
        CreateItem("a", {"email": "A@x.de", "wanesync_intent": "i1"}),
        CreateItem("b", {"email": "b@x.de", "wanesync_intent": "i2"}),
        CreateItem("c", {"email": "c@x.de", "wanesync_intent": "i3"}),
    )

    def create(self, body: object, status: int = 207) -> Mapping[str, Record | CallError]:
        with CannedServer(Told(status, body)) as server:
            outcomes = open_side(server).create_contacts(self.ITEMS)
            assert len(server.asked) == 1
        return outcomes

    def test_answers_in_any_order_are_matched(self) -> None:
        results = [raw("3", email="other@x.de", wanesync_intent="i3"), raw("1", email="a@x.de")]
        outcomes = self.create({"status": "COMPLETE", "results": results, "errors": [conflict("b")], "numErrors": 1})
        one, two, three = (outcomes[trace] for trace in "abc")
        assert isinstance(one, Record)
        assert isinstance(three, Record)
        assert isinstance(two, CallError)
        assert (one.id, three.id, two.failure, two.existing_id) == ("1", "3", Failure.CONFLICT, "51")

    def test_what_no_answer_names_is_unknown(self) -> None:
        outcomes = self.create({"results": [raw("1", email="a@x.de"), raw("9", email="stranger@x.de")]}, 201)
        assert [getattr(outcomes[trace], "failure", None) for trace in "abc"] == [
            None, Failure.NO_ANSWER, Failure.NO_ANSWER,
        ]  # fmt: skip

    def test_errors_without_a_name_are_nobodys(self) -> None:
        entry = {**conflict("x"), "context": {}}
        outcomes = self.create({"results": [raw("1", email="a@x.de")], "errors": [entry]})
        assert [getattr(outcomes[trace], "failure", None) for trace in "bc"] == [Failure.NO_ANSWER] * 2

    def test_a_refusal_that_names_its_inputs_needs_no_bisection(self) -> None:
        ids = [UpdateItem(str(n), str(n), {"city": "x"}) for n in range(50)]

        def answer(asked: Asked) -> Told:
            if asked.path.endswith("/batch/read"):
                return Told(200, {"results": [raw(str(entry["id"])) for entry in asked.inputs]})
            if any(entry["id"] == "7" for entry in asked.inputs):
                return Told(400, {"category": "VALIDATION_ERROR", "context": {"ids": ["7"]}})
            return Told(200, {"results": [raw(str(entry["id"]), city="x") for entry in asked.inputs]})

        extra: list[str] = []
        with CannedServer(answer=answer) as server:
            outcomes = open_side(server, extra).update_contacts(ids)
            writes = [asked for asked in server.asked if asked.path.endswith("/batch/update")]
        assert len(writes) == 2
        assert len(extra) == len(server.asked) - 1
        bad = [trace for trace, outcome in outcomes.items() if isinstance(outcome, CallError)]
        assert bad == ["7"]

    @pytest.mark.parametrize(
        ("poison", "most"),
        [([0], 9), ([63], 10), ([99], 10), ([3, 70], 19), ([1, 2, 50, 99], 37), (range(100), 4 * 8 + 96)],
    )
    def test_poison_is_found_by_halving(self, poison: Sequence[int], most: int) -> None:
        items = [CreateItem(f"t{n}", {"email": f"p{n}@x.de"}) for n in range(100)]
        bad = {f"p{n}@x.de" for n in poison}

        def answer(asked: Asked) -> Told:
            sent = [entry["properties"] for entry in asked.inputs]
            emails = [str(p["email"]) for p in sent if isinstance(p, dict)]
            if bad & set(emails):
                return Told(400, {"category": "VALIDATION_ERROR", "errors": [{"code": "INVALID_EMAIL"}]})
            return Told(201, {"results": [raw(email[1:-5], email=email) for email in reversed(emails)]})

        with CannedServer(answer=answer) as server:
            outcomes = open_side(server).create_contacts(items)
            assert len(server.asked) <= most
        assert len(outcomes) == 100
        for n, item in enumerate(items):
            outcome = outcomes[item.trace]
            if item.properties["email"] in bad:
                assert isinstance(outcome, CallError)
                assert outcome.failure is Failure.REFUSED
            else:
                assert isinstance(outcome, Record)
                assert outcome.id == str(n)

    def test_a_side_that_fails_in_between_is_not_asked_again(self) -> None:
        refusal = Told(400, {"category": "VALIDATION_ERROR"})
        good = Told(201, {"results": [raw("1", email="a@x.de", wanesync_intent="i1")]})
        with CannedServer(refusal, good, Told(503)) as server:
            outcomes = open_side(server).create_contacts([*self.ITEMS, CreateItem("d", {"email": "d@x.de"})])
            assert len(server.asked) == 3
        kinds = {trace: getattr(outcome, "failure", None) for trace, outcome in outcomes.items()}
        assert kinds == {"a": None, "b": Failure.NO_ANSWER, "c": Failure.UNAVAILABLE, "d": Failure.UNREACHED}

    def test_a_first_request_without_an_answer_raises(self) -> None:
        with CannedServer(Told(reset=True)) as server, pytest.raises(CallError) as raised:
            open_side(server).create_contacts(self.ITEMS)
        assert raised.value.failure is Failure.NO_ANSWER

    def test_an_update_that_cannot_be_read_back_is_unknown(self) -> None:
        with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), Told(503)) as server:
            outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
        assert isinstance(outcome, CallError)
        assert outcome.failure is Failure.NO_ANSWER

    def test_a_reading_back_that_is_refused_says_so(self) -> None:
        refusal = Told(429, {**RATE, "policyName": "SECONDLY"})
        with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), refusal) as server:
            outcome = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
        assert isinstance(outcome, CallError)
        assert outcome.failure is Failure.NO_ANSWER
        assert isinstance(outcome.__cause__, CallError)
        assert outcome.__cause__.failure is Failure.RATE_LIMITED

    def test_an_edit_that_comes_between_is_not_taken_for_ours(self) -> None:
        later = {"id": "5", "properties": {"city": "Oslo", "phone": "1", "lastmodifieddate": "2025-11-04T12:10:36Z"}}
        with CannedServer(Told(200, {"results": [raw("5", city="Rom")]}), Told(200, {"results": [later]})) as server:
            record = open_side(server).update_contacts([UpdateItem("t", "5", {"city": "Rom"})])["t"]
        assert isinstance(record, Record)
        assert (record.values["city"], record.values["phone"]) == ("Rom", "1")
        assert record.modified_ms == 1_762_258_235_352

    def test_wrong_sizes_are_our_own_mistake(self) -> None:
        side = open_side(closed_port())
        with pytest.raises(ValueError, match="at most 100"):
            side.create_contacts([CreateItem(str(n), {}) for n in range(101)])
        with pytest.raises(ValueError, match="share a key"):
            side.update_contacts([UpdateItem("a", "1", {}), UpdateItem("b", "1", {})])


class TestReads:
    def test_an_id_the_answer_leaves_open_is_read_alone(self) -> None:
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

    def test_a_listing_without_results_is_no_empty_page(self) -> None:
        with CannedServer(Told(200, {"total": 0})) as server, pytest.raises(CallError) as raised:
            open_side(server).list_contacts("")
        assert raised.value.failure is Failure.NO_ANSWER

    def test_a_page_has_the_time_of_its_answer(self) -> None:
        body = {"results": [raw("1")], "paging": {"next": {"after": "2"}}}
        with CannedServer(Told(200, body)) as server:
            page = open_side(server).list_contacts("1", 5)
            assert "limit=5&after=1&" in server.asked[0].path
        assert (page.next, [record.id for record in page.records]) == ("2", ["1"])
        assert page.timing.to_ms - page.timing.from_ms >= 999

    def test_origin_by_source_id(self) -> None:
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


def test_a_property_of_ours_that_is_not_unique_stops_the_setup() -> None:
    body = {"results": [{"name": "wanesync_intent", "hasUniqueValue": False}]}
    with CannedServer(Told(200, body)) as server, pytest.raises(ConfigError, match="wanesync_intent"):
        open_side(server).prepare(with_events=False)


class TestPurchases:
    PURCHASE = Purchase(
        "pi_1", "ch_1", "", "", "", 1500, "jpy", 1_700_000_000_123, "Tee <b>& Gebäck</b>" * 20, contact_id="12"
    )

    def test_an_event(self) -> None:
        event = write_event(self.PURCHASE, "pe42_stripe_purchase")
        properties = event["properties"]
        assert isinstance(properties, dict)
        assert properties["amount"] == "1500"
        assert "customer_id" not in properties
        assert len(properties["description"]) == 256
        assert set(properties) <= set(EVENT_PROPERTIES)
        assert event["uuid"] == self.PURCHASE.event_uuid
        assert event["occurredAt"] == "2023-11-14T22:13:20.123Z"

    def test_a_note_escapes_what_others_wrote(self) -> None:
        properties = write_note(self.PURCHASE)["properties"]
        assert isinstance(properties, dict)
        body = properties["hs_note_body"]
        assert "<b>" not in body
        assert "1500 JPY" in body
        assert body.endswith("[wanesync:pi_1]")

    def test_an_event_hubspot_has_already_counts_as_taken(self) -> None:
        with CannedServer(Told(409, {"category": "CONFLICT"})) as server:
            assert open_side(server).send_events({"pi_1": self.PURCHASE}) == {"pi_1": None}

    def test_one_bad_event_does_not_hold_up_the_others(self) -> None:
        items = {
            f"pi_{n}": Purchase(f"pi_{n}", "ch", "", "", "", n, "usd", 0, contact_id="bad" if n == 3 else "1")
            for n in range(8)
        }

        def answer(asked: Asked) -> Told:
            bad = any(entry["objectId"] == "bad" for entry in asked.inputs)
            return Told(400, {"category": "VALIDATION_ERROR"}) if bad else Told(204)

        with CannedServer(answer=answer) as server:
            outcomes = open_side(server).send_events(items)
        assert [payment for payment, outcome in outcomes.items() if outcome is not None] == ["pi_3"]


class TestWire:
    def test_null_missing_and_blank_are_one(self) -> None:
        record = read_contact({"id": "1", "properties": {"email": None, "phone": "", "firstname": " "}}, FIELDS)
        assert set(record.values.values()) == {""}
        assert set(record.values) == set(FIELDS.by_name)

    def test_all_addresses_count(self) -> None:
        properties = {"email": "A@x.de", "hs_additional_emails": "b@x.de; C@x.de;"}
        assert read_contact({"id": "1", "properties": properties}, FIELDS).emails == {"a@x.de", "b@x.de", "c@x.de"}

    def test_ids_of_merged_contacts(self) -> None:
        properties = {"hs_merged_object_ids": "2;3", "hs_calculated_merged_vids": "3:1700000000000;4:1700000000001;1:5"}
        assert read_contact({"id": "1", "properties": properties}, FIELDS).merged_ids == ("2", "3", "4")

    def test_only_what_is_needed_is_read(self) -> None:
        names = properties_to_read(FIELDS)
        assert len(names) == len(set(names))
        assert {"email", "firstname", "lastname", "wanesync_intent", "hs_additional_emails"} <= set(names)

    def test_a_name_goes_out_as_two_properties(self) -> None:
        assert write_properties({"name": "Ada\x1fByron", "phone": ""}, FIELDS) == {
            "firstname": "Ada", "lastname": "Byron", "phone": "",
        }  # fmt: skip
        assert write_properties({"name": ""}, FIELDS) == {"firstname": "", "lastname": ""}


class TestSamples:
    """Recorded answers of the real HubSpot."""

    @staticmethod
    def load(shared: Path, name: str) -> dict[str, object]:
        loaded: dict[str, object] = json.loads((shared / "samples" / "hubspot" / name).read_text())
        return loaded

    def test_creations(self, shared: Path) -> None:
        body = self.load(shared, "test__batch__create__contacts__success.json")
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

    def test_a_partial_creation(self, shared: Path) -> None:
        body = self.load(shared, "test__batch__create__contacts__err-partial-success.json")
        items = [CreateItem("0", {"email": "taken@hubspot.com"}), CreateItem("1", {"email": "siena.dyer@hubspot.com"})]
        with CannedServer(Told(207, body)) as server:
            outcomes = open_side(server).create_contacts(items)
        refused = outcomes["0"]
        assert isinstance(refused, CallError)
        assert (refused.failure, refused.existing_id) == (Failure.CONFLICT, "171591000198")
        assert isinstance(outcomes["1"], Record)

    def test_whole_refusals(self, shared: Path) -> None:
        unnamed = self.load(shared, "test__batch__create__contacts__err-conflict.json")
        error = TABLE.read_answer(409, {}, unnamed)
        assert (error.failure, error.existing_id) == (Failure.CONFLICT, None)
        for name in ("create", "update"):
            body = self.load(shared, f"test__batch__{name}__contacts__err-many-invalid-properties.json")
            error = TABLE.read_answer(400, {}, body)
            assert (error.failure, error.fields) == (Failure.REFUSED, ("first000name", "last000name"))
            assert set(error.unknown) == {"first000name", "last000name"}
            told = TABLE.read_entry({"category": "VALIDATION_ERROR", "message": body["message"]})
            assert set(told.unknown) == set(error.unknown)
        twice = self.load(shared, "test__batch__update__contacts__err-duplicate-ids.json")
        assert TABLE.read_answer(400, {}, twice).ids == ("123456",)

    @pytest.mark.parametrize("name", ["success", "err-partial-success"])
    def test_updates(self, shared: Path, name: str) -> None:
        body = self.load(shared, f"test__batch__update__contacts__{name}.json")
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

    def test_a_search(self, shared: Path) -> None:
        asked = self.load(shared, "test__read-via-search__contacts-payload.json")
        body = self.load(shared, "test__read-via-search__contacts-response.json")
        with CannedServer(Told(200, body)) as server:
            assert open_side(server).search_modified(5, "7") == [("220006890315", 1_778_095_578_036)]
            ours = json.loads(server.asked[0].body)
        [condition] = asked["filterGroups"][0]["filters"]  # type: ignore[index] # plain JSON
        first = ours["filterGroups"][0]["filters"][0]
        assert (first["propertyName"], first["operator"]) == (condition["propertyName"], condition["operator"])

    def test_shapes_other_clients_saw(self, shared: Path) -> None:
        shapes = json.loads((shared / "samples" / "hubspot_errors.json").read_text())
        expected = {
            "409_create": Failure.CONFLICT,
            "404_get": Failure.NOT_FOUND,
            "400_validation": Failure.REFUSED,
            "403_scopes": Failure.FORBIDDEN,
            "429": Failure.RATE_LIMITED,
        }
        for name, failure in expected.items():
            error = TABLE.read_answer(shapes[name]["status"], {}, shapes[name]["body"])
            assert error.failure is failure, name
        assert TABLE.read_answer(409, {}, shapes["409_create"]["body"]).existing_id == "3401"
        with CannedServer(Told(207, shapes["207_batch_read"]["body"])) as server:
            found = open_side(server).read_contacts(["1", "99999"])
        assert found["99999"] is None
        assert found["1"] is not None
