"""The lease of a process: renewed by heartbeats, checked before each send, and what happens when it is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
from wanesync.worker.lease import Lease, LeaseExpired

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
