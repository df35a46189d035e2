"""The lease of a process: renewed by heartbeats, checked before each send, and what happens when it is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.support.core_builders import FIELDS, RULES
from tests.support.virtual_clock import VirtualClock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import Job, JobKind, JobRequest, JobState
from wanesync.core.model import Side
from wanesync.store import Store, open_store
from wanesync.store.tables.processes import LEASE_MS
from wanesync.sync.calls import DONE, AnyCall, Call
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lease import REPAIR_EVERY_MS, ClockSteps, Lease, LeaseExpired

STRIPE = Side.STRIPE


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def lease(clock: VirtualClock) -> Iterator[Lease]:
    store = open_store("sqlite::memory:", migrate=True, clock=clock.as_database_clock())
    runtime = Runtime(
        store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("first-name")
    )
    yield Lease(runtime, (STRIPE,), clock, InFlight())
    store.close()


def claim(lease: Lease) -> AnyCall:
    store: Store = lease.runtime.store
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(STRIPE, JobKind.WRITE, "contact:1"))
        jobs = tx.jobs.claim(STRIPE, [JobKind.WRITE], 1, lease.runtime.name)
    return Call(STRIPE, "customers.create", jobs, lambda: None, lambda _tx, _answer: DONE)


def job_of(lease: Lease, call: AnyCall) -> Job:
    with lease.runtime.store.reading() as tx:
        job = tx.jobs.get(call.jobs[0].id)
    assert job
    return job


def test_a_call_may_be_sent_until_the_lease_ends(lease: Lease, clock: VirtualClock) -> None:
    lease.begin()
    call = claim(lease)
    clock.now += LEASE_MS - 1
    lease.check(call)
    clock.now += 1
    with pytest.raises(LeaseExpired):
        lease.check(call)


def test_a_heartbeat_renews_the_lease_under_the_same_name(lease: Lease, clock: VirtualClock) -> None:
    lease.begin()
    call = claim(lease)
    clock.now += LEASE_MS - 1
    lease.beat()
    clock.now += LEASE_MS - 1
    lease.check(call)
    assert lease.runtime.name == "first-name"


def test_a_process_that_is_back_after_its_lease_takes_a_new_name(lease: Lease, clock: VirtualClock) -> None:
    lease.begin()
    call = claim(lease)
    clock.now += LEASE_MS
    lease.beat()
    assert lease.runtime.name != "first-name"
    with pytest.raises(LeaseExpired):
        lease.check(call)


def test_jobs_of_a_call_that_was_given_up_are_released_by_the_next_heartbeat(lease: Lease) -> None:
    lease.begin()
    call = claim(lease)
    lease.in_flight.begin_claim(STRIPE)
    lease.in_flight.end_claim(STRIPE, [call])
    lease.beat()
    assert job_of(lease, call).state is JobState.RUNNING
    lease.give_up(call)
    lease.beat()
    assert (job_of(lease, call).state, lease.claim_lost) == (JobState.READY, False)


def test_a_heartbeat_without_acknowledgement_lets_the_next_one_release_lost_jobs(lease: Lease) -> None:
    lease.begin()
    call = claim(lease)
    with (
        patch.object(Store, "run", side_effect=DatabaseUnavailable("gone")),
        pytest.raises(DatabaseUnavailable),
    ):
        lease.beat()
    assert lease.claim_lost
    lease.beat()
    assert job_of(lease, call).state is JobState.READY


def test_at_the_end_unfinished_jobs_are_released(lease: Lease) -> None:
    lease.begin()
    call = claim(lease)
    lease.end()
    assert job_of(lease, call).state is JobState.READY


@pytest.mark.case(50)
@pytest.mark.parametrize("ahead_ms", [3_600_000, 86_400_000])
def test_jobs_of_a_process_killed_while_the_clock_was_ahead_run_within_ten_seconds(
    lease: Lease, clock: VirtualClock, ahead_ms: int
) -> None:
    clock.now += ahead_ms
    lease.begin()
    calls = [claim(lease)]
    clock.now += 3_000
    lease.beat()
    # It is killed, the clock is right again, and another process begins.
    clock.set_back(ahead_ms)
    runtime = lease.runtime
    other = Lease(replace(runtime, process=ProcessState("second-name")), (STRIPE,), clock, InFlight())
    other.begin()
    other.sweep()
    job = job_of(lease, calls[0])
    assert job.state is JobState.READY
    with runtime.store.transaction() as tx:
        assert tx.jobs.claim(STRIPE, [JobKind.WRITE], 9, "second-name")


def test_no_job_is_rescued_while_living_processes_have_not_beaten_by_the_right_clock(
    lease: Lease, clock: VirtualClock
) -> None:
    clock.now += 3_600_000
    lease.begin()
    call = claim(lease)
    other = Lease(replace(lease.runtime, process=ProcessState("second-name")), (STRIPE,), clock, InFlight())
    other.begin()
    other.sweep()
    clock.set_back(3_600_000)
    other.sweep()
    assert job_of(lease, call).rescues == 0, "its process had no time for a heartbeat"
    clock.now += 1_000
    lease.beat()
    clock.now += LEASE_MS - 1_000
    lease.beat()
    other.beat()
    other.sweep()
    assert job_of(lease, call).rescues == 0


def test_a_step_of_the_clock_is_noticed_and_drift_is_not() -> None:
    steps = ClockSteps()
    assert steps.is_steady(1_000, 0)
    steps.repairs = bool(0)
    assert steps.is_steady(61_500, 61_000), "half a second a minute is drift"
    assert [steps.repairs] == [False]
    assert not steps.is_steady(3_663_500, 62_000)
    assert [steps.repairs] == [True]
    assert not steps.is_steady(63_500, 63_000), "and back again"
    assert not steps.is_steady(63_500 + LEASE_MS - 1, 63_000 + LEASE_MS - 1)
    assert steps.is_steady(63_500 + LEASE_MS, 63_000 + LEASE_MS)


def test_jobs_that_a_wrong_clock_put_off_are_due_again_after_the_first_sweep(lease: Lease, clock: VirtualClock) -> None:
    clock.now += 3_600_000
    lease.begin()
    call = claim(lease)
    with lease.runtime.store.transaction() as tx:
        tx.jobs.reschedule(call.jobs[0], tx.now_ms + 500, "", count=True)
    clock.set_back(3_600_000)
    lease.beat()
    lease.sweep()
    with lease.runtime.store.transaction() as tx:
        assert tx.jobs.claim(STRIPE, [JobKind.WRITE], 9, lease.runtime.name)


def test_jobs_put_off_while_this_process_stood_still_are_due_again_within_a_minute(
    lease: Lease, clock: VirtualClock
) -> None:
    lease.begin()
    lease.sweep()
    call = claim(lease)
    with lease.runtime.store.transaction() as tx:
        # As another process did whose clock was wrong, or this one's while it had no turn.
        tx.jobs.reschedule(call.jobs[0], tx.now_ms + 86_400_000, "", count=True)
    clock.now += REPAIR_EVERY_MS
    lease.beat()
    lease.sweep()
    with lease.runtime.store.transaction() as tx:
        assert tx.jobs.claim(STRIPE, [JobKind.WRITE], 9, lease.runtime.name)
