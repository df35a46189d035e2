"""The queue by API."""

from __future__ import annotations

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from tests.support.lanes import bury
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.ops.queue.bulk_runs import BulkRunner

S = Side.STRIPE


def fill(admin: AdminSite, count: int = 3, dead_class: DeadClass = DeadClass.REFUSED) -> list[str]:
    return [bury(admin.store, JobRequest(S, JobKind.READ, f"{dead_class}_{n}"), dead_class).id for n in range(count)]


def test_jobs_are_listed_page_by_page_and_counted(admin: AdminSite, call: Caller) -> None:
    ids = fill(admin)
    fill(admin, 1, DeadClass.GONE)
    client = call("viewer")
    first = client.get("/jobs", params={"code": "refused", "limit": 2}).json()
    second = client.get("/jobs", params={"code": "refused", "limit": 2, "cursor": first["next"]}).json()
    found = [*first["items"], *second["items"]]
    assert {one["id"] for one in found} == {*ids}
    assert second["next"] is None
    assert (found[0]["state"], found[0]["side"], found[0]["dead_class"]) == ("dead", "stripe", "refused")
    assert client.get("/jobs", params={"cursor": first["next"]}).status_code == 422, "of another filter"
    values = client.get("/jobs/values", params={"side": "stripe"}).json()
    assert values["states"]["dead"] == 4
    assert values["values"]["code"][0] == {"value": "refused", "count": 3, "is_more": False}
    assert client.get("/jobs", params={"newer": "soon"}).status_code == 422
    assert client.get("/jobs", params={"state": "odd"}).status_code == 422
    assert client.get("/jobs", params={"state": "done", "person": "7"}).status_code == 422


def test_one_job_has_its_timeline(admin: AdminSite, call: Caller) -> None:
    (job_id,) = fill(admin, 1)
    found = call("viewer").get(f"/jobs/{job_id}").json()
    assert (found["job"]["id"], found["records"]) == (job_id, [{"side": "stripe", "id": "refused_0"}])
    assert [step["name"] for step in found["steps"]] == ["queued", "dead", "next"]
    assert call("viewer").get("/jobs/nonsense").status_code == 404


def test_dead_letters_are_retried_once_their_number_is_confirmed(admin: AdminSite, call: Caller) -> None:
    ids, client = fill(admin), call("operator")
    body: dict[str, object] = {"filter": {"dead_class": "refused"}}
    shown = client.post("/dead-letters/retry", params={"dry_run": True}, json=body).json()
    assert shown == {"count": 3, "classes": {"refused": 3}, "run": None}
    assert client.post("/dead-letters/retry", json=body).status_code == 422, "the number is missing"
    changed = client.post("/dead-letters/retry", json=body | {"expected": 2})
    assert (changed.status_code, "2 were shown" in changed.json()["detail"]) == (409, True)
    key = {"Idempotency-Key": "once"}
    started, again = (
        client.post("/dead-letters/retry", json=body | {"expected": 3}, headers=key).json() for _ in range(2)
    )
    assert started == again
    run_id = started["run"]["id"]
    assert client.get(f"/bulk-runs/{run_id}").json()["run"]["state"] == "running"
    BulkRunner(admin.store, "w").run_round()
    page = client.get(f"/bulk-runs/{run_id}").json()
    assert (page["run"]["state"], page["run"]["changed"], page["outcomes"]) == ("done", 3, {"waiting": 3})
    assert (page["run"]["operator"], page["run"]["via"]) == ("operator-token", "api")
    assert [one["id"] for one in client.get("/bulk-runs").json()["items"]] == [run_id]
    missing = client.post("/dead-letters/discard", json={"ids": ids[:1], "expected": 1})
    assert missing.status_code == 409, "it is no dead letter any more"


def test_ids_or_a_filter_and_never_everything(admin: AdminSite, call: Caller) -> None:
    (job_id,) = fill(admin, 1)
    client = call("operator")
    both: dict[str, object] = {"ids": [job_id], "filter": {"side": "stripe"}}
    bodies: list[dict[str, object]] = [{}, {"filter": {}}, both, {"ids": [], "filter": {}}]
    for body in bodies:
        assert client.post("/dead-letters/discard", json=body | {"expected": 1}).status_code == 422, body
    done = client.post("/dead-letters/discard", json={"ids": [job_id], "expected": 1})
    assert done.json()["count"] == 1
    assert call("viewer").post("/dead-letters/retry", json={"ids": [job_id]}).status_code == 403


def test_a_run_is_cancelled(admin: AdminSite, call: Caller) -> None:
    fill(admin)
    client = call("operator")
    run = client.post("/dead-letters/retry", json={"filter": {"side": "stripe"}, "expected": 3}).json()["run"]
    for _ in range(2):
        cancelled = client.post(f"/bulk-runs/{run['id']}/cancel").json()
        assert (cancelled["state"], cancelled["ended_by"]) == ("cancelled", "operator-token (api)")
    assert client.post("/bulk-runs/none/cancel").status_code == 404
    assert call("viewer").post(f"/bulk-runs/{run['id']}/cancel").status_code == 403


def test_jobs_that_failed_are_tried_at_once(admin: AdminSite, call: Caller) -> None:
    (job_id,) = fill(admin, 1)
    assert call("operator").post("/jobs/try-now", json={"ids": [job_id]}).json() == {"made_due": 0}, "it is dead"
    assert call("operator").post("/jobs/try-now", json={"ids": []}).status_code == 422
    assert call("viewer").post("/jobs/try-now", json={"ids": [job_id]}).status_code == 403
