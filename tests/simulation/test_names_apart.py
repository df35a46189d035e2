"""A name edited apart on both sides at once: of two values one wins, and the other one is kept."""

from __future__ import annotations

import pytest

from tests.simulation.test_regressions import pair_of, stage
from tests.support.core_builders import HUBSPOT, STRIPE
from wanesync.core.model import Side

NAMES = ("Uta Lux", "Lux", "Ann Lux")


@pytest.mark.parametrize("first", list(Side))
@pytest.mark.parametrize("gap_ms", [0, 300])
@pytest.mark.parametrize("name", NAMES)
def test_a_first_name_and_a_whole_name_at_once(first: Side, gap_ms: int, name: str) -> None:
    with stage() as play:
        world = play.world
        contact_id, customer_id = pair_of(play)
        world.hubspot.edit("update", contact_id, {"firstname": "Ann", "lastname": "Bo"}, world.now)
        play.play()
        for side in (first, first.other):
            if side is HUBSPOT:
                world.hubspot.edit("update", contact_id, {"firstname": "Eva"}, world.now)
            else:
                world.stripe.edit("update", customer_id, {"name": name}, world.now)
            until_ms = world.now + gap_ms
            while side is first and world.now < until_ms and play.step():
                pass
        play.play()
        standing = {world.facts.value((side, i), "name") for side, i in ((HUBSPOT, contact_id), (STRIPE, customer_id))}
        with world.store.reading() as tx:
            kept = {row.conflict.value for row in tx.conflicts.list()}
    words = " ".join(standing | kept).replace("\x1f", " ").split()
    assert {"Eva", *name.split()} <= set(words), (standing, kept)
