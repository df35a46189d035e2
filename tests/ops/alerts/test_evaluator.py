"""Of several processes one evaluates, and each change is noticed once, within a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.alert_situations import BOOK, HOUR_MS, PLANTED, POLICY, H, S, Watch, mend, plant
from tests.support.lanes import bury
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import AlertPolicy, NoticeKind, QuietHours, Thresholds
from wanesync.core.operating.recipients import RecipientBook
from wanesync.ops.alerts.evaluator import LEASE_MS
from wanesync.ops.alerts.situation import Situation, SituationReader
from wanesync.ops.pauses import pause_sides, resume_sides
from wanesync.store import Store

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What the database has no part in is tried on one of them."""


@pytest.fixture
def watch(store: Store, clock: Clock) -> Watch:
    return Watch(clock, [store])


@pytest.fixture
def four(open_again: Callable[[], Store], clock: Clock) -> Watch:
    return Watch(clock, [open_again() for _ in range(4)])


def deliveries(store: Store) -> list[tuple[str, str, str]]:
    """(kind, code, place) of what is to be delivered, the oldest first."""
    with store.reading() as tx:
        return [(str(one.notice.kind), one.notice.code, one.recipient) for one in tx.alert_deliveries.page(999)][::-1]


def test_twenty_things_that_go_wrong_are_noticed_once_within_a_minute_and_recover(four: Watch, clock: Clock) -> None:
    four.ticks(60)
    assert four.noticed == [], "all is well"
    began_ms = clock.ms
    for planted in PLANTED:
        plant(four, planted)
    four.ticks(110)
    found = {planted.key: list(four.find(planted, NoticeKind.RAISED)) for planted in PLANTED}
    assert len(found) == 20
    assert [key for key, one in found.items() if len(one) != 1] == []
    late = [key for key, one in found.items() if one[0][0] - began_ms > 60_000]
    assert late == []
    assert len(four.noticed) == 20, four.kinds()
    for planted in PLANTED:
        mend(four, planted)
    four.ticks(120)
    assert len(four.noticed) == 40, four.kinds()[20:]
    recovered = [len(list(four.find(planted, NoticeKind.RECOVERED))) for planted in PLANTED]
    assert recovered == [1] * 20
    critical = sum(notice.level is Level.CRITICAL for _, _, notice in four.noticed)
    assert len(deliveries(four.store)) == 40 + critical, "warnings to one list, critical notices to both"
    with four.store.reading() as tx:
        assert tx.alerts.states() == []
        assert len(tx.alerts.history(999)) == 40


def test_a_dead_process_is_replaced_and_nothing_is_told_twice(four: Watch, clock: Clock) -> None:
    four.ticks(20)
    with four.store.reading() as tx:
        holder = tx.alerts.claim().owner
    pause_sides(four.store, [H], ADA)
    began_ms = clock.ms
    four.ticks(50, without=[holder])
    ((at_ms, name, notice),) = four.noticed
    assert (name != holder, notice.code) == (True, "side_paused")
    assert at_ms - began_ms <= LEASE_MS + 10_000
    four.ticks(60)
    assert len(four.noticed) == 1, "the dead one is back, and has nothing to say"


def test_a_process_that_lost_the_claim_while_it_was_stopped_stores_nothing(four: Watch, clock: Clock) -> None:
    pause_sides(four.store, [H], ADA)
    slow, quick = four.evaluators[:2]

    class Stopped(SituationReader):
        def read(self) -> Situation:
            found = super().read()
            clock.advance(LEASE_MS + 1)
            four.beat()
            assert quick.run_round() is not None
            return found

    slow.reader = Stopped(four.store, POLICY)
    assert slow.run_round() is None
    assert deliveries(four.store) == [("raised", "side_paused", "warn 1")]


@on_sqlite
def test_a_process_that_ends_gives_the_claim_back(four: Watch) -> None:
    first, second = four.evaluators[:2]
    assert first.run_round() is not None
    assert second.run_round() is None
    first.release()
    assert second.run_round() is not None


def with_policy(store: Store, clock: Clock, policy: AlertPolicy, book: RecipientBook = BOOK) -> Watch:
    return Watch(clock, [store], policy, book)


@on_sqlite
def test_quiet_hours_hold_a_warning_back_until_their_end(store: Store, clock: Clock) -> None:
    local = POLICY.local(store.now_ms())
    minute = local.hour * 60 + local.minute
    watch = with_policy(store, clock, replace(POLICY, quiet=QuietHours(minute, minute + 3)))
    pause_sides(store, [H], ADA)
    watch.ticks(60)
    assert watch.noticed == []
    watch.ticks(180)
    assert watch.kinds() == [("raised", "side_paused")]


