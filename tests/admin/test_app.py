"""The application as a whole."""

from __future__ import annotations

from tests.support.admin import AdminSite


def test_a_user_signs_in_and_sees_the_first_page(admin: AdminSite) -> None:
    browser = admin.sign_in("viewer")
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "Overview" in answer.text
