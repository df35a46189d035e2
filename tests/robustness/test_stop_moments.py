"""Processes end whenever they are asked to; ``python -m tests.robustness.stop_moments`` does it at length."""

from __future__ import annotations

from tests.robustness.stop_moments import COMMANDS, stop_at_random

FEW = [(role, arguments) for role, arguments in COMMANDS if arguments in (["worker"], ["up"])]
"""They need no broker, and ``up`` holds what ``serve`` and ``admin`` do."""


def test_every_process_ends_at_whatever_moment_it_is_asked_to(sqlite_url: str) -> None:
    outcome = stop_at_random(sqlite_url, 1, seed=3, commands=FEW, latest_s=1.5)
    assert outcome.is_well, str(outcome)
    assert outcome.stopped == len(FEW) == 2
