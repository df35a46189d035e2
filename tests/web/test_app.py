"""The web application over real HTTP: its routes, its headers, health, readiness and metrics."""

from __future__ import annotations

import pytest

from tests.support.web_door import (
    HUBSPOT,
    PUBLIC_URL,
    STRIPE,
    Door,
    Memory,
    change,
    serve,
)
from wanesync.core.errors import DatabaseUnavailable
from wanesync.web.settings import WebSettings


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(door: Door, method: str) -> None:
    for path in (HUBSPOT, STRIPE):
        answer = door.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_other_paths_do_not_exist(door: Door) -> None:
    for path in ("/", "/webhooks", "/webhooks/hubspot/", "/../etc/passwd", "/webhooks/%00", "/.git/config"):
        answer = door.ask("POST", path)
        assert (answer.status, answer.json) == (404, {"error": "not found"})


def test_every_answer_carries_the_security_headers(door: Door) -> None:
    for answer in (
        door.ask("GET", "/healthz"),
        door.ask("GET", "/nowhere"),
        door.post_hubspot([]),
        door.ask("PUT", STRIPE),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_health_readiness_and_metrics() -> None:
    reasons = ["the database is down", ""]
    settings = WebSettings(
        public_url=PUBLIC_URL,
        ready=lambda: reasons[0],
        gauges=lambda: {
            'wanesync_jobs{lane="stripe",state="ready"}': 12,
            "wanesync_certificate_ends_seconds": 1798624546,
        },
        shows_metrics=True,
    )
    with serve(settings, Memory()) as door:
        assert door.ask("GET", "/healthz").json == {"status": "ok"}
        down = door.ask("GET", "/readyz")
        assert (down.status, down.json["reason"]) == (503, "the database is down")
        reasons.pop(0)
        assert door.ask("GET", "/readyz").status == 200
        door.post_hubspot([change(), change(2)])
        door.post_hubspot([change()], **{"X-HubSpot-Request-Timestamp": "0"})
        page = door.ask("GET", "/metrics")
    lines = page.body.decode().splitlines()
    assert page.headers["content-type"].startswith("text/plain")
    assert 'wanesync_webhooks_total{side="hubspot",status="200"} 1.0' in lines
    assert 'wanesync_webhooks_total{side="hubspot",status="401"} 1.0' in lines
    assert 'wanesync_events_stored_total{side="hubspot"} 2.0' in lines
    assert 'wanesync_jobs{lane="stripe",state="ready"} 12.0' in lines
    assert "wanesync_certificate_ends_seconds 1.798624546e+09" in lines


def test_probes_that_fail_say_so() -> None:
    def fail() -> dict[str, float]:
        raise DatabaseUnavailable("postgresql://user:password@host")

    def fail_too() -> str:
        raise DatabaseUnavailable("postgresql://user:password@host")

    with serve(WebSettings(ready=fail_too, gauges=fail, shows_metrics=True), Memory()) as door:
        ready, metrics = door.ask("GET", "/readyz"), door.ask("GET", "/metrics")
    assert (ready.status, ready.json["reason"]) == (503, "DatabaseUnavailable")
    assert (metrics.status, b"password" in metrics.body) == (200, False)
    assert b"wanesync_gauges_available 0.0" in metrics.body


def test_a_public_door_shows_neither_figures_nor_reasons() -> None:
    settings = WebSettings(public_url=PUBLIC_URL, ready=lambda: "the database is down")
    with serve(settings, Memory()) as door:
        assert door.ask("GET", "/metrics").status == 404
        down = door.ask("GET", "/readyz")
        assert (down.status, down.json) == (503, {"status": "not ready"})
        assert door.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("", False),
        ("Bearer the-right-token", True),
        ("bearer  the-right-token ", True),
        ("Bearer the-right-tokem", False),
        ("Bearer the-right-token2", False),
        ("Bearer", False),
        ("Basic the-right-token", False),
        ("the-right-token", False),
    ],
)
def test_figures_and_reasons_are_shown_to_the_right_token_alone(given: str, seen: bool) -> None:
    settings = WebSettings(ready=lambda: "down", metrics_token="the-right-token", shows_metrics=True)
    assert "the-right-token" not in repr(settings)
    with serve(settings, Memory()) as door:
        headers = {"Authorization": given} if given else {}
        page = door.ask("GET", "/metrics", headers=headers)
        assert page.status == (200 if seen else 401)
        assert seen or page.headers["www-authenticate"] == "Bearer"
        assert ("reason" in door.ask("GET", "/readyz", headers=headers).json) == seen
