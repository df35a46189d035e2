"""Headers of every answer."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.support.admin import AdminSite, build_site
from tests.support.admin_routes import list_routes
from wanesync.admin.security.headers import HSTS
from wanesync.admin.services import AccessSettings

WANTED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def check(answer: object) -> str:
    """The nonce of an answer that has all headers."""
    headers = answer.headers  # type: ignore[attr-defined] # an answer of the test client
    assert {name: headers[name] for name in WANTED} == WANTED
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    for part in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "server" not in headers
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert nonce
    return nonce[1]


@pytest.mark.parametrize("role", ["", "viewer", "admin"])
def test_every_answer_has_them_whatever_it_is(admin: AdminSite, role: str) -> None:
    browser = admin.sign_in(role) if role else admin.open_browser()
    for route in list_routes(admin.app):
        if route.streams and role:
            continue
        answer = browser.client.request(route.method, route.path, data={"csrf": browser.csrf})
        check(answer)
        if not route.path.startswith("/assets"):
            assert answer.headers["cache-control"] == "no-store", route
    for path in ("/nothing", "/assets/nothing", "/audit?below=x", "/%00"):
        answer = browser.get(path)
        check(answer)
        assert answer.headers["cache-control"] == "no-store"
    check(browser.client.request("DELETE", "/account"))


def test_an_error_that_nothing_expected_has_them_and_shows_nothing(
    admin: AdminSite, caplog: pytest.LogCaptureFixture
) -> None:
    @admin.app.get("/healthz/boom")
    def fail() -> None:
        raise RuntimeError("anna@example.com")

    browser = admin.sign_in("viewer")
    answer = browser.get("/healthz/boom")
    assert answer.status_code == 500
    check(answer)
    assert "anna@example.com" not in answer.text + caplog.text


def test_each_page_has_its_own_nonce_on_every_script_and_style(admin: AdminSite) -> None:
    browser = admin.sign_in("admin")
    first, second = browser.get("/users"), browser.get("/users")
    assert check(first) != check(second)
    tags = re.findall(r"<(?:script|link rel=\"stylesheet\")[^>]*>", first.text)
    assert len(tags) >= 4
    assert all(f'nonce="{check(first)}"' in tag for tag in tags)


@pytest.mark.parametrize("secure", [True, False])
def test_browsers_are_told_to_come_over_tls_where_there_is_tls(admin: AdminSite, secure: bool) -> None:
    site = build_site(replace(admin.services, access=AccessSettings(secure=secure)))
    assert site.open_browser().get("/login").headers.get("strict-transport-security") == (HSTS if secure else None)
