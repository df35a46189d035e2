"""The pages of people: found without personal data in an address, masked, revealed with a trace, linked."""

from __future__ import annotations

import html
import re

import pytest

from tests.support.admin import URL, AdminSite, Browser
from tests.support.people import ANA, store_people
from wanesync.admin.pages import people
from wanesync.core.model import LinkState
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people import search
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.wiring import build_decision_runtime

VALUES = (ANA, "Ana Lopez", "Lyon", "Leeds", "Bonn", "+33123456789", "Ben Anders")


@pytest.fixture(name="site")
def fill(admin: AdminSite) -> AdminSite:
    build_decision_runtime(admin.services.config, admin.store)
    store_people(admin.store)
    return admin


@pytest.mark.parametrize("text", [ANA, "1", "cus_1", "pi_1", "ana lo", "+33 1 23 45"])
def test_a_single_person_is_opened(site: AdminSite, text: str) -> None:
    answer = site.sign_in("operator").post("/people/find", {"text": text})
    assert (answer.status_code, answer.headers["location"]) == (303, "/people/1")


def test_several_are_listed_under_an_address_of_ids(site: AdminSite) -> None:
    browser = site.sign_in("operator")
    answer = browser.post("/people/find", {"text": "an"})
    assert answer.status_code == 200
    assert 'href="/people?ids=1,2,3"' in answer.text
    again = browser.get("/people?ids=1,2,nobody,cus_4").text
    assert again.count('<th scope="row"') == 3
    assert not any(value in answer.text + again for value in VALUES)


@pytest.mark.parametrize("path", ["/people/find", "/api/v1/people/search"])
def test_a_viewer_cannot_find_masked_values_out_a_letter_at_a_time(site: AdminSite, path: str) -> None:
    viewer, operator = site.sign_in("viewer"), site.sign_in("operator")

    def finds(browser: Browser, text: str) -> bool:
        if path.startswith("/api"):
            answer = browser.client.post(
                path, json={"text": text}, headers={"X-CSRF-Token": browser.csrf, "Origin": URL}
            )
            return bool(answer.json()["items"])
        return browser.post(path, {"text": text}).status_code == 303

    assert [finds(operator, text) for text in ("ana lo", "3312", "33 12 34")] == [True] * 3
    assert [finds(viewer, text) for text in ("ana lo", "3312", "33 12 34", "0000345")] == [False] * 4
    assert [finds(viewer, text) for text in ("ana", "lopez ana", "01 23 45 67 89")] == [True] * 3


def test_a_search_by_name_goes_on_by_itself_and_keeps_what_it_found(
    site: AdminSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request takes a short step, and its page has everything that was found so far."""
    monkeypatch.setattr(search, "SCAN_ROWS", 1)
    monkeypatch.setattr(people, "STEP_SCAN_MS", 0)
    browser = site.sign_in("operator")
    text, steps = browser.post("/people/find", {"text": "an"}).text, 1
    while 'hx-trigger="load' in text:
        assert f"{steps} of 6 records were searched, and there are more" in text
        form = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', text)}
        text, steps = browser.post("/people/find", form, **{"HX-Request": "true"}).text, steps + 1
        assert "<html" not in text, "a part of the page alone"
        assert steps < 10
    assert "6 of 6 records were searched." in text
    assert text.count('<th scope="row"') == 3, "as in one step"
    assert 'href="/people?ids=1,2,3"' in text


def test_without_scripts_a_search_goes_on_in_longer_steps(site: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCAN_ROWS", 1)
    monkeypatch.setattr(people, "STEP_SCAN_MS", 0)
    text = site.sign_in("operator").post("/people/find", {"text": "an", "after": "hubspot:0", "searched": "0"}).text
    assert "6 of 6 records were searched." in text


def test_nothing_found_and_nothing_asked(site: AdminSite) -> None:
    browser = site.sign_in("viewer")
    assert "No person was found" in browser.post("/people/find", {"text": "nobody@example.com"}).text
    assert "6 of 6 records were searched" in browser.post("/people/find", {"text": "zzz"}).text
    assert browser.post("/people/find", {"text": "x" * 201}).status_code == 422
    assert browser.get("/people").status_code == 200


def test_a_person_is_masked_until_it_is_revealed(site: AdminSite) -> None:
    viewer, operator = site.sign_in("viewer"), site.sign_in("operator")
    masked = viewer.get("/people/1").text
    assert not any(value in masked for value in VALUES)
    assert "The two sides differ in city, and both are kept." in masked
    assert ("Show values in plain" in masked, "Unlink" in masked) == (False, False)
    assert viewer.post("/people/1/reveal").status_code == 403
    plain = operator.post("/people/cus_1/reveal")
    assert all(value in plain.text for value in VALUES[:4])
    assert plain.headers["cache-control"] == "no-store"
    with site.store.reading() as tx:
        (row,) = tx.audit.find(AuditFilter(action="values.reveal"), 10)
    assert (row.operator, row.subject) == (Operator("operator1", Via.PAGE), "1")


def test_what_caused_what_is_linked(site: AdminSite) -> None:
    text = site.sign_in("viewer").get("/people/1").text
    assert 'href="#t-w1"' in text
    assert 'href="#t-e2"' in text
    assert text.index('id="t-w1"') > 0


def test_both_records_lead_to_their_pages_unless_they_are_stand_ins(site: AdminSite) -> None:
    with site.store.transaction() as tx:
        for name, value in (("portal", "4242"), ("stripe_account", "acct_7"), ("stripe_mode", "test")):
            tx.settings.put(f"pin_{name}", value)
    text = site.sign_in("viewer").get("/people/1").text
    assert 'href="https://app.hubspot.com/contacts/4242/record/0-1/1"' in text
    assert 'href="https://dashboard.stripe.com/acct_7/test/customers/cus_1"' in text


def test_an_address_is_no_path_and_an_unknown_id_no_person(site: AdminSite) -> None:
    browser = site.sign_in("viewer")
    assert browser.get(f"/people/{ANA}").status_code == 404
    assert browser.get("/people/nobody").status_code == 404


def test_a_link_is_shown_before_it_is_made(site: AdminSite) -> None:
    browser = site.sign_in("operator")
    shown = browser.get("/people/link?contact=2&customer=cus_2").text
    assert "What workers will write" in shown
    assert "Ben Anders" not in shown
    answer = browser.post("/people/link", {"contact": "2", "customer": "cus_2"})
    assert answer.headers["location"] == "/people/2?done=linked"
    assert "Linked; workers write" in browser.get("/people/2?done=linked").text
    assert "linked already" in browser.get("/people/link?contact=2&customer=cus_2").text
    wrong = browser.get("/people/link?contact=3&customer=cus_2")
    assert (wrong.status_code, "linked with another contact" in wrong.text) == (422, True)
    assert browser.post("/people/link", {"contact": "3", "customer": "cus_2"}).status_code == 422


def test_an_unlinking_is_confirmed_and_a_viewer_does_neither(site: AdminSite) -> None:
    viewer, operator = site.sign_in("viewer"), site.sign_in("operator")
    assert viewer.get("/people/unlink?contact=1&customer=cus_1").status_code == 403
    assert viewer.post("/people/unlink", {"contact": "1", "customer": "cus_1"}).status_code == 403
    shown = operator.get("/people/unlink?contact=1&customer=cus_1").text
    assert "nothing flows between contact 1 and customer cus_1" in shown
    assert operator.post("/people/unlink", {"contact": "1", "customer": "cus_1"}).status_code == 303
    with site.store.reading() as tx:
        (link,) = tx.links.of_ids(["1"], [])
    assert link.state is LinkState.RELEASED
