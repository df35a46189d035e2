"""The page of metrics."""

from __future__ import annotations

from wanesync.web.metrics import WebhookCounters


def test_answers_are_counted_by_side_and_status_and_events_by_side() -> None:
    counters = WebhookCounters()
    counters.count("stripe", 200, 1)
    counters.count("hubspot", 200, 100)
    counters.count("hubspot", 200, 2)
    counters.count("hubspot", 401, 0)
    assert counters.render({}).splitlines() == [
        "# TYPE wanesync_webhooks_total counter",
        'wanesync_webhooks_total{side="hubspot",status="200"} 2',
        'wanesync_webhooks_total{side="hubspot",status="401"} 1',
        'wanesync_webhooks_total{side="stripe",status="200"} 1',
        "# TYPE wanesync_events_stored_total counter",
        'wanesync_events_stored_total{side="hubspot"} 102',
        'wanesync_events_stored_total{side="stripe"} 1',
    ]


def test_gauges_follow_in_the_order_of_their_names() -> None:
    page = WebhookCounters().render({'wanesync_jobs{lane="stripe"}': 12.0, "wanesync_holds": 0.5})
    assert page.splitlines()[-2:] == ["wanesync_holds 0.5", 'wanesync_jobs{lane="stripe"} 12']
    assert page.endswith("\n")
