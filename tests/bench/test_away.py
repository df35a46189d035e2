"""Outages of a side in virtual time violate no rule. The long runs are ``python -m tests.bench.away``."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from tests.bench.away import CASES, Outage, broken_rules, measure


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Suppress the log, which reports a failing side every few seconds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("case", CASES)
def test_no_job_dies_during_an_outage(case: str) -> None:
    outage = measure(case, hours=0.1, between_ms=10_000)
    assert outage.waited > 10
    assert broken_rules(outage) == []


def test_an_hour_is_no_worse_than_some_minutes() -> None:
    outage = measure("stripe refuses connections", hours=1, between_ms=120_000)
    assert outage.waited > 15, "the edits of one person wait as one job"
    assert broken_rules(outage) == []


def test_a_single_job_survives_a_side_that_never_answers() -> None:
    outage = measure("stripe falls silent", hours=0.5, between_ms=1_800_000)
    assert outage.dead == 0
    assert outage.unequal == 0


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (measure("hubspot refuses connections", 0.01, 10_000) for _ in range(2))
    assert first == second


def test_every_figure_is_checked() -> None:
    good = measure("hubspot refuses connections", 0.02, 10_000)
    assert broken_rules(good) == []
    bad: list[Outage] = [
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
    assert [len(broken_rules(outage)) for outage in bad] == [1] * len(bad)
