"""The counters of the web door."""

from __future__ import annotations

from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.store.figure_counts import FigureCounts
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters


def test_answers_are_counted_by_side_and_status_and_events_by_side() -> None:
    counters = WebhookCounters()
    counters.count(Side.STRIPE, 200, Outcome.ACCEPTED, 1)
    counters.count(Side.HUBSPOT, 200, Outcome.ACCEPTED, 100)
    counters.count(Side.HUBSPOT, 200, Outcome.ACCEPTED, 2)
    counters.count(Side.HUBSPOT, 401, Outcome.SIGNATURE, 0)
    assert counters.read_answers() == (
        [(("hubspot", 200), 2), (("hubspot", 401), 1), (("stripe", 200), 1)],
        [("hubspot", 102), ("stripe", 1)],
    )


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


def test_what_is_counted_is_counted_by_minute_too() -> None:
    figures = FigureCounts(lambda: 90_000)
    counters = WebhookCounters(figures)
    counters.count(Side.STRIPE, 200, Outcome.ACCEPTED, 2, took_ms=7.4)
    counters.count(Side.STRIPE, 401, Outcome.CLOCK, 0, took_ms=0.4)
    counters.count_elements(Side.HUBSPOT, Outcome.IGNORED, 3)
    taken = figures.take()
    assert {minute_ms for minute_ms, _, _ in taken} == {60_000}
    counts = {(figure, labels): amount.count for (_, figure, labels), amount in taken.items()}
    assert counts == {
        (Figure.WEBHOOKS, "side=stripe,outcome=accepted"): 1,
        (Figure.WEBHOOKS, "side=stripe,outcome=clock"): 1,
        (Figure.WEBHOOKS, "side=hubspot,outcome=ignored"): 3,
        (Figure.EVENTS_STORED, "side=stripe"): 2,
        (Figure.WEBHOOK_ANSWER, "side=stripe"): 2,
    }
