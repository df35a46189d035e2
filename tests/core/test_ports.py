"""The values of the ports: what an answer holds when the vendor said nothing about it."""

from __future__ import annotations

from wanesync.core.ports import Account, CustomerAnswer, Limits, ParsedWebhook, Timing


def test_headers_that_are_missing_say_nothing() -> None:
    assert Limits() == Limits(per_interval=None, interval_ms=None, remaining=None, daily_remaining=None, daily=None)


def test_an_answer_is_new_unless_it_is_marked_as_replayed() -> None:
    assert not CustomerAnswer(None, Timing(0, 1)).replayed


def test_an_account_has_a_time_zone_and_a_webhook_may_hold_nothing() -> None:
    assert Account("1", "test").time_zone == "UTC"
    assert (ParsedWebhook().events, ParsedWebhook().foreign) == ((), 0)
