"""How long changes take from their claim to the answer, and which of them are claimed in vain."""

from __future__ import annotations

from dataclasses import replace

from wanesync.core.jobs import (
    CALL_MS,
    MAX_SEND_MS,
    MIN_SEND_MS,
    SEND_MS,
    Job,
    JobKind,
    JobState,
    Priority,
    follow_call_ms,
    follow_send_ms,
)
from wanesync.core.model import Side
from wanesync.sync.calls import AnyCall, Call
from wanesync.worker.send_time import SendTime


def call(kind: JobKind, arrived_ms: int = 0) -> AnyCall:
    job = Job(
        "1", Side.STRIPE, kind, "contact:1", JobState.RUNNING, 10, 0, arrived_ms, 0, 0, "token", "me", "", "", "", "", 1
    )
    return Call(Side.STRIPE, "customers.create", [job], lambda: None, lambda _tx, _answer: [])


def test_it_follows_what_9_of_10_take_within_its_bounds() -> None:
    assert follow_send_ms(1_500, 2_500) == 1_518
    assert follow_send_ms(1_500, 500) == 1_498
    send_ms = SEND_MS
    for _ in range(100):
        for measured_ms in (*[800, 900, 1_000, 1_100] * 10, 30_000):
            send_ms = follow_send_ms(send_ms, measured_ms)
    assert 1_000 < send_ms < 1_200, "one call in 41 that takes for ever moves it little"
    for measured_ms, bound_ms in ((0, MIN_SEND_MS), (1_000_000, MAX_SEND_MS)):
        for _ in range(3_000):
            send_ms = follow_send_ms(send_ms, measured_ms)
        assert send_ms == bound_ms


def test_only_changes_that_were_answered_count() -> None:
    measured, write, read, given_up = SendTime(), call(JobKind.WRITE), call(JobKind.READ), call(JobKind.WRITE)
    measured.begin([given_up], 0, is_first=True)
    measured.begin([write, read], 1_000, is_first=True, target_ms=30_000)
    measured.end(read, 8_900, 9_000)
    measured.end(given_up, 8_900, 9_000)
    assert measured.ms == SEND_MS
    measured.hand_out([write, given_up], 3_000)
    measured.end(write, 3_300, 3_500)
    assert measured.ms == follow_send_ms(SEND_MS, 2_400)
    measured.end(write, 8_900, 9_000)
    assert measured.ms == follow_send_ms(SEND_MS, 2_400)
    assert measured.call_ms == follow_call_ms(CALL_MS, 400), "from when it was given its slot"


def test_a_late_change_waits_behind_others_so_its_time_says_nothing() -> None:
    measured, late, in_time = SendTime(), call(JobKind.WRITE, 0), call(JobKind.WRITE, 20_000)
    measured.begin([late, in_time], 40_000, is_first=True, target_ms=30_000)
    assert (measured.was_late(late), measured.was_late(in_time)) == (True, False)
    measured.end(late, 70_000, 70_200)
    assert (measured.ms, measured.call_ms, measured.was_late(late)) == (SEND_MS, CALL_MS, False)


def test_a_claimed_change_that_can_no_longer_be_in_time_gives_way_to_one_that_can() -> None:
    measured = SendTime(call_ms=200)
    old, young, late, bulk = (call(JobKind.WRITE, arrived_ms) for arrived_ms in (1_000, 5_000, 0, 1_000))
    bulk = replace(bulk, jobs=[replace(bulk.jobs[0], priority=Priority.BULK)])
    calls = [old, young, late, bulk]
    measured.begin(calls, 30_700, is_first=True, target_ms=30_000)
    assert measured.split(calls, 30_800) == (calls, [])
    assert measured.split(calls, 30_801) == ([young, late, bulk], [old]), "what was late when it was claimed is sent"
    assert measured.split(calls, 34_801) == ([late, bulk], [old, young])
    measured.give_up(old, 30_801)
    assert measured.split(calls, 30_801) == (calls, [])
