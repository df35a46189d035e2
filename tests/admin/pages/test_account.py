"""One's own account in the browser."""

from __future__ import annotations

import re

import pyotp

from tests.support.admin import PASSWORD, AdminSite
from tests.support.store_fixtures import Clock

NEW = {"current": PASSWORD, "password": "another staple battery", "again": "another staple battery"}


def test_a_new_password_must_be_a_good_one(admin: AdminSite) -> None:
    browser = admin.sign_in("viewer")
    for change in ({"again": "x"}, {"password": "passwordpassword", "again": "passwordpassword"}):
        assert browser.post("/account/password", NEW | change).status_code == 422
    answer = browser.post("/account/password", NEW)
    assert answer.headers["location"] == "/account?saved=password"
    assert "Saved" in browser.get("/account?saved=password").text


def test_the_second_factor_is_set_up_by_its_picture_and_a_code(admin: AdminSite, clock: Clock) -> None:
    browser, other = admin.sign_in("viewer", "anna"), admin.sign_in("viewer", "anna")
    page = browser.post("/account/second-factor").text
    found = re.search(r'<code class="secret">([A-Z2-7]{32})</code>', page)
    assert found
    assert "<svg" in page
    right = {"code": pyotp.TOTP(found[1]).at(clock.ms // 1000), "current": PASSWORD}
    assert "code is wrong" in browser.post("/account/second-factor/on", right | {"code": "000000"}).text
    for stolen in ({"current": ""}, {"current": "a wrong guess"}):
        assert "password is wrong" in browser.post("/account/second-factor/on", right | stolen).text
    done = browser.post("/account/second-factor/on", right).text
    codes = re.findall(r"<code>((?:[0-9a-f]{6}-){4}[0-9a-f]{6})</code>", done)
    assert len(codes) == 10
    assert (browser.get("/account").status_code, other.get("/account").status_code) == (200, 303)
    assert found[1] not in browser.get("/account").text
    assert admin.open_browser().sign_in("anna").status_code == 401
    assert admin.open_browser().sign_in("anna", code=codes[0]).status_code == 303
    assert browser.post("/account/second-factor/off", {"current": "wrong"}).status_code == 422
    assert browser.post("/account/second-factor/off", {"current": PASSWORD}).status_code == 303
    assert admin.open_browser().sign_in("anna").status_code == 303
