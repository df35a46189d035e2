"""What is wrong now, as alerts see it: alarms, and measures against thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.alert_situations import HOUR_MS, PLANTED, POLICY, H, S, Watch, in_tx, plant
from tests.support.lanes import bury, start_processes
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.alerts import Notice, NoticeKind, Thresholds
from wanesync.core.operating.figures import Figure, InTime
from wanesync.ops.alerts.situation import SituationReader, make_situation
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store, Tx
from wanesync.store.figure_counts import store_figures
from wanesync.store.tables.operating.webhook_counts import Outcome

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def watch(store: Store, clock: Clock) -> Watch:
    return Watch(clock, [store])


@pytest.fixture
def four(open_again: Callable[[], Store], clock: Clock) -> Watch:
    return Watch(clock, [open_again() for _ in range(4)])


def test_a_side_is_silent_for_longer_than_ever_in_two_weeks(watch: Watch, clock: Clock) -> None:
    accepted = in_tx(lambda tx: tx.webhook_counts.add({(S, Outcome.ACCEPTED): 1}))
    for _ in range(30):
        accepted(watch.store)
        clock.advance(3 * HOUR_MS)
    clock.advance(2 * HOUR_MS)
    watch.ticks(60)
    assert watch.noticed == [], "5 h are less than twice the longest gap of 3 h"
    clock.advance(HOUR_MS)
    watch.ticks(60)
    assert [(notice.code, notice.subject) for _, _, notice in watch.noticed] == [("webhooks_silent", "stripe")]
    assert "no webhook for 6 h (expected within 6 h)" in watch.noticed[0][2].body


@on_sqlite
def test_a_young_installation_waits_a_day_for_the_next_webhook(watch: Watch, clock: Clock) -> None:
    in_tx(lambda tx: tx.webhook_counts.add({(S, Outcome.ACCEPTED): 1}))(watch.store)
    clock.advance(23 * HOUR_MS)
    watch.ticks(60)
    assert watch.noticed == []
    clock.advance(HOUR_MS)
    watch.tick()
    assert watch.kinds() == [("raised", "webhooks_silent")]


@on_sqlite
def test_what_a_process_may_not_see_stays_as_another_saw_it(four: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    (refused,) = [planted for planted in PLANTED if planted.code == AlarmCode.FIELD_REFUSED]
    plant(four, refused)
    first, second = four.evaluators[:2]
    assert first.run_round() is not None
    first.release()
    monkeypatch.setattr("wanesync.ops.alarms._find_refused_fields", lambda _tx: None)
    done = second.run_round()
    assert done is not None
    assert (done.notices, done.worst) == ((), Level.WARN)


def alarm(level: Level | None = None, what: str = "it is full", outside: str = "") -> Alarm:
    return Alarm(AlarmCode.DISK_FULL, what, "make room", outside=outside, level_now=level)


def test_of_two_alarms_of_one_kind_the_worse_counts_and_what_is_off_is_left_out() -> None:
    found = make_situation([alarm(Level.WARN, "a"), alarm(Level.CRITICAL, "b"), alarm(Level.WARN, "c")], POLICY)
    assert [(seen.level, seen.what) for seen in found.seen.values()] == [(Level.CRITICAL, "b")]
    off = replace(POLICY, levels={AlarmCode.DISK_FULL: Level.OK})
    assert make_situation([alarm()], off).seen == {}


def test_a_notice_says_what_may_leave_and_how_to_mend_it() -> None:
    (seen,) = make_situation([alarm(outside="a disk is full")], POLICY).seen.values()
    assert (seen.what, seen.way_out) == ("a disk is full", "make room")


def test_single_jobs_are_told_together_for_each_lane() -> None:
    def failing(lane: str, key: str) -> Alarm:
        return Alarm(AlarmCode.JOB_FAILING, f"{lane}: {key} failed", "look at it", f"{lane} write {key}")

    found = make_situation([failing("stripe", "1"), failing("hubspot", "2"), failing("stripe", "3")], POLICY).seen
    assert {key: seen.what for key, seen in found.items()} == {
        ("job_failing", "stripe"): "stripe: 1 failed (and 1 like it)",
        ("job_failing", "hubspot"): "hubspot: 2 failed",
    }


@on_sqlite
def test_many_dead_letters_are_critical(store: Store) -> None:
    start_processes(store)
    for n in range(3):
        bury(store, JobRequest(H, JobKind.READ, f"{n}"))
    for critical, level in ((4, Level.WARN), (3, Level.CRITICAL)):
        policy = replace(POLICY, thresholds=Thresholds(dead_critical=critical))
        (seen,) = SituationReader(store, policy).read().seen.values()
        assert seen.level == level


@on_sqlite
def test_a_lane_that_an_operator_paused_is_not_late_as_well(store: Store) -> None:
    start_processes(store)
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "1", arrived_ms=tx.now_ms - 2_000_000)))
    (late,) = SituationReader(store, POLICY).read().seen.items()
    assert (late[0], late[1].level) == (("oldest_job", "hubspot"), Level.CRITICAL)
    pause_sides(store, [H], ADA)
    assert [code for code, _ in SituationReader(store, POLICY).read().seen] == ["side_paused"]


@on_sqlite
@pytest.mark.parametrize(
    ("within", "beyond", "level"), [(20, 1, None), (20, 2, Level.WARN), (20, 30, Level.CRITICAL), (5, 5, None)]
)
def test_too_few_changes_in_time_are_an_alert(store: Store, within: int, beyond: int, level: Level | None) -> None:
    start_processes(store)
    store.figures.add(Figure.PEOPLE, "stripe", InTime.WITHIN, number=within)
    store.figures.add(Figure.PEOPLE, "stripe", InTime.BEYOND, number=beyond)
    store_figures(store)
    found = SituationReader(store, POLICY).read().seen
    assert [(code, seen.level) for (code, _), seen in found.items()] == ([("share_in_target", level)] if level else [])


@on_sqlite
def test_a_recipient_that_does_not_answer_is_an_alert(store: Store) -> None:
    start_processes(store)
    notice = Notice(NoticeKind.RAISED, Level.WARN, "disk_full", "", "title", "body")

    def fail_thrice(tx: Tx) -> None:
        tx.alert_deliveries.add(notice, "warn 1", "slack hooks.slack.com")
        for _ in range(3):
            found = tx.alert_deliveries.claim_next(["warn 1"], "t", 0)
            assert found is not None
            tx.alert_deliveries.retry(found.id, "t", "it answered 500", 0)

    store.run(fail_thrice)
    ((key, seen),) = SituationReader(store, POLICY).read().seen.items()
    assert key == ("notices_undelivered", "warn 1")
    assert seen.what == "1 notice could not be delivered to slack hooks.slack.com for 0 s (it answered 500)"
