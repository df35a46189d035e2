"""What an operator sees of webhooks: the last one of each side, and alarms for those that are refused."""

from __future__ import annotations

import pytest

from tests.support.lanes import start_processes
from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.web_door import ADVICE, ELEMENT_ALARMS, ELEMENTS, NAMES, read_webhooks
from wanesync.reconcile.missed_count import store_missed
from wanesync.store import Store
from wanesync.store.tables.operating.webhook_counts import Outcome

H, S = Side.HUBSPOT, Side.STRIPE


def count(store: Store, side: Side, outcome: Outcome, requests: int = 1) -> None:
    store.run(lambda tx: tx.webhook_counts.add({(side, outcome): requests}))


@pytest.mark.case(34)
def test_many_wrong_signatures_are_an_alarm_that_says_what_to_compare(store: Store) -> None:
    start_processes(store)
    count(store, H, Outcome.ACCEPTED)
    count(store, H, Outcome.SIGNATURE, 30)
    (alarm,) = read_alarms(store)
    assert alarm.startswith("hubspot: 30 webhooks of the last 10 min were refused for a wrong signature: compare ")
    assert "hubspot.webhook_secret" in alarm
    assert "server.public_url" in alarm


def test_a_stray_request_between_webhooks_is_no_alarm(store: Store, clock: Clock) -> None:
    start_processes(store)
    count(store, S, Outcome.SIGNATURE, 4)
    clock.advance(1)
    count(store, S, Outcome.ACCEPTED)
    assert read_alarms(store) == []


def test_one_refused_webhook_is_an_alarm_for_a_day_if_no_other_is_accepted(store: Store, clock: Clock) -> None:
    start_processes(store)
    count(store, S, Outcome.ACCEPTED)
    clock.advance(1)
    count(store, S, Outcome.SIGNATURE)
    clock.advance(23 * 3_600_000)
    start_processes(store)
    (alarm,) = read_alarms(store)
    assert alarm.startswith("stripe: 1 webhook was refused for a wrong signature: compare stripe.webhook_secret")
    clock.advance(2 * 3_600_000)
    start_processes(store)
    assert read_alarms(store) == []


def test_a_webhook_refused_within_the_count_of_an_accepted_one_is_an_alarm_until_the_next(
    store: Store, clock: Clock
) -> None:
    start_processes(store)
    store.run(lambda tx: tx.webhook_counts.add({(H, Outcome.ACCEPTED): 1, (H, Outcome.CLOCK): 3}))
    (alarm,) = read_alarms(store)
    assert alarm.startswith("hubspot: 3 webhooks of the last 10 min were refused because they were signed more than")
    clock.advance(2_000)
    count(store, H, Outcome.ACCEPTED)
    assert read_alarms(store) == []


def test_the_last_webhook_and_the_refusals_of_each_side_are_shown(store: Store, clock: Clock) -> None:
    count(store, S, Outcome.ACCEPTED, 3)
    clock.advance(30_000)
    count(store, S, Outcome.TOO_LARGE, 2)
    with store.reading() as tx:
        states = read_webhooks(tx)
    assert (states["hubspot"].last_s, states["hubspot"].refused) == (None, {})
    assert (states["stripe"].last_s, states["stripe"].accepted, states["stripe"].refused) == (30, 3, {"too_large": 2})


def test_elements_that_were_dropped_or_cost_a_read_are_shown_and_two_of_them_are_alarms(store: Store) -> None:
    start_processes(store)
    count(store, H, Outcome.IGNORED, 7)
    count(store, S, Outcome.FOREIGN, 2)
    count(store, S, Outcome.REREAD, 1)
    with store.reading() as tx:
        states = read_webhooks(tx)
    assert (states["hubspot"].elements, states["stripe"].elements) == ({"ignored": 7}, {"foreign": 2, "reread": 1})
    foreign, reread = read_alarms(store)
    assert foreign.startswith("stripe: 2 events of the last 10 min came from another account or mode and were dropped")
    assert reread.startswith("stripe: 1 event of the last 10 min came in an unknown API version and cost a read")


def test_changes_that_no_webhook_reported_are_an_alarm_until_none_is_missed(store: Store, clock: Clock) -> None:
    start_processes(store)
    store.run(lambda tx: store_missed(tx, H, 12, ["city", "phone"]))
    clock.advance(120_000)
    start_processes(store)
    (alarm,) = read_alarms(store)
    assert alarm.startswith(
        "hubspot: no webhook reported the changes of 12 records (city, phone), which were found 2 min"
    )
    assert "check the webhook subscriptions" in alarm
    store.run(lambda tx: store_missed(tx, H, 0))
    assert read_alarms(store) == []


def test_every_refusal_has_a_name_and_advice_for_both_sides() -> None:
    refusals = set(Outcome) - {Outcome.ACCEPTED, Outcome.TEST, *ELEMENTS}
    assert set(NAMES) == refusals
    assert {outcome: set(advice) for outcome, advice in ADVICE.items()} == {outcome: set(Side) for outcome in refusals}


def test_one_signed_webhook_that_cannot_be_read_is_an_alarm_although_others_follow(store: Store, clock: Clock) -> None:
    start_processes(store)
    count(store, H, Outcome.UNREADABLE)
    clock.advance(1)
    count(store, H, Outcome.ACCEPTED)
    (alarm,) = read_alarms(store)
    assert alarm.startswith("hubspot: 1 webhook of the last 10 min was refused because it cannot be read: check ")


@pytest.mark.parametrize("outcome", [*NAMES, *ELEMENT_ALARMS])
@pytest.mark.parametrize(
    ("number", "wrong"), [(1, {"they", "were", "them", "each", "webhooks", "events"}), (7, {"it", "was"})]
)
def test_an_alarm_speaks_of_one_and_of_several(store: Store, outcome: Outcome, number: int, wrong: set[str]) -> None:
    start_processes(store)
    count(store, S, outcome, number)
    alarms = read_alarms(store)
    if not alarms:
        return  # one slow webhook, or one for which the database was not ready, is none
    (alarm,) = alarms
    said, _, _ = alarm.removeprefix("stripe: ").partition(":")
    assert not wrong & set(said.replace(",", " ").split()), said
