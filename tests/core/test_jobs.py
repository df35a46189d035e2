"""The one table that decides what a failed job does next."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, HUBSPOT, STEADY, STRIPE
from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import made_ms, make_id
from wanesync.core.jobs import (
    BACKOFF_CAP_MS,
    BACKOFF_FIRST_MS,
    FREE_TURNS,
    IDLE_CAP_MS,
    MAX_ATTEMPTS,
    MAX_TURNS,
    MAX_UNUSABLE_ANSWERS,
    POISON_DEAD_RESCUES,
    PROBE_AWAY_MS,
    PROBE_PAUSED_MS,
    RETRY_AFTER_CAP_MS,
    SHARED_CLAIM_INTERVAL,
    SHARED_STARTS,
    STUCK_CAP_MS,
    ClaimStart,
    Dead,
    DeadClass,
    Decision,
    JobKind,
    JobState,
    Pause,
    Priority,
    Retry,
    Wait,
    WaitCode,
    back_off_ms,
    check_poison,
    choose_start,
    decide,
    idle_wait_ms,
    is_unreachable,
    next_probe_ms,
    pause_code,
)

TRIED_AGAIN = [Failure.NO_ANSWER, Failure.SERVER, Failure.MISMATCH]
WAITED_FOR = {Failure.BUSY: 2_000, Failure.IN_FLIGHT: 500, Failure.RATE_LIMITED: 1_000}
SEEDS = st.integers(0, 10**6)


def ask(failure: Failure, attempts: int = 0, seed: int = 7, **facts: object) -> Decision:
    error = CallError(STRIPE, failure, "said so", **facts)  # type: ignore[arg-type] # a test names the fields it changes
    return decide(error, attempts, "contacts.batch_update", random.Random(seed))


@pytest.mark.parametrize("failure", Failure)
@given(attempts=st.integers(0, 100), seed=SEEDS)
@BRIEF
def test_every_failure_has_a_decision_with_a_reason(failure: Failure, attempts: int, seed: int) -> None:
    assert ask(failure, attempts, seed).reason


# -- retries


@pytest.mark.parametrize("failure", TRIED_AGAIN)
def test_an_unknown_outcome_is_tried_again_and_counted(failure: Failure) -> None:
    assert isinstance(ask(failure), Retry)


@pytest.mark.parametrize("failure", TRIED_AGAIN)
def test_the_last_attempt_ends_in_a_dead_letter(failure: Failure) -> None:
    assert isinstance(ask(failure, MAX_ATTEMPTS - 2), Retry)
    dead = ask(failure, MAX_ATTEMPTS - 1)
    assert isinstance(dead, Dead)
    assert dead.dead_class is DeadClass.EXHAUSTED
    assert str(MAX_ATTEMPTS) in dead.reason


@given(attempts=st.integers(0, 200), seed=SEEDS)
@STEADY
def test_a_back_off_lies_between_a_tenth_of_its_step_and_the_step(attempts: int, seed: int) -> None:
    step = min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2**attempts)
    assert step // 10 <= back_off_ms(attempts, random.Random(seed)) <= step


def test_back_offs_of_many_jobs_are_spread() -> None:
    rng = random.Random(1)
    delays = sorted(back_off_ms(10, rng) for _ in range(1000))
    quarters = [
        sum(low <= d < low + BACKOFF_CAP_MS / 4 for d in delays)
        for low in range(0, BACKOFF_CAP_MS, BACKOFF_CAP_MS // 4)
    ]
    assert min(quarters) > 100


# -- waits


@pytest.mark.parametrize("failure", WAITED_FOR)
def test_a_busy_side_is_waited_for_and_no_event_cuts_that_short(failure: Failure) -> None:
    for seed in range(100):
        wait = ask(failure, 99, seed)
        assert isinstance(wait, Wait)
        assert wait.fixed
        assert WAITED_FOR[failure] <= wait.delay_ms < WAITED_FOR[failure] + 250


@pytest.mark.parametrize("failure", WAITED_FOR)
@pytest.mark.parametrize("told_ms", [0, 1, 30_000])
def test_a_side_that_says_how_long_is_believed(failure: Failure, told_ms: int) -> None:
    for seed in range(100):
        wait = ask(failure, 0, seed, retry_after_ms=told_ms)
        assert isinstance(wait, Wait)
        assert told_ms <= wait.delay_ms < told_ms + 250


@pytest.mark.parametrize("failure", WAITED_FOR)
def test_however_long_a_side_says_the_job_asks_again_within_a_quarter_of_an_hour(failure: Failure) -> None:
    wait = ask(failure, retry_after_ms=86_400_000)
    assert isinstance(wait, Wait)
    assert RETRY_AFTER_CAP_MS <= wait.delay_ms < RETRY_AFTER_CAP_MS + 250 < 1_000_000


# -- pauses


@pytest.mark.parametrize("failure", [Failure.UNREACHED, Failure.UNAVAILABLE])
def test_a_side_that_does_not_answer_is_away_and_probed_soon(failure: Failure) -> None:
    assert ask(failure, 99) == Pause("", "said so", away=True, probe_ms=PROBE_AWAY_MS)
    assert PROBE_AWAY_MS <= 30_000


@pytest.mark.parametrize("failure", [Failure.UNAUTHORISED, Failure.MOVING, Failure.DAILY_LIMIT])
def test_a_side_that_refuses_the_key_is_paused_as_a_whole(failure: Failure) -> None:
    assert ask(failure, 99) == Pause("", "said so", away=False, probe_ms=PROBE_PAUSED_MS)


def test_a_forbidden_operation_is_paused_alone() -> None:
    assert ask(Failure.FORBIDDEN, 99) == Pause("contacts.batch_update", "said so", away=False, probe_ms=PROBE_PAUSED_MS)


@pytest.mark.parametrize("failure", [Failure.UNAVAILABLE, Failure.MOVING, Failure.DAILY_LIMIT])
def test_a_pause_lasts_as_long_as_the_side_says(failure: Failure) -> None:
    pause = ask(failure, retry_after_ms=12_345)
    assert isinstance(pause, Pause)
    assert pause.probe_ms == 12_345


@pytest.mark.parametrize("failure", [Failure.NO_ANSWER, Failure.SERVER])
def test_a_side_without_a_usable_answer_for_long_is_away_and_no_attempt_counts(failure: Failure) -> None:
    error = CallError(STRIPE, failure, "said so")
    pause = decide(error, MAX_ATTEMPTS, "customers.create", random.Random(1), unreachable=True)
    assert pause == Pause("", "said so", away=True, probe_ms=PROBE_AWAY_MS)


def test_errors_of_one_record_are_no_proof_but_silence_is() -> None:
    assert not is_unreachable(["a"] * MAX_UNUSABLE_ANSWERS, Failure.SERVER)
    assert is_unreachable(["a"] * (MAX_UNUSABLE_ANSWERS - 1) + ["b"], Failure.SERVER)
    assert is_unreachable(["a"] * MAX_UNUSABLE_ANSWERS, Failure.NO_ANSWER)
    assert not is_unreachable(["a"] * (MAX_UNUSABLE_ANSWERS - 1), Failure.NO_ANSWER)


@given(told_ms=st.integers(0, 10**8), paused_for_ms=st.integers(0, 10**9))
def test_a_side_that_is_away_is_asked_within_30_s_however_long_it_says(told_ms: int, paused_for_ms: int) -> None:
    assert next_probe_ms(told_ms, paused_for_ms, away=True) <= 30_000
    assert next_probe_ms(told_ms, paused_for_ms, away=False) == told_ms


# -- dead letters


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.CONFLICT])
def test_what_will_never_succeed_is_given_up_at_once(failure: Failure) -> None:
    assert ask(failure) == Dead(DeadClass.REFUSED, "said so")


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.CONFLICT])
def test_a_refused_value_is_told_from_a_refused_call(failure: Failure) -> None:
    assert ask(failure, fields=("email",)) == Dead(DeadClass.VALIDATION, "said so")


def test_a_record_that_is_gone_is_given_up() -> None:
    assert ask(Failure.NOT_FOUND) == Dead(DeadClass.GONE, "said so")


# -- poison


def test_a_job_whose_worker_dies_again_and_again_is_poison() -> None:
    assert check_poison(POISON_DEAD_RESCUES - 1) is None
    dead = check_poison(POISON_DEAD_RESCUES)
    assert dead is not None
    assert dead.dead_class is DeadClass.POISON


# -- words


def test_there_is_no_fifth_state() -> None:
    assert {str(state) for state in JobState} == {"ready", "running", "done", "dead"}


def test_purchases_go_before_people_and_people_before_bulk() -> None:
    assert sorted(Priority) == [Priority.PURCHASE, Priority.LIVE, Priority.LIVE_BULK, Priority.BULK]


def test_an_error_says_which_side_what_and_the_status() -> None:
    assert (
        str(CallError(HUBSPOT, Failure.REFUSED, "no such property", 400)) == "hubspot: refused (400): no such property"
    )


# -- ids


@given(first=st.integers(0, 2**48 - 2), gap=st.integers(1, 10**6), seed=SEEDS)
@STEADY
def test_ids_sort_by_the_time_they_were_made(first: int, gap: int, seed: int) -> None:
    rng = random.Random(seed)
    later = min(first + gap, 2**48 - 1)
    assert make_id(first, rng) < make_id(later, rng)


@given(at_ms=st.integers(0, 2**48 - 1), seed=SEEDS)
@BRIEF
def test_an_id_tells_when_it_was_made(at_ms: int, seed: int) -> None:
    assert made_ms(make_id(at_ms, random.Random(seed))) == at_ms


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = make_id(1_700_000_000_000, random.Random(3))
    assert made[14] == "7"
    assert made[19] in "89ab"


def test_what_a_job_waits_for_is_a_code_and_each_pause_has_one_of_its_own() -> None:
    assert pause_code("stripe") != pause_code("stripe:customers.create")
    assert not {pause_code("stripe")} & set(WaitCode)
    assert not WaitCode.NONE


# -- claims and wake-ups


@given(first=st.integers(0, 10**6))
@BRIEF
def test_every_kind_and_priority_begins_a_claim_within_a_bound(first: int) -> None:
    bound = SHARED_CLAIM_INTERVAL * len(SHARED_STARTS)
    starts = [choose_start(turn) for turn in range(first, first + bound)]
    assert {(start.priority, start.kind) for start in starts if start.kind} == {
        (priority, kind) for priority in list(Priority)[1:] for kind in JobKind
    }
    assert starts.count(ClaimStart(Priority.PURCHASE)) == bound - len(SHARED_STARTS)


def test_the_wait_without_news_grows_from_nothing_to_a_minute() -> None:
    waits = [idle_wait_ms(turns) for turns in range(60)]
    assert waits == sorted(waits)
    assert waits[: FREE_TURNS + 1] == [0] * (FREE_TURNS + 1)
    assert (waits[MAX_TURNS], waits[-1]) == (IDLE_CAP_MS, STUCK_CAP_MS)
    assert sum(waits[:MAX_TURNS]) <= 60_000
