"""People by API: found, shown masked, revealed with a trace, linked."""

from __future__ import annotations

import pytest

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from tests.support.people import ANA, store_people
from wanesync.core.operating.operators import Operator, Via
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.wiring import build_decision_runtime


@pytest.fixture(autouse=True)
def fill(admin: AdminSite) -> None:
    build_decision_runtime(admin.services.config, admin.store)
    store_people(admin.store)


def test_people_are_found_in_the_body_of_a_request(call: Caller) -> None:
    client = call("operator")
    (found,) = client.post("/people/search", json={"text": ANA}).json()["items"]
    assert found == {"contact_id": "1", "customer_ids": ["cus_1"], "email": "a•••@e•••.com", "name": "A•••"}
    by_name = client.post("/people/search", json={"text": "an"}).json()
    assert ([one["contact_id"] for one in by_name["items"]], by_name["next"], by_name["searched"]) == (
        ["1", "2", "3"],
        None,
        6,
    )
    assert client.post("/people/search", json={"text": "x" * 201}).status_code == 422


def test_a_person_is_shown_masked_with_its_timeline(call: Caller) -> None:
    person = call("viewer").get("/people/cus_1").json()
    assert (person["contact_id"], person["state"], person["linked"]) == ("1", "needs_decision", True)
    city = next(row for row in person["fields"] if row["field"] == "city")
    assert (city["hubspot"], city["stripe"], city["base_hubspot"], city["agree"]) == ("L•••", "L•••", "L•••", False)
    what = {entry["id"]: entry for entry in person["timeline"]}
    assert (what["e2"]["cause"], what["w1"]["effects"], what["e1"]["cause"]) == ("w1", ["e2"], "")
    assert call("viewer").get(f"/people/{ANA}").status_code == 404
    assert call("viewer").get("/people/nobody").status_code == 404


def test_a_reveal_is_audited_and_not_stored(admin: AdminSite, call: Caller) -> None:
    assert call("viewer").post("/people/1/reveal").status_code == 403
    person = call("operator").post("/people/1/reveal", headers={"Idempotency-Key": "a"}).json()
    assert next(row["hubspot"] for row in person["fields"] if row["field"] == "email") == ANA
    with admin.store.reading() as tx:
        (row,) = tx.audit.find(AuditFilter(action="values.reveal"), 10)
    assert (row.operator, row.subject) == (Operator("operator-token", Via.API), "1")


def test_records_are_linked_and_unlinked(call: Caller) -> None:
    client = call("operator")
    pair = {"contact_id": "2", "customer_id": "cus_2"}
    shown = client.post("/links", json=pair | {"dry_run": True}).json()
    assert (shown["done"], [one["field"] for one in shown["writes"]]) == (False, ["phone", "name"])
    assert client.post("/links", json=pair).json()["done"]
    assert client.post("/links", json=pair).json()["already"]
    assert client.post("/links", json=pair | {"contact_id": "3"}).status_code == 422
    assert client.post("/links", json=pair | {"contact_id": "3", "dry_run": True}).status_code == 422
    assert not client.post("/links/end", json=pair | {"dry_run": True}).json()["done"]
    assert client.post("/links/end", json=pair).json()["done"]
    assert call("viewer").post("/links", json=pair).status_code == 403


def test_ambiguous_records_are_listed_page_by_page(call: Caller) -> None:
    client = call("viewer")
    first = client.get("/ambiguous", params={"limit": 2}).json()
    rest = client.get("/ambiguous", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["id"] for one in [*first["items"], *rest["items"]]] == ["2", "3", "cus_2"]
    assert rest["next"] is None
    assert rest["items"][0]["candidates"] == [{"side": "hubspot", "id": i, "linked_with": ""} for i in ("2", "3")]
