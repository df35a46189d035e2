"""A person is found, and a conflict settled by keyboard, in a real browser; no page has a barrier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.admin import CHEAP, CONFIG, PASSWORD
from tests.support.browser import SCHEMES, WIDTHS, Visit, open_browser
from tests.support.people import store_people
from wanesync.admin.services import AdminServices
from wanesync.admin_wiring import build_admin_server
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.store import Store, make_key, open_store
from wanesync.wiring import build_decision_runtime


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with people and an operator."""
    with closing(open_store(f"sqlite:{tmp_path / 'people.db'}", [make_key("k001")], migrate=True)) as opened:
        build_decision_runtime(CONFIG, opened)
        store_people(opened)
        add_user(opened, SYSTEM, "ada", OperatorRole.OPERATOR, CHEAP.hash(PASSWORD))
        yield opened


@pytest.fixture
def visit(store: Store) -> Iterator[Visit]:
    """A window in which an operator has logged in."""
    config = CONFIG.model_copy(update={"admin": CONFIG.admin.model_copy(update={"port": 0})})
    desk = DecisionDesk(lambda: build_decision_runtime(CONFIG, store))
    server = build_admin_server(config, AdminServices(store, config, passwords=CHEAP, decisions=desk))
    server.start()
    try:
        with open_browser() as browser:
            opened = Visit(browser, server.url)
            opened.go("/login")
            opened.page.fill("input[name=name]", "ada")
            opened.page.fill("input[name=password]", PASSWORD)
            with opened.page.expect_navigation():
                opened.page.click("main button[type=submit]")
            yield opened
            opened.close()
    finally:
        server.stop()


def count_open(store: Store) -> int:
    with store.reading() as tx:
        return tx.conflicts.count_open()


def test_a_person_is_found_and_the_conflict_settled_by_keyboard(store: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/people")
    page.get_by_role("searchbox").fill("ana lop")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The two sides differ in city, and both are kept.")).to_be_visible()
    assert "ana" not in page.url
    page.get_by_role("link", name="our write").click()
    assert page.url.endswith("#t-w1")
    page.get_by_role("link", name="Settle 3 conflicts").click()
    page.get_by_role("button", name="Show values in plain").click()
    page.get_by_label("Stripe's value is right: Leeds").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Settled; workers write what follows from it.")).to_be_visible()
    assert count_open(store) == 1
    assert visit.check() == []


def test_all_of_a_page_are_marked_and_settled_once_confirmed(store: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/conflicts?person=1")
    page.get_by_label("Mark all of this page").check()
    page.get_by_label("What is right").select_option("both")
    page.get_by_role("button", name="Show the count…").click()
    expect(page.get_by_role("heading", name="Settle 4 conflicts of 1 person?")).to_be_visible()
    page.get_by_role("button", name="Settle 4 conflicts").click()
    expect(page.get_by_text("4 conflicts settled")).to_be_visible()
    assert (count_open(store), visit.check()) == (0, [])


def test_no_page_has_a_barrier_or_is_too_wide(store: Store, visit: Visit) -> None:
    with store.reading() as tx:
        one = tx.conflicts.list()[0].id
    paths = ["/people/1", "/people?ids=1,2,cus_4", f"/conflicts/{one}", "/conflicts/ambiguous"]
    paths += ["/people/link?contact=2&customer=cus_2", "/people/unlink?contact=1&customer=cus_1"]
    found: list[str] = []
    for path in paths:
        visit.go(path)
        for name, width in WIDTHS.items():
            for scheme in SCHEMES:
                visit.resize(width, scheme)
                found += [f"{path} ({name}, {scheme}): {barrier}" for barrier in visit.find_barriers()]
                found += [f"{path} ({name}): {over} px too wide" for over in [visit.find_overflow()] if over]
        found += visit.check()
    assert not found, "\n".join(found)
