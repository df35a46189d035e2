"""Whose word on a request counts: forwarding headers of trusted proxies, and of no one else."""

from __future__ import annotations

import pytest

from tests.support.captured_logs import captured_logs
from tests.support.web_door import HUBSPOT, PUBLIC_URL, Memory, change, serve, sign_hubspot
from wanesync.web.proxies import TrustedProxies, parse_network
from wanesync.web.settings import WebSettings

PROXIES = TrustedProxies(tuple(map(parse_network, ["127.0.0.1", "10.0.0.0/8", "fd00::/8"])))
FOR = "x-forwarded-for"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("127.0.0.1", {}, "127.0.0.1"),
        ("127.0.0.1", {FOR: "203.0.113.7"}, "203.0.113.7"),
        ("::ffff:127.0.0.1", {FOR: "203.0.113.7"}, "203.0.113.7"),
        ("203.0.113.9", {FOR: "198.51.100.1"}, "203.0.113.9"),
        ("203.0.113.9", {"forwarded": "for=198.51.100.1"}, "203.0.113.9"),
        # What the client wrote stands in front of what the proxies added.
        ("127.0.0.1", {FOR: "198.51.100.1, 203.0.113.7"}, "203.0.113.7"),
        ("127.0.0.1", {FOR: "198.51.100.1, 203.0.113.7, 10.1.2.3"}, "203.0.113.7"),
        ("127.0.0.1", {FOR: "10.1.2.3, 10.1.2.4"}, "10.1.2.3"),
        ("127.0.0.1", {FOR: "198.51.100.1, unknown, 10.1.2.3"}, "10.1.2.3"),
        ("127.0.0.1", {FOR: "nonsense"}, "127.0.0.1"),
        ("127.0.0.1", {FOR: "203.0.113.7:4711"}, "203.0.113.7"),
        ("fd00::1", {FOR: "2001:db8::7"}, "2001:db8::7"),
        ("127.0.0.1", {"forwarded": 'for=198.51.100.1, for="[2001:db8::7]:4711";proto=https'}, "2001:db8::7"),
        ("127.0.0.1", {"forwarded": "for=203.0.113.7;by=10.0.0.1, for=10.1.2.3"}, "203.0.113.7"),
        ("127.0.0.1", {"forwarded": "proto=https"}, "127.0.0.1"),
        ("127.0.0.1", {"forwarded": "for=203.0.113.7", FOR: "203.0.113.7"}, "203.0.113.7"),
        ("127.0.0.1", {"forwarded": "for=198.51.100.1", FOR: "203.0.113.7"}, "127.0.0.1"),
        ("127.0.0.1", {FOR: ", ".join(["203.0.113.7", *["10.0.0.1"] * 1_000])}, "10.0.0.1"),
        ("", {FOR: "203.0.113.7"}, ""),
    ],
)
def test_which_client_is_meant(peer: str, headers: dict[str, str], client: str) -> None:
    assert PROXIES.find_client(peer, headers) == client
    assert TrustedProxies().find_client(peer, headers) == peer


SPOOFED = {
    "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/elsewhere", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7;host=evil.example",
    "X-Original-URL": "/elsewhere", "X-Rewrite-URL": "/elsewhere", "Host": "evil.example",
}  # fmt: skip


@pytest.mark.parametrize("trusted", [False, True])
def test_headers_change_neither_the_signature_nor_the_counts_and_from_others_not_the_log(trusted: bool) -> None:
    settings = WebSettings(
        public_url=PUBLIC_URL, shows_metrics=True, trusted_proxies=PROXIES if trusted else TrustedProxies()
    )
    with captured_logs() as logged, serve(settings, Memory()) as door:
        plain, spoofed = door.post_hubspot([change()]), door.post_hubspot([change(2)], **SPOOFED)
        assert (plain.status, spoofed.status) == (200, 200), "what is signed is the configured address"
        body = b"[]"
        elsewhere = sign_hubspot(body, path=HUBSPOT) | {"X-HubSpot-Signature-v3": "AAAA"} | SPOOFED
        assert door.ask("POST", HUBSPOT, body, elsewhere).status == 401
        lines = door.ask("GET", "/metrics").body.decode()
    assert 'wanesync_webhooks_total{side="hubspot",status="200"} 2.0' in lines
    assert 'wanesync_webhooks_total{side="hubspot",status="401"} 1.0' in lines
    assert "203.0.113.7" not in lines
    clients = [line["client"] for line in logged if line["event"] == "webhook refused"]
    assert clients == ["203.0.113.7" if trusted else "127.0.0.1"]
    assert "evil.example" not in str(logged)
