"""Upkeep goes on by itself, whatever one day brings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import structlog

from wanesync.store import Store, open_store
from wanesync.store.tables.retention import RetentionPolicy, RetentionRule
from wanesync.worker.retention import REST, REST_MOST_MS, RetentionTask


class Impatient(threading.Event):
    """Waits for nobody; set after the third wait."""

    waits = 0

    def wait(self, _timeout: float | None = None) -> bool:
        self.waits += 1
        return self.waits > 3


@dataclass
class Jumpy:
    """A clock that is set forward by so much at its second look."""

    jump_ms: int
    slept_ms: list[float] = field(default_factory=list)
    looks: int = 0

    def now_ms(self) -> int:
        self.looks += 1
        return 1_800_000_000_000 + (self.jump_ms if self.looks > 1 else 0)

    def monotonic_ms(self) -> int:
        return self.now_ms()

    def sleep_until(self, at_ms: float) -> None:
        self.slept_ms.append(at_ms - self.now_ms())


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    yield opened
    opened.close()


def test_an_unexpected_error_is_logged_by_its_type_and_upkeep_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[RetentionTask] = []

    def fail(upkeep: RetentionTask) -> None:
        turns.append(upkeep)
        raise RuntimeError("eve@example.com")

    monkeypatch.setattr(RetentionTask, "turn", fail)
    with structlog.testing.capture_logs() as logs:
        RetentionTask(store, RetentionPolicy(), stopping=Impatient()).run()
    assert len(turns) == 3
    assert [(entry["event"], entry["error"]) for entry in logs] == [("upkeep failed", "RuntimeError")] * 3


@pytest.mark.parametrize(("jump_ms", "rest_ms"), [(40, 40 * REST), (3_600_000, REST_MOST_MS)])
def test_a_clock_set_forward_is_not_rested_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, jump_ms: int, rest_ms: int
) -> None:
    steps: Iterator[tuple[int, int | None]] = iter([(100, 7), (3, None)])
    monkeypatch.setattr("wanesync.worker.retention._step", lambda *_, **__: next(steps))
    clock = Jumpy(jump_ms)
    with store.reading() as tx:
        shelf: RetentionRule = tx.retention.rules(RetentionPolicy())[0]
    assert list(RetentionTask(store, RetentionPolicy(), clock)._clear(shelf, dry=False)) == [100, 3]
    assert clock.slept_ms == [rest_ms]
