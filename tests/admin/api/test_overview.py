"""The charts by API."""

from __future__ import annotations

from tests.admin.api.conftest import Caller


def test_the_charts_of_a_period_have_a_value_for_each_step(call: Caller) -> None:
    client = call("viewer")
    found = client.get("/trends").json()
    assert (found["period"], found["side"], found["step_ms"]) == ("hour", None, 60_000)
    assert [chart["name"] for chart in found["charts"]] == [
        "webhooks",
        "jobs",
        "retries",
        "queue",
        "age",
        "requests",
        "latency",
        "share",
    ]
    assert {len(line["values"]) for chart in found["charts"] for line in chart["lines"]} == {60}
    assert len(client.get("/trends?period=week&side=stripe").json()["at_ms"]) == 168
    assert client.get("/trends?period=year").status_code == 422
