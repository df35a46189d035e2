"""The tables of alerts on both databases."""

from __future__ import annotations

from tests.support.alert_messengers import notice
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.alerts import AlertState
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.alerts import MAX_LEASE_MS, REPORT_MS
from wanesync.store.tables.operating.webhook_counts import Outcome

STATE = AlertState("disk_full", "", Level.WARN, 1, Level.CRITICAL, 2, Level.OK, 0, "it is full", "make room")


def test_one_process_holds_the_claim_until_it_ends_or_gives_it_back(store: Store, clock: Clock) -> None:
    assert store.run(lambda tx: tx.alerts.take_claim("a", 25_000)) == 1
    assert store.run(lambda tx: tx.alerts.take_claim("a", 25_000)) == 1, "renewed"
    assert store.run(lambda tx: tx.alerts.take_claim("b", 25_000)) is None
    clock.advance(25_000)
    assert store.run(lambda tx: tx.alerts.take_claim("b", 25_000)) == 2
    assert store.run(lambda tx: tx.alerts.confirm_claim("a", 1)) is None
    assert store.run(lambda tx: tx.alerts.confirm_claim("b", 2)) == ""
    store.run(lambda tx: tx.alerts.release_claim("a"))
    assert store.run(lambda tx: tx.alerts.take_claim("a", 25_000)) is None
    store.run(lambda tx: tx.alerts.release_claim("b"))
    assert store.run(lambda tx: tx.alerts.take_claim("a", 25_000)) == 3


def test_a_claim_of_a_clock_that_was_ahead_does_not_last(store: Store, clock: Clock) -> None:
    clock.advance(10 * MAX_LEASE_MS)
    store.run(lambda tx: tx.alerts.take_claim("a", 25_000))
    clock.advance(-10 * MAX_LEASE_MS)
    assert store.run(lambda tx: tx.alerts.take_claim("b", 25_000)) == 2


def test_a_state_is_kept_until_it_is_settled(store: Store) -> None:
    store.run(lambda tx: tx.alerts.put_state(STATE))
    store.run(lambda tx: tx.alerts.put_state(AlertState("oldest_job", "stripe", pending=Level.WARN, pending_ms=5)))
    with store.reading() as tx:
        assert tx.alerts.states()[0] == STATE
        assert len(tx.alerts.states()) == 2
    store.run(lambda tx: tx.alerts.put_state(AlertState("disk_full", "")))
    with store.reading() as tx:
        assert [state.code for state in tx.alerts.states()] == ["oldest_job"]


def test_raised_alerts_are_counted_by_level(store: Store, clock: Clock) -> None:
    def work(tx: Tx) -> None:
        tx.alerts.add_history(AlertState("a", "", Level.CRITICAL), Level.WARN)
        tx.alerts.add_history(AlertState("b", "", Level.WARN), Level.OK)
        tx.alerts.add_history(AlertState("b", "", Level.OK), Level.WARN)

    store.run(work)
    with store.reading() as tx:
        assert tx.alerts.count_raised(0, tx.now_ms + 1) == {Level.WARN: 1, Level.CRITICAL: 1}
        assert tx.alerts.count_raised(0, tx.now_ms) == {}


def test_silences_last_until_their_time(store: Store, clock: Clock) -> None:
    until_ms = store.now_ms() + 1000
    store.run(lambda tx: tx.alerts.add_silence("disk_full", "", until_ms, "known", ADA))
    with store.reading() as tx:
        (found,) = tx.alerts.silences()
    assert (found.covers("disk_full", "x"), found.covers("oldest_job", "")) == (True, False)
    clock.advance(1000)
    with store.reading() as tx:
        assert tx.alerts.silences() == []
    assert not store.run(lambda tx: tx.alerts.end_silence(found.id))


def test_what_a_process_reports_counts_for_a_while(store: Store, clock: Clock) -> None:
    alarm = Alarm(AlarmCode.CERTIFICATE_ENDS, "it ends", "renew it", "door.pem")
    store.run(lambda tx: tx.alerts.report("p1", [alarm]))
    with store.reading() as tx:
        assert tx.alerts.reported() == [alarm]
    clock.advance(REPORT_MS)
    with store.reading() as tx:
        assert tx.alerts.reported() == []
    clock.advance(86_400_000)
    store.run(lambda tx: tx.alerts.drop_old_reports())


def test_the_longest_gap_between_two_webhooks_of_a_side(store: Store, clock: Clock) -> None:
    began_ms = store.now_ms()
    for wait_ms in (0, 120_000, 600_000, 60_000):
        clock.advance(wait_ms)
        store.run(lambda tx: tx.webhook_counts.add({(Side.STRIPE, Outcome.ACCEPTED): 1}))
    with store.reading() as tx:
        assert tx.alerts.longest_gap("stripe", began_ms - 60_000) == (600_000, 780_000, 4)
        assert tx.alerts.longest_gap("hubspot", 0) == (0, 0, 0)


def test_what_waits_for_a_recipient_that_is_gone_is_ended_after_a_day(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.alert_deliveries.add(notice(), "warn 2", "slack x"))
    store.run(lambda tx: tx.alert_deliveries.add(notice(), "warn 1", "slack x"))
    assert store.run(lambda tx: tx.alert_deliveries.end_unknown(["warn 1"], "gone", tx.now_ms)) == 0
    clock.advance(1)
    assert store.run(lambda tx: tx.alert_deliveries.end_unknown(["warn 1"], "gone", tx.now_ms)) == 1
    with store.reading() as tx:
        assert tx.alert_deliveries.count_waiting() == 1


def test_a_failing_recipient_is_named_with_its_newest_error(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.alert_deliveries.add(notice(), "warn 1", "slack x")
        for _ in range(2):
            found = tx.alert_deliveries.claim_next(["warn 1"], "t", 0)
            assert found is not None
            tx.alert_deliveries.retry(found.id, "t", "it answered 500", 0)

    store.run(work)
    with store.reading() as tx:
        assert tx.alert_deliveries.failing(3) == []
        ((place, label, waiting, attempts, error),) = [
            (one.recipient, one.label, one.waiting, one.attempts, one.error) for one in tx.alert_deliveries.failing(2)
        ]
    assert (place, label, waiting, attempts, error) == ("warn 1", "slack x", 1, 2, "it answered 500")
