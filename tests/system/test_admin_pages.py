"""The admin pages in a real browser, while a burst runs: what they show, change and withstand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.admin_stage import AdminStage, list_pages
from tests.support.browser import SCHEMES, WIDTHS, Visit, open_browser
from wanesync.core.operators import OperatorRole

PEOPLE, PER_S = 400, 10.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminStage]:
    folder = Path(tmp_path_factory.mktemp("pages"))
    with AdminStage(folder) as made:
        made.start_admin()
        made.begin_burst(PEOPLE, PER_S)
        yield made


@pytest.fixture(scope="module")
def admin(stage: AdminStage, browser: Browser) -> Iterator[Visit]:
    visit = stage.sign_in(browser, OperatorRole.ADMIN)
    yield visit
    visit.close()


def test_each_page_is_well_on_desktop_and_phone_in_light_and_dark(stage: AdminStage, admin: Visit) -> None:
    found: list[str] = []
    for path in list_pages(admin):
        status = admin.go(path)
        found += [f"{path}: {status}"] if status != 200 else []
        for name, width in WIDTHS.items():
            for scheme in SCHEMES:
                admin.resize(width, scheme)
                where = f"{path} ({name}, {scheme})"
                found += [f"{where}: {barrier}" for barrier in admin.find_barriers()]
                found += [f"{where}: {trouble}" for trouble in admin.check()]
                found += [f"{where}: {over} px too wide" for over in [admin.find_overflow()] if over]
        unreached = admin.list_actions() - admin.reach_by_keyboard()
        found += [f"{path}: not reached by keyboard: {one}" for one in sorted(unreached)]
    assert not found, "\n".join(found)
