"""The API of alerts: what the page does, with the same rights."""

from __future__ import annotations

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from tests.support.alert_situations import H, Watch
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.operating.alarms import AlarmCode
from wanesync.ops.pauses import pause_sides


def test_rules_changes_and_deliveries_are_listed(admin: AdminSite, call: Caller, clock: Clock) -> None:
    watch = Watch(clock, [admin.store])
    pause_sides(admin.store, [H], ADA)
    watch.ticks(20)
    client = call("viewer")
    found = client.get("/alerts").json()
    assert {rule["code"] for rule in found["rules"]} == set(AlarmCode)
    assert found["rules"][0]["alerts"][0]["what"].startswith("hubspot is paused")
    assert [row["level"] for row in client.get("/alerts/history").json()["items"]] == ["warn"]
    assert client.get("/alerts/history?code=disk_full").json() == {"items": [], "next": None}
    (sent,) = client.get("/alerts/deliveries?state=waiting").json()["items"]
    assert (sent["kind"], sent["code"], sent["recipient"]) == ("raised", "side_paused", "warn 1")


def test_lists_come_by_page(admin: AdminSite, call: Caller, clock: Clock) -> None:
    watch = Watch(clock, [admin.store])
    for name in ("a", "b", "c"):
        admin.store.run(lambda tx, n=name: tx.pauses.set(f"stripe:{n}", "403", False, 0))  # type: ignore[misc] # binds n
        watch.tick()
    client = call("viewer")
    for path in ("/alerts/history", "/alerts/deliveries"):
        first = client.get(f"{path}?limit=2").json()
        rest = client.get(path, params={"limit": 2, "cursor": first["next"]}).json()
        assert [row["subject"] for row in (*first["items"], *rest["items"])] == ["stripe:c", "stripe:b", "stripe:a"]
        assert rest["next"] is None


def test_a_silence_is_made_and_ended_by_an_admin(call: Caller) -> None:
    wanted = {"code": "disk_full", "for_ms": 7_200_000, "reason": "known"}
    assert call("operator").post("/alerts/silences", json=wanted).status_code == 403
    client = call("admin")
    made = client.post("/alerts/silences", json=wanted)
    assert made.status_code == 201
    (found,) = client.get("/alerts/silences").json()["items"]
    assert (found["id"], found["code"], found["operator"]) == (made.json()["id"], "disk_full", "admin-token (api)")
    assert client.delete(f"/alerts/silences/{found['id']}").json() == {"id": found["id"]}
    assert client.delete(f"/alerts/silences/{found['id']}").status_code == 404
    assert client.post("/alerts/silences", json={"for_ms": 1}).status_code == 422


def test_a_test_without_recipients_says_what_to_set(call: Caller) -> None:
    answer = call("operator").post("/alerts/test", json={})
    assert answer.status_code == 422
    assert "alerts.warn" in answer.json()["detail"]
    assert call("viewer").post("/alerts/test", json={}).status_code == 403
