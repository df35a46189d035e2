"""The committer: answers are gathered, committed together, and isolated from each other."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.core_builders import FIELDS, RULES
from tests.support.virtual_clock import VirtualClock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import JobKind, JobRequest, JobState
from wanesync.core.model import Side
from wanesync.store import open_store
from wanesync.store.database import Tx
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.committer import MAX_ANSWERS_PER_COMMIT, Committer, commit_answers
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lease import Lease

STRIPE = Side.STRIPE


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    store = open_store("sqlite::memory:", migrate=True, clock=VirtualClock().as_database_clock())
    store.run(lambda tx: tx.processes.beat("w1", "stripe", tx.now_ms))
    yield Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("w1"))
    store.close()


@pytest.fixture
def committer(runtime: Runtime) -> Committer:
    clock, in_flight = VirtualClock(), InFlight()
    waiting: dict[Side, deque[AnyCall]] = {side: deque() for side in Side}
    lease = Lease(runtime, tuple(Side), clock, in_flight)
    return Committer(runtime, clock, in_flight, lease, waiting, threading.Event())


def claimed_call(runtime: Runtime, key: str, committed: list[object], failure: Exception | None = None) -> AnyCall:
    """A call for one job, which notes its answer when that is committed, or fails with ``failure``."""

    def then(_tx: Tx, answer: object) -> Next:
        if failure:
            raise failure
        committed.append(answer)
        return DONE

    with runtime.store.transaction() as tx:
        tx.jobs.put(JobRequest(STRIPE, JobKind.WRITE, key))
        jobs = tx.jobs.claim(STRIPE, [JobKind.WRITE], 1, runtime.name)
    return Call(STRIPE, "customers.create", jobs, lambda: None, then)


def test_an_answer_that_cannot_be_committed_does_not_affect_the_others(runtime: Runtime) -> None:
    committed: list[object] = []
    bad = claimed_call(runtime, "contact:1", committed, ValueError("ana@example.com"))
    good = claimed_call(runtime, "contact:2", committed)
    with capture_logs() as logs:
        runtime.store.run(lambda tx: commit_answers(runtime, tx, [(bad, "a"), (good, "b")]))
    assert committed == ["b"]
    assert "ana@example.com" not in str(logs)
    with runtime.store.reading() as tx:
        job = tx.jobs.get(bad.jobs[0].id)
    assert job is not None
    assert (job.state, job.attempts, job.reason) == (JobState.READY, 1, "ValueError")


def test_answers_of_a_kind_are_committed_at_once_and_one_by_one_if_that_fails(runtime: Runtime) -> None:
    committed: list[object] = []
    groups: list[Sequence[object]] = []

    def together(_runtime: Runtime, _tx: Tx, answers: Sequence[object]) -> Next:
        groups.append(answers)
        if "bad" in answers:
            raise ValueError("one of them")
        return DONE

    def call(key: str) -> AnyCall:
        made = claimed_call(runtime, key, committed)
        return Call(STRIPE, made.operation, made.jobs, made.send, made.then, together)

    good = [(call("contact:1"), "a"), (call("contact:2"), "b")]
    runtime.store.run(lambda tx: commit_answers(runtime, tx, good))
    assert (groups, committed) == ([["a", "b"]], [])
    mixed = [(call("contact:3"), "bad"), (call("contact:4"), "d")]
    runtime.store.run(lambda tx: commit_answers(runtime, tx, mixed))
    assert committed == ["bad", "d"]


def test_unusable_answers_in_a_row_are_counted_until_a_usable_one(runtime: Runtime) -> None:
    failed = CallError(STRIPE, Failure.UNAVAILABLE, "503")
    for number in range(2):
        call = claimed_call(runtime, f"contact:{number}", [])
        runtime.store.run(lambda tx, c=call: commit_answers(runtime, tx, [(c, failed)]))  # type: ignore[misc] # binds the loop's value
    assert runtime.process.failure_streaks == {STRIPE: ["contact:0", "contact:1"]}
    usable = claimed_call(runtime, "contact:9", [])
    runtime.store.run(lambda tx: commit_answers(runtime, tx, [(usable, None)]))
    assert runtime.process.failure_streaks == {}


def test_what_is_there_is_collected_at_once_up_to_the_size_of_a_commit(committer: Committer, runtime: Runtime) -> None:
    call = claimed_call(runtime, "contact:1", [])
    for number in range(MAX_ANSWERS_PER_COMMIT + 1):
        committer.answers.put((call, number))
    assert [answer for _, answer in committer.collect(lambda: False)] == list(range(MAX_ANSWERS_PER_COMMIT))
    assert [answer for _, answer in committer.collect(lambda: False)] == [MAX_ANSWERS_PER_COMMIT]


def test_committed_calls_are_settled_and_follow_ups_wait_in_their_lane(committer: Committer, runtime: Runtime) -> None:
    follow_up = claimed_call(runtime, "contact:1", [])
    call = Call(STRIPE, "customers.list", follow_up.jobs, lambda: None, lambda _tx, _answer: [follow_up])
    committer.in_flight.begin_claim(STRIPE)
    committer.in_flight.end_claim(STRIPE, [call])
    committer.commit([(call, None)])
    assert list(committer.waiting[STRIPE]) == [follow_up]
    with committer.in_flight.no_claims() as job_ids:
        assert job_ids == {follow_up.jobs[0].id}
