"""The meaning of each error answer of HubSpot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.hubspot_answers import FIELDS, RATE, load_sample, open_side
from wanesync.adapters.hubspot.adapter import HubSpotOptions
from wanesync.adapters.hubspot.contacts import field_names
from wanesync.adapters.hubspot.errors import ErrorTable
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import ParkReason

TABLE = ErrorTable(field_names(FIELDS))


def ask(told: Told) -> CallError:
    with CannedServer(told) as server, pytest.raises(CallError) as raised:
        open_side(server).account()
    return raised.value


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


def test_whole_refusals(shared: Path) -> None:
    unnamed = load_sample(shared, "test__batch__create__contacts__err-conflict.json")
    error = TABLE.read_answer(409, {}, unnamed)
    assert (error.failure, error.existing_id) == (Failure.CONFLICT, None)
    for name in ("create", "update"):
        body = load_sample(shared, f"test__batch__{name}__contacts__err-many-invalid-properties.json")
        error = TABLE.read_answer(400, {}, body)
        assert (error.failure, error.fields) == (Failure.REFUSED, ("first000name", "last000name"))
        assert set(error.unknown) == {"first000name", "last000name"}
        told = TABLE.read_entry({"category": "VALIDATION_ERROR", "message": body["message"]})
        assert set(told.unknown) == set(error.unknown)
    twice = load_sample(shared, "test__batch__update__contacts__err-duplicate-ids.json")
    assert TABLE.read_answer(400, {}, twice).ids == ("123456",)


def test_shapes_other_clients_saw(shared: Path) -> None:
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


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PROPERTY_DOESNT_EXIST", ParkReason.UNKNOWN_PROPERTY),
        ("READ_ONLY_VALUE", ParkReason.READ_ONLY),
        ("PROPERTY_VALIDATION_RULE", ParkReason.PORTAL_RULE),
        ("INVALID_OPTION", ParkReason.INVALID),
        ("A_CODE_OF_TOMORROW", ParkReason.INVALID),
    ],
)
def test_a_refused_property_is_named_with_its_reason(code: str, reason: ParkReason) -> None:
    entry = {"message": "Ada is wrong", "code": code, "context": {"propertyName": ["zip"]}}
    error = TABLE.read_answer(400, {}, {"category": "VALIDATION_ERROR", "errors": [entry]})
    assert (error.fields, error.reasons) == (("postal_code",), {"postal_code": reason})
    listed = json.dumps([{"isValid": False, "message": "Ada", "error": code, "name": "zip"}])
    error = TABLE.read_answer(
        400, {}, {"category": "VALIDATION_ERROR", "message": f"Property values were not valid: {listed}"}
    )
    assert (error.fields, error.reasons) == (("postal_code",), {"postal_code": reason})
