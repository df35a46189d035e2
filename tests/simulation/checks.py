"""The checks made once a scenario is at rest, against what the journals of both stand-ins say really happened.

docs/correctness.md#checker
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.simulation.edits import check_edits
from tests.simulation.erasures import check_erased
from tests.simulation.facts import Cell
from tests.simulation.payments import check_payments, check_roll_ups
from tests.simulation.world_checks import check_rare, was_filled_in
from tests.support.store_reads import all_links, count_events, every_conflict, open_writes
from wanesync.core.fields import FieldSpec
from wanesync.core.model import BasePair, Link, LinkState, Side, normalise_email
from wanesync.sync.erasure import sweep

if TYPE_CHECKING:
    from tests.simulation.world import World


LEAVES_ALONE = frozenset("email swap merge delete second shared exchange couples restore erase".split())
"""With these a record may stay unlinked for a reason: it is gone, ambiguous, or its address is another's."""


def check_rest(world: World) -> None:
    """Make all checks; each violation is reported to the world."""
    if world.hazards.erased:
        world.store.run(sweep)
    with world.store.reading() as tx:
        # Without its webhook a privacy deletion cannot be told from an absence, which leaves its events open.
        # Nor can a merge whose survivor was deleted before it was read.
        untold = world.find_untold()
        missing = [i for _, i in tx.records.missing("", 1_000) if i in untold]
        counts = count_events(tx, missing)
        links = all_links(tx)
        depth = tx.jobs.depth()
        unanswered = open_writes(tx, 10)
        dead = tx.dead_letters.latest(limit=100)
    if counts["open"]:
        world.report(f"events unread or unjudged: {counts['unread']}/{counts['unjudged']}"[:60])
    for row in depth:
        if row["ready"] or row["running"]:
            world.report(f"a {row['kind']} job of {row['lane']} is left")
    if unanswered:
        world.report("an intent is open at rest")
    for job in dead:
        if not job.dead_class or not job.reason:
            world.report("a dead job without a reason")
        if job.dead_class != "unmatched":
            world.report(f"a {job.kind} job died: {job.dead_class}: {job.reason}"[:100])
    active = [link for link in links if link.state is LinkState.ACTIVE]
    _check_links(world, active)
    _check_made(world)
    _check_unlinked(world, links)
    if world.hazards.rewound:
        return  # what was told or noted since the backup is forgotten: no more can be asked
    check_payments(world, active)
    check_roll_ups(world)
    kept, told = _read_values(world)
    check_rare(world, check_edits(world, links, kept, told), links)
    check_erased(world)


def _check_links(world: World, active: list[Link]) -> None:
    facts = world.facts
    primaries = Counter(link.hubspot_id for link in active if link.primary)
    for link in active:
        if primaries[link.hubspot_id] != 1:
            world.report("not one primary per contact")
        refs = {side: (side, link.id_on(side)) for side in Side}
        if any(ref not in facts.raw for ref in refs.values()):
            if link.hubspot_id not in world.find_untold():
                world.report("an active link to a dead record")
            continue
        if not link.primary:
            continue
        for spec in world.fields.specs:
            now = (facts.value(refs[Side.HUBSPOT], spec.name), facts.value(refs[Side.STRIPE], spec.name))
            if spec.name in link.parked:
                _check_parked(world, link, spec.name)
                continue
            if _has_no_base(world, link, spec, now):
                continue
            if link.base.get(spec.name) != now:
                world.report(f"base is not what both sides hold: {spec.name}")
                world.say("base", link.base.get(spec.name), now)


def _has_no_base(world: World, link: Link, spec: FieldSpec, now: BasePair) -> bool:
    """Whether the base of a field may differ from what both sides hold, or be missing."""
    if world.hazards.has_vanished(spec) or _is_filled_in(world, link, spec.name):
        return True
    # The name of a business waits with its company.
    return spec.name == "name" and not now[0] and world.hazards.has_vanished(world.fields.by_name["company"])


def _is_filled_in(world: World, link: Link, name: str) -> bool:
    """Whether Stripe made the name from the company: our half of the base may be blank."""
    if name != "name" or not world.hazards.has("filled"):
        return False
    return was_filled_in(world, link.stripe_id)


def _check_parked(world: World, link: Link, name: str) -> None:
    """A field is parked for a reason that stands: an address only while another contact has it."""
    parked = link.parked[name]
    spec = world.fields.by_name[name]
    if name != "email" and parked.side is Side.HUBSPOT and not world.hazards.refuses(spec, parked.value):
        world.report(f"a field is parked though nothing refuses it: {parked.reason}")
    side, value = link.parked[name].side, link.parked[name].value
    others = [(Side.HUBSPOT, i) for i in world.facts.living(Side.HUBSPOT) if i != link.hubspot_id]
    taken = any(normalise_email(value) in world.facts.addresses(ref) for ref in others)
    if name == "email" and side is Side.HUBSPOT and not taken:
        world.report("an address is parked though no other contact has it")


def _check_made(world: World) -> None:
    facts = world.facts
    # A second customer, or a guest, whose counterpart moved to another address counts as another person.
    strangers = "email" in world.features and bool(world.features & {"second", "guest", "debit"})
    strangers = strangers or "shared" in world.features
    made: dict[tuple[Side, int, str], list[str]] = defaultdict(list)
    for ref, source in facts.made:
        if ref in facts.gone or ref[1] in facts.survivor:
            continue  # what a user took away may be made again if that came before its answer
        made[ref[0], facts.person[ref], source if strangers else ""].append(ref[1])
    for (side, _, _), ids in made.items():
        if len(ids) > 1:
            world.report(f"two records made for one person on {side}")


def _check_unlinked(world: World, links: list[Link]) -> None:
    """A living record with an address is linked, or has a note that says why not."""
    known = {(side, link.id_on(side)) for link in links for side in Side}
    refs = [ref for ref in world.facts.raw if ref not in known and world.facts.addresses(ref)]
    with world.store.reading() as tx:
        seen = tx.records.get_many(refs)
    for ref in refs:
        if ref not in seen:
            world.report("a record was never seen")
        elif not seen[ref].note:
            world.report("a record is not linked and does not say why")
        elif not world.features & LEAVES_ALONE:
            world.report(f"not linked: {seen[ref].note}")


def _read_values(world: World) -> tuple[dict[Cell, set[str]], dict[Cell, set[str]]]:
    """The values in ``conflicts``, and those of stored events."""
    kept: dict[Cell, set[str]] = defaultdict(set)
    told: dict[Cell, set[str]] = defaultdict(set)
    stored: set[str] = set()
    with world.store.reading() as tx:
        for conflict in every_conflict(tx):
            kept[conflict.side, conflict.record_id, conflict.field].add(conflict.value)
        for side, record_id in sorted({write.cell[:2] for write in world.facts.writes} | set(world.accepted.values())):
            for event in tx.events.windows(side, [record_id], 0).get(record_id, []):
                stored.add(event.key)
                for name, value in event.values.items():
                    told[side, record_id, name].add(value)
        for link in all_links(tx):
            for name, back in link.put_back.items():
                # It waits on the link while the property is archived: the field is unknown until then.
                if name in world.fields.by_name and world.hazards.has_vanished(world.fields.by_name[name]):
                    kept[back.side, link.id_on(back.side), name].add(back.value)
    if set(world.accepted) - stored:
        world.report("an accepted event was not stored")
    return kept, told
