"""How much waits in a lane, and how long it takes at the limits."""

from __future__ import annotations

import pytest

from tests.support.lanes import bury, queue, read_lane, start_processes
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK
from wanesync.ops.health.lane_status import live_workers
from wanesync.store import Store
from wanesync.store.tables.settings import operator_pause

H, S = Side.HUBSPOT, Side.STRIPE
READ, WRITE = JobKind.READ, JobKind.WRITE


def test_due_and_running_jobs_clear_at_the_slowest_of_their_limits(store: Store) -> None:
    queue(store, S, WRITE, 100)
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 100)
        tx.jobs.claim(S, [WRITE], 40, "w1")
    assert read_lane(store, S).clears_in_s == 1
    with store.transaction() as tx:
        tx.rates.set_limit("stripe:customers.create", 25)
        tx.rates.set_limit("stripe:customers.update", 50)
        tx.rates.set_limit("stripe:customers.retrieve", 10)
    assert read_lane(store, S).clears_in_s == 4
    queue(store, S, READ, 100, Priority.BULK)
    assert read_lane(store, S).clears_in_s == 10
    store.run(lambda tx: tx.rates.set_limit(BULK, 5))
    assert read_lane(store, S).clears_in_s == 20
    queue(store, H, READ, 150)
    store.run(lambda tx: tx.rates.set_limit("hubspot", 4))
    assert read_lane(store, H).clears_in_s == 0.5, "a hundred in one request"


@pytest.mark.parametrize(
    ("name", "away", "stopped"),
    [("stripe", True, "away"), ("stripe", False, "paused"), (operator_pause(S), False, "paused")],
)
def test_a_stopped_lane_never_clears(store: Store, name: str, away: bool, stopped: str) -> None:
    queue(store, S, WRITE, 3)
    store.run(lambda tx: tx.pauses.set(name, "because", away, 0))
    state = read_lane(store, S)
    assert (state.stopped, state.clears_in_s) == (stopped, None)
    assert read_lane(store, H).clears_in_s == 0


def test_jobs_are_counted_by_state_kind_and_class(store: Store, clock: Clock) -> None:
    queue(store, S, WRITE, 3)
    store.run(lambda tx: tx.jobs.claim(S, None, 1, "w1"))
    bury(store, JobRequest(S, READ, "cus_1"), DeadClass.REFUSED)
    clock.advance(50_000)
    state = read_lane(store, S)
    assert (state.ready, state.due, state.running, state.retrying, state.dead) == (2, 2, 1, 0, 1)
    assert (state.kinds, state.dead_classes) == ({"read": 0, "write": 3, "purchase": 0}, {"refused": 1})
    assert state.flow["read"].given_up_in_60_min == 1
    assert state.oldest_s == 50


def test_a_lane_counts_the_workers_that_run_it(store: Store) -> None:
    start_processes(store)
    store.run(lambda tx: tx.processes.beat("w2", "stripe", 1))
    with store.reading() as tx:
        assert [live_workers(tx, side) for side in Side] == [1, 2]
