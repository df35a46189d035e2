"""Virtual time for a real worker: its lanes run on one clock that jumps from one event to the next.

Lanes are threads of which only one runs at a time, so ``Worker.turn`` runs unchanged: where it would sleep, the clock
advances to the next event. Code takes no time, only requests do. The same random source gives the same run.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wanesync.core.model import Side
from wanesync.store.database import Store
from wanesync.sync.calls import AnyCall
from wanesync.worker.committer import GATHER_MS, MAX_ANSWERS_PER_COMMIT
from wanesync.worker.worker import HEARTBEAT_INTERVAL_MS, SWEEP_INTERVAL_MS, Worker

START_MS = 1_800_000_000_000


class RunEnded(Exception):
    """Ends the thread of a lane at the end of the run."""


@dataclass(slots=True)
class Lane:
    """One thread that runs in steps. ``wakes``: counts its sleeps, so that an old alarm does not end a new one.

    ``waits_for``: the lane whose work it waits for, "" for any, None for none.
    """

    thread: threading.Thread
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    wakes: int = 0
    waits_for: str | None = None


@dataclass(slots=True)
class VirtualTime:
    """The time, the due events, and the lanes; the ``Clock`` of everything that runs under it."""

    now: int = START_MS
    over: bool = False
    lanes: dict[int, Lane] = field(default_factory=dict)
    _due: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _failed: list[BaseException] = field(default_factory=list)

    def now_ms(self) -> int:
        """The virtual time in epoch milliseconds."""
        return self.now

    def monotonic_ms(self) -> int:
        """The time: it never goes back."""
        return self.now

    def at(self, at_ms: int, act: Callable[[], None]) -> None:
        """Run a function at a time."""
        heapq.heappush(self._due, (max(at_ms, self.now), next(self._order), act))

    def every(self, interval_ms: int, act: Callable[[], None]) -> None:
        """Run a function at an interval."""

        def turn() -> None:
            act()
            self.at(self.now + interval_ms, turn)

        self.at(self.now + interval_ms, turn)

    def run_until(self, at_ms: int) -> None:
        """Run every event due until a time."""
        while self._due and self._due[0][0] <= at_ms:
            self.now, _, act = heapq.heappop(self._due)
            act()
            if self._failed:
                raise self._failed[0]
        self.now = at_ms

    # -- lanes

    def spawn(self, act: Callable[[], None]) -> None:
        """Start a lane for a function that may sleep."""

        def live() -> None:
            lane.go.acquire()
            try:
                if not self.over:
                    act()
            except RunEnded:
                pass
            except BaseException as error:  # noqa: BLE001 - raised by ``run_until``
                self._failed.append(error)
            finally:
                del self.lanes[threading.get_ident()]
                self._back.release()

        lane = Lane(threading.Thread(target=live, daemon=True))
        lane.thread.start()
        assert lane.thread.ident is not None
        self.lanes[lane.thread.ident] = lane
        self._alarm(lane, self.now)

    def loop(self, turn: Callable[[], None]) -> None:
        """Start a lane that runs a function repeatedly."""

        def turns() -> None:
            while True:
                turn()

        self.spawn(turns)

    def sleep_until(self, at_ms: float) -> None:
        """Let the current lane sleep; only lanes may sleep."""
        self._sleep(max(self.now, -int(-at_ms // 1)), None)

    def wait_for_work(self, timeout_ms: int, lane: str = "") -> bool:
        """Let the current lane wait until the store notifies it of work, or the time is over."""
        self._sleep(self.now + timeout_ms, lane)
        return True

    def notify(self, lanes: Collection[str] = ()) -> bool:
        """Wake the lanes that wait for work of one of the given lanes, all of them without any; whether one waited."""
        notified = {"", *(lanes or Side)}
        woken = [lane for lane in self.lanes.values() if lane.waits_for in notified]
        for lane in woken:
            lane.waits_for = None
            self._alarm(lane, self.now)
        return bool(woken)

    def end(self) -> None:
        """End every lane where it sleeps."""
        self.over = True
        for lane in list(self.lanes.values()):
            lane.go.release()
            self._back.acquire()
            lane.thread.join()

    def _sleep(self, at_ms: int, waits_for: str | None) -> None:
        lane = self.lanes.get(threading.get_ident())
        assert lane is not None, "only a lane may sleep"
        lane.waits_for = waits_for
        self._alarm(lane, at_ms)
        self._back.release()
        lane.go.acquire()
        if self.over:
            raise RunEnded

    def _alarm(self, lane: Lane, at_ms: int) -> None:
        lane.wakes += 1
        wakes = lane.wakes
        self.at(at_ms, lambda: self._resume(lane, wakes))

    def _resume(self, lane: Lane, wakes: int) -> None:
        if lane.wakes == wakes:
            lane.waits_for = None
            lane.go.release()
            self._back.acquire()


class Pool(Executor):
    """Runs each call in its slot; the submitted function is ``Worker._send`` with a call and its slot."""

    def __init__(self, clock: VirtualTime) -> None:
        self._clock = clock

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call at its slot."""
        _, slot_ms, *_ = args
        self._clock.at(slot_ms, lambda: self._clock.spawn(lambda: fn(*args, **kwargs)))
        return Future()


class Answers:
    """Takes the answers of a worker and commits them at the times of its committer."""

    def __init__(self, worker: Worker, clock: VirtualTime) -> None:
        self._worker, self._clock = worker, clock
        self._arrived: list[tuple[AnyCall, object]] = []

    def put(self, answer: tuple[AnyCall, object]) -> None:
        """Add an answer; the first one begins a batch."""
        self._arrived.append(answer)
        if len(self._arrived) == 1:
            # ``Worker`` checks right after it took the answer whether more are expected.
            self._clock.at(self._clock.now, self._gather)

    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._arrived

    def _gather(self) -> None:
        patient = self._worker._is_busy() and all(call.lane is Side.STRIPE for call, _ in self._arrived)
        wait_ms = GATHER_MS if patient else 0
        self._clock.at(self._clock.now + wait_ms, self._commit)

    def _commit(self) -> None:
        batch, self._arrived = self._arrived[:MAX_ANSWERS_PER_COMMIT], self._arrived[MAX_ANSWERS_PER_COMMIT:]
        if self._arrived:
            self._clock.at(self._clock.now, self._gather)
        self._worker.committer.commit(batch)


def run_under(clock: VirtualTime, store: Store, worker: Worker) -> None:
    """Start a worker under the virtual clock: its lanes, pools, committer and heartbeats."""
    store.wait_for_work = clock.wait_for_work  # type: ignore[method-assign] # the virtual clock's own wait
    store._database.notifier.notify = clock.notify  # type: ignore[method-assign] # the virtual clock's own notification
    worker._pools = dict.fromkeys(worker.sides, Pool(clock))  # type: ignore[arg-type] # the virtual clock's own pool
    worker.committer.answers = Answers(worker, clock)  # type: ignore[assignment] # the virtual clock's own answers
    worker.lease.beat()
    clock.every(HEARTBEAT_INTERVAL_MS, worker.lease.beat)
    clock.every(SWEEP_INTERVAL_MS, worker.lease.sweep)
    for side in worker.sides:
        clock.loop(partial(worker.run_round, side))
