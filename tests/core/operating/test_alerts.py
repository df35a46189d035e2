"""When an alarm becomes a notice, when it has recovered, and when a notice waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import (
    CLEAR_MS,
    GIVE_UP_MS,
    HOUR_MS,
    RETRY_S,
    AlertPolicy,
    AlertState,
    Message,
    Notice,
    NoticeKind,
    QuietHours,
    Seen,
    Transition,
    advance,
    correct_times,
    find_digest_day,
    find_last_digest_day,
    find_notice,
    find_retry_ms,
    mark_told,
)

OK, WARN, CRITICAL = Level
NOW = 1_800_000_000_000  # 2027-01-15 08:00 UTC
POLICY = AlertPolicy()
DISK, WORKER = AlarmCode.DISK_FULL, AlarmCode.NO_WORKER


def seen(level: Level = CRITICAL) -> Seen:
    return Seen(level, "the disk is full", "make room")


def raised(level: Level = CRITICAL, told: Level | None = None) -> AlertState:
    told = level if told is None else told
    return AlertState(DISK, "", level, NOW, level, 0, told, NOW if told else 0, "the disk is full", "make room")


def test_an_alarm_with_a_threshold_of_its_own_counts_at_once() -> None:
    state, change = advance(AlertState(DISK, ""), seen(), NOW)
    assert change == Transition(OK, CRITICAL)
    assert (state.level, state.since_ms, state.what) == (CRITICAL, NOW, "the disk is full")
    assert advance(state, seen(), NOW + 1) == (state, None)


def test_what_a_restart_raises_counts_after_half_a_minute() -> None:
    state, change = advance(AlertState(WORKER, "hubspot"), seen(), NOW)
    assert (change, state.level, state.pending, state.pending_ms) == (None, OK, CRITICAL, NOW)
    gone, change = advance(state, None, NOW + 29_999)
    assert (change, gone.is_settled) == (None, True)
    again, change = advance(gone, seen(), NOW + 30_000)
    assert change is None
    assert advance(again, seen(), NOW + 60_000)[1] == Transition(OK, CRITICAL)


def test_it_has_recovered_once_it_is_gone_for_a_minute() -> None:
    gone, change = advance(raised(), None, NOW)
    assert (change, gone.level, gone.pending) == (None, CRITICAL, OK)
    flickers, change = advance(gone, seen(), NOW + 10_000)
    assert (change, flickers.level, flickers.pending) == (None, CRITICAL, CRITICAL)
    gone, _ = advance(flickers, None, NOW + 20_000)
    assert advance(gone, None, NOW + 20_000 + CLEAR_MS - 1)[1] is None
    well, change = advance(gone, None, NOW + 20_000 + CLEAR_MS)
    assert change == Transition(CRITICAL, OK)
    assert well.what == "the disk is full", "the recovery names what was wrong"
    assert not well.is_settled, "it is to be told"
    assert mark_told(well, NOW).is_settled


def test_each_change_is_told_once() -> None:
    state, _ = advance(AlertState(DISK, ""), seen(WARN), NOW)
    assert find_notice(state, NOW, POLICY, silenced=False) == NoticeKind.RAISED
    state = mark_told(state, NOW)
    assert find_notice(state, NOW + 1, POLICY, silenced=False) is None
    state, _ = advance(state, seen(CRITICAL), NOW + 2)
    assert find_notice(state, NOW + 2, POLICY, silenced=False) == NoticeKind.CHANGED
    state = replace(mark_told(state, NOW), level=OK)
    assert find_notice(state, NOW + 3, POLICY, silenced=False) == NoticeKind.RECOVERED


@pytest.mark.parametrize(("level", "hours"), [(WARN, 24), (CRITICAL, 4)])
def test_what_stands_is_told_again(level: Level, hours: int) -> None:
    state = raised(level)
    assert find_notice(state, NOW + hours * HOUR_MS - 1, POLICY, silenced=False) is None
    assert find_notice(state, NOW + hours * HOUR_MS, POLICY, silenced=False) == NoticeKind.REMINDER
    never = replace(POLICY, remind_ms={})
    assert find_notice(state, NOW + 1000 * HOUR_MS, never, silenced=False) is None


def test_a_silence_holds_back_the_notice_and_not_the_state() -> None:
    state = raised(told=OK)
    assert find_notice(state, NOW, POLICY, silenced=True) is None
    assert find_notice(state, NOW, POLICY, silenced=False) == NoticeKind.RAISED, "told at its end if it still stands"
    over = replace(state, level=OK)
    assert find_notice(over, NOW, POLICY, silenced=False) is None, "what was never told does not recover"


@pytest.mark.parametrize(
    ("begin", "end", "quiet"),
    [(7 * 60, 9 * 60, True), (22 * 60, 8 * 60, False), (22 * 60, 8 * 60 + 1, True), (9 * 60, 10 * 60, False)],
)
def test_warnings_wait_in_quiet_hours_and_critical_ones_do_not(begin: int, end: int, quiet: bool) -> None:
    policy = replace(POLICY, quiet=QuietHours(begin, end))
    assert policy.is_quiet(NOW) is quiet
    assert (find_notice(raised(WARN, OK), NOW, policy, silenced=False) is None) is quiet
    assert find_notice(raised(CRITICAL, OK), NOW, policy, silenced=False) == NoticeKind.RAISED
    recovered = raised(OK, CRITICAL)
    assert find_notice(recovered, NOW, policy, silenced=False) == NoticeKind.RECOVERED, "who was woken up may sleep"


def test_quiet_hours_are_those_of_the_configured_zone() -> None:
    policy = replace(POLICY, quiet=QuietHours(0, 60), zone=ZoneInfo("America/Los_Angeles"))
    assert policy.is_quiet(NOW), "08:00 UTC is midnight there"


def test_the_digest_is_due_once_a_day_at_its_local_hour() -> None:
    policy = replace(POLICY, digest_hour=9, zone=ZoneInfo("Europe/Berlin"))
    assert find_last_digest_day(NOW, policy) == "2027-01-15", "08:00 UTC is 09:00 there"
    assert find_digest_day("2027-01-14", NOW - 1, policy) is None
    assert find_digest_day("2027-01-14", NOW, policy) == "2027-01-15"
    assert find_digest_day("2027-01-15", NOW + 23 * HOUR_MS, policy) is None
    assert find_digest_day("2027-01-10", NOW, policy) == "2027-01-15", "after days without a process one is enough"
    assert find_digest_day("", NOW, policy) is None, "the first start sends none"
    assert find_digest_day("2027-01-10", NOW, replace(policy, digest_hour=None)) is None


def test_times_of_a_clock_that_was_ahead_count_as_now() -> None:
    state = replace(raised(), since_ms=NOW + HOUR_MS, told_ms=NOW + HOUR_MS)
    corrected = correct_times(state, NOW)
    assert (corrected.since_ms, corrected.told_ms) == (NOW, NOW)
    assert correct_times(corrected, NOW) is corrected
    pending = AlertState(WORKER, "", pending=CRITICAL, pending_ms=NOW + HOUR_MS)
    begun, _ = advance(pending, seen(), NOW)
    assert begun.pending_ms == NOW


def test_attempts_are_repeated_ever_more_rarely_or_as_the_recipient_asks() -> None:
    assert [find_retry_ms(n) // 1000 for n in range(1, 9)] == [*RETRY_S, RETRY_S[-1]]
    assert find_retry_ms(1, 120) == 120_000
    assert find_retry_ms(1, 1e9) == RETRY_S[-1] * 1000, "at most an hour"
    assert GIVE_UP_MS > 24 * HOUR_MS


def test_a_message_as_json() -> None:
    notice = Notice(NoticeKind.RAISED, WARN, "dead_letters", "stripe", "[warn] Dead letters: stripe", "2 dead letters")
    assert Message("i", NOW, notice).as_json() == {
        "version": 1,
        "id": "i",
        "at": "2027-01-15T08:00:00+00:00",
        "kind": "raised",
        "level": "warn",
        "code": "dead_letters",
        "subject": "stripe",
        "title": "[warn] Dead letters: stripe",
        "text": "2 dead letters",
    }


@pytest.mark.parametrize(("last", "due"), [("2027-01-15", None), ("2027-01-16", None), ("2027-06-01", "2027-01-15")])
def test_a_digest_of_a_wrong_clock_is_not_believed(last: str, due: str | None) -> None:
    assert find_digest_day(last, NOW, AlertPolicy()) == due


def test_clocks_that_change_neither_double_nor_lose_a_digest() -> None:
    policy = AlertPolicy(zone=ZoneInfo("Europe/Berlin"), digest_hour=2)
    for day, first, hours in (
        ("2026-10-25", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        ("2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
    ):
        last = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        told = []
        for minute in range(hours * 60):
            found = find_digest_day(last, int(first.timestamp() * 1000) + minute * 60_000, policy)
            if found:
                told.append(found)
                last = found
        assert told == [day]