@on_sqlite
def test_what_begins_and_ends_in_quiet_hours_is_in_the_history_only(store: Store, clock: Clock) -> None:
    local = POLICY.local(store.now_ms())
    minute = local.hour * 60 + local.minute
    watch = with_policy(store, clock, replace(POLICY, quiet=QuietHours(minute, minute + 5)))
    pause_sides(store, [H], ADA)
    watch.ticks(30)
    resume_sides(store, [H], ADA)
    watch.ticks(400)
    assert watch.noticed == []
    with store.reading() as tx:
        assert [row.level for row in tx.alerts.history(9)] == [Level.OK, Level.WARN]


@on_sqlite
def test_a_critical_alert_does_not_wait_for_the_morning(store: Store, clock: Clock) -> None:
    watch = with_policy(store, clock, replace(POLICY, quiet=QuietHours(0, 1440)))
    watch.lanes = "stripe"
    watch.ticks(60)
    assert watch.kinds() == [("raised", "no_worker")]
    assert sorted(deliveries(store)) == [("raised", "no_worker", place) for place in ("critical 1", "warn 1")]


@on_sqlite
def test_what_stands_is_told_again_and_more_urgently_if_it_gets_worse(store: Store, clock: Clock) -> None:
    policy = replace(POLICY, remind_ms={Level.WARN: HOUR_MS}, thresholds=Thresholds(dead_critical=2))
    watch = with_policy(store, clock, policy)
    plant(watch, PLANTED[1])
    watch.tick()
    clock.advance(HOUR_MS)
    watch.tick()
    (last,) = [notice for _, _, notice in watch.noticed if notice.kind is NoticeKind.REMINDER]
    assert last.title == "[still warn] Dead letters: stripe"
    bury(store, JobRequest(S, JobKind.WRITE, "contact:2"))
    watch.tick()
    assert watch.noticed[-1][2].title == "[now critical] Dead letters: stripe"
    assert watch.kinds() == [(kind, "dead_letters") for kind in ("raised", "reminder", "changed")]


@on_sqlite
def test_a_rule_can_be_turned_off_or_given_another_level(store: Store, clock: Clock) -> None:
    watch = with_policy(store, clock, replace(POLICY, levels={AlarmCode.SIDE_PAUSED: Level.OK}))
    pause_sides(store, [H], ADA)
    watch.ticks(30)
    assert watch.noticed == []
    louder = with_policy(store, clock, replace(POLICY, levels={AlarmCode.SIDE_PAUSED: Level.CRITICAL}))
    clock.advance(LEASE_MS)
    louder.ticks(30)
    assert [(notice.code, notice.level) for _, _, notice in louder.noticed] == [("side_paused", Level.CRITICAL)]


def test_the_digest_comes_once_a_day_also_when_nothing_happened(four: Watch, clock: Clock) -> None:
    hour = (POLICY.local(four.store.now_ms() + 60_000).hour + 1) % 24
    for evaluator in four.evaluators:
        evaluator.policy = replace(POLICY, digest_hour=hour)
    four.tick()
    assert four.noticed == [], "none at the first start"
    clock.advance(HOUR_MS + 60_000)
    four.ticks(60)
    ((_, _, notice),) = four.noticed
    assert notice.title.endswith(": all is well")
    assert "Nothing is wrong now." in notice.body
    assert deliveries(four.store) == [("digest", "", "warn 1")]
    pause_sides(four.store, [H], ADA)
    four.ticks(60)
    clock.advance(24 * HOUR_MS)
    four.ticks(60)
    digests = [notice for _, _, notice in four.noticed if notice.kind is NoticeKind.DIGEST]
    assert len(digests) == 2
    assert digests[1].title.endswith(": 1 standing")
    assert "hubspot is paused by an operator" in digests[1].body


@on_sqlite
def test_without_recipients_the_states_are_kept_and_told_once_there_are_some(store: Store, clock: Clock) -> None:
    watch = with_policy(store, clock, POLICY, RecipientBook())
    pause_sides(store, [H], ADA)
    watch.ticks(30)
    assert watch.noticed == []
    with store.reading() as tx:
        assert [(state.level, state.told) for state in tx.alerts.states()] == [(Level.WARN, Level.OK)]
    watch.book = BOOK
    watch.tick()
    assert watch.kinds() == [("raised", "side_paused")]
    assert deliveries(store) == [("raised", "side_paused", "warn 1")]


def test_a_process_that_knows_no_recipient_gives_way_to_one_that_does(four: Watch) -> None:
    silent, knowing = four.evaluators[:2]
    silent.book = RecipientBook
    pause_sides(four.store, [H], ADA)
    done = silent.run_round()
    assert done is not None
    assert done.notices == ()
    taken = knowing.run_round()
    assert taken is not None
    assert [notice.code for notice in taken.notices] == ["side_paused"]
    assert silent.run_round() is None
    silent.release()
    assert silent.run_round() is None, "it has released its own claim only"
