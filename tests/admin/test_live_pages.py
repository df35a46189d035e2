"""The live pages in a real browser: what changes is shown without a reload, and a pause stops every refresh."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.admin import PASSWORD, AdminSite
from tests.support.browser import PHONE, Visit, open_browser
from tests.support.lanes import queue, start_processes
from tests.support.operators import ADA
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.operating.operators import OperatorRole
from wanesync.core.rate_limits import Limit
from wanesync.ops.limits import change_limit
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store
from wanesync.web.server import Listener, open_socket

pytestmark = pytest.mark.slow


@pytest.fixture(name="filled")
def fill(admin: AdminSite) -> Store:
    """Both lanes run, Stripe at 25/s."""
    start_processes(admin.store)
    with admin.store.transaction() as tx:
        for scope in ("hubspot", "stripe"):
            tx.rates.put(Limit(scope, 25, 25, 25), is_new=True)
    return admin.store


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visit(admin: AdminSite, filled: Store, browser: Browser) -> Iterator[Visit]:
    """An admin in a browser, before the service on a free port."""
    admin.add_user("ada", OperatorRole.ADMIN)
    listener = Listener(
        open_socket(("127.0.0.1", 0), "admin.port"), admin.app, 32, None, before_stop=admin.app.state.live.hub.end
    )
    listener.start()
    try:
        made = Visit(browser, listener.url)
        made.go("/login")
        made.page.get_by_label("Name").fill("ada")
        made.page.get_by_label("Password", exact=True).fill(PASSWORD)
        with made.page.expect_navigation():
            made.page.keyboard.press("Enter")
        yield made
        made.close()
    finally:
        listener.stop()


def test_the_overview_is_live_until_it_is_paused(admin: AdminSite, filled: Store, visit: Visit) -> None:
    hub, page = admin.app.state.live.hub, visit.page
    visit.go("/?period=day")
    state, size = page.locator("[data-live-state]"), page.locator(".tile", has_text="Due or running").locator("strong")
    expect(state).to_have_text("Live")
    expect(size).to_have_text("0")
    expect(page.locator(".chart canvas")).to_have_count(8)
    page.locator("a.tile", has_text="Latency").focus()
    queue(filled, Side.STRIPE, JobKind.READ, 7)
    expect(size).to_have_text("7")
    assert page.evaluate("document.activeElement.className").startswith("tile"), "the focus stays"

    pause = page.get_by_role("button", name="Pause")
    pause.press("Enter")
    expect(state).to_have_text("Paused")
    expect(pause).to_have_attribute("aria-pressed", "true")
    deadline_s = time.monotonic() + 10
    while hub.listeners:
        assert time.monotonic() < deadline_s, "the stream ends with the pause"
        page.wait_for_timeout(20)
    queue(filled, Side.HUBSPOT, JobKind.READ, 5)
    expect(size).to_have_text("7")
    page.get_by_role("link", name="Week").press("Enter")
    expect(state).to_have_text("Paused")
    assert hub.listeners == 0, "the pause holds on the next page"
    queue(filled, Side.HUBSPOT, JobKind.WRITE, 5)
    expect(size).to_have_text("12")
    pause.press("Enter")
    expect(size).to_have_text("17")

    page.get_by_role("button", name=re.compile("Show as table.*Webhooks")).press("Space")
    expect(page.locator("#table-webhooks tbody tr")).to_have_count(168)
    assert [visit.check(), visit.find_barriers(), visit.find_overflow()] == [[], [], 0]
    visit.resize(PHONE, "dark")
    assert [visit.check(), visit.find_barriers(), visit.find_overflow()] == [[], [], 0]


def test_limits_are_changed_in_the_page_and_follow_what_others_change(filled: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/limits?scope=stripe")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    row = page.locator("#limit-rows tr", has=page.get_by_role("rowheader", name="stripe", exact=True))
    change_limit(filled, "stripe", "20/s", ADA, force=False)
    expect(row).to_contain_text("20/s")
    pause_sides(filled, [Side.STRIPE], ADA)
    resume = page.get_by_role("button", name="Resume stripe")
    expect(resume).to_be_visible()
    with page.expect_navigation():
        resume.press("Enter")
    expect(page.get_by_role("status").filter(has_text="stripe is resumed.")).to_be_visible()
    visit.go("/limits?scope=stripe")
    page.get_by_label("New value").fill("500")
    page.get_by_role("button", name="Set", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("500/s is too much")
    page.get_by_role("button", name="Set stripe to 500 all the same").press("Enter")
    expect(row).to_contain_text("500/s")
    assert filled.read(lambda tx: tx.rates.all()["stripe"].effective) == 500
    visit.trouble = [trouble for trouble in visit.trouble if "409" not in trouble]
    for width, scheme in ((1280, "light"), (PHONE, "dark")):
        visit.resize(width, scheme)  # type: ignore[arg-type] # a literal
        assert [visit.check(), visit.find_barriers(), visit.find_overflow()] == [[], [], 0]
