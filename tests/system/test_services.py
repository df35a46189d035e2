"""What keeps running beside a worker: heartbeats of the web doors, and rounds of catch-up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from tests.support.stage import Stage
from wanesync import services
from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.model import Side
from wanesync.services import RoutineTasks, WebDoors


class Turns(threading.Event):
    """Told to stop after so many waits. No time passes."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.left = turns

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


@pytest.fixture(name="stage", scope="module")
def open_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("services")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", Path(folder)) as made:
        yield made


def test_the_clock_is_set_before_each_heartbeat_of_the_doors(stage: Stage) -> None:
    doors = WebDoors(stage.config, stage.store)
    doors.start()
    synced: list[None] = []

    def sync() -> None:
        synced.append(None)
        if len(synced) == 2:
            raise DatabaseUnavailable("the database does not answer")

    try:
        with patch.object(stage.store, "sync_clock", sync):
            doors.beat_until(Turns(3))
    finally:
        doors.stop()
    assert len(synced) == 3


class Rough:
    """Catch-up that fails in one way for HubSpot."""

    def __init__(self, error: Exception, caught: list[Side]) -> None:
        self.error, self.caught = error, caught

    def run(self, side: Side) -> object:
        self.caught.append(side)
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CallError(Side.HUBSPOT, Failure.UNREACHED, "connection refused"), "catch-up did not work"),
        (ValueError("ana@example.com"), "catch-up failed in our own code"),
    ],
)
def test_no_error_ends_the_rounds_or_takes_the_other_side_with_it(stage: Stage, error: Exception, said: str) -> None:
    caught: list[Side] = []
    turns = Turns(2)
    rounds = RoutineTasks(stage.runtime, (Side.HUBSPOT, Side.STRIPE), 0, turns)
    with capture_logs() as logs, patch.object(services, "build_catch_up", lambda _engine: Rough(error, caught)):
        rounds.run()
    assert caught == [Side.HUBSPOT, Side.STRIPE] * 2
    assert [entry["event"] for entry in logs] == [said] * 4
    assert "ana@example.com" not in str(logs)
