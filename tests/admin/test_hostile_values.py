"""Every text that a page or a list takes may be anything: no answer is an error of ours, on either database."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.admin import CHEAP, CONFIG, AdminSite, build_site
from tests.support.admin_routes import list_endpoints
from wanesync.admin.services import AdminServices
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.store import Store
from wanesync.wiring import build_decision_runtime

VALUES = ("x\0y", "9" * 16 + ".\0")
ENDS = {"/login", "/logout"}
"""They begin and end sessions."""


@pytest.fixture
def site(store: Store) -> AdminSite:
    desk = DecisionDesk(lambda: build_decision_runtime(CONFIG, store))
    return build_site(AdminServices(store, CONFIG, passwords=CHEAP, decisions=desk))


def _list_fields(dependant: Any, kind: str) -> list[Any]:
    below = [one for inner in dependant.dependencies for one in _list_fields(inner, kind)]
    return [*getattr(dependant, kind), *below]


def _takes_text(field: Any) -> bool:
    return str in {field.field_info.annotation, *getattr(field.field_info.annotation, "__args__", ())}


def test_no_text_makes_an_error_of_ours(site: AdminSite) -> None:
    browser, failed = site.sign_in("admin"), []
    browser.client = type(browser.client)(
        site.app, str(browser.client.base_url), follow_redirects=False, cookies=browser.client.cookies,
        raise_server_exceptions=False,
    )  # fmt: skip
    for method, path, route in list_endpoints(site.app):
        if path in ENDS or path.endswith("/live"):
            continue
        query = [one.alias for one in _list_fields(route.dependant, "query_params") if _takes_text(one)]
        form = [one.alias for one in _list_fields(route.dependant, "body_params") if _takes_text(one)]
        for value in VALUES:
            address = path
            for one in _list_fields(route.dependant, "path_params"):
                address = address.replace(f"{{{one.alias}}}", quote(value, safe=""))
            address += "?" + "&".join(f"{name}={quote(value)}" for name in query)
            if method == "GET":
                answer = browser.get(address)
            else:
                answer = browser.post(address, {"role": "viewer", "choose": "hubspot"} | dict.fromkeys(form, value))
            if answer.status_code >= 500:
                failed.append(f"{method} {path} {value!r}: {answer.status_code}")
    assert "\n".join(failed) == ""
