"""Single sign-on: a header that counts from trusted proxies alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.admin import AdminSite, Browser, build_site
from wanesync.admin.services import AccessSettings
from wanesync.core.operating.operators import OperatorRole
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.web.proxies import TrustedProxies, parse_network

PROXY = "10.0.0.1"


def build(admin: AdminSite, role: OperatorRole | None = None, header: str = "X-Forwarded-User") -> AdminSite:
    proxies = TrustedProxies((parse_network("10.0.0.0/24"),))
    access = AccessSettings(proxies=proxies, sign_on_header=header, sign_on_role=role)
    admin.add_user("anna", OperatorRole.ADMIN)
    return build_site(replace(admin.services, access=access))


def ask(site: AdminSite, name: str, peer: str = PROXY) -> tuple[Browser, int]:
    browser = site.open_browser(peer)
    return browser, browser.get("/users", X_Forwarded_User=name).status_code


def test_who_the_proxy_names_is_signed_in_and_keeps_one_session(admin: AdminSite) -> None:
    site = build(admin)
    browser, status = ask(site, "Anna")
    assert status == 200
    session = browser.client.cookies["wanesync-8900"]
    assert browser.get("/account", X_Forwarded_User="anna").status_code == 200
    assert browser.client.cookies["wanesync-8900"] == session
    with site.store.reading() as tx:
        [row] = tx.audit.find(AuditFilter(action="session.begin"), 10)
        assert row.after == {"by": "single sign-on"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.1.1", "203.0.113.7", "not an address"])
def test_from_any_other_machine_the_header_is_a_claim(admin: AdminSite, peer: str) -> None:
    assert ask(build(admin), "anna", peer)[1] == 303


def test_it_is_off_by_default(admin: AdminSite) -> None:
    assert ask(build(admin, header=""), "anna")[1] == 303


@pytest.mark.parametrize("name", ["nobody", "an na", "<script>", ""])
def test_a_name_without_an_entry_is_refused(admin: AdminSite, name: str) -> None:
    assert ask(build(admin), name)[1] == 403


def test_or_gets_the_role_of_the_configuration(admin: AdminSite) -> None:
    site = build(admin, OperatorRole.VIEWER)
    browser, status = ask(site, "carol")
    assert status == 403, "a viewer sees no users"
    with site.store.reading() as tx:
        [row] = tx.audit.find(AuditFilter(action="user.add", subject="carol"), 10)
    assert row.after == {"role": "viewer", "by": "single sign-on"}
    assert browser.get("/account", X_Forwarded_User="carol").status_code == 200


def test_another_name_ends_the_session_of_the_one_before(admin: AdminSite) -> None:
    site = build(admin, OperatorRole.VIEWER)
    browser, _ = ask(site, "anna")
    assert browser.get("/users", X_Forwarded_User="carol").status_code == 403
    assert "carol" in browser.get("/account", X_Forwarded_User="carol").text


def test_a_header_that_came_twice_is_refused(admin: AdminSite) -> None:
    browser = build(admin).open_browser(PROXY)
    headers = [("X-Forwarded-User", "anna"), ("X-Forwarded-User", "carol")]
    assert browser.client.get("/users", headers=headers).status_code == 403


def test_what_changes_something_needs_the_token_all_the_same(admin: AdminSite) -> None:
    browser, _ = ask(build(admin), "anna")
    form = {"name": "ben", "role": "admin"}
    assert browser.client.post("/users/add", data=form, headers={"X-Forwarded-User": "anna"}).status_code == 403
