"""The client of HubSpot: one request each, and the limits its answers show."""

from __future__ import annotations

import gzip
from typing import Literal

import pytest

from tests.support.canned_server import CannedServer, Told, closed_port
from tests.support.hubspot_answers import open_side
from tests.support.network import ANY_ADDRESS
from wanesync.adapters import http_answers
from wanesync.adapters.http_answers import MAX_BODY_BYTES, AnswerTooLarge
from wanesync.adapters.hubspot.adapter import HubSpotOptions
from wanesync.adapters.hubspot.api_paths import ACCOUNT, DEFINITION, DEFINITIONS
from wanesync.adapters.hubspot.client import HubSpotClient
from wanesync.adapters.hubspot.errors import ErrorTable
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.ports import Limits


def test_a_port_without_a_listener_is_unreached() -> None:
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


def test_the_gate_is_called_before_each_request_leaves_and_it_is_told_when_it_has_left() -> None:
    gates: list[int] = []
    sent: list[str] = []
    with CannedServer(Told(200, {"results": []})) as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS)
        client.put_gate(lambda: gates.append(len(server.asked)), sent=lambda: sent.append("sent"))
        for _ in range(2):
            client.call_path("GET", ACCOUNT)
    assert gates == [0, 1]
    assert sent == ["sent"] * 2


def test_a_part_of_a_path_is_quoted() -> None:
    with CannedServer(Told(200, {})) as server:
        HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path(
            "GET", DEFINITION, eventName="a/b c"
        )
        assert server.asked[0].path == "/events/v3/event-definitions/a%2Fb%20c"


@pytest.mark.case(38)
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_not_read(status: int, packed: bool) -> None:
    body = b'{"category": "' + b"x" * (MAX_BODY_BYTES + 1) + b'"}'
    answer = Told(status, gzip.compress(body) if packed else body, {"Content-Encoding": "gzip"} if packed else {})
    with CannedServer(answer) as server, pytest.raises(CallError) as raised:
        HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", ACCOUNT)
    if status == 200:
        assert isinstance(raised.value, AnswerTooLarge)
    assert raised.value.failure is (Failure.NO_ANSWER if status == 200 else Failure.REFUSED)


def test_a_path_that_is_not_in_the_table_is_not_sent() -> None:
    with CannedServer() as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS)
        with pytest.raises(ValueError, match="not in the table"):
            client.call_path("GET", "/crm/v3/objects/deals")
        assert server.asked == []


DOCS, SPEC = "/events/2026-09/event-definitions", "/events/custom/2026-09/event-definitions"
MISSING, FOUND = Told(404, b"<html>Not Found</html>"), Told(200, {"results": []})


def test_the_second_spelling_is_used_where_the_list_of_definitions_is_not_found_in_the_first() -> None:
    with CannedServer(MISSING, FOUND, FOUND) as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS, version="2026-09")
        for _ in range(2):
            client.call_path("GET", DEFINITIONS)
        assert [asked.path for asked in server.asked] == [SPEC, DOCS, DOCS]
    with CannedServer(MISSING, MISSING, FOUND) as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS, version="2026-09")
        client.call_path("GET", DEFINITION, eventName="a")
        assert [asked.path for asked in server.asked] == [f"{SPEC}/a", SPEC, f"{DOCS}/a"]


@pytest.mark.parametrize("listed", [FOUND, Told(403, {"category": "MISSING_SCOPES"})])
def test_a_definition_that_is_missing_is_not_looked_for_in_the_second_spelling(listed: Told) -> None:
    missing = Told(404, {"category": "OBJECT_NOT_FOUND"})
    with CannedServer(missing, listed, missing) as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS, version="2026-09")
        for _ in range(2):
            with pytest.raises(CallError) as raised:
                client.call_path("GET", DEFINITION, eventName="a")
            assert raised.value.failure is Failure.NOT_FOUND
        assert [asked.path for asked in server.asked] == [f"{SPEC}/a", SPEC, f"{SPEC}/a"]


def test_trouble_of_the_moment_decides_no_spelling() -> None:
    with CannedServer(MISSING, Told(503), FOUND) as server:
        client = HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS, version="2026-09")
        with pytest.raises(CallError) as raised:
            client.call_path("GET", DEFINITION, eventName="a")
        assert raised.value.failure is Failure.UNAVAILABLE
        client.call_path("GET", DEFINITION, eventName="a")
        assert [asked.path for asked in server.asked] == [f"{SPEC}/a", SPEC, f"{SPEC}/a"]


def test_v3_has_one_spelling() -> None:
    with CannedServer(Told(404, {"category": "OBJECT_NOT_FOUND"})) as server:
        with pytest.raises(CallError):
            HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", DEFINITIONS)
        assert [asked.path for asked in server.asked] == ["/events/v3/event-definitions"]


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_trickles_ends_in_time(monkeypatch: pytest.MonkeyPatch, part: Literal["head", "body"]) -> None:
    monkeypatch.setattr(http_answers, "MAX_ANSWER_S", 0.2)
    with CannedServer(Told(trickle=part)) as server, pytest.raises(CallError) as raised:
        HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", ACCOUNT)
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        ("application/json", True),
        ("application/json;charset=UTF-8", True),
        ('application/problem+json; charset="utf-8"', True),
        ("text/html; charset=utf-8", False),
        ("application/octet-stream", False),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=idna", False),
        ("application/json; charset=none-such", False),
    ],
)
def test_only_json_in_utf_8_is_an_answer(content_type: str, accepted: bool) -> None:
    with CannedServer(Told(200, {"portalId": 7}, {"Content-Type": content_type})) as server:
        if accepted:
            HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", ACCOUNT)
            return
        with pytest.raises(CallError) as raised:
            HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", ACCOUNT)
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=idna", "application/json; charset=x"])
def test_an_error_is_an_error_in_any_content_type(content_type: str) -> None:
    with (
        CannedServer(Told(503, b"<html>\xff", {"Content-Type": content_type})) as server,
        pytest.raises(CallError) as raised,
    ):
        HubSpotClient("pat-secret", server.url, ErrorTable({}), network=ANY_ADDRESS).call_path("GET", ACCOUNT)
    assert raised.value.status == 503


def test_a_key_with_a_line_break_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="holds a line break") as raised:
        HubSpotOptions("pat-planted\nX-Other: 1")
    assert "planted" not in str(raised.value)
