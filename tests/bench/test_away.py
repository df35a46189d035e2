"""A side away or paused, in virtual time: the rules hold. The long runs are ``python -m tests.bench.away``."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from tests.bench.away import CASES, Absence, broken_rules, measure


@pytest.fixture(autouse=True)
def quiet() -> None:
    """A side in trouble is logged every few seconds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("case", CASES)
def test_nothing_dies_while_a_side_is_in_trouble(case: str) -> None:
    absence = measure(case, hours=0.1, between_ms=10_000)
    assert absence.waited > 10
    assert broken_rules(absence) == []


def test_an_hour_away_is_no_worse_than_some_minutes() -> None:
    absence = measure("stripe refuses connections", hours=1, between_ms=120_000)
    assert absence.waited > 20
    assert broken_rules(absence) == []


def test_a_single_job_does_not_die_of_a_silent_side() -> None:
    absence = measure("stripe falls silent", hours=0.5, between_ms=1_800_000)
    assert absence.dead == 0
    assert absence.unequal == 0


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (measure("hubspot refuses connections", 0.01, 10_000) for _ in range(2))
    assert first == second


def test_every_figure_is_judged() -> None:
    good = measure("hubspot refuses connections", 0.02, 10_000)
    assert broken_rules(good) == []
    bad: list[Absence] = [
        replace(good, dead=1),
        replace(good, attempts=1),
        replace(good, alarms=[]),
        replace(good, asked_per_min=60.0),
        replace(good, rounds_per_min={"hubspot": 900, "stripe": 0}),
        replace(good, claims_per_min={"hubspot": 0, "stripe": 18_000}),
        replace(good, first_write_s=40.0),
        replace(good, purchases_s=60.0),
        replace(good, drained_s=100.0),
        replace(good, meanwhile_purchases_max_s=30.0),
        replace(good, rate_limited=1),
        replace(good, unequal=1),
        replace(good, landed=good.paid - 1),
    ]
    assert [len(broken_rules(absence)) for absence in bad] == [1] * len(bad)
