"""The committer: answers are gathered, committed together, and isolated from each other."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

import pytest

from tests.support.captured_logs import captured_logs
from tests.support.core_builders import FIELDS, RULES
from tests.support.virtual_clock import VirtualClock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError, DatabaseRefused, DatabaseUnavailable, Failure
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, JobState
from wanesync.core.model import Side
from wanesync.store import TransactionConflict, TransactionTooLong, open_store
from wanesync.store.database import Tx
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.job_results import finish_all, still_held
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.committer import (
    GATHER_MS,
    MAX_ANSWERS_PER_COMMIT,
    MAX_JOBS_PER_COMMIT,
    Answered,
    Committer,
    commit_answers,
)
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


class ArrivalClock(VirtualClock):
    """During each sleep the next answer arrives, or none."""

    def __init__(self, answers: SimpleQueue[Answered], arriving: list[Answered | None]) -> None:
        super().__init__()
        self.answers, self.arriving = answers, arriving

    def sleep_until(self, at_ms: float) -> None:
        """Let one answer arrive."""
        super().sleep_until(at_ms)
        if self.arriving and (answer := self.arriving.pop(0)):
            self.answers.put(answer)


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
    with captured_logs() as logs:
        runtime.store.run(lambda tx: commit_answers(runtime, tx, [(bad, "a"), (good, "b")]))
    assert committed == ["b"]
    assert "ana@example.com" not in str(logs)
    with runtime.store.reading() as tx:
        job = tx.jobs.get(bad.jobs[0].id)
    assert job is not None
    assert (job.state, job.attempts, job.reason) == (JobState.READY, 1, "ValueError")


@pytest.mark.parametrize("held", [True, False])
def test_an_answer_that_is_refused_makes_the_next_heartbeat_release_its_job(
    committer: Committer, runtime: Runtime, *, held: bool
) -> None:
    """A clock that jumped past the lease and came back before the next heartbeat leaves no other trace."""
    committed: list[object] = []
    made = claimed_call(runtime, "contact:1", committed)

    def then(tx: Tx, _answer: object) -> Next:
        committed.extend(still_held(tx, made.jobs))
        return DONE

    if not held:
        runtime.store.run(lambda tx: tx.processes.remove(runtime.name))
    committer.commit([(Call(STRIPE, made.operation, made.jobs, made.send, then), "a")])
    assert len(committed) == held
    assert committer.lease.claim_lost is not held


def test_an_answer_that_cannot_be_committed_and_is_not_held_either_makes_the_next_heartbeat_release_its_job(
    committer: Committer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a job would run for ever in the name of a living process, which does not run it."""
    made = claimed_call(runtime, "contact:1", [])

    def fail(_runtime: Runtime, _tx: Tx, _batch: object) -> list[AnyCall]:
        raise KeyError("x")

    monkeypatch.setattr("wanesync.worker.committer.commit_answers", fail)
    runtime.store.run(lambda tx: tx.processes.remove(runtime.name))
    committer.commit([(made, None)])
    assert committer.lease.claim_lost
    committer.lease.beat()
    with runtime.store.reading() as tx:
        job = tx.jobs.get(made.jobs[0].id)
    assert job is not None
    assert (job.state, job.attempts) == (JobState.READY, 0)


def test_answers_of_a_kind_are_committed_at_once_and_by_halves_if_that_fails(runtime: Runtime) -> None:
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
    assert (groups[-1], committed) == (["d"], ["bad"])


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


def test_stripes_answers_are_gathered_while_many_calls_are_under_way(committer: Committer, runtime: Runtime) -> None:
    stripe = claimed_call(runtime, "contact:1", [])
    hubspot = Call(Side.HUBSPOT, "contacts.batch_read", stripe.jobs, stripe.send, stripe.then)
    clock = ArrivalClock(committer.answers, [(stripe, "b"), None, (hubspot, "c"), (stripe, "d")])
    committer.clock = clock
    committer.answers.put((stripe, "a"))
    assert [answer for _, answer in committer.collect(lambda: True)] == ["a", "b", "c"]
    assert [answer for _, answer in committer.collect(lambda: True)] == []
    clock.arriving = []
    committer.answers.put((stripe, "e"))
    began_ms = clock.monotonic_ms()
    assert [answer for _, answer in committer.collect(lambda: True)] == ["e"]
    assert clock.monotonic_ms() - began_ms == GATHER_MS
    committer.stopping.set()
    committer.answers.put((stripe, "f"))
    assert [answer for _, answer in committer.collect(lambda: True)] == ["f"]
    assert clock.monotonic_ms() - began_ms == GATHER_MS


def test_committed_calls_are_settled_and_follow_ups_wait_in_their_lane(committer: Committer, runtime: Runtime) -> None:
    follow_up = claimed_call(runtime, "contact:1", [])
    call = Call(STRIPE, "customers.list", follow_up.jobs, lambda: None, lambda _tx, _answer: [follow_up])
    committer.in_flight.begin_claim(STRIPE)
    committer.in_flight.end_claim(STRIPE, [call])
    committer.commit([(call, None)])
    assert list(committer.waiting[STRIPE]) == [follow_up]
    with committer.in_flight.no_claims() as job_ids:
        assert job_ids == {follow_up.jobs[0].id}


