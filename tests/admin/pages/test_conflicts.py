"""The pages of conflicts: filters in the address, settling one or many with the count confirmed, ambiguous records."""

from __future__ import annotations

import re

import pytest

from tests.support.admin import AdminSite
from tests.support.people import store_people
from wanesync.core.model import Conflict, Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.store.tables.conflicts import ConflictRow
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.wiring import build_decision_runtime


@pytest.fixture(name="site")
def fill(admin: AdminSite) -> AdminSite:
    build_decision_runtime(admin.services.config, admin.store)
    store_people(admin.store)
    return admin


def rows(site: AdminSite) -> dict[str, ConflictRow]:
    with site.store.reading() as tx:
        return {row.conflict.value: row for row in tx.conflicts.list()}


def seen(text: str) -> str:
    found = re.search(r'name="seen" value="(\w+)"', text)
    assert found is not None
    return found[1]


def test_filters_stand_in_the_address(site: AdminSite) -> None:
    browser = site.sign_in("viewer")
    everything = browser.get("/conflicts").text
    assert "4 conflicts of 1 person match" in everything
    assert "3 ambiguous records" in everything
    assert not any(value in everything for value in ("Lyon", "Leeds", "Bonn", "+49111"))
    assert "<legend>Settle" not in everything, "a viewer settles nothing"
    kept = browser.get("/conflicts?only=kept&field=city").text
    assert "1 conflict of 1 person match" in kept
    assert "No open conflict matches" in browser.get("/conflicts?kind=parked").text
    assert "1 conflict of" in browser.get("/conflicts?side=hubspot&field=phone&person=1").text


def test_pages_follow_each_other(site: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.admin.pages.conflicts.PAGE_CONFLICTS", 2)
    browser = site.sign_in("viewer")
    found = re.search(r'href="(/conflicts\?[^"]*cursor=[^"]+)"', browser.get("/conflicts").text)
    assert found is not None
    assert browser.get(found[1].replace("&amp;", "&")).status_code == 200
    assert browser.get("/conflicts?cursor=x").status_code == 422


def test_all_that_match_are_settled_once_the_count_is_confirmed(site: AdminSite) -> None:
    browser = site.sign_in("operator")
    form = {"choose": "stripe", "scope": "all", "field": "city"}
    asked = browser.post("/conflicts/settle", form)
    assert "Settle 3 conflicts of 1 person?" in asked.text
    assert len(rows(site)) == 4
    wrong = browser.post("/conflicts/settle", {**form, "confirm": "2"})
    assert wrong.status_code == 409
    done = browser.post("/conflicts/settle", {**form, "confirm": "3"})
    assert (done.status_code, done.headers["location"]) == (303, "/conflicts?field=city&settled=3")
    assert "3 conflicts settled" in browser.get(done.headers["location"]).text
    assert [*rows(site)] == ["+49111"]
    with site.store.reading() as tx:
        (audit,) = tx.audit.find(AuditFilter(action="decision.apply"), 10)
        assert tx.jobs.open_of_keys(["contact:1"])
    assert audit.operator == Operator("operator1", Via.PAGE)


def test_those_marked_are_settled_and_the_rest_is_named(site: AdminSite) -> None:
    browser = site.sign_in("operator")
    form: dict[str, str | list[str]] = {"choose": "kept", "ids": [rows(site)["Bonn"].id, rows(site)["+49111"].id]}
    assert "Settle 4 conflicts of 1 person?" in browser.post("/conflicts/settle", form).text
    assert browser.post("/conflicts/settle", {**form, "confirm": "4"}).status_code == 303
    assert rows(site) == {}


def test_what_stays_open_is_named_with_its_reason(site: AdminSite) -> None:
    with site.store.transaction() as tx:
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_4", "city", "Graz", "overwritten"), "")
    browser = site.sign_in("operator")
    form = {"choose": "hubspot", "scope": "all", "field": "city"}
    assert "These stay open" in browser.post("/conflicts/settle", form).text
    done = browser.post("/conflicts/settle", {**form, "confirm": "4"})
    assert "3 conflicts settled" in done.text
    assert "1 conflict stays open" in done.text


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"choose": "both"}, "mark the conflicts first"),
        ({"choose": "both", "scope": "all"}, "choose a filter first"),
        ({"choose": "value", "scope": "all", "field": "city"}, "a value is given with the choice value"),
    ],
)
def test_a_form_that_settles_nothing_says_why(site: AdminSite, form: dict[str, str | list[str]], why: str) -> None:
    answer = site.sign_in("operator").post("/conflicts/settle", form)
    assert (answer.status_code, why in answer.text, len(rows(site))) == (422, True, 4)


def test_one_conflict_is_settled_from_its_page(site: AdminSite) -> None:
    browser, one = site.sign_in("operator"), rows(site)["Bonn"]
    page = browser.get(f"/conflicts/{one.id}").text
    assert "HubSpot has" in page
    assert "Lyon" not in page
    kept = f"kept:{one.id}"
    assert f'value="{kept}"' in page
    answer = browser.post(f"/conflicts/{one.id}/settle", {"choose": kept, "seen": seen(page)})
    assert answer.headers["location"] == "/people/1?done=settled"
    assert [*rows(site)] == ["+49111"]
    with site.store.reading() as tx:
        link = tx.links.get("k1")
    assert link is not None
    assert link.put_back["city"].value == "Bonn"


def test_a_conflict_that_changed_meanwhile_is_shown_again(site: AdminSite) -> None:
    browser, one = site.sign_in("operator"), rows(site)["Bonn"]
    for form, why in (
        ({"choose": "stripe", "seen": "0" * 32}, "its values changed since they were shown"),
        ({"choose": "", "seen": "x"}, "choose what is right"),
        ({"choose": "value", "value": " ", "seen": "x"}, "a value is given"),
    ):
        answer = browser.post(f"/conflicts/{one.id}/settle", form)
        assert (answer.status_code, why in answer.text, len(rows(site))) == (422, True, 4)


def test_a_reveal_is_for_those_who_may_and_leaves_a_trace(site: AdminSite) -> None:
    one = rows(site)["Bonn"]
    path = f"/conflicts/{one.id}/reveal"
    assert site.sign_in("viewer").post(path).status_code == 403
    assert "Lyon" in site.sign_in("operator").post(path).text
    with site.store.reading() as tx:
        (row,) = tx.audit.find(AuditFilter(action="values.reveal"), 10)
    assert (row.subject, row.after) == (one.id, {"of": "conflict"})


def test_a_viewer_settles_nothing(site: AdminSite) -> None:
    browser, one = site.sign_in("viewer"), rows(site)["Bonn"]
    assert browser.post("/conflicts/settle", {"choose": "both", "ids": [one.id]}).status_code == 403
    assert browser.post(f"/conflicts/{one.id}/settle", {"choose": "both", "seen": "x"}).status_code == 403
    assert "What is right?" not in browser.get(f"/conflicts/{one.id}").text
    assert browser.get("/conflicts/none").status_code == 404


def test_ambiguous_records_lead_to_a_link(site: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.admin.pages.conflicts.PAGE_RECORDS", 2)
    browser = site.sign_in("operator")
    first = browser.get("/conflicts/ambiguous").text
    assert "/people/link?contact=2&amp;customer=cus_2" in first
    found = re.search(r'href="(/conflicts/ambiguous\?cursor=[^"]+)"', first)
    assert found is not None
    assert "stripe cus_2" in browser.get(found[1]).text
    assert "Link…" not in site.sign_in("viewer").get("/conflicts/ambiguous").text
