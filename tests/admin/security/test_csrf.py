"""Requests that change something come from our own pages: each such route is tried with tokens that are none."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing

import pytest
from fastapi import FastAPI

from tests.support.admin import URL, AdminSite
from tests.support.admin_routes import FoundRoute, list_routes
from wanesync.admin.security.csrf import is_foreign, make_token, matches

OPEN = {"/login", "/setup", "/password"}


def changing_routes(app: FastAPI) -> list[FoundRoute]:
    return [route for route in list_routes(app) if route.changes and route.path not in OPEN]


def dump(admin: AdminSite) -> list[str]:
    """Everything in the database but the times of use."""
    with closing(sqlite3.connect(admin.store.url_label.removeprefix("sqlite:"))) as connection:
        return [line for line in connection.iterdump() if "admin_guesses" not in line]


def without_audit(lines: list[str]) -> list[str]:
    """The same without the audit log: a download is noted there."""
    return [line for line in lines if 'INTO "audit_' not in line]


@pytest.mark.parametrize("kind", ["missing", "wrong", "empty", "of another session", "of another site", "Origin null"])
def test_no_changing_route_takes_a_request_that_our_page_did_not_send(admin: AdminSite, kind: str) -> None:
    browser, other = admin.sign_in("admin"), admin.sign_in("admin", "other")
    headers: dict[str, str] = {}
    form: Mapping[str, str] = {"csrf": browser.csrf}
    if kind in {"missing", "wrong", "empty", "of another session"}:
        form = {"missing": {}, "wrong": {"csrf": "0" * 64}, "empty": {"csrf": ""}}.get(kind, {"csrf": other.csrf})
    elif kind == "of another site":
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    else:
        headers = {"Origin": "null"}
    routes, before = changing_routes(admin.app), dump(admin)
    assert len(routes) > 10
    for route in routes:
        answer = browser.client.request(route.method, route.path, data=form, headers=headers)
        assert answer.status_code == 403, route
    assert dump(admin) == before


def test_no_reading_route_changes_anything(admin: AdminSite) -> None:
    browser = admin.sign_in("admin")

    def read_all() -> list[str]:
        for route in list_routes(admin.app):
            if not route.changes and not route.streams:
                assert browser.get(route.path).status_code < 500, route
        return without_audit(dump(admin))

    # The first one may do what the start of a process does: the field map of the configuration is stored.
    assert read_all() == read_all()


def test_the_token_may_stand_in_a_header(admin: AdminSite) -> None:
    browser = admin.sign_in("admin")
    answer = browser.client.post(
        "/users/add", data={"name": "ben", "role": "viewer"}, headers={"X-CSRF-Token": browser.csrf}
    )
    assert answer.status_code == 200


def test_a_session_has_one_token_and_another_session_another() -> None:
    assert make_token("one") == make_token("one") != make_token("two")
    assert not matches("", "")


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://127.0.0.1:8900"}, False),
        ({"origin": "http://127.0.0.1:8901"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://["}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, True),
    ],
)
def test_what_the_browser_says_of_the_sender(headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(headers, URL.removeprefix("http://")) is foreign
