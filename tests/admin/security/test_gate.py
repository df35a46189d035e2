"""Nothing is open but what is listed as open: every route is found by crawling the application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI

from tests.support.admin import URL, AdminSite, build_site
from tests.support.admin_routes import FoundRoute, list_routes
from tests.support.store_fixtures import Clock
from wanesync.admin.rendering import ASSETS, FOLDER
from wanesync.admin.security.gate import OPEN, REFRESH
from wanesync.admin.services import AccessSettings
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.tokens import create_token

OPEN_ROUTES = {
    *("GET /login", "POST /login"),
    *("GET /setup", "POST /setup"),
    *("GET /password", "POST /password"),
    *("GET /assets/1", "GET /healthz"),
}
"""What needs nobody to be signed in. Whatever is added here has a check of its own, or shows nothing."""


def closed_routes(app: FastAPI) -> list[FoundRoute]:
    return [route for route in list_routes(app) if str(route) not in OPEN_ROUTES]


def test_every_route_asks_for_a_permission(admin_app: FastAPI) -> None:
    without = {str(route) for route in list_routes(admin_app) if route.permission is None}
    assert without == OPEN_ROUTES
    assert {path.partition(" ")[2] for path in OPEN_ROUTES} - {"/assets/1"} == OPEN


def test_logged_out_every_route_leads_to_the_log_in_or_is_401(admin: AdminSite) -> None:
    browser = admin.open_browser()
    routes = closed_routes(admin.app)
    assert len(routes) > 15
    for route in routes:
        answer = browser.client.request(route.method, route.path, headers={"Origin": URL})
        if route.path.startswith("/api/"):
            assert answer.status_code == 401, route
            assert answer.headers["www-authenticate"] == "Bearer"
        else:
            assert answer.status_code == 303, route
            assert answer.headers["location"].startswith("/login"), route


@pytest.mark.parametrize(
    "path", ["/nothing", "/users/../users", "//users", "/Users", "/users/", "/api/v1/nothing", "/.env"]
)
def test_logged_out_not_even_a_path_that_is_not_there_says_so(admin: AdminSite, path: str) -> None:
    assert admin.open_browser().client.get(URL + path).status_code in {303, 401}


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "wanesync=nothing"},
        {"Cookie": "wanesync="},
        {"Cookie": "__Host-wanesync=" + "x" * 43},
        {"Authorization": "Bearer wane_nothing_nothing"},
        {"Authorization": "Basic YTpi"},
        {"X-Forwarded-User": "admin1", "X-Forwarded-For": "127.0.0.1"},
        {"X-Original-URL": "/login", "X-Rewrite-URL": "/login"},
        {"X-HTTP-Method-Override": "GET"},
    ],
)
def test_no_header_opens_a_page(admin: AdminSite, headers: dict[str, str]) -> None:
    admin.add_user("admin1", OperatorRole.ADMIN)
    assert admin.open_browser().client.get("/users", headers=headers).status_code == 303


def test_a_token_of_the_api_opens_the_api_and_no_page(admin: AdminSite) -> None:
    _, token = create_token(admin.store, SYSTEM, "script", OperatorRole.ADMIN, 1)
    assert admin.open_browser().get("/users", Authorization=f"Bearer {token}").status_code == 303


def test_the_page_that_was_wanted_follows_the_log_in(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    browser = admin.open_browser()
    answer = browser.get("/audit?operator=anna&below=3")
    assert answer.headers["location"] == "/login?next=/audit%3Foperator%3Danna%26below%3D3"
    form = {"name": "anna", "password": "correct horse battery staple", "next": "/audit?operator=anna"}
    assert browser.post("/login", form).headers["location"] == "/audit?operator=anna"


@pytest.mark.parametrize(
    "next_path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a\nb", "//[", ""]
)
def test_no_log_in_leads_to_another_site(admin: AdminSite, next_path: str) -> None:
    admin.add_user("anna", OperatorRole.VIEWER)
    form = {"name": "anna", "password": "correct horse battery staple", "next": next_path}
    assert admin.open_browser().post("/login", form).headers["location"] == "/"


def test_a_part_of_a_page_that_is_asked_for_without_a_session_leads_to_the_log_in(admin: AdminSite) -> None:
    answer = admin.open_browser().get("/audit", HX_Request="true")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8900", 200),
        ("localhost:8900", 200),
        ("[::1]:8900", 200),
        ("LOCALHOST", 200),
        ("evil.example", 403),
        ("evil.example:8900", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_name_that_another_site_has_led_here_is_refused(admin: AdminSite, host: str, status: int) -> None:
    access = AccessSettings(hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}))
    site = build_site(replace(admin.services, access=access))
    assert site.open_browser().get("/healthz", Host=host).status_code == status


@pytest.mark.parametrize("form", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_no_large_body_is_taken_from_anyone(admin: AdminSite, form: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="name"; filename="a"\r\n\r\n' if form[-1] == "x" else b"name="
    taken: list[int] = []

    def send() -> Iterator[bytes]:
        for piece in (head, *[b"a" * 60_000] * 20, b"\r\n--x--\r\n"):
            taken.append(len(piece))
            yield piece

    browser = admin.open_browser()
    for body in (b"".join(send()), send()):
        answer = browser.client.post("/login", content=body, headers={"Origin": URL, "Content-Type": form})
        assert answer.status_code == 413
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_request_that_names_a_token_is_no_request_of_a_session(admin: AdminSite) -> None:
    browser = admin.sign_in("admin")
    assert browser.get("/api/v1/status").status_code == 200
    for value in ("x", "Bearer", "Bearer ", "Basic YTpi"):
        assert browser.get("/api/v1/status", Authorization=value).status_code == 401


def test_a_page_that_refreshes_itself_does_not_keep_the_session_of_who_has_left(admin: AdminSite, clock: Clock) -> None:
    left, busy = admin.sign_in("viewer"), admin.sign_in("viewer")
    half_ms = admin.services.access.limits.idle_ms * 2 // 3
    for status in (200, 303):
        clock.advance(half_ms)
        assert left.get("/queue", X_Wanesync_Refresh="1").status_code == status
        assert busy.get("/queue").status_code == 200


def test_each_script_that_loads_by_itself_says_so() -> None:
    texts = [path.read_text() for path in (FOLDER / "templates").rglob("*.html")]
    assert [text.count("every ") for text in texts if 'hx-trigger="every' in text] == [1]
    assert all(REFRESH in text.lower() for text in texts if 'hx-trigger="every' in text)
    assert REFRESH in (ASSETS / "refresh.js").read_text().lower()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8900/assets/", "127.0.0.1:8900/api/", "127.0.0.1:8900/login?", "[", "a@b#"]
)
def test_the_name_of_the_host_does_not_change_the_path(admin: AdminSite, host: str) -> None:
    assert admin.open_browser().get("/users", Host=host).status_code == 303
    _, token = create_token(admin.store, SYSTEM, "script", OperatorRole.ADMIN, 1)
    assert admin.open_browser().get("/users", Host=host, Authorization=f"Bearer {token}").status_code == 303
