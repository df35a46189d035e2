"""Conflicts by API: listed with filters, shown, revealed, settled with the number of a dry run."""

from __future__ import annotations

import pytest

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from tests.support.people import store_people
from wanesync.wiring import build_decision_runtime

Site = AdminSite


@pytest.fixture(autouse=True)
def fill(admin: Site) -> None:
    build_decision_runtime(admin.services.config, admin.store)
    store_people(admin.store)


def count_open(admin: Site) -> int:
    with admin.store.reading() as tx:
        return tx.conflicts.count_open()


def test_conflicts_are_listed_by_field_and_page(call: Caller) -> None:
    client = call("viewer")
    kept = client.get("/conflicts", params={"only": "kept", "field": "phone"}).json()["items"]
    assert [(one["field"], one["agree"], one["conflicts"][0]["value"]) for one in kept] == [("phone", True, "•••")]
    first = client.get("/conflicts", params={"limit": 1}).json()
    assert first["next"]
    assert client.get("/conflicts", params={"limit": 1, "cursor": first["next"]}).status_code == 200
    assert client.get("/conflicts", params={"field": "city", "cursor": first["next"]}).status_code == 422
    assert client.get("/conflicts", params={"person": "nobody"}).json() == {"items": [], "next": None}


def test_one_is_shown_and_revealed(call: Caller) -> None:
    (city,) = call("viewer").get("/conflicts", params={"field": "city", "kind": "overwritten"}).json()["items"]
    path = f"/conflicts/{city['conflicts'][0]['id']}"
    shown = call("viewer").get(path).json()
    assert [one["choose"] for one in shown["options"]] == ["hubspot", "stripe", "both", "kept", "value"]
    assert len(shown["conflicts"]) == 3
    assert call("viewer").post(f"{path}/reveal").status_code == 403
    assert call("operator").post(f"{path}/reveal").json()["hubspot"] == "Lyon"
    assert call("viewer").get("/conflicts/none").status_code == 404


def test_what_matches_is_settled_with_the_number_of_a_dry_run(admin: Site, call: Caller) -> None:
    client, asked = call("operator"), {"choose": "hubspot", "field": "city"}
    shown = client.post("/conflicts/settle", json=asked | {"dry_run": True}).json()
    assert (shown["selected"], shown["settled"], shown["jobs"], count_open(admin)) == (3, 3, 0, 4)
    assert client.post("/conflicts/settle", json=asked).status_code == 422
    assert client.post("/conflicts/settle", json=asked | {"confirm": 2}).status_code == 409
    done = client.post("/conflicts/settle", json=asked | {"confirm": 3}).json()
    assert (done["settled"], done["jobs"], done["left"], count_open(admin)) == (3, 1, [], 1)


def test_ids_need_no_number_and_what_is_left_has_its_reason(call: Caller) -> None:
    client = call("operator")
    done = client.post("/conflicts/settle", json={"choose": "kept", "ids": ["1"]}).json()
    assert (done["settled"], done["left"]) == (4, [])
    assert client.post("/conflicts/settle", json={"choose": "kept", "ids": ["1"]}).status_code == 404


@pytest.mark.parametrize(
    "body", [{"choose": "both"}, {"choose": "value", "field": "city"}, {"choose": "x", "ids": ["1"]}]
)
def test_what_settles_nothing_is_refused(call: Caller, body: dict[str, object]) -> None:
    assert call("operator").post("/conflicts/settle", json=body).status_code == 422


def test_a_viewer_settles_nothing(call: Caller) -> None:
    assert call("viewer").post("/conflicts/settle", json={"choose": "both", "ids": ["1"]}).status_code == 403
