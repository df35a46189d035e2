"""What a side says about when to come again."""

from __future__ import annotations

import ssl
from http.client import RemoteDisconnected

import pytest
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, SSLError

from wanesync.adapters.http_answers import (
    check_content_type,
    name_network_error,
    read_clock_ms,
    read_retry_after_ms,
    was_unsent,
)

NOW = "Mon, 23 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"Retry-After": "3"}, 3_000),
        ({"retry-after": "0.5"}, 500),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": NOW}, 30_000),
        ({"retry-after": "Mon, 23 Nov 2026 09:59:00 GMT", "date": NOW}, 0),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 30 Nov 2026 10:00:00 GMT", "Date": NOW}, None),
        ({"Retry-After": "soon", "Date": NOW}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": f"Mon, 23 Nov {'9' * 20} 10:00:00 GMT", "Date": NOW}, None),
        ({"Retry-After": NOW, "Date": f"Mon, 23 Nov 2026 10:00:00 +{'9' * 20}"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Date": NOW}, None),
    ],
)
def test_how_long_to_wait_is_told_in_seconds_or_by_a_date(headers: dict[str, str], wait_ms: int | None) -> None:
    assert read_retry_after_ms(headers) == wait_ms


def test_an_answer_that_is_not_taken_is_named_without_what_its_headers_hold() -> None:
    with pytest.raises(HTTPError) as caught:
        check_content_type({"content-type": "text/html"})
    assert name_network_error(caught.value) == "a content type that was not asked for"
    assert name_network_error(HTTPError("an encoding that was not asked for (jane@leak.example)")) == (
        "an encoding that was not asked for"
    )
    assert name_network_error(TimeoutError("jane@leak.example")) == "TimeoutError"


@pytest.mark.parametrize("verify_code", [9, 10, 18])
def test_a_certificate_of_another_time_names_the_clock(verify_code: int) -> None:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code = verify_code
    named = name_network_error(SSLError(error))
    assert ("check this machine's clock" in named) == (verify_code != 18)


@pytest.mark.parametrize(
    ("headers", "clock_ms"),
    [({"Date": "Thu, 01 Jan 1970 00:00:07 GMT"}, 7_000), ({}, 0), ({"date": "yesterday"}, 0)],
)
def test_an_answer_shows_the_clock_of_its_server(headers: dict[str, str], clock_ms: int) -> None:
    assert read_clock_ms(headers) == clock_ms


def test_only_an_explicit_cause_shows_that_a_request_was_not_sent() -> None:
    """The error that happens to be handled meanwhile is of another request: a sent one would be sent again."""
    refused = ConnectionRefusedError()
    lost = ProtocolError("Connection aborted.", RemoteDisconnected("closed"))
    # As it is where it was raised while the other one was handled.
    lost.__context__ = refused
    assert not was_unsent(lost)
    assert was_unsent(MaxRetryError(None, "/", refused))  # type: ignore[arg-type] # no pool is looked at
    assert was_unsent(ProtocolError("Connection aborted.", refused))
    chained = OSError()
    chained.__cause__ = refused
    assert was_unsent(chained)
