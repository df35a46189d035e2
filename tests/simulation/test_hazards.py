"""What hazards do to each other: odd texts under an admin's rule and after a merge, a field that leaves the map."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch

import pytest

from tests.simulation.checks import check_rest
from tests.simulation.hazards import ODD, RULES, Hazards
from tests.simulation.play import Play
from tests.simulation.test_regressions import pair_of, stage
from tests.support.store_reads import every_conflict
from wanesync.core.model import Side

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

    from wanesync.store import Tx

T = TypeVar("T")
HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


def write_odd(play: Play, contact_id: str) -> Hazards:
    """A text that cannot be synced, as a user leaves it in HubSpot."""
    hazards = play.world.hazards
    play.world.crowd.edit(HUBSPOT, "update", contact_id, {"city": ODD[1]}, play.world.now)
    hazards.odd_cells[contact_id, "city"] = "Bonn"
    return hazards


def rule(play: Play, hazards: Hazards, settings: dict[str, str]) -> None:
    """An admin's rule for the city, as the hazards set it."""
    hazards.rng = Drawn("city", settings)
    hazards._refuse("refuse")
    assert hazards.rules["city"] == "refuse"


class Drawn(random.Random):
    """Chooses what the test wants, where that may be chosen, and otherwise the first."""

    def __init__(self, *wanted: object) -> None:
        super().__init__(1)
        self.wanted = wanted

    def choice(self, seq: SupportsLenAndGetItem[T]) -> T:
        """As every random source's."""
        options = [seq[at] for at in range(len(seq))]
        return next((option for option in options if option in self.wanted), options[0])


@contextmanager
def odd_stage(*more: str) -> Iterator[Play]:
    """A stage on which odd texts may occur, and nothing else happens by itself."""
    with stage("odd", *more) as play:
        play.world.hazards.mend()
        yield play


@pytest.mark.parametrize("settings", RULES, ids=lambda settings: next(iter(settings)))
def test_an_odd_text_is_put_right_though_a_rule_forbids_it(settings: dict[str, str]) -> None:
    with odd_stage() as play:
        contact_id, _ = pair_of(play)
        hazards = write_odd(play, contact_id)
        rule(play, hazards, settings)
        hazards.mend()
        assert play.world.facts.value((HUBSPOT, contact_id), "city") == "Bonn"
        play.play()


def test_an_odd_text_that_went_to_the_survivor_of_a_merge_is_put_right_there() -> None:
    with odd_stage() as play:
        contact_id, _ = pair_of(play)
        other_id = play.world.hubspot.edit("create", None, {"email": "p1@example.com"}, play.world.now)
        play.play()
        hazards = write_odd(play, contact_id)
        play.world.crowd.edit(HUBSPOT, "merge", None, {"into": contact_id, "from": other_id}, play.world.now)
        survivor = play.world.facts.survivor[contact_id]
        hazards.mend()
        assert play.world.facts.value((HUBSPOT, survivor), "city") == "Bonn"
        play.play()


def test_a_text_that_a_user_replaced_is_not_put_right_again() -> None:
    with odd_stage() as play:
        contact_id, _ = pair_of(play)
        hazards = write_odd(play, contact_id)
        play.world.crowd.edit(HUBSPOT, "update", contact_id, {"city": "Ulm"}, play.world.now)
        hazards.mend()
        assert play.world.facts.value((HUBSPOT, contact_id), "city") == "Ulm"
        play.play()


def test_a_field_taken_out_of_the_map_after_two_edits_in_an_instant_is_met_again_as_on_first_contact() -> None:
    with odd_stage("remap") as play:
        world, hazards = play.world, play.world.hazards
        contact_id, customer_id = pair_of(play)
        hazards.rng = Drawn("company")
        hazards._same()
        (twin,) = hazards.twins
        hazards.dropped = "company"
        hazards.drops.append(("company", world.now))
        hazards._restart(keep=False)
        play.play()
        hazards.mend()
        play.play()
        world.list_all()
        play.play()
        assert [world.facts.value(ref, "company") for ref in ((HUBSPOT, contact_id), (STRIPE, customer_id))] == [
            twin.values[HUBSPOT],
            twin.values[STRIPE],
        ]
        with world.store.reading() as tx:
            assert {row.kind for row in every_conflict(tx) if row.field == "company"} == {"differ"}
        check_rest(world)


def test_writes_are_off_for_the_checker_once_the_switch_is_committed() -> None:
    with odd_stage() as play:
        world, seen = play.world, list[bool]()
        run = world.store.run

        def run_late(work: Callable[[Tx], None]) -> None:
            seen.append(world.writes_off)  # as another process that claims before the commit
            run(work)

        with patch.object(world.store, "run", run_late):
            world.turn_writes(on=False)
        assert (seen, world.writes_off) == ([False], True)
