"""The API of the limits: what the page does, with the same rights."""

from __future__ import annotations

import pytest

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.rate_limits import VENDOR_ALLOWANCES, Limit
from wanesync.store import Store


@pytest.fixture(name="limited")
def set_limit(admin: AdminSite) -> Store:
    """Stripe at 100/s."""
    admin.store.run(lambda tx: tx.rates.put(Limit("stripe", 100.0, 100.0, 100.0), is_new=True))
    return admin.store


def test_limits_are_listed_and_shown(call: Caller, limited: Store) -> None:
    found = {limit["scope"]: limit for limit in call("viewer").get("/limits").json()["items"]}
    assert found.keys() == VENDOR_ALLOWANCES.keys()
    assert (found["stripe"]["effective"], found["hubspot"]["effective"]) == (100, None)
    assert call("viewer").get("/limits/stripe").json() == found["stripe"]
    assert call("viewer").get("/limits/nothing").status_code == 404


def test_a_limit_is_changed_and_returned(call: Caller, limited: Store) -> None:
    client = call("operator")
    changed = client.put("/limits/stripe", json={"value": "40/s"}).json()
    assert (changed["changed"], changed["limit"]["effective"], changed["limit"]["filed"]) == (True, 40, 100)
    assert not client.put("/limits/stripe", json={"value": "40/s"}).json()["changed"]
    back = client.delete("/limits/stripe").json()
    assert (back["changed"], back["limit"]["effective"]) == (True, 100)
    with limited.reading() as tx:
        assert {row.operator for row in tx.journal.latest(10)} == {Operator("operator-token", Via.API)}


@pytest.mark.parametrize("value", ["", "0", "-1", "NaN", "1e9", "fast"])
def test_an_absurd_value_is_a_problem_with_what_is_allowed(call: Caller, limited: Store, value: str) -> None:
    answer = call("admin").put("/limits/stripe", json={"value": value, "force": True})
    assert answer.status_code == 422
    assert "give requests a second from 0.1/s to 1000/s" in answer.json()["detail"]


def test_above_what_the_vendor_publishes_an_admin_confirms_once_more(call: Caller, limited: Store) -> None:
    asked = call("operator").put("/limits/stripe", json={"value": "200"})
    assert (asked.status_code, asked.json()["type"]) == (409, "urn:wanesync:problem:confirmation-needed")
    assert call("operator").put("/limits/stripe", json={"value": "200", "force": True}).status_code == 403
    forced = call("admin").put("/limits/stripe", json={"value": "200", "force": True}).json()
    assert forced["limit"]["effective"] == 200
    assert "Stripe allows an account 100/s" in forced["warning"]


def test_a_viewer_changes_nothing(call: Caller, limited: Store) -> None:
    client = call("viewer")
    assert client.put("/limits/stripe", json={"value": "1"}).status_code == 403
    assert client.delete("/limits/stripe").status_code == 403
