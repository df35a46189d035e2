"""A group of processes: crashes are mended, a wrong configuration ends all, and the end of all is one end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from wanesync.web import process_group
from wanesync.web.process_group import ProcessGroup

WAIT = "import sys; sys.stdin.buffer.read()"
DEADLINE_S = 20


class Started:
    """Starts small programs in place of doors, the given ones first."""

    def __init__(self, *first: str) -> None:
        self.first = list(first)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> subprocess.Popen[bytes]:
        code = self.first.pop(0) if self.first else WAIT
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        self.processes.append(process)
        return process


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "RESTART_S", 0.01)
    monkeypatch.setattr(process_group, "POLL_S", 0.01)


@pytest.fixture
def run() -> Iterator[Callable[[Started], tuple[threading.Event, Callable[[], int]]]]:
    stops: list[threading.Event] = []

    def start(started: Started) -> tuple[threading.Event, Callable[[], int]]:
        stopping, codes = threading.Event(), list[int]()
        stops.append(stopping)
        thread = threading.Thread(target=lambda: codes.append(ProcessGroup(2, started, stopping).run()))
        thread.start()

        def end() -> int:
            thread.join(DEADLINE_S)
            return codes[0]

        return stopping, end

    yield start
    for stopping in stops:
        stopping.set()


def wait_for(holds: Callable[[], object]) -> None:
    pause, left = threading.Event(), DEADLINE_S * 100
    while not holds():
        left -= 1
        assert left, "not in time"
        pause.wait(0.01)


Run = Callable[[Started], tuple[threading.Event, Callable[[], int]]]


def test_a_process_that_is_killed_is_started_again_and_all_end_together(run: Run) -> None:
    started = Started()
    stopping, end = run(started)
    wait_for(lambda: len(started.processes) == 2)
    started.processes[0].kill()
    wait_for(lambda: len(started.processes) == 3)
    assert started.processes[1].poll() is None
    stopping.set()
    assert end() == 0
    assert all(process.poll() is not None for process in started.processes)


def test_one_whose_configuration_is_wrong_ends_all_with_its_code(run: Run) -> None:
    started = Started("raise SystemExit(2)")
    _, end = run(started)
    assert end() == 2
    assert len(started.processes) == 2
    assert all(process.poll() is not None for process in started.processes)
