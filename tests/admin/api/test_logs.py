"""The log by API."""

from __future__ import annotations

import json

from tests.admin.pages.test_logs import fill
from tests.support.admin import AdminSite


def test_entries_are_paged_by_cursor(admin: AdminSite) -> None:
    fill(admin.store)
    browser = admin.sign_in("viewer")
    seen, cursor = [], ""
    while True:
        answer = browser.get(f"/api/v1/logs?limit=2&cursor={cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [item["kind"] for item in page["items"]]
        assert page["searched_to_ms"] is None
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == 3
    assert "Ulm" not in json.dumps(page)


def test_what_is_wrong_is_a_problem(admin: AdminSite) -> None:
    browser = admin.sign_in("viewer")
    for wrong in ("since=soon", "cursor=x", "limit=0", "level=loud"):
        answer = browser.get(f"/api/v1/logs?{wrong}")
        assert answer.status_code == 422, wrong
        assert answer.headers["content-type"] == "application/problem+json"


def test_all_that_match_are_exported(admin: AdminSite) -> None:
    fill(admin.store)
    assert admin.sign_in("viewer").get("/api/v1/logs/export").status_code == 403
    browser = admin.sign_in("operator")
    assert len(browser.get("/api/v1/logs/export?format=jsonl&source=journal").text.splitlines()) == 2
    assert browser.get("/api/v1/logs/export?format=csv").text.startswith("at,source,level")
