"""Dead letters are marked by keyboard, retried after a question, and followed to their end, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.admin import CHEAP, CONFIG, PASSWORD
from tests.support.browser import Visit, open_browser
from tests.support.lanes import bury
from wanesync.admin.services import AdminServices
from wanesync.admin_wiring import build_admin_server, running_admin_tasks
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.store import Store, make_key, open_store

LETTERS = 6


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with dead letters; its times are those of the machine."""
    with closing(open_store(f"sqlite:{tmp_path / 'queue.db'}", [make_key("k001")], migrate=True)) as opened:
        add_user(opened, SYSTEM, "ada", OperatorRole.OPERATOR, CHEAP.hash(PASSWORD))
        for number in range(LETTERS):
            bury(opened, JobRequest(Side.STRIPE, JobKind.READ, f"cus_{number}"), DeadClass.EXHAUSTED)
        yield opened


@pytest.fixture
def visit(store: Store, browser: Browser) -> Iterator[Visit]:
    """A window in which an operator has logged in, beside a process that carries out bulk runs."""
    config = CONFIG.model_copy(update={"admin": CONFIG.admin.model_copy(update={"port": 0})})
    server = build_admin_server(config, AdminServices(store, config, passwords=CHEAP))
    with running_admin_tasks(store):
        server.start()
        opened = Visit(browser, server.url)
        try:
            opened.go("/login")
            opened.page.fill("input[name=name]", "ada")
            opened.page.fill("input[name=password]", PASSWORD)
            with opened.page.expect_navigation():
                opened.page.click("main button[type=submit]")
            yield opened
        finally:
            opened.close()
            server.stop()


def count_dead(store: Store) -> int:
    with store.reading() as tx:
        return len(tx.dead_letters.latest())


def test_marks_by_keyboard_a_question_and_a_run(store: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/queue?side=stripe")
    expect(page.get_by_role("button", name="Retry marked")).to_be_disabled()
    page.focus("#jobs tbody input")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#marked")).to_have_text("3 marked")
    page.keyboard.press("Escape")
    expect(page.locator("#marked")).to_have_text("")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_role("button", name="Retry marked").press("Enter")
    question = page.get_by_role("dialog")
    expect(question.get_by_role("heading")).to_have_text("Retry 2 dead letters?")
    assert visit.find_barriers() == []
    with page.expect_navigation():
        page.keyboard.press("Enter")  # the focus is on the answer
    expect(page.locator("#progress p").first).to_contain_text("Finished in")
    assert count_dead(store) == LETTERS - 2
    assert visit.find_barriers() == []
    assert visit.check() == []


def test_a_number_that_changed_meanwhile_is_asked_again(store: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/queue?side=stripe")
    page.get_by_role("button", name="Discard all that match").click()
    question = page.get_by_role("dialog")
    expect(question.get_by_role("heading")).to_have_text(f"Discard {LETTERS} dead letters?")
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_late"), DeadClass.EXHAUSTED)
    question.get_by_role("button", name="Discard").click()
    expect(question.get_by_role("alert")).to_contain_text(f"there are {LETTERS + 1} dead letters now")
    assert count_dead(store) == LETTERS + 1
    with page.expect_navigation():
        question.get_by_role("button", name=f"Discard {LETTERS + 1}").click()
    expect(page.locator("#progress p").first).to_contain_text("Finished in")
    assert count_dead(store) == 0
    # The answer with the changed number is a 409, which Chromium notes.
    assert [one for one in visit.check() if "409" not in one] == []


def test_a_list_brings_itself_up_to_date_and_opens_a_job(store: Store, visit: Visit) -> None:
    page = visit.page
    visit.go("/queue?side=stripe")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(LETTERS)
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_late"), DeadClass.EXHAUSTED)
    expect(rows).to_have_count(LETTERS + 1, timeout=20_000)
    page.locator("#jobs tbody input").first.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    assert visit.check() == []
