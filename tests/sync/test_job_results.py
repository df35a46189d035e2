"""What results leave behind in the job table: done, back to ready, dead, or a side or an operation paused."""

from __future__ import annotations

import pytest

from tests.support.live_sync import STRIPE, LiveSync, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import MAX_UNUSABLE_ANSWERS, DeadClass, Job, JobState, WaitCode
from wanesync.sync.job_results import fail, finish, finish_all, reschedule, resume, still_held, wait_turn

KEY = "contact:1"


@pytest.fixture
def job(live: LiveSync) -> Job:
    live.queue(STRIPE, KEY)
    (claimed,) = live.claim(STRIPE)
    return claimed


def after_failure(live: LiveSync, job: Job, error: CallError) -> Job:
    live.store.run(lambda tx: fail(live.runtime, tx, [job], error, "customers.create"))
    return live.look([job])[0]


def test_a_finished_job_drops_its_locks(live: LiveSync, job: Job) -> None:
    live.store.run(lambda tx: live.runtime.take_locks(tx, job, {KEY}))
    live.store.run(lambda tx: finish(tx, job))
    assert live.look([job])[0].state is JobState.DONE
    assert live.store.run(lambda tx: tx.locks.take_all([KEY], "other", "w1", tx.now_ms + 1))


def test_finishing_none_leaves_every_job_as_it_is(live: LiveSync, job: Job) -> None:
    before = live.look([job])
    live.store.run(lambda tx: finish_all(tx, []))
    assert live.look([job]) == before


def test_a_job_is_held_while_its_lease_lasts(live: LiveSync, job: Job) -> None:
    assert live.store.run(lambda tx: still_held(tx, [job])) == [job]
    live.clock.advance(60_000)
    assert live.store.run(lambda tx: still_held(tx, [job])) == []


def test_a_job_that_is_put_back_says_what_it_waits_for(live: LiveSync, job: Job) -> None:
    live.store.run(lambda tx: reschedule(tx, job, 500, WaitCode.AUTHOR, "an event", count=True))
    after = live.look([job])[0]
    assert (after.due_ms - live.clock.ms, after.waits_for, after.reason, after.attempts) == (
        500,
        "author",
        "an event",
        1,
    )


def test_a_job_that_waits_for_another_comes_back_soon(live: LiveSync, job: Job) -> None:
    live.store.run(lambda tx: wait_turn(tx, job, WaitCode.LOCK, "locked"))
    assert live.look([job])[0].due_ms - live.clock.ms == 200


@pytest.mark.parametrize(
    ("failure", "state", "waits_for", "attempts"),
    [
        (Failure.NO_ANSWER, JobState.READY, WaitCode.BACKOFF, 1),
        (Failure.RATE_LIMITED, JobState.READY, WaitCode.VENDOR, 0),
        (Failure.UNREACHED, JobState.READY, "pause:stripe", 0),
        (Failure.UNAUTHORISED, JobState.READY, "pause:stripe", 0),
        (Failure.FORBIDDEN, JobState.READY, "pause:stripe:customers.create", 0),
        (Failure.NOT_FOUND, JobState.DEAD, "", 1),
    ],
)
def test_each_failure_has_its_decision(  # noqa: PLR0917 - a row of the decision table
    live: LiveSync, job: Job, failure: Failure, state: JobState, waits_for: str, attempts: int
) -> None:
    after = after_failure(live, job, refused(STRIPE, failure))
    assert (after.state, after.waits_for, after.attempts) == (state, waits_for, attempts)


def test_a_dead_letter_is_in_the_journal(live: LiveSync, job: Job) -> None:
    assert after_failure(live, job, refused(STRIPE, Failure.REFUSED)).dead_class == DeadClass.REFUSED
    assert live.journal() == ["dead"]


def test_failures_in_a_row_make_the_side_unreachable(live: LiveSync, job: Job) -> None:
    live.runtime.process.failure_streaks[STRIPE] = [f"contact:{n}" for n in range(MAX_UNUSABLE_ANSWERS)]
    assert after_failure(live, job, refused(STRIPE, Failure.SERVER)).waits_for == "pause:stripe"


def test_a_pause_is_noted_once_and_its_end_makes_its_jobs_due(live: LiveSync, job: Job) -> None:
    after_failure(live, job, refused(STRIPE, Failure.UNREACHED))
    live.advance(30_000)
    (again,) = live.claim(STRIPE)
    after_failure(live, again, refused(STRIPE, Failure.UNREACHED))
    assert live.journal() == ["away"]
    live.store.run(lambda tx: resume(tx, "stripe"))
    assert live.look([job])[0].due_ms == live.clock.ms
    assert live.journal()[0] == "resumed"


def test_a_pause_of_one_operation_leaves_jobs_of_others_alone(live: LiveSync, job: Job) -> None:
    due_ms = after_failure(live, job, refused(STRIPE, Failure.UNREACHED)).due_ms
    live.store.run(lambda tx: resume(tx, "stripe:customers.update"))
    assert live.look([job])[0].due_ms == due_ms > live.clock.ms


def test_a_record_whose_calls_alone_find_the_side_away_does_not_pause_it_again(live: LiveSync, job: Job) -> None:
    """Such a record paused its side for ever: it was the oldest job, so every probe was its own."""
    after_failure(live, job, refused(STRIPE, Failure.UNAVAILABLE))
    live.store.run(lambda tx: resume(tx, "stripe"))  # another record was answered
    for attempts in range(1, 15):
        (again,) = live.claim(STRIPE)
        after = after_failure(live, again, refused(STRIPE, Failure.UNAVAILABLE))
        assert (after.state, after.attempts) == (JobState.READY, attempts)
        with live.store.reading() as tx:
            assert tx.pauses.get_all() == {}
        live.advance(300_000)
    live.runtime.process.failure_streaks[STRIPE] = ["contact:8", "contact:9"]
    (again,) = live.claim(STRIPE)
    after_failure(live, again, refused(STRIPE, Failure.UNAVAILABLE))
    with live.store.reading() as tx:
        assert set(tx.pauses.get_all()) == {"stripe"}
