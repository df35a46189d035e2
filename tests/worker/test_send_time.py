"""How long changes take from their claim to the answer."""

from __future__ import annotations

from wanesync.core.jobs import MAX_SEND_MS, MIN_SEND_MS, SEND_MS, Job, JobKind, JobState, follow_send_ms
from wanesync.core.model import Side
from wanesync.sync.calls import AnyCall, Call
from wanesync.worker.send_time import SendTime


def call(kind: JobKind) -> AnyCall:
    job = Job("1", Side.STRIPE, kind, "contact:1", JobState.RUNNING, 10, 0, 0, 0, 0, "token", "me", "", "", "", "", 1)
    return Call(Side.STRIPE, "customers.create", [job], lambda: None, lambda _tx, _answer: [])


def test_it_follows_what_19_of_20_take_within_its_bounds() -> None:
    assert follow_send_ms(1_500, 2_500) == 1_538
    assert follow_send_ms(1_500, 500) == 1_498
    send_ms = SEND_MS
    for _ in range(100):
        for measured_ms in (*[800, 900, 1_000, 1_100] * 10, 30_000):
            send_ms = follow_send_ms(send_ms, measured_ms)
    assert 1_050 < send_ms < 1_200, "one call in 41 that takes for ever moves it little"
    for measured_ms, bound_ms in ((0, MIN_SEND_MS), (1_000_000, MAX_SEND_MS)):
        for _ in range(3_000):
            send_ms = follow_send_ms(send_ms, measured_ms)
        assert send_ms == bound_ms


def test_only_changes_that_were_answered_count() -> None:
    measured, write, read, given_up = SendTime(), call(JobKind.WRITE), call(JobKind.READ), call(JobKind.WRITE)
    measured.begin([given_up], 0, is_first=True)
    measured.begin([write, read], 1_000, is_first=True)
    measured.end(read, 9_000)
    measured.end(given_up, 9_000)
    assert measured.ms == SEND_MS
    measured.end(write, 3_500)
    assert measured.ms == follow_send_ms(SEND_MS, 2_500)
    measured.end(write, 9_000)
    assert measured.ms == follow_send_ms(SEND_MS, 2_500)
