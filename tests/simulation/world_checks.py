"""The checks of what is rare: clears, owners, couples, restored contacts, disagreements, conflicts that are none.

docs/correctness.md#checker
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.edits import LOSES, MERGE, NO_ANSWERS, OURS, USER, VENDOR, History, ends_of
from tests.simulation.facts import Cell, Write
from tests.support.store_reads import every_conflict
from wanesync.core.fields import FieldSpec
from wanesync.core.model import Link, LinkState, Side
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.plan import ERASED
from wanesync.core.values.person_names import is_business

if TYPE_CHECKING:
    from tests.simulation.hazards import Couple, Twin
    from tests.simulation.world import World

STANDING_KINDS = frozenset({"differ", "not_taken", "unsplit", "parked"})
"""Conflicts of fields in which the sides differ."""
KINDS_OF_LOSS = frozenset({"overwritten"})


def check_rare(world: World, history: History, links: list[Link]) -> None:
    """Make all of them."""
    _check_clears(world, history)
    _check_losses(world, history)
    active = [link for link in links if link.state is LinkState.ACTIVE]
    for link in active:
        if link.primary:
            _check_agreement(world, history, link)
    _check_closed(world, history, active)
    for twin in world.hazards.twins:
        _check_twin(world, history, twin, active)
    for couple in world.hazards.couples:
        _check_couple(world, history, couple, active)
    for contact_id in world.hazards.restored:
        _check_restored(world, contact_id, active)
    for contact_id in world.hazards.erased:
        _check_erased(world, contact_id)


def _check_clears(world: World, history: History) -> None:
    """We clear a value only where a user cleared it on the other side: missing and unknown are not blank."""
    for cell, writes in history.cells.items():
        for write in writes:
            if cell in world.clerk.cleared:
                continue
            if write.who != OURS or write.new or _was_cleared(history, cell, write):
                continue
            if not _was_taken_back(world, history, cell, write):
                world.report(f"a value was cleared that no user cleared: {cell[2]}")
                world.say("cleared", write)


def _was_cleared(history: History, cell: Cell, write: Write) -> bool:
    side, record_id, name = cell
    if name == "company" and _last_before(history, cell, write) == OURS and _was_name(history, write.old):
        return True  # a name that we had made the company, late, taken back
    near = _connected(history, side, record_id)
    return any(
        other.who in (USER, MERGE) and not other.new and other.seq < write.seq
        for at, i in near
        for other in history.cells.get((at, i, name), [])
    )


def _was_taken_back(world: World, history: History, cell: Cell, write: Write) -> bool:
    """Whether it took back a late write of ours that had filled a blank (docs/correctness.md#late-writes).

    What that carried had been replaced by a user where it came from, by a value that does not flow: the name of a
    business, a phone number with a note.
    """
    late = next((other for other in reversed(history.cells[cell]) if other.seq < write.seq), None)
    if late is None or late.who != OURS or late.old or not history.features & NO_ANSWERS:
        return False
    side, record_id, name = cell
    spec, replaced = world.fields.by_name[name], False
    for partner in history.partners[side, record_id]:
        there = [other for other in history.cells.get((side.other, partner, name), []) if other.seq < write.seq]
        if there and spec.agree(*ends_of(side, write.old, there[-1].new)):
            return False
        replaced |= any(other.who == USER and other.old for other in there)
    return replaced


def _was_name(history: History, company: str) -> bool:
    """Whether a company is the name of a business on Stripe, or what a property that keeps less held of one."""
    names = {
        write.new
        for (side, _, name), writes in history.cells.items()
        if side is Side.STRIPE and name == "name"
        for write in writes
        if is_business(write.new)
    }
    return company in names or ("shorten" in history.features and any(each.startswith(company) for each in names))


def _last_before(history: History, cell: Cell, write: Write) -> str:
    """The author of what a write replaced."""
    return next((other.who for other in reversed(history.cells[cell]) if other.seq < write.seq), "")


def _connected(history: History, side: Side, record_id: str) -> set[tuple[Side, str]]:
    """Every record that was ever linked with this one, directly or through others, or merged with one of them."""
    known: set[tuple[Side, str]] = set()
    fresh = {(side, record_id)}
    while fresh:
        known |= fresh
        found = {(at.other, i) for at, own in fresh for i in history.partners[at, own]}
        for at, own in fresh:
            if at is Side.HUBSPOT:
                found |= {(at, a) for a, b in history.facts.survivor.items() if b == own}
                found |= {(at, history.facts.survivor[own])} if own in history.facts.survivor else set()
        fresh = found - known
    return known


def _check_losses(world: World, history: History) -> None:
    """Nothing is reported as overwritten in a record that we never wrote, or tried to write, that field of."""
    if world.features & (NO_ANSWERS | {"down"}):
        return
    written = {write.cell for write in world.facts.writes if write.who == OURS}
    with world.store.reading() as tx:
        rows = tx.conflicts.list(limit=1000)
    for row in rows:
        conflict = row.conflict
        name = conflict.field.partition("/")[0]
        if conflict.kind not in KINDS_OF_LOSS or history.is_merged(conflict.side, conflict.record_id):
            continue
        if (conflict.side, conflict.record_id, name) not in written:
            world.report(f"a conflict about a value that nothing overwrote: {name}")
            world.say("false conflict", conflict)


def _check_closed(world: World, history: History, active: list[Link]) -> None:
    """A conflict of a field in which the sides differed is closed once they agree."""
    links = {(side, link.id_on(side)): link for link in active if link.primary for side in Side}
    with world.store.reading() as tx:
        rows = tx.conflicts.list(limit=1000)
    for row in rows:
        conflict, name = row.conflict, row.conflict.field.partition("/")[0]
        link = links.get((conflict.side, conflict.record_id))
        if conflict.kind not in STANDING_KINDS or link is None or name in link.parked:
            continue
        if name not in link.base or history.is_merged(Side.HUBSPOT, link.hubspot_id):
            continue
        held = [world.facts.value((side, link.id_on(side)), name) for side in Side]
        if world.fields.by_name[name].agree(*held):
            world.report(f"a conflict is open though both sides agree: {name}")
            world.say("open", conflict, held)


def _is_business(world: World, link: Link, spec: FieldSpec) -> bool:
    """Whether the contact's company is, or was, the name of its customer, a business (docs/correctness.md#names)."""
    name = world.facts.value((Side.STRIPE, link.stripe_id), "name")
    cell = (Side.HUBSPOT, link.hubspot_id, "company")
    company = world.facts.value(cell[:2], "company")
    if spec.name == "name":
        held = spec.key(company)
        shortened = world.hazards.may_shorten("company") and bool(held) and spec.key(name).startswith(held)
        writes = [write for write in world.facts.writes if write.cell == cell]
        taken_back = bool(writes) and writes[-1].who == OURS and not writes[-1].new
        taken_back = taken_back and cell not in world.clerk.cleared  # by a person's choice
        # Nor where a user set another company for the customer since, and cleared that.
        there = [write for write in world.facts.writes if write.cell == (Side.STRIPE, link.stripe_id, "company")]
        taken_back = taken_back and not (there and there[-1].who == USER and not there[-1].new)
        # A user may have set another company since; that we took the name back excuses nothing.
        # What the property kept of it, where that was less, is replaced as the whole would be.
        short = "shorten" in world.features
        became = not taken_back and any(
            w.who == OURS and (spec.key(w.new) == spec.key(name) or (short and w.new and name.startswith(w.new)))
            for w in writes
        )
        refused = "company" in link.parked or world.hazards.has_vanished(world.fields.by_name["company"])
        return is_business(name) and (spec.key(name) == held or shortened or became or refused)
    ours = [write for write in world.facts.writes if write.cell == cell and write.who == OURS]
    short = world.hazards.may_shorten("company")
    if world.facts.value((Side.STRIPE, link.stripe_id), "company"):
        return False  # then that is the company
    return spec.name == "company" and bool(ours) and ours[-1].new == company and (is_business(company) or short)


def _check_agreement(world: World, history: History, link: Link) -> None:
    """Both sides of a field agree, or it is parked, or a conflict says that they do not."""
    refs = {side: (side, link.id_on(side)) for side in Side}
    if any(ref not in world.facts.raw for ref in refs.values()) or history.is_merged(Side.HUBSPOT, link.hubspot_id):
        return
    for spec in world.fields.specs:
        if spec.name in link.parked or world.hazards.has_vanished(spec):
            continue
        held = [world.facts.value(refs[side], spec.name) for side in Side]
        if spec.agree(*held) or _is_echo(world, link, spec, held) or _is_business(world, link, spec):
            continue
        kept = [
            *history.kept.get((*refs[Side.HUBSPOT], spec.name), ()),
            *history.kept.get((*refs[Side.STRIPE], spec.name), ()),
        ]
        if not kept and not _was_blank_first(history, link, spec):
            world.report(f"the sides disagree and nothing says so: {spec.name}")
            world.say("disagree", link.hubspot_id, link.stripe_id, spec.name, held)


def _was_blank_first(history: History, link: Link, spec: FieldSpec) -> bool:
    """A new primary's blanks are not filled."""
    others = {b.link.id for b in history.facts.bases if b.link.hubspot_id == link.hubspot_id}
    return len(others) > 1 and spec.name in link.base


def was_filled_in(world: World, customer_id: str) -> bool:
    """Whether the name of a customer is the one that Stripe itself made."""
    cell = (Side.STRIPE, customer_id, "name")
    return next((write.who == VENDOR for write in reversed(world.facts.writes) if write.cell == cell), False)


def _is_echo(world: World, link: Link, spec: FieldSpec, held: list[str]) -> bool:
    """Whether Stripe itself filled the name in."""
    return spec.name == "name" and not held[0] and bool(held[1]) and was_filled_in(world, link.stripe_id)


def _check_twin(world: World, history: History, twin: Twin, active: list[Link]) -> None:
    """Of two edits in the same instant, from the same base, the owner's stands on both sides; the other is kept.

    Unless a person saw the owner's and chose another one (docs/correctness.md#settled-by-a-person).
    """
    link = next((link for link in active if link.id == twin.link.id and link.primary), None)
    if link is None or twin.name in link.parked or world.features & LOSES:
        return
    if history.is_merged(Side.HUBSPOT, link.hubspot_id):
        return
    cells = {side: (side, link.id_on(side), twin.name) for side in Side}
    writes = [write for cell in cells.values() for write in history.cells.get(cell, [])]
    later = [write for write in writes if write.who == USER and write.seq > max(twin.seqs, default=0)]
    if later or len(twin.seqs) < len(Side):
        return
    owner = world.fields.by_name[twin.name].owner
    spec = world.fields.by_name[twin.name]
    held = [world.facts.value((side, link.id_on(side)), twin.name) for side in Side]
    if _is_excused(world, history, twin, link, writes):
        return
    if all(spec.key(value) == spec.key(twin.values[owner.other]) for value in held) and _was_buried(
        world, cells[owner], twin.values[owner]
    ):
        return  # the answer of our write was lost: what it buried is kept instead of put back
    overruled = any((cell, twin.values[owner]) in world.clerk.overruled for cell in cells.values())
    if any(spec.key(value) != spec.key(twin.values[owner]) for value in held) and not overruled:
        world.report("the owner did not win an edit in the same instant")
        world.say("twin", twin.name, owner, twin.values, held)
    if not history.is_kept(cells[owner.other], twin.values[owner.other]):
        world.report("the other value of an edit in the same instant is not kept")


def _is_excused(world: World, history: History, twin: Twin, link: Link, writes: list[Write]) -> bool:
    """Whether the two edits of a pair cannot be expected to meet as they were made."""
    changes = [*history.drops, *world.hazards.returns]
    is_dropped = any(at_ms >= twin.at_ms for name, at_ms in changes if name == twin.name)
    if is_dropped or any(write.seq in twin.seqs and history.met_anew(write) for write in writes):
        return True  # the pair meets the field again as on first contact: both values stand, and are listed
    if world.hazards.may_shorten(twin.name):
        return True  # HubSpot never held either value whole
    if world.hazards.has_vanished(world.fields.by_name[twin.name]):
        return True  # what stands there is not known: nothing flows
    # Its webhook was set aside: overwritten before it was read it leaves no trace (known limits).
    return (link.hubspot_id, twin.values[Side.HUBSPOT]) in world.unreadable


def _was_buried(world: World, cell: Cell, value: str) -> bool:
    """Whether a write of ours without an answer may have buried a value that is kept (docs/correctness.md#put-back)."""
    if not world.features & NO_ANSWERS:
        return False
    with world.store.reading() as tx:
        kept = [c for c in every_conflict(tx) if (c.side, c.record_id, c.field) == cell and c.value == value]
    return any(conflict.kind in KINDS_OF_LOSS for conflict in kept)


def _check_couple(world: World, history: History, couple: Couple, active: list[Link]) -> None:
    """The customer of the contact that HubSpot kept is the primary one; the other is never written from it."""
    facts = world.facts
    end = couple.survivor
    customers = [(Side.STRIPE, customer_id) for customer_id in (couple.kept, couple.second)]
    if (Side.HUBSPOT, end) not in facts.raw or any(ref in facts.gone for ref in customers):
        return
    if end in facts.survivor or sum(end in (c.survivor, *c.contacts) for c in world.hazards.couples) > 1:
        return
    mine = [link for link in active if link.hubspot_id == end and link.stripe_id == couple.kept]
    if not mine or not mine[0].primary:
        world.report("the survivor's own customer is not primary after a merge")
        world.say("couple", couple, [(link.stripe_id, link.primary) for link in active if link.hubspot_id == end])
    theirs = {
        _plain(write.new)
        for write in facts.writes
        if write.seq <= couple.seq and write.cell[1] in (couple.contacts[1], couple.second)
    }
    for spec in world.fields.specs:
        for write in history.cells.get((Side.STRIPE, couple.second, spec.name), []):
            if write.who == OURS and write.seq > couple.seq and write.new and _plain(write.new) not in theirs:
                world.report("the second customer was written after a merge")
                world.say("second", write)


def _plain(value: str) -> str:
    """A name of two properties as the one text of the other side."""
    return value.replace(NAME_PARTS, " ")


def _check_erased(world: World, contact_id: str) -> None:
    """Of a person whose data were deleted for privacy no value is left, and nothing is linked."""
    with world.store.reading() as tx:
        stored = tx.records.get(Side.HUBSPOT, contact_id)
        if stored is None or not stored.erased:
            return  # its webhook never came, or it could still be read
        conflicts = tx.conflicts.of_record(Side.HUBSPOT, contact_id)
        mine = tx.links.of_records([(Side.HUBSPOT, contact_id)])
        copies = [tx.records.get(Side.STRIPE, link.stripe_id) for link in mine]
    if stored.record.values or stored.record.emails or conflicts:
        world.report("a value of an erased contact is kept")
    if any(link.state is LinkState.ACTIVE or link.base or link.parked or link.put_back for link in mine):
        world.report("a link of an erased contact is active or keeps values")
    if any(copy is not None and copy.note == ERASED and copy.record.values for copy in copies):
        world.report("values of the customer of an erased contact are kept")


def _check_restored(world: World, contact_id: str, active: list[Link]) -> None:
    """A restored contact goes on with the customer it had."""
    if (Side.HUBSPOT, contact_id) not in world.facts.raw:
        return
    had = {b.link.stripe_id for b in world.facts.bases if b.link.hubspot_id == contact_id}
    standing = {i for i in had if (Side.STRIPE, i) in world.facts.raw}
    if standing and not any(link.hubspot_id == contact_id for link in active):
        world.report("a restored contact is not linked")
        world.say("restored", contact_id, standing)
