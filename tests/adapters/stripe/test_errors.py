"""The meaning of each error answer of Stripe."""

from __future__ import annotations

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.stripe_answers import CUSTOMER, INVALID, RETRY, open_side, problem
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import ParkReason


def ask(told: Told) -> CallError:
    with CannedServer(told) as server, pytest.raises(CallError) as raised:
        open_side(server).update_customer("cus_1", '{"phone": "1"}', "key")
    return raised.value


LIMITED = {"Stripe-Rate-Limited-Reason": "endpoint-rate"}


@pytest.mark.parametrize(
    ("told", "failure", "scope"),
    [
        (Told(429, problem(INVALID, "rate_limit"), LIMITED), Failure.RATE_LIMITED, "endpoint-rate"),
        (Told(429, problem(INVALID, "rate_limit")), Failure.RATE_LIMITED, ""),
        (Told(429, problem(INVALID, "lock_timeout"), {RETRY: "true"}), Failure.BUSY, ""),
        (Told(409, problem("idempotency_error", "idempotency_key_in_use")), Failure.IN_FLIGHT, ""),
        (Told(400, problem("idempotency_error")), Failure.MISMATCH, ""),
        (Told(400, problem(INVALID, "email_invalid", "email")), Failure.REFUSED, ""),
        (Told(400, problem(INVALID), {RETRY: "true"}), Failure.BUSY, ""),
        (Told(402, problem("card_error", "card_declined")), Failure.REFUSED, ""),
        (Told(404, problem(INVALID, "resource_missing", "id")), Failure.NOT_FOUND, ""),
        (Told(404, problem(INVALID, "resource_missing", "source")), Failure.REFUSED, ""),
        (Told(404, problem(INVALID)), Failure.REFUSED, ""),
        (Told(404, b"<html>"), Failure.UNAVAILABLE, ""),
        (Told(401, problem(INVALID)), Failure.UNAUTHORISED, ""),
        (
            Told(403, problem(INVALID, message="Having the 'rak_customer_write' permission would allow this")),
            Failure.FORBIDDEN, "rak_customer_write",
        ),
        (Told(500, problem("api_error")), Failure.SERVER, ""),
        (Told(500, b"<html>"), Failure.SERVER, ""),
        (Told(502, b"<html>"), Failure.UNAVAILABLE, ""),
        (Told(503, problem("api_error")), Failure.UNAVAILABLE, ""),
        (Told(503, problem("api_error"), {RETRY: "false"}), Failure.SERVER, ""),
        (Told(504, b""), Failure.UNAVAILABLE, ""),
        (Told(302, b"", {"Location": "http://127.0.0.1:9/"}), Failure.UNAVAILABLE, ""),
        (Told(200, b"<html>"), Failure.NO_ANSWER, ""),
        (Told(200, b'{"id": "cus'), Failure.NO_ANSWER, ""),
        (Told(200, b"[]"), Failure.NO_ANSWER, ""),
        (Told(200, {"object": "list"}), Failure.NO_ANSWER, ""),
        (Told(200, CUSTOMER, cut=True), Failure.NO_ANSWER, ""),
        (Told(reset=True), Failure.NO_ANSWER, ""),
    ],
)  # fmt: skip
def test_the_error_table(told: Told, failure: Failure, scope: str) -> None:
    error = ask(told)
    assert (error.failure, error.scope) == (failure, scope)
    assert "ada@" not in str(error)
    assert "ada@" not in repr(error.__cause__)


@pytest.mark.parametrize(
    ("param", "name"),
    [
        ("email", "email"), ("address[city]", "city"), ("metadata[job]", "job"), ("preferred_locales[0]", "language"),
        ("shipping[name]", "shipping[name]"), ("business_name", "company"),
    ],
)  # fmt: skip
def test_a_refused_parameter_is_named_as_our_field(param: str, name: str) -> None:
    assert ask(Told(400, problem(INVALID, "parameter_invalid", param))).fields == (name,)


@pytest.mark.parametrize(
    ("code", "param", "field", "reason"),
    [
        ("", "metadata", "metadata", ParkReason.NO_ROOM),
        ("", "metadata[job]", "job", ParkReason.INVALID),
        ("parameter_unknown", "business_name", "company", ParkReason.UNKNOWN_PROPERTY),
        ("parameter_invalid_string_too_long", "phone", "phone", ParkReason.INVALID),
    ],
)
def test_a_refused_parameter_is_named_with_its_reason(code: str, param: str, field: str, reason: ParkReason) -> None:
    error = ask(Told(400, problem(INVALID, code, param)))
    assert (error.fields, error.reasons) == ((field,), {field: reason})
