"""The page of alerts: what stands, who may silence and test, deliveries with their failures."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.admin import CHEAP, CONFIG, AdminSite, Browser, build_site
from tests.support.alert_messengers import BOOK, FakeMessenger, refuse
from tests.support.alert_situations import POLICY, H, Watch
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.admin.services import AdminServices
from wanesync.core.errors import DeliveryFailed
from wanesync.ops.alerts.desk import AlertDesk
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store

SignIn = Callable[[str], Browser]


@pytest.fixture
def admin(admin_store: Store) -> AdminSite:
    """The application with recipients, of which the mail server refuses."""
    messenger = FakeMessenger(refuse("email", DeliveryFailed("no connection")))
    desk = AlertDesk(admin_store, POLICY, lambda: BOOK, messenger, "page")
    return build_site(AdminServices(admin_store, CONFIG, passwords=CHEAP, alert_desk=desk))


def test_all_is_well_and_every_rule_is_listed(sign_in: SignIn) -> None:
    page = sign_in("viewer").get("/alerts").text
    assert "Nothing is wrong." in page
    assert "No process has evaluated the rules yet." in page
    assert "no_worker" in page
    assert "/alerts/test" not in page, "a viewer tests nothing"


def test_what_stands_is_shown_with_its_way_out(admin: AdminSite, sign_in: SignIn, clock: Clock) -> None:
    watch = Watch(clock, [admin.store])
    pause_sides(admin.store, [H], ADA)
    watch.ticks(20)
    page = sign_in("viewer").get("/alerts").text
    assert "hubspot is paused by an operator" in page
    assert "wanesync resume, once the reason is mended" in page
    assert "[warn] A side is paused: hubspot" in page, "the notice waits"
    assert "side_paused" in sign_in("viewer").get("/alerts?code=side_paused").text
    assert "Nothing has changed yet." in sign_in("viewer").get("/alerts?code=disk_full").text


def test_the_test_button_says_how_each_delivery_went(sign_in: SignIn) -> None:
    browser = sign_in("operator")
    page = browser.post("/alerts/test").text
    assert "delivered" in page
    assert "no connection" in page
    failed = browser.get("/alerts?deliveries=failed").text
    assert failed.count("[test] wanesync") == 1
    assert browser.post("/alerts/test", {"place": "warn 9"}).status_code == 422
    assert sign_in("viewer").post("/alerts/test").status_code == 403


def test_an_admin_silences_a_rule_and_ends_it(admin: AdminSite, sign_in: SignIn) -> None:
    browser = sign_in("admin")
    form = {"code": "disk_full", "lasting": "2h", "reason": "<b>known</b>"}
    answer = browser.post("/alerts/silence", form)
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"]).text
    assert "The rule is silenced" in page
    assert "&lt;b&gt;known&lt;/b&gt;" in page
    (made,) = admin.store.read(lambda tx: tx.alerts.silences())
    assert browser.post("/alerts/unsilence", {"silence_id": made.id}).status_code == 303
    assert admin.store.read(lambda tx: tx.alerts.silences()) == []
    assert browser.post("/alerts/unsilence", {"silence_id": made.id}).status_code == 404
    assert sign_in("operator").post("/alerts/silence", form).status_code == 403


@pytest.mark.parametrize("form", [{"code": "nonsense"}, {"lasting": "soon"}, {"lasting": "99d"}, {"reason": "x" * 201}])
def test_an_absurd_silence_is_a_problem(admin: AdminSite, sign_in: SignIn, form: dict[str, str]) -> None:
    assert sign_in("admin").post("/alerts/silence", form).status_code == 422
    assert admin.store.read(lambda tx: tx.alerts.silences()) == []


def test_no_two_elements_have_the_same_id(sign_in: SignIn) -> None:
    ids = re.findall(r' id="([^"]+)"', sign_in("admin").get("/alerts?code=disk_full").text)
    assert sorted(ids) == sorted(set(ids))


def test_older_changes_are_a_page_away(admin: AdminSite, sign_in: SignIn, clock: Clock) -> None:
    watch = Watch(clock, [admin.store])
    for n in range(30):
        admin.store.run(lambda tx, n=n: tx.pauses.set(f"stripe:{n:02}", "403", False, 0))  # type: ignore[misc] # binds n
        watch.tick()
    browser = sign_in("viewer")
    first = browser.get("/alerts").text
    assert "changes_before=" in first
    assert "deliveries_before=" in first
