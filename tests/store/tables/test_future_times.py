"""What a wrong clock stored in the future is not believed once the clock is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_rows import a_stored
from wanesync.core.jobs import JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.rate_limits import Limit
from wanesync.store import Store
from wanesync.store.tables.processes import LEASE_MS
from wanesync.store.tables.rates import QuotaUse

H, S = Side.HUBSPOT, Side.STRIPE
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
AHEAD = [HOUR_MS, DAY_MS]


@pytest.mark.parametrize("ahead_ms", AHEAD)
def test_a_heartbeat_in_the_future_is_none(store: Store, clock: Clock, ahead_ms: int) -> None:
    clock.advance(ahead_ms)
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        tx.jobs.put(JobRequest(H, JobKind.READ, "1"))
        (job,) = tx.jobs.claim(H, [JobKind.READ], 1, "w1")
        assert tx.locks.take_all(["contact:1"], job.token, "w1", tx.now_ms + 120_000)
    clock.advance(3_000 - ahead_ms)
    with store.transaction() as tx:
        tx.processes.beat("w2", "all", 1)
        assert [row.name for row in tx.processes.alive()] == ["w2"]
        assert tx.jobs.still_held([job]) == set()
        assert tx.locks.take_all(["contact:1"], "t2", "w2", tx.now_ms + 120_000)
        assert [job.key for job in tx.jobs.requeue_abandoned()] == ["1"]
        tx.future_times.repair()
        assert [job.key for job in tx.jobs.claim(H, [JobKind.READ], 9, "w2")] == ["1"]


def test_a_process_whose_own_heartbeat_lies_in_the_future_gives_its_jobs_back(store: Store, clock: Clock) -> None:
    clock.advance(HOUR_MS)
    assert store.run(lambda tx: tx.processes.beat("w1", "all", 1))
    clock.advance(LEASE_MS - HOUR_MS)
    assert not store.run(lambda tx: tx.processes.beat("w1", "all", 1))
    assert store.run(lambda tx: tx.processes.beat("w1", "all", 1))


@pytest.mark.parametrize("ahead_ms", AHEAD)
def test_what_waits_until_then_is_due_again(store: Store, clock: Clock, ahead_ms: int) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in ("backoff", "off")])
        tx.pauses.set("stripe", "away", away=True, probe_at_ms=tx.now_ms)
        tx.rates.put(Limit("stripe", 10.0, 5.0, 10.0, 0.0, "", 1, 1))
    clock.advance(ahead_ms)
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        jobs = {job.key: job for job in tx.jobs.claim(S, [JobKind.READ], 2, "w1")}
        tx.jobs.put(JobRequest(S, JobKind.READ, "new"))
        tx.jobs.reschedule(jobs["backoff"], tx.now_ms + 500, "", count=True, waits_for=WaitCode.BACKOFF)
        tx.jobs.reschedule(jobs["off"], tx.now_ms + DAY_MS, "", count=False, fixed=True, waits_for=WaitCode.WRITES_OFF)
        tx.pauses.set("stripe", "away", away=True, probe_at_ms=tx.now_ms + 25_000)
        tx.rates.put(Limit("stripe", 10.0, 5.0, 10.0, 0.0, "", tx.now_ms, tx.now_ms))
        tx.rates.add_uses([QuotaUse("stripe", "second", tx.now_ms, 9, 0)])
        tx.holds.record_overwrites("user:1", ["k1"])
        tx.records.put_many([a_stored(H, "1")])
    clock.advance(3_000 - ahead_ms)
    with store.transaction() as tx:
        due = tx.future_times.repair()
        now_ms = tx.now_ms
        assert due == 3
        tx.processes.beat("w2", "all", 1)
        assert {job.key for job in tx.jobs.claim(S, [JobKind.READ], 9, "w2")} == {"backoff", "off", "new"}
        assert tx.pauses.get_all()["stripe"].probe_ms <= now_ms + 60_000
        assert tx.rates.all()["stripe"].lowered_ms <= now_ms
        assert tx.rates.used_since("second", now_ms - 60_000) == {}
        assert tx.holds.count("user:1", now_ms, ["k1"]) == (0, set())
        assert tx.records.stored_since(H, ["1"], now_ms) == set()


def test_waits_that_are_right_stay(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w1", "all", 1)
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in ("vendor", "off", "setup")])
        jobs = {job.key: job for job in tx.jobs.claim(S, [JobKind.READ], 3, "w1")}
        tx.jobs.reschedule(jobs["vendor"], tx.now_ms + 900_250, "", count=False, waits_for=WaitCode.VENDOR)
        tx.jobs.reschedule(jobs["off"], tx.now_ms + DAY_MS, "", count=False, fixed=True, waits_for=WaitCode.WRITES_OFF)
        tx.jobs.reschedule(jobs["setup"], tx.now_ms + DAY_MS, "", count=False, fixed=True, waits_for=WaitCode.SETUP)
        tx.pauses.set("operator:stripe", "by hand", away=False, probe_at_ms=0)
    # The clocks of two processes differ a little.
    clock.advance(-1_500)
    with store.transaction() as tx:
        assert tx.future_times.repair() == 0
        assert [row.name for row in tx.processes.alive()] == ["w1"]
        assert tx.pauses.get_all()["operator:stripe"].probe_ms == 0
        assert tx.jobs.claim(S, [JobKind.READ], 9, "w1") == []


@pytest.mark.parametrize("ahead_ms", AHEAD)
def test_a_deletion_blocks_no_record_that_is_entered_after_it(store: Store, clock: Clock, ahead_ms: int) -> None:
    """A record that was entered later gets its counterpart, also where a wrong clock dated the deletion."""
    clock.advance(ahead_ms)
    with store.transaction() as tx:
        gone = replace(a_stored(H, "1"), deleted=True, valid_to_ms=tx.now_ms)
        tx.records.put_many([gone])
        tx.tombstones.put(H, "1", {"h"}, tx.now_ms)
    clock.advance(3_000 - ahead_ms)
    with store.transaction() as tx:
        tx.future_times.repair()
    clock.advance(60_000)
    with store.reading() as tx:
        stored = tx.records.get(H, "1")
        assert stored is not None
        assert stored.valid_to_ms < tx.now_ms
        assert not tx.tombstones.match(["h"])["h"].blocks(tx.now_ms)
