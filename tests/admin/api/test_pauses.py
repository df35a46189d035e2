"""Pauses and the writes switch by API."""

from __future__ import annotations

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from wanesync.core.operating.operators import Operator, Via


def test_a_side_is_stopped_and_resumed(admin: AdminSite, call: Caller) -> None:
    client = call("operator")
    paused = {"side": "stripe", "paused": True}
    assert client.post("/sides/stripe/pause").json() == paused | {"changed": True}
    assert client.post("/sides/stripe/pause").json() == paused | {"changed": False}
    assert [one["name"] for one in client.get("/pauses").json()["items"]] == ["operator:stripe"]
    assert client.post("/sides/stripe/resume").json()["changed"] is True
    assert client.get("/pauses").json()["items"] == []
    assert client.post("/sides/nowhere/pause").status_code == 422
    with admin.store.reading() as tx:
        assert {entry.operator for entry in tx.journal.latest(10)} == {Operator("operator-token", Via.API)}


def test_the_changes_of_a_field_are_stopped_and_resumed(call: Caller) -> None:
    client = call("operator")
    assert client.post("/fields/phone/pause").json()["changed"] is True
    (hold,) = client.get("/holds").json()["items"]
    assert (hold["kind"], hold["title"]) == ("field", "phone, paused by an operator")
    assert client.post("/fields/phone/resume").json() == {
        "field": "phone",
        "paused": False,
        "changed": True,
        "people": 0,
    }
    answer = client.post("/fields/shoe_size/pause")
    assert answer.status_code == 422
    assert "there is no such field" in answer.json()["detail"]


def test_writes_are_switched_by_an_admin(call: Caller) -> None:
    assert call("operator").post("/writes", json={"writes": "on"}).status_code == 403
    client = call("admin")
    assert client.get("/writes").json() == {"writes": "off"}
    assert client.post("/writes", json={"writes": "on"}).json() == {"writes": "on", "woken": 0}
    assert client.get("/writes").json() == {"writes": "on"}
    assert client.post("/writes", json={"writes": "maybe"}).status_code == 422


def test_a_viewer_stops_nothing(call: Caller) -> None:
    for path in ("/sides/stripe/pause", "/sides/stripe/resume", "/fields/phone/pause", "/fields/phone/resume"):
        assert call("viewer").post(path).status_code == 403
