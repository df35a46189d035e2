"""A person settles conflicts and links records anew while everything runs, and no edit is lost by that."""

from __future__ import annotations

from tests.simulation.decisions import RELINK, SETTLE
from tests.simulation.play import play_seed

SEEDS = (265100004, 265100015, 265100021)


def test_what_a_person_settles_and_links_breaks_no_rule() -> None:
    trace: list[str] = []
    for seed in SEEDS:
        result = play_seed(seed, also=frozenset({SETTLE, RELINK}), keep_trace=True)
        assert result.violations == []
        trace += [line for line in result.trace if "clerk" in line]
    assert any("left []" in line for line in trace)
    assert any("linked again" in line for line in trace)


def test_an_edit_may_be_in_conflicts_only_where_a_person_saw_it_and_chose_the_other_side() -> None:
    result = play_seed(271700428, keep_trace=True)
    assert result.violations == []
    assert any("clerk at rest company" in line and ": hubspot" in line for line in result.trace)


def test_an_edit_that_cannot_flow_stays_where_it_is_once_a_person_says_that_both_values_are_right() -> None:
    result = play_seed(266052598, keep_trace=True)
    assert result.violations == []
    assert any("clerk company" in line and ": both" in line for line in result.trace)


def test_the_owner_s_edit_of_the_same_instant_gives_way_where_a_person_saw_it_and_chose_the_one_that_lost() -> None:
    result = play_seed(275050618, keep_trace=True)
    assert result.violations == []
    assert any("clerk company" in line and ": kept, left []" in line for line in result.trace)


def test_a_clear_that_had_not_reached_the_other_side_is_filled_where_a_person_links_the_pair_anew() -> None:
    result = play_seed(275004431, keep_trace=True)
    assert result.violations == []
    assert any("clerk 171000000014" in line and "linked again" in line for line in result.trace)


def test_the_owner_s_edit_of_the_same_instant_gives_way_at_rest_too() -> None:
    assert play_seed(275053797).violations == []


def test_a_buried_edit_that_is_to_be_put_back_is_kept_where_a_person_settles_the_field_first() -> None:
    assert play_seed(275008660).violations == []
