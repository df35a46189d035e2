"""A worker process: lanes that claim, a pool that calls, one committer, a heartbeat that also sweeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.jobs import POISON_ALONE_RESCUES, Priority
from wanesync.core.model import Side
from wanesync.ratelimit.pacer import LATE_MS, Pacer
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.tables.rates import SLOT_HORIZON_MS, SlotAssignment
from wanesync.sync.calls import AnyCall
from wanesync.sync.runtime import Runtime
from wanesync.worker.committer import Committer
from wanesync.worker.gc_tuning import tune_gc
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lane import Lane
from wanesync.worker.lease import Lease, LeaseExpired
from wanesync.worker.threads import ThreadPool

BEAT_MS = 2_000
SWEEP_MS = 1_000
DRAIN_MS = 8_000
TIDY_MS = 500
CROWD = 8
THREADS = {Side.HUBSPOT: 8, Side.STRIPE: 72}
AHEAD = {Side.HUBSPOT: 1, Side.STRIPE: 30}
LEAD_MS = 30
BREATH_MS = 10
PLENTY_MS = 120
"""What HubSpot's next call waits while there is plenty to do for Stripe."""
LONG_BREATH_MS = 40

log = structlog.get_logger()


@dataclass(slots=True)
class Worker:
    """Runs the lanes of one process until told to stop."""

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
    _pools: dict[Side, ThreadPool] = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """One lane, pacer and pool per side."""
        self.lanes = {side: Lane.of(self.runtime, side) for side in self.sides}
        self.pacers = dict(self.runtime.pacers) or {s: Pacer(self.runtime.store, self.clock, s) for s in self.sides}
        self.calls_under_way = dict.fromkeys(self.sides, 0)
        self.lease = Lease(self.runtime, self.sides, self.clock, self.in_flight)
        waiting = {side: lane.waiting for side, lane in self.lanes.items()}
        self.committer = Committer(self.runtime, self.clock, self.in_flight, self.lease, waiting, self.stopping)
        self._pools = {side: ThreadPool(THREADS[side], f"{side}-call") for side in self.sides}

    # -- life

    def run(self) -> None:
        """Work until ``stop``; then finish or release within 10 s."""
        tune_gc()
        self._begin()
        threads = [
            threading.Thread(target=self._loop, args=(lambda s=side: self.turn(s),), name=f"{side}-lane")
            for side in self.sides
        ]
        committer = threading.Thread(target=self._commit_loop, name="committer")
        heart = threading.Thread(target=self._heart_loop, name="heart")
        tidier = threading.Thread(target=self._tidy_loop, name="tidier")
        for thread in (*threads, committer, heart, tidier):
            thread.start()
        self.stopping.wait()
        for thread in threads:
            thread.join()
        self._drain()
        self._over.set()
        committer.join()
        heart.join()
        tidier.join()
        for pool in self._pools.values():
            pool.close()
        self.lease.end()

    def _begin(self) -> None:
        """The database may go away between opening it and the first heartbeat."""
        while not self.stopping.is_set() and not self.lease.ends_ms:
            try:
                self.lease.begin()
            except DatabaseUnavailable as error:
                log.warning("store down", reason=str(error))
                self.stopping.wait(1)

    def stop(self) -> None:
        """Ask the worker to finish."""
        self.stopping.set()

    def _loop(self, turn: Callable[[], None]) -> None:
        while not self.stopping.is_set():
            try:
                turn()
            except DatabaseUnavailable as error:
                log.warning("store down", reason=str(error))
                self.stopping.wait(1)
            except Exception as error:  # noqa: BLE001 - a lane must outlive any one round
                log.error("round failed", error=type(error).__name__)
                self.stopping.wait(1)

    def _drain(self) -> None:
        deadline = self.clock.now_ms() + DRAIN_MS
        while (self._busy() or not self.committer.outcomes.empty()) and self.clock.now_ms() < deadline:
            self.clock.sleep_until(self.clock.now_ms() + 20)

    def _busy(self) -> bool:
        with self._guard:
            return any(self.calls_under_way.values())

    def _crowded(self) -> bool:
        """Whether so many calls are under way that their answers are worth gathering: one commit for all of them."""
        with self._guard:
            return sum(self.calls_under_way.values()) > CROWD

    # -- heartbeat

    def _ends(self) -> bool:
        """Whether everything is finished, or what is not has had its time: the next process settles it."""
        return self._over.is_set() or (self.stopping.is_set() and not self._busy() and self.committer.outcomes.empty())

    def _heart_loop(self) -> None:
        last_beat = self.clock.now_ms()
        while not self._ends():
            try:
                # A clock that is set back does not put it off.
                if not 0 <= self.clock.now_ms() - last_beat < BEAT_MS:
                    self.lease.beat()
                    last_beat = self.clock.now_ms()
                self.lease.sweep()
                for side in self.sides:
                    self.pacers[side].budget.refresh()
            except DatabaseUnavailable as error:
                log.warning("store down", reason=str(error))
            except Exception as error:  # noqa: BLE001 - without heartbeats every job of this process is lost
                log.error("heartbeat failed", error=type(error).__name__)
            self.stopping.wait(SWEEP_MS / 1000)
            if self.stopping.is_set():
                self.clock.sleep_until(self.clock.now_ms() + 50)
            if self.stopping.is_set() and self.clock.now_ms() - last_beat > DRAIN_MS + BEAT_MS:
                return

    # -- lanes

    def turn(self, side: Side) -> None:
        """One round of a lane: prepare calls, hand out those whose slot is near; wait when there is nothing."""
        lane = self.lanes[side]
        if self.stopping.is_set():
            return
        room = lane.make_room(self.pacers[side], AHEAD[side])
        slots: list[int] = []
        lane.took = 0
        if room * 2 >= AHEAD[side] and self._has_work(side):
            if side is Side.HUBSPOT:
                # A batch takes what is ready when its slot is near: the later it is claimed, the more it holds.
                slots = self._await_slot(side)
                if not slots:
                    return
            if self.in_flight.enter(side):
                self._claim(side, room)
            elif not lane.waiting:
                self.clock.sleep_until(self.clock.now_ms() + BREATH_MS)
                return
        if lane.waiting:
            self._hand_out(side, slots)
        elif not slots and not lane.took:
            self._idle(side)

    def _claim(self, side: Side, room: int) -> None:
        lane, alone, calls = self.lanes[side], self.in_flight.alone, []
        try:
            calls = self.runtime.commit(f"{side}.claim", lambda tx: lane.fill(tx, room, alone=alone))
        except DatabaseUnavailable:
            self.lease.claim_lost = True
            raise
        finally:
            self.in_flight.leave(side, calls)
        lane.waiting.extend(calls)

    def _await_slot(self, side: Side) -> list[int]:
        """The next slot, shortly before it is due; none if there is none soon."""
        slots = self.pacers[side].take(1)
        now_ms = self.clock.now_ms()
        # A slot from before a clock was set back is not waited for: its call takes another one.
        self.clock.sleep_until(min(slots[0] - LEAD_MS, now_ms + SLOT_HORIZON_MS) if slots else now_ms + BREATH_MS)
        return slots

    def _hand_out(self, side: Side, slots: list[int]) -> None:
        """Give waiting calls, the most urgent first, the next slots; where none is free, wait a little."""
        lane = self.lanes[side]
        with self._guard:
            free = THREADS[side] - self.calls_under_way[side]
        calls = sorted((lane.waiting.popleft() for _ in range(len(lane.waiting))), key=lambda call: call.urgency)
        try:
            given = (
                SlotAssignment([*enumerate(slots)])
                if slots
                else self.pacers[side].assign([c.slot_request for c in calls], free)
            )
        except BaseException:
            # Custody has them: nobody else would ever make them.
            lane.waiting.extendleft(reversed(calls))
            raise
        chosen = dict(given.slots[: len(calls)])
        for index, slot_ms in chosen.items():
            with self._guard:
                self.calls_under_way[side] += 1
            self._pools[side].submit(self._send, calls[index], slot_ms)
        lane.waiting.extendleft(reversed([call for index, call in enumerate(calls) if index not in chosen]))
        if slots and calls[0].urgency > Priority.PURCHASE and self._has_plenty(side.other):
            # What it reads has to wait for the other side anyway: the later it reads, the more at once.
            self.clock.sleep_until(self.clock.now_ms() + PLENTY_MS)
        elif not slots and not given.next_ms and self._crowded():
            self.clock.sleep_until(self.clock.now_ms() + self.pacers[side].breathe_ms(len(chosen)))
        elif not chosen:
            # A limit of its own holds every one of them back: until its next slot, but new calls may pass it.
            breath_ms = min(max(BREATH_MS, given.next_ms - LEAD_MS - self.clock.now_ms()), LONG_BREATH_MS)
            self.clock.sleep_until(self.clock.now_ms() + breath_ms)

    def _has_plenty(self, side: Side) -> bool:
        return side in self.lanes and len(self.lanes[side].waiting) * 2 >= AHEAD[side] and self._crowded()

    def _has_work(self, side: Side) -> bool:
        with self.runtime.store.read_statementwise() as tx:
            best = self.lanes[side].next_claimable(tx)
        self.in_flight.see(side, suspect=best is not None and best.rescues >= POISON_ALONE_RESCUES)
        return best is not None

    def _idle(self, side: Side) -> None:
        with self.runtime.store.read_statementwise() as tx:
            wait_ms = self.lanes[side].count_wait_ms(tx, self.clock.now_ms())
        if not self.stopping.is_set():
            self.runtime.store.wait_for_work(wait_ms, side)

    # -- calls

    def _send(self, call: AnyCall, slot_ms: int) -> None:
        """Check the slot and the lease, call once; the bytes leave when the slot is due (``Pacer.pass_gate``)."""
        pacer, check = self.pacers[call.lane], partial(self.lease.check, call)
        pacer.arm(slot_ms, call.slot_request, check)
        try:
            if self.clock.now_ms() > slot_ms + LATE_MS:
                # The slot is forfeited: a request out of its time would crowd a second that is full.
                self._put_back(call)
                return
            check()
            self.runtime.failpoint(f"{call.operation}.before")
            try:
                answer: object = call.send()
            except CallError as error:
                answer = error
            self.runtime.failpoint(f"{call.operation}.after")
            self.committer.outcomes.put((call, answer))
        except LeaseExpired:
            self.lease.give_up(call)
        except Exception as error:  # noqa: BLE001 - a defect in one call must not lose its jobs
            if isinstance(error, DatabaseUnavailable) and not pacer.has_left:
                # Nobody could give it another slot: nothing was sent.
                self._put_back(call)
                return
            log.error("call failed in our own code", operation=call.operation, error=type(error).__name__)
            self.committer.outcomes.put((call, CallError(call.lane, Failure.NO_ANSWER, type(error).__name__)))
        finally:
            with self._guard:
                self.calls_under_way[call.lane] -= 1

    def _put_back(self, call: AnyCall) -> None:
        """It waits for another slot."""
        self.lanes[call.lane].waiting.appendleft(call)
        self.runtime.store.wake_workers()

    # -- outcomes

    def _commit_loop(self) -> None:
        while not self._ends():
            if batch := self.committer.take(self._crowded):
                self.committer.commit(batch)

    def _tidy_loop(self) -> None:
        # Whoever commits must not be held up by what SQLite moves from its log into its file.
        while not self._over.wait(TIDY_MS / 1000):
            try:
                self.runtime.store.checkpoint()
            except Exception as error:  # noqa: BLE001 - it is tried again; whoever commits meets the same trouble
                log.warning("not tidied up", error=type(error).__name__)
