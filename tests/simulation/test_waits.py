"""Seeds meet creations that wait for a catch-up, and listings without end; no rule is broken by either."""

from __future__ import annotations

import re

import pytest

from tests.simulation import waits
from tests.simulation.play import play_seed
from tests.simulation.waits import COPIED, ENDLESS, STANDSTILL

DRAWN = range(274_000_000, 274_002_000)
SEEDS = range(274_000_000, 274_000_008)


@pytest.mark.parametrize("feature", [STANDSTILL, COPIED, ENDLESS])
def test_seeds_draw_each_now_and_then(feature: str) -> None:
    share = sum(feature in waits.draw(seed) for seed in DRAWN) / len(DRAWN)
    assert waits.SHARES[feature] / 2 < share < waits.SHARES[feature] * 2


@pytest.mark.parametrize("feature", [STANDSTILL, COPIED])
def test_creations_wait_for_a_catch_up_and_then_go_on(feature: str) -> None:
    trace = _play(feature)
    assert sum("started again" in line and line.endswith("waits") for line in trace) >= 4
    waited = [int(found[1]) for line in trace if (found := re.search(r" confirmed (\d+) creations waited", line))]
    assert sum(map(bool, waited)) >= 3
    if feature == COPIED:
        assert any("from a copy" in line for line in trace)


def test_a_listing_without_end_is_not_used() -> None:
    # Each of them is run again until it ends; the checks at rest then see that nothing counted as absent.
    assert sum("not listed" in line and "goes on without an element" in line for line in _play(ENDLESS)) >= 4


def _play(feature: str) -> list[str]:
    trace: list[str] = []
    for seed in SEEDS:
        result = play_seed(seed, also=frozenset({feature}), keep_trace=True)
        assert result.violations == []
        trace += result.trace
    return trace


def test_what_a_wrong_clock_stamped_does_not_let_creations_wait_for_a_day() -> None:
    assert play_seed(274000033, also=frozenset({STANDSTILL, ENDLESS})).violations == []
