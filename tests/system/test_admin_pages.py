"""The admin pages in a real browser, while a burst runs: what they show, change and withstand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser, expect

from tests.support.admin_stage import HOSTILE, AdminStage, list_pages
from tests.support.browser import SCHEMES, WIDTHS, Visit, open_browser
from wanesync.admin.security.second_factor import confirm, prepare
from wanesync.core.model import Side
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.logins import hash_secret
from wanesync.ops.access.second_factor import turn_off_factor

PEOPLE, PER_S = 450, 12.0
BURIED = 5
SLOW_PER_S = 3
IN_EFFECT_S = 2.0
MEASURED_S = 3.0
TOLERANCE = 1.1
"""Requests that left in time may be held up on a busy machine, and then arrive closer together than they left."""
AREAS = {
    "limits", "queue", "people", "conflicts", "reconcile", "alerts", "logs", "users", "tokens", "audit", "account",
}  # fmt: skip
RUN_MS = 60_000
"""Longest comparison on a busy machine: a process is started for it."""
AXE_ON = {("desktop", "light"), ("phone", "dark")}
"""Each width and each scheme once: the rules about colours ask for no width, the others for no scheme."""
CONTROLS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\x1b\x07"
"""Characters that turn text around or command a terminal."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminStage]:
    with AdminStage(Path(tmp_path_factory.mktemp("pages"))) as made:
        made.start_admin()
        made.begin_burst(PEOPLE, PER_S, BURIED)
        yield made


@pytest.fixture(scope="module")
def admin(stage: AdminStage, browser: Browser) -> Iterator[Visit]:
    visit = stage.sign_in(browser, OperatorRole.ADMIN)
    yield visit
    visit.close()


def test_a_limit_that_is_changed_in_the_page_slows_the_burst_within_two_seconds(
    stage: AdminStage, admin: Visit
) -> None:
    stage.until(lambda: stage.requests() > 3 * PER_S, "the burst runs")
    set_limit(admin, f"{SLOW_PER_S}/s")
    began_s = time.monotonic()
    before = count_at(stage, began_s + IN_EFFECT_S)
    after = count_at(stage, began_s + IN_EFFECT_S + MEASURED_S)
    assert after - before <= SLOW_PER_S * MEASURED_S * TOLERANCE + 1
    set_limit(admin, f"{PER_S:g}/s")
    assert admin.check() == []


def set_limit(visit: Visit, value: str) -> None:
    """Change Stripe's limit by the form of the page."""
    visit.go("/limits?scope=stripe#change")
    visit.page.get_by_label("New value").fill(value)
    visit.page.get_by_role("button", name="Set", exact=True).click()
    expect(visit.page.get_by_role("status").filter(has_text=f"stripe is {value}")).to_be_visible()


def count_at(stage: AdminStage, at_s: float) -> int:
    """How many requests Stripe has had at a time of the monotonic clock."""
    stage.until(lambda: time.monotonic() >= at_s, "the time has come")
    return stage.requests()


def test_a_conflict_is_settled_in_the_page(stage: AdminStage, admin: Visit) -> None:
    (email,) = stage.find_linked(1)
    contact_id = stage.make_conflict(email, "city", "Bonn")
    admin.go(f"/people/{contact_id}")
    admin.page.get_by_role("link", name="Settle the conflict").click()
    admin.page.get_by_label("The value that was kept is right").check()
    with admin.page.expect_navigation():
        admin.page.get_by_role("button", name="Settle", exact=True).click()
    stage.until(
        lambda: (stage.contact(email)["city"], stage.customer(email)["address.city"]) == ("Bonn", "Bonn"),
        "both sides have the value",
    )
    assert admin.check() == []


def test_each_page_is_well_on_desktop_and_phone_in_light_and_dark(stage: AdminStage, admin: Visit) -> None:
    assert not stage.at_rest(), "the burst runs"
    person = f"/people/{stage.make_conflict(stage.find_linked(1)[0], 'city', 'Bonn')}"
    paths = list_pages(admin)
    assert {part for path in paths for part in path.split("/")[1:2]} >= AREAS
    found = [fault for path in [*paths, person] for fault in find_faults(admin, path)]
    assert not found, "\n".join(found)


def find_faults(visit: Visit, path: str) -> list[str]:
    """What is wrong with a page: barriers, what no page may do, its width, and actions that no key reaches."""
    status = visit.go(path)
    found = [f"{path}: {status}"] if status != 200 else []
    for name, width in WIDTHS.items():
        for scheme in SCHEMES:
            visit.resize(width, scheme)
            where = f"{path} ({name}, {scheme})"
            if (name, scheme) in AXE_ON:
                found += [f"{where}: {one}" for one in visit.find_barriers()]
            found += [f"{where}: {trouble}" for trouble in visit.check()]
            found += [f"{where}: {over} px too wide" for over in [visit.find_overflow()] if over]
    unreached = visit.list_actions() - visit.reach_by_keyboard()
    return [*found, *(f"{path}: not reached by keyboard: {one}" for one in sorted(unreached))]


