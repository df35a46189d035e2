"""Holds by API."""

from __future__ import annotations

import pytest

from tests.admin.api.conftest import Caller
from tests.ops.test_holds import hold_people
from tests.support.admin import AdminSite
from wanesync.core.operating.operators import Operator, Via

HELD = 3


@pytest.fixture
def hold_id(admin: AdminSite) -> str:
    return hold_people(admin.store, HELD)


def test_holds_are_listed(call: Caller, hold_id: str) -> None:
    (hold,) = call("viewer").get("/holds").json()["items"]
    assert (hold["id"], hold["kind"], hold["state"], hold["people"]) == (hold_id, "brake", "open", HELD)


def test_held_values_are_masked_and_read_page_by_page(call: Caller, hold_id: str) -> None:
    client, path = call("viewer"), f"/holds/{hold_id}/values"
    found = [client.get(path, params={"limit": 2}).json()]
    found.append(client.get(path, params={"limit": 2, "cursor": found[0]["next"]}).json())
    assert [len(page["items"]) for page in found] == [2, 1]
    assert found[1]["next"] is None
    contacts = [row["contact_id"] for page in found for row in page["items"]]
    assert sorted(contacts) == ["0", "1", "2"]
    assert {(row["value"], row["other_value"]) for page in found for row in page["items"]} == {("U•••", "B•••")}
    assert client.get("/holds/none/values").status_code == 404
    assert client.get("/holds/none/values", params={"cursor": found[0]["next"]}).status_code == 422


@pytest.mark.parametrize(("verb", "state"), [("release", "released"), ("discard", "discarded")])
def test_a_hold_is_closed_once_and_by_name(admin: AdminSite, call: Caller, hold_id: str, verb: str, state: str) -> None:
    client, path = call("operator"), f"/holds/{hold_id}/{verb}"
    expected = {"state": state, "holds": 1, "people": HELD, "fields": HELD}
    assert client.post(path, params={"dry_run": True}).json() == expected | {"dry_run": True}
    assert client.get("/holds").json()["items"][0]["state"] == "open"
    first, again = (client.post(path, headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert first.json() == again.json() == expected | {"dry_run": False}
    assert again.headers["Idempotent-Replayed"] == "true"
    with admin.store.reading() as tx:
        (entry,) = tx.journal.latest(10)
        assert (entry.kind, entry.operator) == (f"hold {state}", Operator("operator-token", Via.API))


def test_a_viewer_closes_nothing(call: Caller, hold_id: str) -> None:
    assert call("viewer").post(f"/holds/{hold_id}/release").status_code == 403
    assert call("viewer").get("/holds").json()["items"][0]["state"] == "open"
