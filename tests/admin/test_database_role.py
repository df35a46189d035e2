"""The admin service under its own role of Postgres: the least rights are enough for every page."""

from __future__ import annotations

from contextlib import closing

from tests.support.admin import CHEAP, CONFIG, build_site
from tests.support.admin_routes import list_routes
from tests.support.database_roles import made_roles
from wanesync.admin.services import AdminServices
from wanesync.ops.access.logins import make_setup_link
from wanesync.ops.audit import verify_audit
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.store import make_key, open_store
from wanesync.store.roles.matrix import Role
from wanesync.wiring import build_decision_runtime

PASSWORD = "correct horse battery staple"


def test_every_page_is_shown_and_access_is_managed_as_the_role_of_the_admin(postgres_url: str) -> None:
    key = make_key("k001")
    open_store(postgres_url, [key], migrate=True).close()
    with made_roles(postgres_url) as logins, closing(open_store(logins.address(Role.ADMIN), [key])) as store:
        desk = DecisionDesk(lambda: build_decision_runtime(CONFIG, store))
        site = build_site(AdminServices(store, CONFIG, passwords=CHEAP, decisions=desk))
        browser = site.open_browser()
        form = {"token": make_setup_link(store), "name": "anna", "password": PASSWORD, "again": PASSWORD}
        assert browser.post("/setup", form).status_code == 303
        assert browser.sign_in("anna").status_code == 303
        for route in list_routes(site.app):
            if not route.changes and not route.streams:
                assert browser.get(route.path).status_code < 500, route
        steps = [
            ("/users/add", {"name": "ben", "role": "viewer"}),
            ("/users/role", {"name": "ben", "role": "operator"}),
            ("/users/link", {"name": "ben"}),
            ("/users/sessions/end", {"name": "ben"}),
            ("/users/remove", {"name": "ben"}),
            ("/tokens/create", {"name": "x", "role": "viewer", "days": "1"}),
            ("/account/second-factor", {}),
            ("/account/password", {"current": PASSWORD, "password": PASSWORD + "!", "again": PASSWORD + "!"}),
            ("/logout", {}),
        ]
        for path, values in steps:
            assert browser.post(path, values).status_code in {200, 303}, path
        assert site.open_browser().sign_in("anna", "wrong").status_code == 401
        assert verify_audit(store).problems == []
