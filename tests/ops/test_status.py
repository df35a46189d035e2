"""What status says of the lanes, and what it alarms about."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.store.tables.test_dead_letters import bury
from tests.support.store_fixtures import Clock
from wanesync.core.change_guard import HoldKind, field_source
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK
from wanesync.ops.alarms import WEB, read_alarms
from wanesync.ops.gauges import read_gauges
from wanesync.ops.lane_status import LaneState, read_lanes
from wanesync.ops.status import read_status
from wanesync.ops.status_table import STOPPED, render_status
from wanesync.store import Store
from wanesync.store.tables.settings import operator_pause
from wanesync.sync.loader import LISTED

H, S = Side.HUBSPOT, Side.STRIPE
READ, WRITE = JobKind.READ, JobKind.WRITE
HOUR_MS = 3_600_000
WEBLESS = "no web process runs, so webhooks are not received: start wanesync serve (or up)"


def settle(store: Store) -> None:
    """The first listing is done, a worker runs both lanes, and webhooks are taken."""
    with store.transaction() as tx:
        tx.settings.put(LISTED, "1")
        tx.processes.beat("w1", "hubspot,stripe", 1)
        tx.processes.beat("d1", WEB, 1)


def lane(store: Store, side: Side) -> LaneState:
    with store.reading() as tx:
        return read_lanes(tx)[str(side)]


def shown(store: Store) -> str:
    screen = Console(width=200)
    with screen.capture() as captured:
        screen.print(render_status(read_status(store)))
    return captured.get()


def queue(store: Store, side: Side, kind: JobKind, keys: int, priority: Priority = Priority.LIVE) -> None:
    store.run(lambda tx: tx.jobs.put_many([JobRequest(side, kind, f"contact:{n}", priority) for n in range(keys)]))


# -- what does not run


def test_all_is_well(store: Store) -> None:
    settle(store)
    assert read_alarms(store) == []


def test_a_lane_without_a_worker_and_webhooks_without_doors_are_told(store: Store, clock: Clock) -> None:
    settle(store)
    with store.transaction() as tx:
        tx.processes.remove("w1")
        tx.processes.beat("w2", "stripe", 1)
    assert read_alarms(store) == ["hubspot: no worker runs this lane: start wanesync worker"]
    clock.advance(7_000)
    queue(store, S, READ, 1)
    with store.transaction() as tx:
        # Postgres has a clock of its own.
        for name in ("w2", "d1"):
            tx.processes.remove(name)
    assert read_alarms(store) == [
        "hubspot: no worker runs this lane: start wanesync worker",
        "stripe: 1 job is due and no worker runs this lane: start wanesync worker",
        WEBLESS,
    ]


def test_before_the_first_listing_nothing_needs_to_run(store: Store) -> None:
    (alarm,) = read_alarms(store)
    assert alarm.startswith("first listing missing")


# -- how late it is


def test_work_that_waits_for_later_is_not_late(store: Store, clock: Clock) -> None:
    settle(store)
    now_ms = store.now_ms()
    store.run(lambda tx: tx.jobs.put(JobRequest(H, READ, "1", due_ms=now_ms + 24 * HOUR_MS)))
    clock.advance(20 * HOUR_MS)
    store.run(lambda tx: tx.jobs.put(JobRequest(H, READ, "2")))
    settle(store)
    assert lane(store, H).oldest_s == 0
    assert read_alarms(store) == []
    store.run(lambda tx: tx.jobs.claim(H, None, 5, "w1"))
    clock.advance(61_000)
    settle(store)
    state = lane(store, H)
    assert (state.due, state.running, state.oldest_s) == (0, 1, 61)
    assert read_alarms(store) == ["hubspot: the oldest job that is due or running is 61 s old"]


def test_what_is_due_or_running_clears_at_the_slowest_of_its_limits(store: Store) -> None:
    queue(store, S, WRITE, 100)
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 100)
        tx.jobs.claim(S, [WRITE], 40, "w1")
    assert lane(store, S).clears_in_s == 1
    with store.transaction() as tx:
        tx.rates.set_limit("stripe:customers.create", 25)
        tx.rates.set_limit("stripe:customers.update", 50)
        tx.rates.set_limit("stripe:customers.retrieve", 10)
    assert lane(store, S).clears_in_s == 4
    queue(store, S, READ, 100, Priority.BULK)
    assert lane(store, S).clears_in_s == 10
    store.run(lambda tx: tx.rates.set_limit(BULK, 5))
    assert lane(store, S).clears_in_s == 20
    queue(store, H, READ, 150)
    store.run(lambda tx: tx.rates.set_limit("hubspot", 4))
    assert lane(store, H).clears_in_s == 0.5, "a hundred in one request"


@pytest.mark.parametrize(
    ("name", "away", "said"),
    [("stripe", True, "away"), ("stripe", False, "paused"), (operator_pause(S), False, "paused")],
)
def test_a_side_that_stands_still_clears_never(store: Store, name: str, away: bool, said: str) -> None:
    queue(store, S, WRITE, 3)
    store.run(lambda tx: tx.pauses.set(name, "because", away, 0))
    state = lane(store, S)
    assert (state.stopped, state.clears_in_s) == (said, None)
    assert lane(store, H).clears_in_s == 0
    assert STOPPED.get(said, said) in next(
        line for line in shown(store).splitlines() if line.strip().startswith("stripe")
    )
    assert 'wanesync_jobs_clear_in_seconds{lane="stripe"}' not in read_gauges(store)


def test_running_jobs_are_shown_with_their_age(store: Store, clock: Clock) -> None:
    queue(store, S, WRITE, 1)
    store.run(lambda tx: tx.jobs.claim(S, None, 1, "w1"))
    clock.advance(50_000)
    line = next(line for line in shown(store).splitlines() if line.strip().startswith("stripe"))
    assert "50 s" in line


# -- what a person has to see


def test_a_purchase_of_nobody_is_listed_and_alarms_nobody(store: Store) -> None:
    settle(store)
    bury(store, JobRequest(H, JobKind.PURCHASE, "pi_1"), DeadClass.UNMATCHED)
    assert read_alarms(store) == []
    assert lane(store, H).dead_classes == {"unmatched": 1}
    bury(store, JobRequest(H, READ, "1"), DeadClass.GONE)
    assert read_alarms(store) == ["hubspot: 1 dead letter (1 gone): see wanesync jobs --dead, then wanesync retry"]


def test_a_field_stopped_by_hand_is_told_as_such(store: Store) -> None:
    settle(store)
    store.run(lambda tx: tx.holds.open(field_source("street"), HoldKind.FIELD))
    assert read_alarms(store) == ["field:street: paused by an operator"]
