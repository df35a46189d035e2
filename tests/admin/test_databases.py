"""Every page and every list of the API answers on both databases, empty and with a little of everything."""

from __future__ import annotations

import re

import pytest

from tests.support.admin import CHEAP, CONFIG, AdminSite, Browser, build_site
from wanesync.admin.services import AdminServices
from wanesync.store import Store

ACTIONS = ("/logout", "/assets/")


@pytest.fixture
def site(store: Store) -> AdminSite:
    return build_site(AdminServices(store, CONFIG, passwords=CHEAP))


def find_links(browser: Browser, path: str) -> list[str]:
    """The links of a page to pages of ours."""
    found = re.findall(r'<a [^>]*href="(/[^"#]*)"', browser.get(path).text)
    return [one.replace("&amp;", "&") for one in dict.fromkeys(found) if not one.startswith(ACTIONS)]


def test_every_page_that_a_link_leads_to_answers(site: AdminSite) -> None:
    browser = site.sign_in("admin")
    seen, waiting, failed = {"/"}, ["/"], []
    while waiting:
        path = waiting.pop()
        answer = browser.get(path)
        if answer.status_code != 200:
            failed.append(f"{path}: {answer.status_code}")
            continue
        if "html" in answer.headers["content-type"]:
            fresh = [one for one in find_links(browser, path) if one.partition("?")[0] not in seen]
            seen |= {one.partition("?")[0] for one in fresh}
            waiting += fresh
    assert failed == []
    assert {"/", "/logs", "/account"} <= seen


def test_every_list_of_the_api_answers(site: AdminSite) -> None:
    browser = site.sign_in("admin")
    document = browser.get("/api/v1/openapi.json").json()
    lists = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    failed = [f"{path}: {status}" for path in lists if (status := browser.get(path).status_code) not in {200, 422}]
    assert failed == []
    assert "/api/v1/status" in lists