def read_call(runtime: Runtime, keys: int, bad: str, error: Exception, committed: list[str]) -> AnyCall:
    """One call for many jobs, whose answer can be stored but for one record."""

    def then(tx: Tx, _answer: object) -> Next:
        mine = still_held(tx, jobs)
        if bad in {job.key for job in mine}:
            raise error
        committed.extend(job.key for job in mine)
        finish_all(tx, mine)
        return DONE

    with runtime.store.transaction() as tx:
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.READ, f"{number}") for number in range(keys)])
        jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], keys, runtime.name)
    return Call(Side.HUBSPOT, "contacts.batch_read", jobs, lambda: None, then)


def test_one_bad_record_of_a_hundred_in_one_answer_is_found_and_given_up(
    committer: Committer, runtime: Runtime
) -> None:
    committed: list[str] = []
    call = read_call(runtime, 100, "41", DatabaseRefused("54000"), committed)
    committer.commit([(call, None)])
    assert len(committed) >= 99
    with runtime.store.reading() as tx:
        jobs = [job for job in map(tx.jobs.get, [job.id for job in call.jobs]) if job is not None]
        (dead,) = tx.dead_letters.latest()
        assert [row.kind for row in tx.journal.of(["41"], 9)] == ["dead"]
    assert [job.key for job in jobs if job.state is not JobState.DONE] == ["41"]
    assert (dead.key, dead.dead_class) == ("41", DeadClass.UNSTORABLE)
    assert "54000" in dead.reason


class Commits:
    """Stands for ``commit_answers``: fails while its batch holds a certain key; notes what was tried."""

    def __init__(self, error: Exception, bad: str, until: int = 1_000_000) -> None:
        self.error, self.bad, self.until = error, bad, until
        self.tried: list[tuple[str, ...]] = []

    def __call__(self, runtime: Runtime, tx: Tx, batch: Sequence[tuple[AnyCall, object]]) -> list[AnyCall]:
        jobs = [job for call, _ in batch for job in still_held(tx, call.jobs)]
        self.tried.append(tuple(job.key for job in jobs))
        if self.bad in self.tried[-1] and len(self.tried) <= self.until:
            raise self.error
        finish_all(tx, jobs)
        return []


@pytest.mark.parametrize(
    "error", [TransactionTooLong("25P03"), TransactionConflict("40P01"), DatabaseUnavailable("08006"), KeyError("x")]
)
def test_no_batch_is_repeated_as_it_was_more_than_twice(
    committer: Committer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever the cause: the job at fault is found, put back, and the others are committed."""
    calls = [claimed_call(runtime, f"contact:{number}", []) for number in range(9)]
    bad = read_call(runtime, 20, "13", error, [])
    commits = Commits(error, "13")
    monkeypatch.setattr("wanesync.worker.committer.commit_answers", commits)
    monkeypatch.setattr("wanesync.worker.committer.DATABASE_RETRY_S", 0)
    committer.commit([(call, None) for call in [*calls[:4], bad, *calls[4:]]])
    assert max(Counter(commits.tried).values()) <= 3
    with runtime.store.reading() as tx:
        jobs = [tx.jobs.get(job.id) for call in [*calls, bad] for job in call.jobs]
        assert [row.times > 1 for row in tx.failed_batches.all()] == []
    assert [(job.key, job.state, job.attempts) for job in jobs if job and job.state is not JobState.DONE] == [
        ("13", JobState.READY, 1)
    ]
    with committer.in_flight.no_claims() as job_ids:
        assert job_ids == set()


def test_a_batch_that_fails_over_and_over_is_noted(
    committer: Committer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = claimed_call(runtime, "contact:1", [])
    seen: list[int] = []

    def fail(_runtime: Runtime, tx: Tx, _batch: object) -> list[AnyCall]:
        seen.append(sum(row.times for row in tx.failed_batches.all()))
        raise DatabaseUnavailable("locked")

    monkeypatch.setattr("wanesync.worker.committer.commit_answers", fail)
    monkeypatch.setattr("wanesync.worker.committer.DATABASE_RETRY_S", 0)
    committer.commit([(bad, None)])
    assert seen == [0, 0, 1]
    with runtime.store.reading() as tx:
        job = tx.jobs.get(bad.jobs[0].id)
    assert job is not None
    assert (job.state, job.attempts) == (JobState.READY, 1), "the database took the note, so it is not unavailable"


def test_a_large_batch_is_cut_before_it_is_committed(
    committer: Committer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [read_call(runtime, 90, "", KeyError("x"), []) for _ in range(1)]
    calls += [claimed_call(runtime, f"contact:{number}", []) for number in range(120)]
    commits = Commits(KeyError("x"), "")
    monkeypatch.setattr("wanesync.worker.committer.commit_answers", commits)
    committer.commit([(call, None) for call in calls])
    assert [len(keys) for keys in commits.tried] == [MAX_JOBS_PER_COMMIT, 10]