def test_dead_letters_are_sent_again_from_the_page(stage: AdminStage, admin: Visit) -> None:
    dead = {row["email"] for row in stage.sandbox.records(Side.HUBSPOT)} - expected_customers(stage)
    assert len(dead) == BURIED
    set_limit(admin, "100/s")
    admin.go("/queue?state=dead")
    admin.page.get_by_label("Mark this page").check()
    admin.page.get_by_role("button", name="Retry marked").click()
    admin.page.get_by_role("button", name=f"Retry {BURIED}", exact=True).click()
    admin.page.wait_for_url("**/queue/runs/*")
    run = admin.page.url.removeprefix(stage.url)
    stage.until(lambda: dead <= {row["email"] for row in stage.sandbox.records(Side.STRIPE)}, "they are customers")
    stage.rest()
    admin.go(run)
    expect(admin.page.get_by_text("Done since")).to_be_visible()
    assert find_faults(admin, run) == []
    assert admin.check() == []


def expected_customers(stage: AdminStage) -> set[str]:
    """The addresses of all people but those whose job is a dead letter."""
    with stage.store.reading() as tx:
        contacts = {job.key.removeprefix("contact:") for job in tx.dead_letters.latest()}
    return {row["email"] for row in stage.sandbox.records(Side.HUBSPOT) if row["id"] not in contacts}


def test_names_that_would_run_something_run_nothing(stage: AdminStage, admin: Visit) -> None:
    admin.go("/people")
    admin.page.get_by_role("searchbox", name="Find a person").fill("window.pwned")
    with admin.page.expect_navigation():
        admin.page.get_by_role("button", name="Find").click()
    for number, name in enumerate(HOSTILE):
        email = f"hostile{number}@example.com"
        stage.until(lambda email=email: stage.contact(email), "the contact is stored")  # type: ignore[misc] # binds the loop's value
        contact_id = stage.contact(email)["id"]
        admin.go(f"/people/{contact_id}")
        with admin.page.expect_navigation():
            admin.page.get_by_role("button", name="Show values in plain").click()
        text = admin.page.inner_text("body")
        assert "49" not in text.partition(email)[2][:200], "no template is filled in twice"
        assert not set(CONTROLS) & set(text), f"controls of {name!r} are shown"
        assert admin.page.evaluate("window.pwned") is None
        assert admin.check() == []


def confirm_factor(stage: AdminStage, visit: Visit, name: str) -> None:
    """Turn the second factor of a user on, who stays signed in in this window."""
    prepared = prepare(stage.store, name)
    code = pyotp.TOTP(prepared.secret).generate_otp(stage.store.now_ms() // 30_000)
    name_of_cookie = f"wanesync-{urlsplit(stage.url).port}"
    (session,) = [one["value"] for one in visit.page.context.cookies() if one["name"] == name_of_cookie]
    confirm(stage.store, SYSTEM, name, code, keep_session=hash_secret(session))


def test_a_reconcile_is_started_approved_by_another_and_applied(
    stage: AdminStage, admin: Visit, browser: Browser
) -> None:
    set_limit(admin, "100/s")
    stage.rest()
    stage.sandbox.set_target(Side.HUBSPOT, None)  # the webhook is lost
    (email,) = stage.find_linked(1)
    contact_id = stage.contact(email)["id"]
    before = stage.customer(email)["address.city"]
    stage.edit(Side.HUBSPOT, "update", contact_id, city="Kiel")
    admin.go("/reconcile")
    admin.page.get_by_role("button", name="Start comparison").click()
    expect(admin.page.get_by_text("Another operator than admin1 must approve it")).to_be_visible(timeout=RUN_MS)
    assert find_faults(admin, admin.page.url.removeprefix(stage.url)) == []
    operator = stage.sign_in(browser, OperatorRole.OPERATOR)
    confirm_factor(stage, operator, "operator1")
    operator.page.goto(admin.page.url)
    with operator.page.expect_navigation():
        operator.page.get_by_role("button", name="Approve").click()
    admin.page.reload()
    assert stage.customer(email)["address.city"] == before, "nothing is written before it is applied"
    admin.page.get_by_role("button", name="Apply").click()
    stage.until(lambda: stage.customer(email)["address.city"] == "Kiel", "the change is applied")
    assert [*admin.check(), *operator.check()] == []
    operator.close()
    turn_off_factor(stage.store, SYSTEM, "operator1")
