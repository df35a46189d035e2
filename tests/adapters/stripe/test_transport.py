"""The SDK's door to the network: what leaves, when, and what is refused."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from typing import Literal

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.network import ANY_ADDRESS
from tests.support.stripe_answers import CUSTOMER
from wanesync.adapters import http_answers
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.adapters.stripe.transport import MAX_PAGE_BYTES
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap


def open_side(
    url: str, gate: Callable[[], None] = lambda: None, sent: Callable[[], None] = lambda: None
) -> StripeAdapter:
    options = StripeOptions("sk_test_secret", url, network=ANY_ADDRESS, event_key=b"k", gate=gate, sent=sent)
    return StripeAdapter(options, FieldMap(DEFAULT_FIELDS))


def test_the_gate_opens_before_each_request() -> None:
    moments: list[str] = []

    def answer(_: Asked) -> Told:
        moments.append("asked")
        return Told(200, CUSTOMER)

    with CannedServer(answer=answer) as server:
        side = open_side(server.url, gate=lambda: moments.append("gate"))
        side.read_customer("cus_1")
        side.create_customer('{"name": "Ann"}', "key")
    assert moments == ["gate", "asked"] * 2


def test_a_request_says_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_CLI", "1")
    with CannedServer(Told(200, CUSTOMER)) as server:
        open_side(server.url).read_customer("cus_1")
        sent = str(server.asked[0].headers)
    assert "gemini" not in sent


def test_a_request_leaves_in_one_piece_and_it_is_told_when(monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[str] = []
    send = http.client.HTTPConnection.send

    def note(connection: http.client.HTTPConnection, data: bytes) -> None:
        send(connection, data)
        moments.append(f"{data[:4].decode()}...{data[-4:].decode()}")

    monkeypatch.setattr(http.client.HTTPConnection, "send", note)
    with CannedServer(Told(200, CUSTOMER)) as server:
        side = open_side(server.url, gate=lambda: moments.append("gate"), sent=lambda: moments.append("sent"))
        side.read_customer("cus_1")
        side.create_customer('{"name": "Ann"}', "key")
        assert server.asked[1].body == b"name=Ann"
    assert moments == ["gate", "GET ...\r\n\r\n", "sent", "gate", "POST...=Ann", "sent"]


def test_a_request_that_does_not_leave_is_not_told() -> None:
    moments: list[str] = []
    with CannedServer(Told(200, CUSTOMER)) as server:
        gone = server.url
    with pytest.raises(CallError):
        open_side(gone, sent=lambda: moments.append("sent")).read_customer("cus_1")
    assert moments == []


def test_a_redirect_is_refused_and_its_address_never_asked() -> None:
    with (
        CannedServer(Told(200, CUSTOMER)) as elsewhere,
        CannedServer(Told(307, b"", {"Location": f"{elsewhere.url}/v1/customers/cus_1"})) as server,
    ):
        with pytest.raises(CallError, match="redirected") as raised:
            open_side(server.url).read_customer("cus_1")
        assert raised.value.failure is Failure.UNAVAILABLE
        assert len(server.asked) == 1
        assert elsewhere.asked == []


def test_a_packed_answer_is_unpacked() -> None:
    packed = gzip.compress(json.dumps(CUSTOMER).encode())
    with CannedServer(Told(200, packed, {"Content-Encoding": "gzip"})) as server:
        record = open_side(server.url).read_customer("cus_1").record
        assert "gzip" in server.asked[0].headers["Accept-Encoding"]
    assert record is not None
    assert record.id == "cus_1"


@pytest.mark.case(38)
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_not_read(status: int, packed: bool) -> None:
    body = json.dumps({**CUSTOMER, "name": "x" * MAX_PAGE_BYTES}).encode()
    answer = Told(status, gzip.compress(body) if packed else body, {"Content-Encoding": "gzip"} if packed else {})
    with CannedServer(answer) as server, pytest.raises(CallError) as raised:
        open_side(server.url).read_customer("cus_1")
    assert raised.value.failure is (Failure.UNUSABLE if status == 200 else Failure.REFUSED)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding: str) -> None:
    packed = gzip.compress(gzip.compress(json.dumps(CUSTOMER).encode()))
    with CannedServer(Told(200, packed, {"Content-Encoding": encoding})) as server, pytest.raises(CallError) as raised:
        open_side(server.url).read_customer("cus_1")
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_trickles_ends_in_time(monkeypatch: pytest.MonkeyPatch, part: Literal["head", "body"]) -> None:
    monkeypatch.setattr(http_answers, "MAX_ANSWER_S", 0.2)
    with CannedServer(Told(trickle=part)) as server, pytest.raises(CallError) as raised:
        open_side(server.url).read_customer("cus_1")
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
    with CannedServer(Told(200, CUSTOMER, {"Content-Type": content_type})) as server:
        if accepted:
            open_side(server.url).read_customer("cus_1")
            return
        with pytest.raises(CallError) as raised:
            open_side(server.url).read_customer("cus_1")
    assert raised.value.failure is Failure.NO_ANSWER


@pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=idna", "application/json; charset=x"])
def test_an_error_is_an_error_in_any_content_type(content_type: str) -> None:
    with (
        CannedServer(Told(503, b"<html>\xff", {"Content-Type": content_type})) as server,
        pytest.raises(CallError) as raised,
    ):
        open_side(server.url).read_customer("cus_1")
    assert raised.value.status == 503


def test_a_key_with_a_line_break_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="holds a line break") as raised:
        StripeOptions("sk_test_planted\nX-Other: 1", event_key=b"k")
    assert "planted" not in str(raised.value)


def test_a_customer_that_is_not_utf_8_is_set_aside() -> None:
    content = json.dumps(CUSTOMER).encode().replace(b"A@x.de", b"\xff@x.de")
    with CannedServer(Told(200, content)) as server, pytest.raises(CallError) as raised:
        open_side(server.url).read_customer("cus_1")
    assert raised.value.failure is Failure.UNUSABLE


def test_of_a_list_only_the_customer_that_is_not_utf_8_is_set_aside() -> None:
    page = {"object": "list", "has_more": False, "data": [CUSTOMER, {**CUSTOMER, "id": "cus_2", "email": "ODD"}]}
    content = json.dumps(page).encode().replace(b"ODD", b"\xff@x.de")
    with CannedServer(Told(200, content)) as server:
        found = open_side(server.url).list_customers("", 0, 0)
    assert ([r.id for r in found.records], [r.id for r in found.set_aside]) == (["cus_1"], ["cus_2"])
