"""Reconcile runs by API."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.admin import URL, AdminSite, Browser, build_site
from tests.support.planned_runs import NoProcesses, add_planned, add_waiting


@pytest.fixture
def browser(admin: AdminSite) -> Browser:
    return build_site(replace(admin.services, reconciles=NoProcesses(admin.store))).sign_in("operator")


def post(browser: Browser, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    headers = {"X-CSRF-Token": browser.csrf, "Origin": URL, "Sec-Fetch-Site": "same-origin"}
    answer = browser.client.post(f"/api/v1/reconciles{path}", json=body, headers=headers)
    return answer.status_code, answer.json()


def test_a_run_is_started_read_and_cancelled(browser: Browser) -> None:
    status, run = post(browser, "", {"only": ["update_customer"], "limit": 5})
    assert (status, run["state"], run["only"], run["missing_keys"]) == (201, "asked", ["update_customer"], [])
    status, problem = post(browser, "", {})
    assert (status, problem["status"]) == (409, 409)
    assert post(browser, f"/{run['id']}/cancel")[1]["state"] == "cancelled"
    listed = browser.get("/api/v1/reconciles").json()
    assert [one["id"] for one in listed["items"]] == [run["id"]]
    assert post(browser, "", {"limit": 0})[0] == 422
    assert post(browser, "", {"unknown": 0})[0] == 422
    assert post(browser, "/unknown/cancel")[0] == 404


def test_what_the_listing_of_a_run_waits_for_is_shown(admin: AdminSite, browser: Browser) -> None:
    run = browser.get(f"/api/v1/reconciles/{add_waiting(admin.store)}").json()
    assert run["waits_for"] == {"stripe": "jobs use nearly every request"}


def test_differences_are_paged_and_masked(admin: AdminSite, browser: Browser) -> None:
    run_id = add_planned(admin.store)
    path = f"/api/v1/reconciles/{run_id}/differences?kind=update_customer&limit=2"
    page = browser.get(path).json()
    assert [item["contact_id"] for item in page["items"]] == ["0", "1"]
    assert page["items"][0]["fields"][0] == {
        "name": "city", "writes": "stripe", "before": "U•••", "after": "L•••", "why": "",
    }  # fmt: skip
    rest = browser.get(f"{path}&cursor={page['next']}").json()
    assert ([item["contact_id"] for item in rest["items"]], rest["next"]) == (["2"], None)
    conflict = browser.get(f"/api/v1/reconciles/{run_id}/differences?kind=conflict").json()
    assert (conflict["items"][0]["planned"], conflict["items"][0]["fields"][0]["writes"]) == (False, None)
    assert "example.com" not in json.dumps(conflict)


def test_a_plan_is_applied_or_discarded(admin: AdminSite, browser: Browser) -> None:
    run_id = add_planned(admin.store)
    status, run = post(browser, f"/{run_id}/apply", {"force": 3})
    assert (status, run["state"], run["applied_by"]) == (200, "apply_asked", "operator1")
    post(browser, f"/{run_id}/cancel")
    assert post(browser, f"/{run_id}/approve")[0] == 409
    assert post(browser, f"/{run_id}/discard")[1]["state"] == "discarded"
