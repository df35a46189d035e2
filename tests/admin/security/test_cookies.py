"""Cookies and sessions: flags, ends, and that no old one comes back to life."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.admin import PASSWORD, AdminSite, Browser, build_site
from tests.support.store_fixtures import Clock
from wanesync.admin.services import AccessSettings
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.logins import hash_secret
from wanesync.ops.access.users import change_password, remove_user


@pytest.fixture
def anna(admin: AdminSite) -> Browser:
    return admin.sign_in("admin", "anna")


def test_over_tls_a_cookie_is_bound_to_the_host_and_to_tls(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    site = build_site(replace(admin.services, access=AccessSettings(secure=True)))
    answer = site.open_browser().post("/login", {"name": "anna", "password": PASSWORD})
    first, second = answer.headers.get_list("set-cookie")
    assert first.startswith("__Host-wanesync=")
    assert second.startswith("__Host-wanesync-device=")
    for cookie in (first, second):
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_on_plain_loopback_it_has_every_flag_but_those_of_tls(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    answer = admin.open_browser().post("/login", {"name": "anna", "password": PASSWORD})
    cookie = answer.headers.get_list("set-cookie")[0]
    assert cookie.startswith("wanesync-8900=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "Max-Age" not in cookie


def test_a_service_on_another_port_of_this_machine_neither_takes_nor_replaces_the_cookie(admin: AdminSite) -> None:
    """All ports of a host share their cookies: without TLS nothing else keeps two services apart."""
    admin.add_user("anna", OperatorRole.ADMIN)
    browser = admin.open_browser()
    browser.sign_in("anna")
    browser.client.cookies.set("wanesync-8901", "of another service", domain="127.0.0.1")
    assert browser.get("/account").status_code == 200
    assert browser.client.get("http://127.0.0.1:8901/account").status_code == 303


def test_a_session_has_256_random_bits_and_the_database_its_hash_alone(admin: AdminSite, anna: Browser) -> None:
    secret = anna.client.cookies["wanesync-8900"]
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    path = admin.store.url_label.removeprefix("sqlite:")
    content = b"".join(Path(path + end).read_bytes() for end in ("", "-wal"))
    assert secret.encode() not in content
    assert anna.csrf.encode() not in content


def test_a_log_in_has_a_new_id_and_ends_the_old_one(admin: AdminSite, anna: Browser) -> None:
    planted = anna.client.cookies["wanesync-8900"]
    anna.sign_in("anna")
    assert anna.client.cookies["wanesync-8900"] != planted
    other = admin.open_browser()
    other.client.cookies["wanesync-8900"] = planted
    assert other.get("/account").status_code == 303


def test_an_id_that_another_party_chose_is_never_taken(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    browser = admin.open_browser()
    chosen = "A" * 43
    browser.client.cookies.set("wanesync-8900", chosen, domain="127.0.0.1")
    assert browser.sign_in("anna").status_code == 303
    other = admin.open_browser()
    other.client.cookies["wanesync-8900"] = chosen
    assert other.get("/account").status_code == 303


def test_a_session_ends_with_the_log_out(admin: AdminSite, anna: Browser) -> None:
    secret = anna.client.cookies["wanesync-8900"]
    answer = anna.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "storage" in answer.headers["clear-site-data"]
    anna.client.cookies["wanesync-8900"] = secret
    assert anna.get("/account").status_code == 303


def test_other_sessions_end_with_a_new_password_and_all_of_them_with_the_user(admin: AdminSite, anna: Browser) -> None:
    other = admin.sign_in("admin", "anna")
    form = {"current": PASSWORD, "password": "another staple battery", "again": "another staple battery"}
    assert anna.post("/account/password", form).status_code == 303
    assert (anna.get("/account").status_code, other.get("/account").status_code) == (200, 303)
    change_password(admin.store, SYSTEM, "anna", "")
    assert anna.get("/account").status_code == 303
    ben = admin.sign_in("viewer", "ben")
    remove_user(admin.store, SYSTEM, "ben")
    assert ben.get("/account").status_code == 303


def test_a_session_ends_without_use_after_half_an_hour(anna: Browser, clock: Clock) -> None:
    for _ in range(5):
        clock.advance(25 * 60_000)
        assert anna.get("/account").status_code == 200
    clock.advance(31 * 60_000)
    assert anna.get("/account").status_code == 303


def test_a_session_ends_in_spite_of_use_after_twelve_hours(anna: Browser, clock: Clock) -> None:
    for _ in range(36):
        assert anna.get("/account").status_code == 200
        clock.advance(20 * 60_000)
    clock.advance(1_000)
    assert anna.get("/account").status_code == 303


def test_one_of_the_own_sessions_can_be_ended_and_no_other(admin: AdminSite, anna: Browser) -> None:
    second, ben = admin.sign_in("admin", "anna"), admin.sign_in("viewer", "ben")
    with admin.store.reading() as tx:
        ids = {user: [one.id for one in tx.admin_sessions.of(user)] for user in ("anna", "ben")}
    assert len(ids["anna"]) == 2
    assert anna.post("/account/sessions/end", {"session": ids["ben"][0]}).status_code == 404
    mine = hash_secret(anna.client.cookies["wanesync-8900"])
    for session in sorted(ids["anna"], key=lambda one: one == mine):
        assert anna.post("/account/sessions/end", {"session": session}).status_code == 303
    assert [one.get("/account").status_code for one in (anna, second, ben)] == [303, 303, 200]
