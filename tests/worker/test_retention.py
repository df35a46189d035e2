"""Retention goes on by itself, whatever one day brings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.captured_logs import captured_logs
from wanesync.store import Store, open_store
from wanesync.store.tables.retention import RetentionPolicy, RetentionRule
from wanesync.worker.retention import MAX_PAUSE_MS, PAUSE_FACTOR, RetentionTask


class StopAfterThree(threading.Event):
    """Set after the third wait. No time passes."""

    waits = 0

    def wait(self, _timeout: float | None = None) -> bool:
        self.waits += 1
        return self.waits > 3


@dataclass
class SlowClock:
    """A clock by which each transaction takes ``took_ms``; its wall clock must not be read."""

    took_ms: int
    slept_ms: list[float] = field(default_factory=list)
    now: int = 0

    def now_ms(self) -> int:
        raise AssertionError("an interval is measured by the wall clock")

    def monotonic_ms(self) -> int:
        self.now += self.took_ms
        return self.now

    def sleep_until(self, at_ms: float) -> None:
        self.slept_ms.append(at_ms - self.now)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    yield opened
    opened.close()


def test_an_unexpected_error_is_logged_by_its_type_and_retention_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[RetentionTask] = []

    def fail(task: RetentionTask) -> None:
        turns.append(task)
        raise RuntimeError("eve@example.com")

    monkeypatch.setattr(RetentionTask, "run_if_due", fail)
    with captured_logs() as logs:
        RetentionTask(store, RetentionPolicy(), stopping=StopAfterThree()).run()
    assert len(turns) == 3
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("retention failed in our own code", "RuntimeError")
    ] * 3


@pytest.mark.parametrize(("took_ms", "pause_ms"), [(40, 40 * PAUSE_FACTOR), (3_600_000, MAX_PAUSE_MS)])
def test_pauses_follow_the_time_of_a_transaction_up_to_a_bound(
    store: Store, monkeypatch: pytest.MonkeyPatch, took_ms: int, pause_ms: int
) -> None:
    steps: Iterator[tuple[int, int | None]] = iter([(100, 7), (3, None)])
    monkeypatch.setattr("wanesync.worker.retention._delete_rows", lambda *_, **__: next(steps))
    clock = SlowClock(took_ms)
    with store.reading() as tx:
        rule: RetentionRule = tx.retention.rules(RetentionPolicy())[0]
    assert list(RetentionTask(store, RetentionPolicy(), clock)._delete(rule, dry=False)) == [100, 3]
    assert clock.slept_ms == [pause_ms]
