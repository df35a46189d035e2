"""Whether a privacy deletion leaves nothing: no value here, and no write for the person any more.

docs/correctness.md#privacy-deletions
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.simulation.facts import Facts, Ref
from tests.simulation.hazards import STAGES
from tests.support.store_reads import all_links, read_everything
from wanesync.core.model import LinkState, Side

if TYPE_CHECKING:
    from tests.simulation.world import World


LOST = frozenset({"lost", "shared"})
"""With these the webhook of a privacy deletion may never come: then nothing tells it from an absence."""


def find_traces(world: World) -> set[Ref]:
    """The records of erased people: their contacts, those merged into them, and their customers."""
    facts, erased = world.facts, set(world.hazards.erased)
    grown = True
    while grown:
        merged = {one for one, into in facts.survivor.items() if into in erased}
        grown = not merged <= erased
        erased |= merged
    customers = {b.link.stripe_id for b in facts.bases if b.link.hubspot_id in erased}
    with world.store.reading() as tx:
        # A customer that was linked with another contact since is that person's.
        kept = {link.stripe_id for link in all_links(tx) if link.state is LinkState.ACTIVE}
    return {(Side.HUBSPOT, i) for i in erased} | {(Side.STRIPE, i) for i in customers - kept}


def check_erased(world: World) -> None:
    """Nothing of an erased person is stored after the daily sweep."""
    if not world.hazards.erased:
        return
    with world.store.reading() as tx:
        copies = tx.records.get_many([(Side.HUBSPOT, i) for i in world.hazards.erased])
    if any((stored := copies.get((Side.HUBSPOT, i))) is None or not stored.erased for i in world.hazards.erased):
        if not world.features & LOST:
            world.report("a privacy deletion was not carried out")
        return
    planted = _find_values(world.facts, find_traces(world))
    with world.store.reading() as tx:
        found = read_everything(tx)
    for table, texts in sorted(found.items()):
        for value in sorted(planted):
            whole = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
            if left := [text for text in texts if whole.search(text)]:
                world.report(f"values of an erased person are left in {table}")
                world.say("left", table, value, left)


def _find_values(facts: Facts, refs: set[Ref]) -> set[str]:
    """The words that stand in values of some records and of no other; addresses may be those of payments.

    A life-cycle stage says nothing of the person, and its words are those of keys and kinds of jobs.
    """
    mine, others = set[str](), set[str]()
    for write in facts.writes:
        words = set() if "@" in write.new else set(re.findall(r"[^\s\x1f]+", write.new))
        (mine if write.cell[:2] in refs else others).update(words)
    return {word for word in mine - others - set(STAGES) if not word.isdigit()}
