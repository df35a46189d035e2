"""Notices wait in their table until they are delivered: none is lost or sent twice, and one does not hold up all."""

from __future__ import annotations

import threading

import pytest

from tests.support.alert_messengers import BOOK, FakeMessenger, deliverer, notice, queue, refuse
from tests.support.store_fixtures import Clock
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alerts import GIVE_UP_MS, HOUR_MS, RETRY_S, NoticeKind
from wanesync.ops.alerts.deliverer import LEASE_MS, YIELD_MS
from wanesync.store import Store
from wanesync.store.tables.operating.alerts import DeliveryState

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def states(store: Store) -> list[tuple[str, str, int, str]]:
    """(title, state, attempts, error), the oldest first."""
    with store.reading() as tx:
        page = tx.alert_deliveries.page(99)
    return [(one.notice.title, str(one.state), one.attempts, one.error) for one in reversed(page)]


def test_each_notice_is_sent_once_in_its_order_by_one_of_two(store: Store, other_store: Store, clock: Clock) -> None:
    for title in ("a", "b", "c"):
        queue(store, title)
        clock.advance(1)
    messenger = FakeMessenger()
    assert deliverer(store, messenger).run_round() == 3
    assert deliverer(other_store, messenger, "p2").run_round() == 0
    assert messenger.sent == [("slack", "a"), ("slack", "b"), ("slack", "c")]
    assert states(store) == [(title, "sent", 1, "") for title in "abc"]


def test_a_dead_slack_loses_nothing_and_does_not_hold_up_the_mail(store: Store, clock: Clock) -> None:
    for title in ("a", "b"):
        queue(store, title)
        queue(store, title, place="critical 1", label="email o…@example.com")
        clock.advance(1)
    messenger = FakeMessenger(refuse("slack"))
    sends = deliverer(store, messenger)
    sends.run_round()
    assert messenger.sent == [("email", "a"), ("email", "b")]
    assert messenger.tried == 3, "one attempt shows that Slack does not answer"
    tries = [1]
    for wait_s in [*RETRY_S, RETRY_S[-1]]:
        clock.advance(wait_s * 1000 + YIELD_MS - 1)
        assert sends.run_round() == 0
        clock.advance(1)
        tries.append(sends.run_round())
    assert tries == [1] * 9
    messenger.fail = lambda _: None
    clock.advance(HOUR_MS + YIELD_MS)
    sends.run_round()
    assert messenger.sent[2:] == [("slack", "a"), ("slack", "b")], "in their order"
    assert {state for _, state, _, _ in states(store)} == {"sent"}


def test_a_process_that_dies_while_it_sends_is_followed_by_another(
    store: Store, other_store: Store, clock: Clock
) -> None:
    queue(store, "a")
    store.run(lambda tx: tx.alert_deliveries.claim_next(["warn 1"], "dead", LEASE_MS))
    messenger = FakeMessenger()
    alive = deliverer(other_store, messenger, "p2")
    assert alive.run_round() == 0
    clock.advance(LEASE_MS)
    assert alive.run_round() == 1
    assert messenger.sent == [("slack", "a")]
    assert not store.run(lambda tx: tx.alert_deliveries.end("x", "dead", DeliveryState.SENT)), "the dead one is late"


def test_two_processes_at_once_send_each_notice_once(store: Store, other_store: Store, clock: Clock) -> None:
    for number in range(10):
        queue(store, f"{number}")
        clock.advance(1)
    messenger = FakeMessenger()
    senders = [deliverer(store, messenger, "p1"), deliverer(other_store, messenger, "p2")]

    def work(number: int) -> None:
        for _ in range(30):
            senders[number].run_round()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(messenger.sent) == sorted(("slack", f"{n}") for n in range(10))


def test_a_process_without_a_way_out_leaves_the_recipient_to_another(
    store: Store, other_store: Store, clock: Clock
) -> None:
    shut, free = FakeMessenger(refuse("slack", DeliveryFailed("no connection"))), FakeMessenger()
    inner, outer = deliverer(store, shut, "inner"), deliverer(other_store, free, "outer")
    queue(store, "a")
    inner.run_round()
    clock.advance(RETRY_S[0] * 1000)
    assert (inner.run_round(), outer.run_round()) == (0, 1)
    queue(store, "b")
    assert (inner.run_round(), outer.run_round()) == (0, 1), "also what is new"
    assert free.sent == [("slack", "a"), ("slack", "b")]


@on_sqlite
def test_a_refused_message_does_not_stop_those_behind_it(store: Store, clock: Clock) -> None:
    queue(store, "bad")
    clock.advance(1)
    queue(store, "good")
    messenger = FakeMessenger(refuse("slack", DeliveryFailed("it answered 400", of_message=True)))
    sends = deliverer(store, messenger)
    sends.run_round()
    assert messenger.tried == 2
    messenger.fail = lambda _: None
    clock.advance(RETRY_S[0] * 1000)
    sends.run_round()
    assert sorted(messenger.sent) == [("slack", "bad"), ("slack", "good")]


@on_sqlite
def test_a_recipient_may_ask_for_a_longer_wait(store: Store, clock: Clock) -> None:
    queue(store, "a")
    messenger = FakeMessenger(refuse("slack", DeliveryFailed("it answered 429", retry_after_s=120)))
    sends = deliverer(store, messenger)
    sends.run_round()
    clock.advance(119_999 + YIELD_MS)
    assert sends.run_round() == 0
    clock.advance(1)
    assert sends.run_round() == 1


@on_sqlite
def test_after_a_week_it_is_given_up_and_stays_in_the_list(store: Store, clock: Clock) -> None:
    queue(store, "a")
    clock.advance(GIVE_UP_MS)
    deliverer(store, FakeMessenger(refuse("slack"))).run_round()
    assert states(store) == [("a", "failed", 1, "it answered 500")]


@on_sqlite
def test_a_defect_of_ours_is_retried_like_any_failure(store: Store) -> None:
    queue(store, "a")
    assert deliverer(store, FakeMessenger(refuse("slack", ZeroDivisionError("secret")))).run_round() == 1
    assert states(store) == [("a", "waiting", 1, "failed with ZeroDivisionError")]


@on_sqlite
def test_what_waits_for_another_configuration_is_left_alone(store: Store) -> None:
    queue(store, "a", place="warn 7")
    assert deliverer(store, FakeMessenger()).run_round() == 0


@on_sqlite
def test_a_test_is_sent_now_once_and_stands_in_the_list(store: Store, clock: Clock) -> None:
    messenger = FakeMessenger(refuse("email", DeliveryFailed("no connection")))
    sends = deliverer(store, messenger)
    results = sends.test(notice("[test]", NoticeKind.TEST), BOOK.all)
    assert [(one.place, one.error) for one in results] == [("warn 1", ""), ("critical 1", "no connection")]
    clock.advance(HOUR_MS)
    assert sends.run_round() == 0, "a failed test is not repeated"
    assert sorted(state for _, state, _, _ in states(store)) == ["failed", "sent"]
