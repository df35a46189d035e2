"""What a filter shows, and which values are suggested."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wanesync.core.jobs import DeadClass, Job, JobKind, JobState
from wanesync.core.model import Side
from wanesync.core.operating.queue_filter import (
    DISCARDED,
    JobSelection,
    ListedJob,
    QueueFilter,
    QueueState,
    Suggestion,
    ValueCount,
    make_pattern,
    suggest,
)

READY = Job("1", Side.STRIPE, JobKind.READ, "cus_1", JobState.READY, 10, 100, 50)


@pytest.mark.parametrize(
    ("job", "state"),
    [
        (READY, QueueState.DUE),
        (replace(READY, due_ms=101), QueueState.WAITING),
        (replace(READY, attempts=1), QueueState.RETRYING),
        (replace(READY, state=JobState.RUNNING, attempts=1), QueueState.RUNNING),
        (replace(READY, state=JobState.DEAD), QueueState.DEAD),
        (replace(READY, state=JobState.DONE), QueueState.DONE),
        (replace(READY, state=JobState.DONE, waits_for=DISCARDED), QueueState.DISCARDED),
    ],
)
def test_a_job_is_in_one_of_seven_states(job: Job, state: QueueState) -> None:
    listed = ListedJob(job, ended_ms=70)
    assert listed.state(100) is state
    assert listed.at_ms == (70 if state in {QueueState.DEAD, QueueState.DONE, QueueState.DISCARDED} else 50)


def test_a_filter_with_a_state_alone_is_empty() -> None:
    assert QueueFilter().is_empty
    assert QueueFilter(state=QueueState.RETRYING).is_empty
    for some in (
        QueueFilter(side=Side.STRIPE),
        QueueFilter(kind=JobKind.READ),
        QueueFilter(dead_class=DeadClass.GONE),
        QueueFilter(waits_for="backoff"),
        QueueFilter(reason="x"),
        QueueFilter(newer_ms=1),
        QueueFilter(older_ms=1),
        QueueFilter(person="7"),
    ):
        assert not some.is_empty


def test_a_part_of_a_reason_is_found_in_any_case() -> None:
    dead = ListedJob(replace(READY, state=JobState.DEAD, reason="No such Customer (50%)"), ended_ms=1)
    assert JobSelection(reason="CUSTOMER").matches(dead, 0)
    assert JobSelection(reason="50%").matches(dead, 0)
    assert not JobSelection(reason="5%)x").matches(dead, 0)
    assert make_pattern("50%_!X") == "%50!%!_!!x%"
    assert make_pattern("") == ""


def row(side: str, code: str, age: int, count: int, state: QueueState = QueueState.DEAD) -> ValueCount:
    return ValueCount(side, "read", code, f"because of {code}", state, age, count)


FOUND = [
    row("stripe", "gone", 0, 2),
    row("stripe", "refused", 2, 5),
    row("hubspot", "refused", 4, 7),
    row("hubspot", "backoff", 0, 99, QueueState.RETRYING),
]


def test_suggestions_count_what_the_other_filters_leave() -> None:
    all_of_them = suggest(QueueFilter(), FOUND, is_more=False)
    assert all_of_them["side"] == (Suggestion("hubspot", 7), Suggestion("stripe", 7))
    assert all_of_them["code"] == (Suggestion("refused", 12), Suggestion("gone", 2))
    assert all_of_them["newer"] == (Suggestion("10m", 2), Suggestion("1h", 2), Suggestion("1d", 7), Suggestion("7d", 7))
    of_stripe = suggest(QueueFilter(side=Side.STRIPE, dead_class=DeadClass.GONE), FOUND, is_more=True)
    assert of_stripe["code"] == (Suggestion("refused", 5, is_more=True), Suggestion("gone", 2, is_more=True))
    assert of_stripe["side"] == (Suggestion("stripe", 2, is_more=True),)
    assert of_stripe["reason"] == (Suggestion("because of gone", 2, is_more=True),)
    young = suggest(QueueFilter(newer_ms=600_000), FOUND, is_more=False)
    assert young["code"] == (Suggestion("gone", 2),)
    retried = suggest(QueueFilter(QueueState.RETRYING, waits_for="backoff"), FOUND, is_more=False)
    assert retried["code"] == (Suggestion("backoff", 99),)
