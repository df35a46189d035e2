"""Pacers of two processes over one store, with real threads and the real clock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

import pytest

from wanesync.core.model import Side
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.pacer import JITTER_MS, LATE_MS, Pacer
from wanesync.store import Store, make_key, open_store

CREATE = SlotRequest("customers.create")
THREADS = 6
DEADLINE_S = 20.0


@pytest.fixture
def pacers(database_url: str) -> Iterator[list[Pacer]]:
    keys = [make_key("k001")]
    with ExitStack() as stack:
        stores = [open_store(database_url, keys, migrate=True) for _ in range(2)]
        for store in stores:
            stack.callback(store.close)
        yield [Pacer(store, store.clock, Side.STRIPE) for store in stores]


class Traffic:
    """Threads that leave as often as the pacers let them, and when they left, in ms."""

    def __init__(self, pacers: list[Pacer], want: SlotRequest) -> None:
        self.times: list[deque[float]] = [deque() for _ in pacers]
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._leave, args=(pacer, want, times))
            for pacer, times in zip(pacers, self.times, strict=True)
            for _ in range(THREADS)
        ]
        self._looker = threading.Thread(target=self._look, args=(pacers,))

    def __enter__(self) -> Self:
        for thread in (*self._threads, self._looker):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in (*self._threads, self._looker):
            thread.join()

    def _leave(self, pacer: Pacer, want: SlotRequest, times: deque[float]) -> None:
        while not self._stopping.is_set():
            pacer.wait(want)
            pacer.pass_gate()
            times.append(time.monotonic() * 1000)

    def _look(self, pacers: list[Pacer]) -> None:
        """What a worker's heart does."""
        while not self._stopping.wait(0.5):
            for pacer in pacers:
                pacer.budget.refresh()

    def all(self) -> list[float]:
        return sorted(time_ms for times in self.times for time_ms in times.copy())

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, f"not within {DEADLINE_S:g} s"
            self._stopping.wait(0.01)

    def since(self, start_ms: float) -> int:
        return sum(time_ms >= start_ms for time_ms in self.all())


def fullest(times: list[float]) -> int:
    return max(
        sum(start <= time_ms < start + 1000 for time_ms in times[at : at + 400]) for at, start in enumerate(times)
    )


def set_limit(store: Store, per_s: float, scope: str = "stripe") -> None:
    with store.transaction() as tx:
        tx.rates.set_limit(scope, per_s)


@pytest.mark.slow
def test_two_processes_share_a_budget_and_a_change_acts_within_two_seconds(pacers: list[Pacer]) -> None:
    set_limit(pacers[0].store, 40)
    for pacer in pacers:
        pacer.budget.refresh()
    with Traffic(pacers, CREATE) as traffic:
        traffic.until(lambda: len(traffic.all()) >= 100)
        before = traffic.all()
        assert fullest(before) <= 40
        assert all(len(times) >= 10 for times in traffic.times), "neither is left without"

        set_limit(pacers[1].store, 10)
        changed_ms = time.monotonic() * 1000 + 2_000
        traffic.until(lambda: traffic.since(changed_ms) >= 10)
        slow = [time_ms for time_ms in traffic.all() if time_ms >= changed_ms]
        assert fullest(slow) <= 10

        set_limit(pacers[0].store, 60)
        changed_ms = time.monotonic() * 1000 + 2_000
        traffic.until(lambda: traffic.since(changed_ms) >= 60)
        fast = [time_ms for time_ms in traffic.all() if time_ms >= changed_ms]
        assert len(fast) / (fast[-1] - fast[0]) * 1000 > 20, "more than the old limit let through"
        assert fullest(fast) <= 60


@pytest.mark.slow
def test_a_narrower_limit_holds_its_own_and_nobody_else(pacers: list[Pacer]) -> None:
    set_limit(pacers[0].store, 60)
    set_limit(pacers[0].store, 8, "stripe:customers.create")
    for pacer in pacers:
        pacer.budget.refresh()
    with Traffic(pacers, CREATE) as creating, Traffic(pacers, SlotRequest("customers.update")) as updating:
        updating.until(lambda: len(updating.all()) >= 90 and len(creating.all()) >= 9)
        created, updated = creating.all(), updating.all()
    assert fullest(created) <= 8
    assert fullest(sorted(created + updated)) <= 60


def test_what_left_is_counted_for_everybody(pacers: list[Pacer]) -> None:
    set_limit(pacers[0].store, 100)
    for pacer in pacers:
        pacer.budget.refresh()
        for want in (SlotRequest("customers.retrieve", bulk=True), CREATE, CREATE):
            pacer.wait(want)
            pacer.pass_gate()
        pacer.budget.refresh()
    with pacers[0].store.reading() as tx:
        assert tx.rates.used_since("day", 0) == {"stripe": (6, 2), "stripe:monthly_reads": (2, 2)}


def test_slots_on_time_are_never_held_up() -> None:
    """The window that is counted is shorter than as many intervals as the limit allows."""
    assert (1_000 + JITTER_MS) * 0.955 <= 1_000
    assert LATE_MS < JITTER_MS
