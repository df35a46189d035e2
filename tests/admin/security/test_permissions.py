"""Roles: every route under every role, found by crawling the application."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.support.admin import AdminSite
from tests.support.admin_routes import list_routes
from wanesync.admin.security.permissions import PERMISSIONS, Permission, is_allowed
from wanesync.core.operating.operators import OperatorRole


@pytest.mark.parametrize("role", OperatorRole)
def test_a_route_is_open_to_the_roles_with_its_permission_alone(admin: AdminSite, role: OperatorRole) -> None:
    browser = admin.sign_in(role)
    for route in list_routes(admin.app):
        if route.permission is None or route.path == "/logout":
            continue
        if route.streams and is_allowed(role, route.permission):
            continue
        answer = browser.client.request(route.method, route.path, data={"csrf": browser.csrf})
        assert (answer.status_code == 403) is not is_allowed(role, route.permission), f"{route}: {answer.status_code}"
        assert answer.status_code < 500, route


def test_each_role_may_do_what_the_one_below_it_may() -> None:
    for lower, higher in pairwise(OperatorRole):
        assert PERMISSIONS[lower] < PERMISSIONS[higher]
    assert PERMISSIONS[OperatorRole.ADMIN] == frozenset(Permission)


def test_a_viewer_changes_nothing_but_the_own_account() -> None:
    assert PERMISSIONS[OperatorRole.VIEWER] == {Permission.SEE, Permission.ACCOUNT, Permission.SEE_LOGS}


def test_another_role_counts_from_the_next_request_on(admin: AdminSite) -> None:
    browser, boss = admin.sign_in("admin", "ben"), admin.sign_in("admin", "boss")
    assert browser.get("/users").status_code == 200
    boss.post("/users/role", {"name": "ben", "role": "viewer"})
    assert browser.get("/users").status_code == 403
