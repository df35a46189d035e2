"""An update of a contact that the read right after it does not find took effect: it is no refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.simulation.play import Play, play_seed
from tests.simulation.test_landed import NAMES, edit, kept, values
from tests.simulation.test_lives import open_writes
from tests.simulation.test_regressions import pair_of, stage
from wanesync.core.model import Side

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
UNSEEN_MS = 5_000


@contextmanager
def contact_unseen(name: str) -> Iterator[tuple[Play, dict[Side, str]]]:
    """A pair whose field goes from A to B on Stripe: the update is on its way to a contact that reads do not find."""
    with stage() as play:
        world = play.world
        ids = dict(zip(Side, pair_of(play), strict=True))
        edit(play, STRIPE, ids, name, "A")
        play.play()
        edit(play, STRIPE, ids, name, "B")
        while not open_writes(play):
            assert play.step()
        found = world.hubspot.portal.contacts.get(ids[HUBSPOT])
        assert found is not None
        found.visible_ms = world.now + UNSEEN_MS
        yield play, ids


def take_effect(play: Play, ids: dict[Side, str], name: str) -> None:
    while play.world.facts.value((HUBSPOT, ids[HUBSPOT]), name) != "B":
        assert play.step()
        play.world.facts.drain()


@pytest.mark.parametrize("name", NAMES)
def test_an_edit_that_it_replaced_unread_stands_again_or_is_kept(name: str) -> None:
    with contact_unseen(name) as (play, ids):
        edit(play, HUBSPOT, ids, name, "C")
        take_effect(play, ids, name)
        play.play()
        assert len(set(values(play, ids, name))) == 1
        assert "C" in {*values(play, ids, name), *kept(play, ids)}


@pytest.mark.parametrize("name", NAMES)
def test_its_value_is_no_edit_that_wins_over_a_later_one(name: str) -> None:
    with contact_unseen(name) as (play, ids):
        take_effect(play, ids, name)
        edit(play, STRIPE, ids, name, "C")
        play.play()
        assert values(play, ids, name) == ["C", "C"]


@pytest.mark.parametrize("seed", [270000633, 270000752])
def test_seeds_that_lost_an_edit_to_such_an_update(seed: int) -> None:
    assert play_seed(seed).violations == []
