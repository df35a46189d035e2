"""The webhook endpoints over real HTTP: what is stored and what is refused; nothing makes a traceback or a 500."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.captured_logs import captured_logs
from tests.support.web_door import (
    HUBSPOT,
    LIMIT,
    PUBLIC_URL,
    SECRET,
    STRIPE,
    Door,
    Memory,
    QuickMemory,
    change,
    serve,
    sign_hubspot,
    sign_stripe,
)
from wanesync.core.errors import DatabaseUnavailable, DecryptionFailed, WanesyncError
from wanesync.core.model import Side
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web import body_memory
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import WebSettings


def test_hubspots_events_are_stored(door: Door) -> None:
    answer = door.post_hubspot([change(1), change(2)])
    assert (answer.status, answer.json) == (200, {"stored": 2})
    assert [event.record_id for event in door.intake.stored[0].events] == ["1", "2"]


def test_stripes_events_are_stored(door: Door) -> None:
    data = {"object": {"id": "cus_1", "object": "customer"}}
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.deleted",
        "created": 1,
        "livemode": False,
        "data": data,
    }
    answer = door.post_stripe(event)
    assert (answer.status, answer.json) == (200, {"stored": 1})


def test_one_bad_element_among_a_hundred_is_set_aside(door: Door) -> None:
    answer = door.post_hubspot([*map(change, range(1, 100)), change("nobody")])
    assert answer.json == {"stored": 99}
    assert len(door.intake.stored[0].set_aside) == 1


@pytest.mark.parametrize("offset_ms", [-400_000, 400_000])
def test_what_is_rightly_signed_at_another_time_is_to_be_repeated(door: Door, offset_ms: int) -> None:
    body = json.dumps([change()]).encode()
    assert door.ask("POST", HUBSPOT, body, sign_hubspot(body, offset_ms=offset_ms)).status == 503
    assert door.ask("POST", STRIPE, body, sign_stripe(body, offset_ms // 1000)).status == 503
    forged = sign_hubspot(body, secret="another", offset_ms=offset_ms)
    assert door.ask("POST", HUBSPOT, body, forged).status == 401
    assert door.intake.stored == []


def test_forged_truncated_and_unsigned_webhooks_are_refused(door: Door) -> None:
    body = json.dumps([change()]).encode()
    good = sign_hubspot(body)
    for sent, headers in (
        (body, sign_hubspot(body, secret="another")),
        (body[:-1], good),
        (body, {"Content-Type": "application/json"}),
        (body, good | {"X-HubSpot-Signature-v3": "\xe9"}),
        (body, sign_hubspot(body, path=STRIPE)),
        (b"", sign_hubspot(b"x")),
    ):
        answer = door.ask("POST", HUBSPOT, sent, headers)
        assert (answer.status, sorted(answer.json)) == (401, ["error"])
    assert door.ask("POST", HUBSPOT + "?x=1", body, good).status == 401
    assert door.ask("POST", STRIPE, body, good).status == 401
    assert door.intake.stored == []


def test_a_header_sent_twice_is_not_trusted(door: Door) -> None:
    body = json.dumps([change()]).encode()
    good = sign_hubspot(body)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", HUBSPOT)
    for name, value in (*good.items(), ("X-HubSpot-Signature-v3", "x"), ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders(body)
    assert connection.getresponse().status == 401
    connection.close()


def test_signed_nonsense_is_refused(door: Door) -> None:
    for body in (b"{", b"\xff\xfe[]", b"{}", b"[" * 10_000, b"[NaN"):
        answer = door.ask("POST", HUBSPOT, body, sign_hubspot(body))
        assert (answer.status, sorted(answer.json)) == (400, ["error"])
    assert door.intake.stored == []


def test_the_signature_decides_whatever_content_type_is_announced(door: Door) -> None:
    for content_type in ("text/html", "application/x-www-form-urlencoded", "application/vnd.x+json"):
        assert door.post_hubspot([change()], **{"Content-Type": content_type}).status == 200
        assert door.ask("POST", HUBSPOT, b"[]", {"Content-Type": content_type}).status == 401


@pytest.mark.case(5)
def test_a_character_no_database_holds_sets_only_its_element_aside(door: Door) -> None:
    edit = {"subscriptionType": "contact.propertyChange", "propertyName": "city", "propertyValue": "Ulm"}
    answer = door.post_hubspot([change(1) | edit | {"changeSource": "CRM\0UI"}, change(2)])
    assert (answer.status, answer.json) == (200, {"stored": 1})
    assert len(door.intake.stored[0].set_aside) == 1


@pytest.mark.case(6)
def test_an_amount_no_database_holds_sets_its_charge_aside(door: Door) -> None:
    charge = {
        "id": "ch_1", "object": "charge", "amount": 1 << 63, "amount_captured": 1 << 63, "currency": "eur",
        "paid": True, "captured": True, "customer": "cus_1", "payment_intent": "pi_1",
    }  # fmt: skip
    event = {
        "id": "evt_1", "object": "event", "type": "charge.succeeded", "created": 1, "livemode": False,
        "data": {"object": charge},
    }  # fmt: skip
    answer = door.post_stripe(event)
    assert (answer.status, answer.json) == (200, {"stored": 0})
    [(_, reason)] = door.intake.stored[0].set_aside
    assert reason == "charge ch_1: no usable amount or currency"


def test_a_hundred_events_with_the_longest_texts_are_accepted() -> None:
    text = "\N{EURO SIGN}" * 65_536
    events = [change(i) | {"propertyName": "city", "propertyValue": text} for i in range(1, 101)]
    with serve(WebSettings(public_url=PUBLIC_URL), Memory()) as door:
        answer = door.post_hubspot(events)
        assert (answer.status, answer.json) == (200, {"stored": 100})


def test_bodies_that_stop_arriving_do_not_keep_a_webhook_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_memory, "SMALL_BODIES_BYTES", 8_000)
    with serve(WebSettings(public_url=PUBLIC_URL), Memory()) as door, ExitStack() as opened:
        head = f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n".encode()
        stalled = []
        for _ in range(8):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=10))
            client.sendall(head + b"[" * 1_000)
            stalled.append(client)
        assert [door.post_hubspot([change(i)]).status for i in range(1, 4)] == [200] * 3
        assert stalled[0].recv(100).startswith(b"HTTP/1.1 503 ")


def test_a_body_that_is_too_large_is_not_read(door: Door) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", HUBSPOT)
    connection.putheader("Content-Length", str(10 * LIMIT))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (413, "close")
    connection.close()


def test_a_body_without_a_length_is_cut_off_at_the_limit(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
        head = f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        try:
            while sent < 64 * LIMIT:
                client.sendall(chunk)
                sent += len(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 32 * LIMIT  # what the buffers of two sockets hold, not the whole
    assert door.intake.stored == []
    assert door.ask("GET", "/healthz").status == 200


def test_a_sender_that_goes_away_harms_no_other(door: Door) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
            client.sendall(f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n[".encode())
    assert door.post_hubspot([change()]).status == 200


def test_a_body_that_never_ends_is_given_up() -> None:
    settings = WebSettings(public_url=PUBLIC_URL, body_timeout_s=0.05)
    with serve(settings, Memory()) as door, socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
        client.sendall(f"POST {HUBSPOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n[".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "trouble",
    [
        DatabaseUnavailable("busy"),
        DecryptionFailed("key"),
        RuntimeError("secret ada@example.com"),
        KeyError("x"),
        TimeoutError(),
    ],
)
def test_our_own_trouble_is_a_503_and_tells_nothing(
    door: Door, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    door.intake.trouble = trouble
    with captured_logs() as lines:
        answer = door.post_hubspot([change()])
    # Only our own errors are free of what came from outside.
    reason = str(trouble) if isinstance(trouble, WanesyncError) else ""
    assert [(line["error"], line["reason"]) for line in lines] == [(type(trouble).__name__, reason)]
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b"ada@" not in answer.body
    assert "ada@" not in caplog.text
    assert b"Traceback" not in answer.body
    door.intake.trouble = None
    assert door.post_hubspot([change()]).status == 200


def test_ten_posts_are_stored_at_once() -> None:
    intake = Memory(gate=threading.Barrier(8))
    with serve(WebSettings(public_url=PUBLIC_URL, threads=8), intake) as door, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: door.post_hubspot([change(n)]).status, range(1, 9)))
    assert answers == [200] * 8
    assert len(intake.stored) == 8


def test_small_posts_need_no_thread_each_and_a_large_one_does_not_stop_the_event_loop() -> None:
    intake = QuickMemory()
    with serve(WebSettings(public_url=PUBLIC_URL, threads=1), intake) as door, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: door.post_hubspot([change(n)]).json, range(8)))
        large = door.post_hubspot([change(n) | {"propertyValue": "x" * 1_000} for n in range(20)])
    assert answers == [{"stored": 1}] * 8
    assert large.json == {"stored": 20}
    assert sum(intake.commits) == 8


def test_posts_that_cannot_be_handed_over_are_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise RuntimeError("can't start new thread")

    with serve(WebSettings(public_url=PUBLIC_URL), QuickMemory()) as door:
        with monkeypatch.context() as patch:
            patch.setattr(QuickMemory, "store_prepared", fail)
            assert door.post_hubspot([change()]).status == 503
        assert door.post_hubspot([change()]).status == 200


def test_posts_that_are_stored_together_are_counted_each() -> None:
    counts = WebhookCounters()
    with serve(WebSettings(public_url=PUBLIC_URL), QuickMemory(), counts) as door, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: door.post_hubspot([change(n)]), range(4)))
        door.ask("POST", HUBSPOT, b"[]")
    assert counts.read_answers() == ([(("hubspot", 200), 4), (("hubspot", 401), 1)], [("hubspot", 4)])
    assert counts.take_outcomes() == {(Side.HUBSPOT, Outcome.ACCEPTED): 4, (Side.HUBSPOT, Outcome.SIGNATURE): 1}
    assert counts.take_times().count == 5


def test_without_a_public_address_the_request_s_own_is_signed() -> None:
    with serve(WebSettings(), Memory()) as door:
        body = json.dumps([change()]).encode()
        at_ms = str(time.time_ns() // 1_000_000)
        url = f"http://127.0.0.1:{door.port}{HUBSPOT}"
        text = f"POST{url}".encode() + body + at_ms.encode()
        mark = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
        headers = {"X-HubSpot-Signature-v3": mark, "X-HubSpot-Request-Timestamp": at_ms}
        assert door.ask("POST", HUBSPOT, body, headers).status == 200
