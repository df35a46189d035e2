"""A worker process: lanes that claim jobs, threads that make the calls, one committer, and a heartbeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, Failure, FieldMapChanged
from wanesync.core.jobs import POISON_ALONE_RESCUES, Priority
from wanesync.core.model import Side
from wanesync.ratelimit.pacer import MAX_SLOT_DELAY_MS, Pacer
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.tables.rates import SlotAssignment
from wanesync.sync.calls import AnyCall
from wanesync.sync.runtime import Runtime
from wanesync.worker.claim_under_way import ClaimUnderWay
from wanesync.worker.committer import Committer
from wanesync.worker.counting import count_claims
from wanesync.worker.failure_notes import FailureNotes
from wanesync.worker.gc_tuning import tune_gc
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lane import Lane
from wanesync.worker.lease import Lease, LeaseExpired
from wanesync.worker.threads import ThreadPool

HEARTBEAT_INTERVAL_MS = 2_000
"""A third of a lease: two lost heartbeats do not end it (docs/correctness.md#leases)."""
SWEEP_INTERVAL_MS = 1_000
"""How often abandoned jobs are looked for, and the limits refreshed."""
DRAIN_TIMEOUT_MS = 8_000
"""Time for calls in flight when the process stops: most stop signals are followed by a kill after 10 s."""
DRAIN_POLL_MS = 20
"""How often a process that stops checks whether its calls are done (our choice)."""
STOPPING_BEAT_DELAY_MS = 50
"""Pause of the heartbeat loop while the process stops, when it no longer waits for the stop signal."""
CHECKPOINT_INTERVAL_MS = 1_000
"""How often SQLite's write-ahead log is moved into its file, outside any commit."""
DATABASE_RETRY_S = 1
"""Pause after an error of the database, or of our own code."""

CALL_THREADS = {Side.HUBSPOT: 8, Side.STRIPE: 72}
"""Enough for the limits of 15 and 100 requests a second at response times of 0.5 and 0.7 s."""
LONG_CLAIM_MS = 30
"""A claim that takes longer than this is not waited for: a thread of its own hands out slots meanwhile."""
MAX_CLAIM_WAIT_S = 0.25
"""How often that thread looks whether the process stops."""
BUSY_CALLS = 8
"""More calls than this under way or prepared: one commit waits for several answers, and slots are reserved several at a
time. Beside other workers few are under way in each, and many are prepared."""
PREPARE_MS = 30
"""A call is prepared so long before its slot: planning a batch takes about as long."""
MIN_SLOT_POLL_MS, MAX_SLOT_POLL_MS = 10, 40
"""How long a lane waits for a slot before it looks again: a more urgent job may have come."""
FREE_WAKES, IDLE_WAKE_DELAY_MS, MAX_WAKE_DELAY_MS = 2, 10, 60
"""Each further wake-up in a row that finds no work delays the next look by 10 ms more, up to 60 ms: other processes may
commit dozens of times in a second, and each commit wakes every lane."""
HAND_OUT_DELAY_MS, SHARED_HAND_OUT_DELAY_MS, LARGE_GRANT_SLOTS = 140, 200, 12
"""Mean time between two reservations when many calls are under way (several slots cost as much as one); where other
workers take most slots, these see to it that none is missed. By chance, so that workers with equal backlogs get equal
shares: a change that waits in one with fewer misses its target."""
HUBSPOT_DEFERRAL_MS = 250
"""How long HubSpot's next call waits while many calls wait for Stripe: a later read carries more records."""

log = structlog.get_logger()


@dataclass(slots=True)
class Worker:
    """Runs the lanes of one process until it is stopped. Intervals are monotonic; leases are in database time."""

    runtime: Runtime
    sides: Sequence[Side]
    clock: Clock = field(default_factory=DatabaseClock)
    lanes: dict[Side, Lane] = field(init=False)
    pacers: dict[Side, Pacer] = field(init=False)
    stopping: threading.Event = field(default_factory=threading.Event)
    in_flight: InFlight = field(default_factory=InFlight)
    calls_under_way: dict[Side, int] = field(init=False)
    lease: Lease = field(init=False)
    committer: Committer = field(init=False)
    claim_notes: dict[Side, FailureNotes] = field(init=False)
    _claims: dict[Side, ClaimUnderWay] = field(init=False)
    _pools: dict[Side, ThreadPool] = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _finished: threading.Event = field(default_factory=threading.Event)
    _failure: FieldMapChanged | None = None

    def __post_init__(self) -> None:
        """Make one lane, pacer and thread pool per side."""
        self.claim_notes = {side: FailureNotes(self.runtime, f"{side}.claim") for side in self.sides}
        self.lanes = {side: Lane.of(self.runtime, side) for side in self.sides}
        self.pacers = dict(self.runtime.pacers) or {s: Pacer(self.runtime.store, self.clock, s) for s in self.sides}
        self.calls_under_way = dict.fromkeys(self.sides, 0)
        self._claims = {side: ClaimUnderWay() for side in self.sides}
        self.lease = Lease(self.runtime, self.sides, self.clock, self.in_flight)
        waiting = {side: lane.waiting for side, lane in self.lanes.items()}
        self.committer = Committer(self.runtime, self.clock, self.in_flight, self.lease, waiting, self.stopping)
        self._pools = {side: ThreadPool(CALL_THREADS[side], f"{side}-call") for side in self.sides}

    # -- start and stop

    def run(self) -> None:
        """Work until ``stop``; then finish or release the jobs within 10 s.

        Raises ``FieldMapChanged`` if another process began to work with another field map.
        """
        tune_gc()
        self._begin_lease()
        lanes = [
            threading.Thread(target=self._lane_loop, args=(partial(self.run_round, side),), name=f"{side}-lane")
            for side in self.sides
        ]
        if Side.STRIPE in self.sides:
            # HubSpot's few calls reserve their slot before they claim.
            hand_out = partial(self._hand_out_during_claim, Side.STRIPE)
            lanes.append(threading.Thread(target=self._lane_loop, args=(hand_out,), name="stripe-slots"))
        others = [
            threading.Thread(target=self._commit_loop, name="committer"),
            threading.Thread(target=self._heartbeat_loop, name="heartbeat"),
            threading.Thread(target=self._checkpoint_loop, name="checkpoint"),
        ]
        for thread in (*lanes, *others):
            thread.start()
        self.stopping.wait()
        for thread in lanes:
            thread.join()
        self._drain()
        self._finished.set()
        for thread in others:
            thread.join()
        for pool in self._pools.values():
            pool.close()
        self.lease.end()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Make the worker finish; returns at once."""
        self.stopping.set()

    def _end(self, error: FieldMapChanged) -> None:
        """Stop for good: answers that are still to come are not stored, the next process settles their writes."""
        if self._failure is None:
            log.error("field map changed", reason=str(error))
        self._failure = error
        # No call may leave any more.
        self.lease.ends_ms = 1
        self.stopping.set()

    def _begin_lease(self) -> None:
        """Send the first heartbeat; the database may have become unavailable since it was opened."""
        while not self.stopping.is_set() and not self.lease.ends_ms:
            try:
                self.lease.begin()
            except FieldMapChanged as error:
                self._end(error)
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
                self.stopping.wait(DATABASE_RETRY_S)

    def _lane_loop(self, run_round: Callable[[], None]) -> None:
        while not self.stopping.is_set():
            try:
                run_round()
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
                self.stopping.wait(DATABASE_RETRY_S)
            except Exception as error:  # noqa: BLE001 - a lane must survive any one round
                log.error("round failed", error=type(error).__name__)
                self.stopping.wait(DATABASE_RETRY_S)

    def _drain(self) -> None:
        deadline_ms = self.clock.monotonic_ms() + DRAIN_TIMEOUT_MS
        while (self._has_calls() or not self.committer.answers.empty()) and self.clock.monotonic_ms() < deadline_ms:
            self._sleep_ms(DRAIN_POLL_MS)

    def _sleep_ms(self, ms: float) -> None:
        self.clock.sleep_until(self.clock.monotonic_ms() + ms)

    def _has_calls(self) -> bool:
        with self._guard:
            return any(self.calls_under_way.values())

    def _is_busy(self) -> bool:
        """Whether so many calls are under way or prepared that their answers are gathered for one commit."""
        with self._guard:
            under_way = sum(self.calls_under_way.values())
        return under_way + sum(len(lane.waiting) for lane in self.lanes.values()) > BUSY_CALLS

    def _is_done(self) -> bool:
        """Whether every answer is committed, or the time to stop is over; then the stored writes settle the rest."""
        stopped = self.stopping.is_set() and not self._has_calls() and self.committer.answers.empty()
        return self._finished.is_set() or stopped

    # -- heartbeat

    def _heartbeat_loop(self) -> None:
        last_beat_ms = self.clock.monotonic_ms()
        while not self._is_done():
            try:
                if self.clock.monotonic_ms() - last_beat_ms >= HEARTBEAT_INTERVAL_MS:
                    self.lease.beat()
                    last_beat_ms = self.clock.monotonic_ms()
                self.lease.sweep()
                for side in self.sides:
                    self.pacers[side].refresh()
            except FieldMapChanged as error:
                self._end(error)
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
            except Exception as error:  # noqa: BLE001 - without heartbeats every job of this process is lost
                log.error("heartbeat failed", error=type(error).__name__)
            self.stopping.wait(SWEEP_INTERVAL_MS / 1000)
            if self.stopping.is_set():
                self._sleep_ms(STOPPING_BEAT_DELAY_MS)
                if self.clock.monotonic_ms() - last_beat_ms > DRAIN_TIMEOUT_MS + HEARTBEAT_INTERVAL_MS:
                    return

    # -- lanes

    def run_round(self, side: Side) -> None:
        """Run one round of a lane: prepare calls, send those whose slot is near, wait if there is nothing to do."""
        lane = self.lanes[side]
        if self.stopping.is_set():
            return
        ahead = self._claims[side].calls_ahead(side)
        with self._claims[side].hand_out:
            room = lane.make_room(self.pacers[side], ahead)
        slot_ms: int | None = None
        lane.claimed = 0
        if room * 2 >= ahead and (self._has_work(side) or lane.late):
            if side is Side.HUBSPOT:
                # A batch takes the jobs that are ready when it is claimed: the nearer its slot, the more there are.
                slot_ms = self._await_slot(side)
                if slot_ms is None:
                    return
            if self.in_flight.begin_claim(side):
                self._claim(side, room)
            elif lane.late:
                # A suspect waits until nothing is in flight, so these must not wait for the next claim.
                self._give_late_up(lane)
            elif not lane.waiting:
                self._sleep_ms(MIN_SLOT_POLL_MS)
                return
        if lane.waiting:
            self._hand_out(side, slot_ms)
        elif slot_ms is None and not lane.claimed:
            self._wait_for_work(side)

    def _claim(self, side: Side, room: int) -> None:
        lane, alone, calls = self.lanes[side], self.in_flight.alone, list[AnyCall]()
        late = self._take_late(lane)
        began_ms = self.clock.monotonic_ms()
        to_monotonic_ms, target_ms = began_ms - self.clock.now_ms(), self.runtime.options.target_ms
        try:
            with self._claims[side].measured(self.clock):
                calls = self.runtime.commit(f"{side}.claim", lambda tx: lane.fill(tx, room, alone=alone, late=late))
        except Exception as error:
            # The next heartbeat gives back what this claim did not.
            self.lease.claim_lost = True
            lane.size.shrink(error, self.claim_notes[side].add)
            raise
        else:
            lane.size.grow(self.claim_notes[side].clear)
            count_claims(self.runtime.store.figures, lane.taken)
        finally:
            # In this order: no heartbeat takes them for calls in flight, after a claim that did not give them back.
            self.in_flight.settle(late)
            self.in_flight.end_claim(side, calls)
        is_first = not (lane.waiting or self.calls_under_way[side])
        lane.send_time.begin(calls, began_ms, is_first=is_first, to_monotonic_ms=to_monotonic_ms, target_ms=target_ms)
        lane.waiting.extend(calls)

    def _await_slot(self, side: Side) -> int | None:
        """Reserve the next slot and wait until shortly before it is due; None if no slot is due soon."""
        slot_ms = self.pacers[side].reserve_slot()
        if slot_ms is None:
            # Every slot of the next 300 ms is taken.
            self._sleep_ms(MAX_SLOT_POLL_MS)
        else:
            self.clock.sleep_until(slot_ms - PREPARE_MS)
        return slot_ms

    def _hand_out_during_claim(self, side: Side) -> None:
        """Hand out slots while a claim takes long: a slot that is not reserved in time is lost to every process."""
        claim = self._claims[side]
        if not claim.began.wait(MAX_CLAIM_WAIT_S):
            return
        self._sleep_ms(LONG_CLAIM_MS)
        while claim.began.is_set() and self.lanes[side].waiting and not self.stopping.is_set():
            self._hand_out(side, None)
        self._sleep_ms(MIN_SLOT_POLL_MS)

    def _hand_out(self, side: Side, slot_ms: int | None) -> None:
        """Give the next slots to the waiting calls, mostly the most urgent first; wait a little if none is free."""
        with self._claims[side].hand_out:
            calls = self._set_late_aside(side, self.lanes[side].take_waiting())
            chosen, given = self._give_slots(side, calls, slot_ms)
        if calls:
            self._rest(side, calls[0], given, len(chosen), reserved=slot_ms is not None)

    def _set_late_aside(self, side: Side, calls: list[AnyCall]) -> list[AnyCall]:
        """Set aside what was claimed in vain; return the calls to be sent."""
        lane, now_ms = self.lanes[side], self.clock.monotonic_ms()
        calls, late = lane.send_time.split(calls, now_ms)
        for call in late:
            lane.send_time.give_up(call, now_ms)
        lane.late += late
        return calls

    def _take_late(self, lane: Lane) -> list[AnyCall]:
        """Take the calls that were claimed in vain, which the next claim gives back; nothing of them was sent."""
        with self._claims[lane.side].hand_out:
            late, lane.late = lane.late, []
        for call in late:
            if any(job.owner != self.runtime.name for job in call.jobs):
                # Other processes may have taken them.
                self.lease.give_up(call)
        return [call for call in late if all(job.owner == self.runtime.name for job in call.jobs)]

    def _give_late_up(self, lane: Lane) -> None:
        """Leave the calls that were claimed in vain to the next heartbeat, which gives their jobs back."""
        for call in self._take_late(lane):
            self.lease.give_up(call)

    def _give_slots(self, side: Side, calls: list[AnyCall], slot_ms: int | None) -> tuple[set[int], SlotAssignment]:
        """Send the calls that get a slot, and put the others back. ``slot_ms``: a slot that is reserved already."""
        lane = self.lanes[side]
        with self._guard:
            free = CALL_THREADS[side] - self.calls_under_way[side]
        try:
            if slot_ms is None:
                given = self.pacers[side].assign_slots([call.slot_request for call in calls], free)
            else:
                given = SlotAssignment([(0, slot_ms)])
        except BaseException:
            # They are in flight, so no other process takes their jobs: they must stay in the lane.
            lane.waiting.extendleft(reversed(calls))
            raise
        chosen = dict(given.slots[: len(calls)])
        lane.send_time.hand_out([calls[index] for index in chosen], self.clock.monotonic_ms())
        for index, due_ms in chosen.items():
            with self._guard:
                self.calls_under_way[side] += 1
            self._pools[side].submit(self._send, calls[index], due_ms)
        self._claims[side].given += len(chosen)
        lane.waiting.extendleft(reversed([call for index, call in enumerate(calls) if index not in chosen]))
        return set(chosen), given

    def _rest(self, side: Side, first: AnyCall, given: SlotAssignment, handed_out: int, *, reserved: bool) -> None:
        """Wait before the next round of a lane, as long as that is of use."""
        if reserved and first.urgency > Priority.PURCHASE and self._has_plenty(side.other):
            self._sleep_ms(HUBSPOT_DEFERRAL_MS)
            return
        # A narrower limit holds up those that are left: until its next slot.
        until_ms = given.next_ms - PREPARE_MS - self.clock.monotonic_ms()
        if not reserved and (self._is_busy() or self._has_backlog(side)):
            mean_ms = HAND_OUT_DELAY_MS if handed_out >= LARGE_GRANT_SLOTS else SHARED_HAND_OUT_DELAY_MS
            delay_ms = self.runtime.rng.randint(mean_ms // 2, mean_ms * 3 // 2)
            self._sleep_ms(min(delay_ms, max(MIN_SLOT_POLL_MS, until_ms)) if given.next_ms else delay_ms)
        elif not handed_out:
            # New calls may be let through before.
            self._sleep_ms(min(max(MIN_SLOT_POLL_MS, until_ms), MAX_SLOT_POLL_MS))

    def _has_plenty(self, side: Side) -> bool:
        return side in self.lanes and self._has_backlog(side) and self._is_busy()

    def _has_backlog(self, side: Side) -> bool:
        """Whether so many calls wait for slots that a slot reserved a little later is used all the same."""
        return len(self.lanes[side].waiting) * 2 >= self._claims[side].calls_ahead(side)

    def _has_work(self, side: Side) -> bool:
        lane = self.lanes[side]
        with self.runtime.store.read_statementwise() as tx:
            best = lane.next_claimable(tx)
        lane.idle_wakes = 0 if best is not None else lane.idle_wakes
        self.in_flight.note_next(side, suspect=best is not None and best.rescues >= POISON_ALONE_RESCUES)
        return best is not None

    def _wait_for_work(self, side: Side) -> None:
        with self.runtime.store.read_statementwise() as tx:
            wait_ms = self.lanes[side].find_wait_ms(tx)
        if self.stopping.is_set():
            return
        lane = self.lanes[side]
        lane.idle_wakes = lane.idle_wakes + 1 if self.runtime.store.wait_for_work(wait_ms, side) else 0
        if lane.idle_wakes > FREE_WAKES:
            self._sleep_ms(min(IDLE_WAKE_DELAY_MS * (lane.idle_wakes - FREE_WAKES), MAX_WAKE_DELAY_MS))

    # -- calls

    def _send(self, call: AnyCall, slot_ms: int) -> None:
        """Check the slot and the lease, and call once; the bytes leave when the slot is due (``Pacer.pass_gate``)."""
        pacer, check = self.pacers[call.lane], partial(self.lease.check, call)
        pacer.announce(slot_ms, call.slot_request, check)
        try:
            if self.clock.monotonic_ms() > slot_ms + MAX_SLOT_DELAY_MS:
                # The slot is forfeited: a late request would crowd a second that is full.
                self._put_back(call)
                return
            check()
            self.runtime.failpoint(f"{call.operation}.before")
            try:
                with self.runtime.tracing.call(call.lane, call.operation, [job.trace for job in call.jobs]):
                    answer: object = call.send()
            except CallError as error:
                answer = error
            self.runtime.failpoint(f"{call.operation}.after")
            self.lanes[call.lane].send_time.end(call, slot_ms, self.clock.monotonic_ms())
            self.committer.answers.put((call, answer))
        except LeaseExpired:
            self.lanes[call.lane].send_time.forget(call)
            self.lease.give_up(call)
        except Exception as error:  # noqa: BLE001 - a defect in one call must not lose its jobs
            if isinstance(error, DatabaseUnavailable) and not pacer.has_left:
                # No other slot could be reserved, so nothing was sent.
                self._put_back(call)
                return
            self.lanes[call.lane].send_time.forget(call)
            log.error("call failed in our own code", operation=call.operation, error=type(error).__name__)
            self.committer.answers.put((call, CallError(call.lane, Failure.NO_ANSWER, type(error).__name__)))
        finally:
            with self._guard:
                self.calls_under_way[call.lane] -= 1

    def _put_back(self, call: AnyCall) -> None:
        """Let a call wait for another slot."""
        self.lanes[call.lane].waiting.appendleft(call)
        self.runtime.store.wake_workers()

    # -- answers

    def _commit_loop(self) -> None:
        while not self._is_done():
            if batch := self.committer.collect(self._is_busy):
                self.committer.commit(batch)

    def _checkpoint_loop(self) -> None:
        # In a thread of its own, so that no commit waits while SQLite moves its log into its file.
        while not self._finished.wait(CHECKPOINT_INTERVAL_MS / 1000):
            try:
                self.runtime.store.checkpoint()
            except Exception as error:  # noqa: BLE001 - it is tried again; commits report the same error
                log.warning("checkpoint failed", error=type(error).__name__)
