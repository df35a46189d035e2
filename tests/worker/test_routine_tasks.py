"""Routine tasks: periodic catch-up, and the first listing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from tests.support.captured_logs import captured_logs
from tests.support.core_builders import FIELDS, RULES
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError, Failure, GuardError, SidePaused
from wanesync.core.model import Side
from wanesync.reconcile.catch_up import CatchUpResult
from wanesync.reconcile.run import Reconcile
from wanesync.store import Store, open_store
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker.routine_tasks import STARTUP_INTERVAL_MS, RoutineTasks

SIDES = (Side.HUBSPOT, Side.STRIPE)


class StopAfter(threading.Event):
    """Set after so many waits. No time passes."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


class RecordedCatchUp:
    """Catch-up that notes the sides, and fails with ``error`` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.sides = error, list[Side]()

    def mark_start(self) -> None:
        """Nothing is marked."""

    def run(self, side: Side) -> CatchUpResult:
        self.sides.append(side)
        if self.error:
            raise self.error
        return CatchUpResult(side, 0, 0, 1)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    store: Store = open_store("sqlite::memory:", migrate=True)
    yield Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("w1"))
    store.close()


def refuse_listing() -> Reconcile:
    raise GuardError("fewer than half of the linked ids were listed")


def tasks(
    runtime: Runtime, catch_up: RecordedCatchUp, rounds: int, every_ms: int = 0, *, list_first: bool = False
) -> RoutineTasks:
    return RoutineTasks(runtime, SIDES, every_ms, StopAfter(rounds), catch_up, refuse_listing, list_first=list_first)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (CallError(Side.HUBSPOT, Failure.UNREACHED, "connection refused"), "catch-up failed"),
        (SidePaused(Side.HUBSPOT), "catch-up waits"),
        (ValueError("ana@example.com"), "catch-up failed in our own code"),
    ],
)
def test_no_error_ends_the_rounds_or_keeps_the_other_side_from_its_task(
    runtime: Runtime, error: Exception, event: str
) -> None:
    catch_up = RecordedCatchUp(error)
    with captured_logs() as logs:
        tasks(runtime, catch_up, rounds=2).run()
    assert catch_up.sides == [*SIDES] * 2
    assert [entry["event"] for entry in logs] == [event] * 4
    assert "ana@example.com" not in str(logs)


def test_of_several_processes_one_catches_up(runtime: Runtime) -> None:
    first, second = RecordedCatchUp(), RecordedCatchUp()
    for catch_up in (first, second):
        tasks(runtime, catch_up, rounds=2, every_ms=2 * STARTUP_INTERVAL_MS).run()
    assert (first.sides, second.sides) == ([*SIDES], [])


def test_a_first_listing_that_a_guard_stops_is_not_tried_again(runtime: Runtime) -> None:
    catch_up = RecordedCatchUp()
    with captured_logs() as logs:
        tasks(runtime, catch_up, rounds=2, list_first=True).run()
    assert logs[0]["event"] == "first listing stopped by a guard"
    assert catch_up.sides == [*SIDES], "catch-up goes on without it"


def test_a_first_listing_waits_for_the_end_of_a_pause(runtime: Runtime) -> None:
    def build() -> Reconcile:
        raise SidePaused(Side.STRIPE)

    catch_up = RecordedCatchUp()
    made = RoutineTasks(runtime, SIDES, 0, StopAfter(2), catch_up, build, list_first=True)
    made.run()
    assert made.list_first
    assert catch_up.sides == []
