"""Users in the browser."""

from __future__ import annotations

import re

import pyotp

from tests.support.admin import AdminSite
from tests.support.store_fixtures import Clock
from wanesync.admin.security.second_factor import confirm, prepare
from wanesync.core.operating.operators import SYSTEM, OperatorRole


def test_an_added_user_sets_the_password_by_a_link(admin: AdminSite) -> None:
    boss = admin.sign_in("admin", "boss")
    page = boss.post("/users/add", {"name": "Ben", "role": "operator"}).text
    found = re.search(r"http://127.0.0.1:8900(/password\?token=[\w-]+)", page)
    assert found
    browser = admin.open_browser()
    token = found[1].partition("=")[2]
    form = {"token": token, "password": "another staple battery", "again": "another staple battery"}
    assert browser.post("/password", form).status_code == 303
    assert browser.sign_in("ben", "another staple battery").status_code == 303
    assert browser.get("/users").status_code == 403
    assert "there is a user ben" in boss.post("/users/add", {"name": "ben", "role": "viewer"}).text


def test_the_last_admin_stays(admin: AdminSite) -> None:
    boss = admin.sign_in("admin", "boss")
    for path, form in (("/users/remove", {"name": "boss"}), ("/users/role", {"name": "boss", "role": "viewer"})):
        answer = boss.post(path, form)
        assert (answer.status_code, "last admin" in answer.text) == (422, True)
    other = admin.sign_in("admin", "other")
    assert boss.post("/users/remove", {"name": "other"}).status_code == 303
    assert other.get("/").status_code == 303


def test_a_user_who_is_not_there_is_named(admin: AdminSite) -> None:
    boss = admin.sign_in("admin")
    for path in ("/users/remove", "/users/link", "/users/sessions/end", "/users/second-factor/off"):
        assert boss.post(path, {"name": "nobody"}).status_code == 404


def test_a_role_that_is_none_is_refused_without_showing_it(admin: AdminSite) -> None:
    answer = admin.sign_in("admin").post("/users/add", {"name": "ben", "role": "<b>root</b>"})
    assert (answer.status_code, "root" in answer.text) == (422, False)


def test_an_admin_ends_every_session_of_a_user(admin: AdminSite) -> None:
    boss, ben, second = admin.sign_in("admin", "boss"), admin.sign_in("viewer", "ben"), admin.sign_in("viewer", "ben")
    assert boss.post("/users/sessions/end", {"name": "ben"}).status_code == 303
    assert [one.get("/account").status_code for one in (boss, ben, second)] == [200, 303, 303]


def test_a_lost_factor_is_turned_off_by_an_admin(admin: AdminSite, clock: Clock) -> None:
    boss = admin.sign_in("admin", "boss")
    admin.add_user("ben", OperatorRole.VIEWER)
    secret = prepare(admin.store, "ben").secret
    confirm(admin.store, SYSTEM, "ben", pyotp.TOTP(secret).at(clock.ms // 1000))
    assert admin.open_browser().sign_in("ben").status_code == 401
    assert "Second factor off" in boss.get("/users").text
    assert boss.post("/users/second-factor/off", {"name": "ben"}).status_code == 303
    assert admin.open_browser().sign_in("ben").status_code == 303
