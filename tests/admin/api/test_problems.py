"""Every typed error becomes a problem (RFC 9457) in one place."""

from __future__ import annotations

import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from wanesync.admin.api.cursors import InvalidCursor
from wanesync.admin.api.idempotency import KeyInUse, KeyReused
from wanesync.admin.api.problems import KINDS, MEDIA_TYPE, answer_problem, describe_problem, find_kind
from wanesync.core.errors import (
    CallError,
    ConfigError,
    DatabaseUnavailable,
    Failure,
    GuardError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    SidePaused,
    TooManyGuesses,
    TooManyTests,
    WanesyncError,
)
from wanesync.core.model import Side
from wanesync.store.session import TransactionConflict


class Unlisted(NotFound):
    """An error without a kind of its own."""


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (NotFound("no hold has the id 7"), 404, "not-found"),
        (Unlisted("x"), 404, "not-found"),
        (ConfigError(["rate: 0 is too small", "second"]), 422, "invalid-request"),
        (InvalidCursor(), 422, "invalid-cursor"),
        (KeyReused(), 422, "idempotency-key-reused"),
        (KeyInUse(), 409, "idempotency-key-in-use"),
        (NotSignedIn("sign in first"), 401, "unauthorized"),
        (NotAllowed("the role viewer may not"), 403, "forbidden"),
        (TooManyGuesses(60), 429, "too-many-requests"),
        (TooManyTests(60), 429, "too-many-tests"),
        (GuardError("too many"), 409, "guard"),
        (SidePaused(Side.STRIPE), 409, "side-paused"),
        (DatabaseUnavailable("the database is locked"), 503, "database-unavailable"),
        (TransactionConflict("conflict"), 503, "database-unavailable"),
        (CallError(Side.STRIPE, Failure.REFUSED, "email_invalid", 400), 502, "vendor-refused"),
        (WanesyncError("x"), 500, "failed"),
        (HTTPException(403, "role viewer may not"), 403, "forbidden"),
    ],
)
def test_the_kind_and_the_status_of_an_error(error: Exception, status: int, name: str) -> None:
    answer = answer_problem(error)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, answer.media_type) == (status, MEDIA_TYPE)
    assert (body["status"], body["type"]) == (status, f"urn:wanesync:problem:{name}")
    assert body["title"]
    assert body["detail"]


def test_every_mistake_of_a_configuration_is_named() -> None:
    assert describe_problem(ConfigError(["first", "second"])).detail == "first; second"


def test_an_unexpected_error_shows_nothing_of_its_message() -> None:
    problem = describe_problem(ValueError("anna@example.com"))
    assert problem.status == 500
    assert "anna" not in problem.model_dump_json()


def test_a_refused_value_is_named_by_its_place_and_not_repeated() -> None:
    wrong = {"type": "int_parsing", "loc": ("body", "rate"), "msg": "not a number", "input": "anna@example.com"}
    problem = describe_problem(RequestValidationError([wrong]))
    assert [(field.where, field.why) for field in problem.fields] == [("body.rate", "not a number")]
    assert "anna" not in problem.model_dump_json()


def test_an_outage_says_when_to_come_again_and_a_refusal_keeps_its_headers() -> None:
    assert answer_problem(DatabaseUnavailable("x")).headers["Retry-After"] == "5"
    assert answer_problem(TooManyGuesses(60)).headers["Retry-After"] == "60"
    assert answer_problem(NotSignedIn("sign in first")).headers["WWW-Authenticate"] == "Bearer"
    refused = answer_problem(HTTPException(401, "no token", {"WWW-Authenticate": "Bearer"}))
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_no_two_kinds_have_one_name() -> None:
    kinds = set(KINDS.values())
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert find_kind(Exception()).status == 500
