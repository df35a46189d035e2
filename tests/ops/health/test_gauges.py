"""Gauges of the metrics page."""

from __future__ import annotations

from tests.support.lanes import bury, queue, start_processes
from tests.support.operators import ADA
from wanesync.core.change_guard import HoldKind
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Conflict, Side
from wanesync.ops.health.gauges import read_gauges
from wanesync.ops.writes import switch_writes
from wanesync.store import Store


def test_gauges_count_what_waits_and_what_needs_a_decision(store: Store) -> None:
    start_processes(store)
    queue(store, Side.STRIPE, JobKind.WRITE, 3)
    switch_writes(store, ADA, on=True)
    with store.transaction() as tx:
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_1", "city", "Bonn", "differs"), "")
        tx.rejected.put(Side.STRIPE, "no id", b"{}")
        tx.holds.open("hubspot:IMPORT/7", HoldKind.BRAKE)
    gauges = read_gauges(store)
    names = ("conflicts_open", "webhooks_set_aside", "writes_on", "holds_open", "alarms")
    assert [gauges[f"wanesync_{name}"] for name in names] == [1, 1, 1, 1, 2]
    assert gauges['wanesync_jobs_ready{lane="stripe"}'] == 3
    assert gauges['wanesync_workers{lane="hubspot"}'] == 1


def test_a_stopped_lane_has_no_time_in_which_it_clears(store: Store) -> None:
    name = 'wanesync_jobs_clear_in_seconds{lane="stripe"}'
    assert read_gauges(store)[name] == 0
    store.run(lambda tx: tx.pauses.set("stripe", "because", away=True, probe_at_ms=0))
    assert name not in read_gauges(store)


def test_dead_letters_and_finished_jobs_are_counted_by_class_and_kind(store: Store) -> None:
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    gauges = read_gauges(store)
    assert gauges['wanesync_dead_letters{lane="stripe",class="refused"}'] == 1
    assert gauges['wanesync_jobs_done_last_minute{lane="stripe",kind="read"}'] == 0
