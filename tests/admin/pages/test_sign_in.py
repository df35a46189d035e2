"""The open pages."""

from __future__ import annotations

import pytest

from tests.support.admin import PASSWORD, AdminSite
from tests.support.store_fixtures import Clock
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.logins import PASSWORD_LINK_MS, SETUP_LINK_MS, make_password_link, make_setup_link

FORM = {"name": "Anna", "password": PASSWORD, "again": PASSWORD}


def test_the_first_user_is_made_by_the_link_of_the_first_start(admin: AdminSite) -> None:
    token = make_setup_link(admin.store)
    browser = admin.open_browser()
    assert "first user" in browser.get(f"/setup?token={token}").text
    assert browser.post("/setup", FORM | {"token": token}).headers["location"] == "/login"
    assert browser.sign_in("anna").status_code == 303
    assert browser.get("/users").status_code == 200, "the first user is an admin"
    assert browser.get(f"/setup?token={token}").status_code == 404
    assert browser.post("/setup", FORM | {"token": token, "name": "ben"}).status_code == 404
    assert make_setup_link(admin.store) == "", "there is a user"


@pytest.mark.parametrize("token", ["", "wrong", "x" * 500])
def test_no_other_link_makes_a_user(admin: AdminSite, token: str) -> None:
    make_setup_link(admin.store)
    browser = admin.open_browser()
    assert browser.get(f"/setup?token={token}").status_code == 404
    assert browser.post("/setup", FORM | {"token": token}).status_code == 404
    assert admin.store.read(lambda tx: tx.admin_users.count()) == 0


def test_a_newer_link_replaces_the_older_one_and_both_end(admin: AdminSite, clock: Clock) -> None:
    old, new = make_setup_link(admin.store), make_setup_link(admin.store)
    browser = admin.open_browser()
    assert [browser.get(f"/setup?token={token}").status_code for token in (old, new)] == [404, 200]
    clock.advance(SETUP_LINK_MS)
    assert browser.get(f"/setup?token={new}").status_code == 404


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"again": "another"}, "differ"),
        ({"password": "short", "again": "short"}, "at least 12"),
        ({"password": "passwordpassword", "again": "passwordpassword"}, "guessed first"),
        ({"name": "an na"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
    ],
)
def test_a_mistake_in_the_form_is_named_and_the_link_stays(
    admin: AdminSite, change: dict[str, str], problem: str
) -> None:
    token = make_setup_link(admin.store)
    answer = admin.open_browser().post("/setup", FORM | {"token": token} | change)
    assert (answer.status_code, problem in answer.text) == (422, True)
    assert PASSWORD not in answer.text
    assert admin.open_browser().post("/setup", FORM | {"token": token}).status_code == 303


def test_a_link_sets_a_password_once_and_ends_every_session(admin: AdminSite, clock: Clock) -> None:
    browser = admin.sign_in("viewer", "anna")
    token = make_password_link(admin.store, SYSTEM, "anna")
    new = {"token": token, "password": "another staple battery", "again": "another staple battery"}
    assert browser.get(f"/setup?token={token}").status_code == 404, "it makes no user"
    assert admin.open_browser().post("/setup", new | {"name": "ben"}).status_code == 404
    assert "anna" in admin.open_browser().get(f"/password?token={token}").text
    assert admin.open_browser().post("/password", new | {"again": "x"}).status_code == 422
    assert admin.open_browser().post("/password", new).status_code == 303
    assert browser.get("/account").status_code == 303
    assert admin.open_browser().post("/password", new).status_code == 404
    assert admin.open_browser().sign_in("anna", "another staple battery").status_code == 303
    late = make_password_link(admin.store, SYSTEM, "anna")
    clock.advance(PASSWORD_LINK_MS)
    assert admin.open_browser().get(f"/password?token={late}").status_code == 404


def test_a_set_up_link_sets_no_password(admin: AdminSite) -> None:
    token = make_setup_link(admin.store)
    assert admin.open_browser().get(f"/password?token={token}").status_code == 404
    assert admin.open_browser().post("/password", FORM | {"token": token}).status_code == 404


def test_a_user_who_is_logged_in_sees_no_log_in(admin: AdminSite) -> None:
    assert admin.sign_in("viewer").get("/login?next=/account").headers["location"] == "/account"


def test_what_was_typed_is_escaped(admin: AdminSite) -> None:
    text = admin.open_browser().sign_in('"><script>alert(1)</script>', "x").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_no_default_user_is_there(admin: AdminSite) -> None:
    for name in ("admin", "root", "wanesync", "user"):
        for password in ("admin", "password", "wanesync", ""):
            assert admin.open_browser(f"192.0.2.{len(name + password)}").sign_in(name, password).status_code in {
                401,
                429,
            }
    admin.add_user("ben", OperatorRole.VIEWER, "")
    assert admin.open_browser("198.51.100.1").sign_in("ben", "x").status_code == 401
