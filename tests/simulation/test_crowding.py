"""Many changes at once: of one contact they become few writes, and the least urgent work still gets its turn."""

from __future__ import annotations

from tests.simulation.test_regressions import pair_of, stage, updates_sent
from wanesync.core.model import Side

EDITS = 1_000
EVERY_MS = 8


def test_a_thousand_edits_of_one_contact_become_few_writes_and_the_last_value_wins() -> None:
    with stage() as play:
        world = play.world
        contact_id, customer_id = pair_of(play)
        began_ms = world.now
        for number in range(EDITS):
            world.hubspot.edit("update", contact_id, {"company": f"Company {number}"}, world.now)
            world.facts.drain()
            edited_ms = world.now
            while world.now < edited_ms + EVERY_MS:
                play.step()
        play.play()
        assert world.facts.value((Side.STRIPE, customer_id), "company") == f"Company {EDITS - 1}"
        assert updates_sent(play) < (world.now - began_ms) / 200 < EDITS
