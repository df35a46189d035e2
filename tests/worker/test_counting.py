"""What a worker counts: how soon jobs are claimed, and how long changes take."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, RULES
from tests.support.virtual_clock import VirtualClock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.jobs import Ending, Job, JobKind, JobReport, JobState, Priority
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.store import open_store
from wanesync.sync.calls import DONE, AnyCall, Call
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.counting import count_changes, count_claims

STRIPE = Side.STRIPE


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    store = open_store("sqlite::memory:", migrate=True, clock=VirtualClock().as_database_clock())
    yield Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("w1"))
    store.close()


def _job(name: str, arrived_ms: int, priority: Priority = Priority.LIVE, kind: JobKind = JobKind.WRITE) -> Job:
    return Job(name, STRIPE, kind, name, JobState.RUNNING, priority, arrived_ms, arrived_ms)


def _call(operation: str, *jobs: Job) -> AnyCall:
    return Call(STRIPE, operation, jobs, lambda: None, lambda _tx, _answer: DONE)


def _done(*jobs: Job) -> list[JobReport]:
    return [JobReport(job.id, job.lane, job.kind, Ending.DONE) for job in jobs]


def _counts(runtime: Runtime, figure: Figure) -> dict[str, int]:
    return {
        labels: amount.count for (name, labels), amount in runtime.store.figures.pending().items() if name is figure
    }


def test_live_jobs_are_timed_from_when_they_were_due(runtime: Runtime) -> None:
    jobs = [_job("a", 1_000), _job("b", 1_000, Priority.BULK), replace(_job("c", 0), due_ms=900)]
    count_claims(runtime.store.figures, [(job, 1_400) for job in jobs])
    amount = runtime.store.figures.pending()[Figure.JOB_PICKUP, "side=stripe,kind=write"]
    assert (amount.count, amount.total_ms) == (2, 900)


def test_a_change_is_timed_from_its_event_to_the_stored_answer(runtime: Runtime) -> None:
    now_ms = runtime.store.now_ms()
    quick, late = _job("quick", now_ms - 2_000), _job("late", now_ms - 31_000)
    count_changes(runtime, [_call("customers.update", quick), _call("customers.create", late)], _done(quick, late))
    amount = runtime.store.figures.pending()[Figure.END_TO_END, "side=stripe,kind=write"]
    assert (amount.count, amount.total_ms) == (2, 33_000)
    assert _counts(runtime, Figure.PEOPLE) == {"side=stripe,result=within": 1, "side=stripe,result=beyond": 1}


def test_what_is_no_change_of_a_person_is_not_counted(runtime: Runtime) -> None:
    now_ms = runtime.store.now_ms()
    read, waits, bulk = _job("read", now_ms), _job("waits", now_ms), _job("bulk", now_ms, Priority.BULK)
    purchase = _job("pi_1", now_ms, Priority.PURCHASE, JobKind.PURCHASE)
    calls = [_call("customers.retrieve", read), _call("customers.update", waits, bulk), _call("events.send", purchase)]
    count_changes(runtime, calls, _done(read, bulk, purchase))
    assert _counts(runtime, Figure.END_TO_END) == {"side=stripe,kind=purchase": 1}
    assert _counts(runtime, Figure.PEOPLE) == {}
