"""Tokens of the API in the browser."""

from __future__ import annotations

import re

from tests.support.admin import AdminSite


def test_a_token_is_shown_once_and_revoked(admin: AdminSite) -> None:
    boss = admin.sign_in("admin")
    assert "There is no token" in boss.get("/tokens").text
    page = boss.post("/tokens/create", {"name": "grafana", "role": "viewer", "days": "30"}).text
    found = re.search(r"wane_([\w-]+?)_[\w-]{43}", page)
    assert found
    assert found[0] not in boss.get("/tokens").text
    api = admin.open_browser()
    assert api.get("/api/v1/status", Authorization=f"Bearer {found[0]}").status_code == 200
    assert boss.post("/tokens/revoke", {"token": found[1]}).status_code == 303
    assert api.get("/api/v1/status", Authorization=f"Bearer {found[0]}").status_code == 401


def test_a_mistake_is_named(admin: AdminSite) -> None:
    boss = admin.sign_in("admin")
    answer = boss.post("/tokens/create", {"name": "grafana", "role": "viewer", "days": "9999"})
    assert (answer.status_code, "1 to 366 days" in answer.text) == (422, True)
