"""Webhooks of chat services: their shapes, and what their answers mean."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.ports import free_port
from wanesync.adapters.network import NetworkPolicy
from wanesync.adapters.notices import webhooks
from wanesync.adapters.notices.webhooks import (
    MAX_DISCORD_CHARS,
    call_address,
    post_notice,
    shape_discord,
    shape_slack,
    shape_teams,
)
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind
from wanesync.core.operating.recipients import parse_recipient

EVIL = "<!channel> & <https://evil.example|click> @everyone [click](https://evil.example)"


def message(body: str = "2 letters", kind: NoticeKind = NoticeKind.RAISED) -> Message:
    return Message("id-1", 0, Notice(kind, Level.WARN, "dead_letters", "stripe", "[warn] Dead letters", body))


def post(server: CannedServer, shape: str = "") -> Mapping[str, object]:
    post_notice(parse_recipient(f"{shape}{server.url}/services/T0/secret"), message(), NetworkPolicy())
    asked = server.asked[-1]
    assert (asked.method, asked.path) == ("POST", "/services/T0/secret")
    found: Mapping[str, object] = json.loads(asked.body)
    return found


def test_each_shape_is_posted_as_json() -> None:
    with CannedServer(Told()) as server:
        assert post(server) == {"text": "\N{LARGE YELLOW CIRCLE} [warn] Dead letters\n2 letters"}
        assert post(server, "discord+")["allowed_mentions"] == {"parse": []}
        assert post(server, "teams+")["type"] == "message"
        assert post(server, "json+") == message().as_json()
        assert server.asked[-1].headers["Content-Type"] == "application/json"


def test_nothing_in_a_text_mentions_or_links() -> None:
    text = str(shape_slack(message(EVIL))["text"])
    assert "<" not in text
    assert "&lt;!channel&gt; &amp; " in text
    card = json.dumps(shape_teams(message(EVIL)))
    assert "\\\\[click\\\\](https" in card


def test_a_recovery_is_green_and_a_long_text_is_cut() -> None:
    assert str(shape_slack(message(kind=NoticeKind.RECOVERED))["text"]).startswith("\N{LARGE GREEN CIRCLE}")
    assert len(str(shape_discord(message("x" * 9_000))["content"])) == MAX_DISCORD_CHARS


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s", "of_message"),
    [
        (500, {}, 0, False),
        (404, {}, 0, False),
        (400, {}, 0, True),
        (429, {"Retry-After": "30"}, 30, False),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0, False),
        (302, {"Location": "https://elsewhere.example/"}, 0, False),
    ],
)
def test_any_other_answer_is_a_failure(
    status: int, headers: Mapping[str, str], retry_after_s: float, of_message: bool
) -> None:
    def answer(_asked: Asked) -> Told:
        return Told(status, b"no_service: secret", headers)

    with CannedServer(answer=answer) as server, pytest.raises(DeliveryFailed) as caught:
        post(server)
    assert str(caught.value) == f"it answered {status}"
    assert (caught.value.retry_after_s, caught.value.of_message) == (retry_after_s, of_message)


def test_refused_broken_and_slow_connections_are_named_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    recipient = parse_recipient(f"http://127.0.0.1:{free_port()}/services/secret")
    with pytest.raises(DeliveryFailed, match="no connection") as caught:
        post_notice(recipient, message(), NetworkPolicy())
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    with CannedServer(Told(reset=True)) as server, pytest.raises(DeliveryFailed, match="no answer"):
        post(server)
    monkeypatch.setattr(webhooks, "READ_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DeliveryFailed, match="no answer in time"):
        call_address(f"http://127.0.0.1:{silent.getsockname()[1]}/", NetworkPolicy())


def test_an_address_that_wants_to_be_called_is_called() -> None:
    with CannedServer(Told(204)) as server:
        call_address(f"{server.url}/ping/secret", NetworkPolicy())
        assert (server.asked[0].method, server.asked[0].path, server.asked[0].body) == ("GET", "/ping/secret", b"")


def test_a_proxy_that_cannot_be_used_is_named() -> None:
    with pytest.raises(DeliveryFailed, match="only http:// and https:// proxies"):
        call_address("https://hooks.slack.com/secret", NetworkPolicy(proxy="socks5://127.0.0.1:1"))
