"""A clock that is wrong between two heartbeats only: nothing notices it but what was refused meanwhile."""

from __future__ import annotations

import pytest

from tests.simulation import steps
from tests.simulation.play import play_seed
from tests.simulation.test_regressions import pair_of, stage
from wanesync.core.model import Side


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_a_job_whose_answer_came_while_the_clock_was_wrong_for_a_moment_is_run_again(jump_ms: int) -> None:
    with stage() as play:
        world = play.world
        contact_id, _ = pair_of(play)
        world.hubspot.edit("update", contact_id, {"company": "New"}, world.now)
        world.facts.drain()
        while not any(flight.state == "answered" for flight in world.flights):
            assert play.step()
        (flight,) = world.flights
        world.beat(flight.process)
        world.clock.jump_ms = jump_ms
        steps.settle(world, flight)
        world.clock.jump_ms = 0
        play.play()
        assert [row["company"] for row in world.hubspot.records()] == ["New"]
        assert [world.facts.value((Side.STRIPE, row["id"]), "company") for row in world.stripe.records()] == ["New"]
        assert world.reader.jobs.depth() == []


def test_a_write_that_was_sent_by_a_wrong_clock_is_mistimed_though_it_took_effect_when_the_clock_was_right() -> None:
    assert play_seed(267100052).violations == []


def test_a_payment_after_a_first_listing_that_a_wrong_clock_dated_counts_though_its_webhook_is_lost() -> None:
    assert play_seed(275056756).violations == []


def test_a_catch_up_cursor_that_a_wrong_clock_set_is_replaced_before_its_time_comes() -> None:
    assert play_seed(279300125, also=frozenset({"settle", "relink", "same"})).violations == []
