"""Which lanes a worker runs, and what becomes of an error of one."""

from __future__ import annotations

import threading

import pytest

from wanesync.cli.commands.worker import Lanes, _StoppingThread
from wanesync.core.model import Side


@pytest.mark.parametrize(
    ("lanes", "sides"),
    [(Lanes.ALL, tuple(Side)), (Lanes.HUBSPOT, (Side.HUBSPOT,)), (Lanes.STRIPE, (Side.STRIPE,))],
)
def test_lanes_are_those_of_the_sides(lanes: Lanes, sides: tuple[Side, ...]) -> None:
    assert lanes.sides == sides


def fail() -> None:
    raise ValueError("a mistake of ours")


def test_a_thread_that_fails_stops_the_program_and_keeps_its_error() -> None:
    stopping = threading.Event()
    thread = _StoppingThread("worker", fail, stopping)
    thread.start()
    thread.join()
    assert stopping.is_set()
    assert isinstance(thread.failure, ValueError)
