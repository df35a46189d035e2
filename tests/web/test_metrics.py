"""The page of metrics."""

from __future__ import annotations

from wanesync.core.model import Side
from wanesync.store.tables.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters


def test_answers_are_counted_by_side_and_status_and_events_by_side() -> None:
    counters = WebhookCounters()
    counters.count(Side.STRIPE, 200, Outcome.ACCEPTED, 1)
    counters.count(Side.HUBSPOT, 200, Outcome.ACCEPTED, 100)
    counters.count(Side.HUBSPOT, 200, Outcome.ACCEPTED, 2)
    counters.count(Side.HUBSPOT, 401, Outcome.SIGNATURE, 0)
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


def test_outcomes_are_taken_once_and_can_be_given_back() -> None:
    counters = WebhookCounters()
    for _ in range(3):
        counters.count(Side.STRIPE, 401, Outcome.SIGNATURE, 0)
    taken = counters.take_outcomes()
    assert taken == {(Side.STRIPE, Outcome.SIGNATURE): 3}
    assert not counters.take_outcomes()
    counters.count(Side.STRIPE, 401, Outcome.SIGNATURE, 0)
    counters.give_back(taken)
    assert counters.take_outcomes() == {(Side.STRIPE, Outcome.SIGNATURE): 4}
