"""Whether every edit of a user survived: it stands, a later user's edit replaced it, or it is kept in ``conflicts``.

Accepted are only the exceptions named here (docs/correctness.md#known-limits).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.simulation.facts import BaseSet, Cell, Facts, Write
from tests.simulation.hazards import ODD_TEXTS
from wanesync.core.diff.settling import is_both_right
from wanesync.core.fields import FieldSpec
from wanesync.core.model import Link, LinkState, Side
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.values.characters import comparable
from wanesync.core.values.person_names import is_business

if TYPE_CHECKING:
    from tests.simulation.world import World

USER, OURS, MERGE, VENDOR = "user", "ours", "merge", "vendor"
LOSES = frozenset({"lost", "shared"})
"""With these some webhooks never come."""
UNJUDGED_MS = 60_000
"""How long after an overwrite its event may be without a judgement: webhooks come late, and so do reads."""
OLD_MAP_MS = 6_000
"""How long after a change of the map a process may write by the older one: as long as a lease."""
NO_ANSWERS = frozenset("late tmo crash pause s500 s503 storm away empty partial lag jump".split())


@dataclass(slots=True)
class History:
    """The journals, indexed. ``kept``: (side, id, field) -> values in ``conflicts`` or stored events' values."""

    facts: Facts
    features: frozenset[str]
    kept: Mapping[Cell, set[str]]
    told: Mapping[Cell, set[str]]
    dropped: frozenset[str] = frozenset()
    drops: Sequence[tuple[str, int]] = ()
    wrong_clock: tuple[tuple[int, int], ...] = ()
    mistimed: frozenset[tuple[Cell, str]] = frozenset()
    unreadable: frozenset[tuple[str, str]] = frozenset()
    erased: frozenset[str] = frozenset()
    meetings: Sequence[tuple[frozenset[str], int]] = ()
    cells: dict[Cell, list[Write]] = field(default_factory=lambda: defaultdict(list))
    partners: dict[tuple[Side, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        for write in self.facts.writes:
            self.cells[write.cell].append(write)
        for base in self.facts.bases:
            self.partners[Side.HUBSPOT, base.link.hubspot_id].add(base.link.stripe_id)
            self.partners[Side.STRIPE, base.link.stripe_id].add(base.link.hubspot_id)

    def is_merged(self, side: Side, record_id: str) -> bool:
        """Whether a merge touched a record, or one that it was ever linked with, directly or through others."""
        known, fresh = set(), {(side, record_id)}
        while fresh:
            known |= fresh
            ends = {(at.other, i) for at, own in fresh for i in self.partners[at, own]}
            fresh = ends - known
        merged = set(self.facts.survivor) | set(self.facts.survivor.values())
        return any(at is Side.HUBSPOT and i in merged for at, i in known)

    def is_kept(self, cell: Cell, value: str) -> bool:
        """Whether a value is in ``conflicts``, whole or as a part of a name, or became the company of a contact."""
        side, record_id, name = cell
        if (
            side is Side.STRIPE
            and name == "name"
            and any(
                w.who == OURS and (w.new == value or self.is_shortened(w.new, value))
                for contact_id in self.partners[side, record_id]
                for w in self.cells.get((Side.HUBSPOT, contact_id, "company"), [])
            )
        ):
            return True
        kept = self.kept.get(cell, set())
        parts = set().union(
            *(self.kept.get((side, record_id, f"{name}/{part}"), set()) for part in ("firstname", "lastname"))
        )
        return value in kept or bool(parts & set(value.split(NAME_PARTS)))

    def is_shortened(self, held: str, value: str) -> bool:
        """Whether HubSpot may hold a part of a value."""
        return "shorten" in self.features and bool(held) and value.startswith(held)

    def was_clock_wrong(self, ours: Write) -> bool:
        """Whether the computer's clock was wrong by more than lost updates are looked for (known limits).

        When a write of ours took effect, or before, when it was sent: that is the time which it is remembered with.
        """
        mistimed = (ours.cell, ours.new) in self.mistimed
        return mistimed or any(begin_ms <= ours.at_ms <= end_ms for begin_ms, end_ms in self.wrong_clock)

    def met_anew(self, edit: Write) -> bool:
        """Whether a person linked the record anew before an edit had reached the other side.

        The pair met as on first contact then: a blank is filled, and two values both stand.
        """
        reached = [b.seq for b in self.bases_of(edit.cell) if b.seq > edit.seq and self.half(b, edit.cell) == edit.new]
        met = [seq for ids, seq in self.meetings if edit.cell[1] in ids and seq > edit.seq]
        return bool(met) and (not reached or met[0] < reached[0])

    def bases_of(self, cell: Cell) -> list[BaseSet]:
        """Every base a cell's record was linked with, that knows the field."""
        side, record_id, name = cell
        return [b for b in self.facts.bases if b.link.id_on(side) == record_id and name in b.base]

    def half(self, base: BaseSet, cell: Cell) -> str:
        """The cell's half of a base."""
        return base.base[cell[2]][0 if cell[0] is Side.HUBSPOT else 1]


def check_edits(
    world: World, links: list[Link], kept: Mapping[Cell, set[str]], told: Mapping[Cell, set[str]]
) -> History:
    """Nothing lost silently, nothing invented, uncontested edits won; the journals, for further checks."""
    history = History(
        world.facts,
        world.features,
        kept,
        told,
        frozenset(world.hazards.dropped_ever),
        tuple(world.hazards.drops),
        tuple(world.hazards.wrong_clock),
        frozenset(world.hazards.mistimed),
        frozenset(world.unreadable),
        frozenset(world.hazards.erased),
        tuple(world.clerk.meetings),
    )
    for cell, writes in history.cells.items():
        spec = world.fields.by_name[cell[2]]
        for earlier, later in pairwise(writes):
            if earlier.who == USER and later.who == OURS and _is_lost(history, spec, writes, earlier, later):
                world.report(f"an edit was lost silently: {spec.name if spec.name == 'email' else 'field'}")
                world.say("lost", cell, earlier, later)
            if (
                _was_calm(world, earlier)
                and (earlier.who, later.who) == (USER, OURS)
                and earlier.new
                and not _was_agreed(history, later)
            ):
                world.report("a value was overwritten at first contact")
                world.say("overwritten", earlier, later)
    _check_invented(world)
    for link in links:
        if link.hubspot_id in world.hazards.erased:
            continue  # its webhook was lost: the contact counts as missing (known limits)
        if link.primary and link.state is LinkState.ACTIVE and sum(k.hubspot_id == link.hubspot_id for k in links) == 1:
            for spec in world.fields.specs:
                _check_uncontested(world, history, link, spec)
    return history


def _was_calm(world: World, edit: Write) -> bool:
    """Whether people edit only while we have nothing to do, this time too: then no write of ours meets an edit unseen.

    While writes are off there is nothing to do either, and the moment they are on it is done at once. A listing
    under way is something to do, and so is a job that has to wait: what was planned does not know what was edited
    behind its back.
    """
    waited = "quiet" in world.features and edit.seq not in world.facts.hasty
    return waited and not world.features & (NO_ANSWERS | {"off"})


def _was_agreed(history: History, over: Write) -> bool:
    """Whether the record was ever linked with a base for the field: at first contact only blanks are filled."""
    return any(base.seq < over.seq for base in history.bases_of(over.cell))


def _is_lost(history: History, spec: FieldSpec, writes: list[Write], edit: Write, over: Write) -> bool:
    cell, value = edit.cell, edit.new
    ref = cell[:2]
    if spec.key(value) == spec.key(over.new) or history.is_kept(cell, value):
        return False
    if not ODD_TEXTS.isdisjoint(value.split(NAME_PARTS)) or history.was_clock_wrong(over):
        return False  # no database keeps it; our writes have no place among the edits
    if not value and (cell[2] in history.dropped or not spec.may_clear(cell[0])):
        # A blank is filled on first contact, and that a field meets again after a change of the map; a blank that does
        # not clear is filled by the next value of the other side.
        return False
    # Its event was not judged before the field was taken out of the map (known limits).
    # A process that still has the older map writes until its next heartbeat.
    drops = [at_ms for name, at_ms in history.drops if name == cell[2]]
    unjudged = any(over.at_ms - OLD_MAP_MS <= at_ms <= over.at_ms + UNJUDGED_MS for at_ms in drops)
    # Of a person whose data were deleted for privacy nothing is kept.
    erased = not history.erased.isdisjoint({cell[1]} | history.partners[ref])
    if unjudged or erased or ref in history.facts.gone or cell[1] in history.facts.survivor:
        return False
    if any(write.seq > over.seq and write.new == value for write in writes):
        return False  # put back, by us or by a user: what replaced it then replaced it knowingly
    return not (_was_replaced_there(history, spec, edit, over) or _is_excused(history, writes, edit, over))


def _was_replaced_there(history: History, spec: FieldSpec, edit: Write, over: Write) -> bool:
    """It had reached the other side, and a user there replaced it."""
    side, record_id, name = edit.cell
    half = (edit.new, edit.new)
    agreed = [b for b in history.bases_of(edit.cell) if edit.seq < b.seq < over.seq and b.base[name] == half]
    for partner in history.partners[side, record_id]:
        there = history.cells.get((side.other, partner, name), [])
        # Once both held it, whatever a user sets there is the newer edit, even on top of a late write of ours.
        since = min((b.seq for b in agreed), default=over.seq)
        if any(
            since < w.seq < over.seq and w.who == USER and spec.agree(*ends_of(side, over.new, w.new)) for w in there
        ):
            return True
        # What both held as far as was known, a blank that was never filled included.
        if agreed and any(w.who == USER and spec.key(w.old) == spec.key(edit.new) for w in there):
            return True
        # The name of a business fills a blank company, one that a user had cleared, too (docs/correctness.md#names).
        names = history.cells.get((side.other, partner, "name"), []) if name == "company" and not edit.new else []
        later = [w for w in names if edit.seq < w.seq < over.seq and w.who == USER]
        if agreed and any(_became(history, spec, w, over) for w in later):
            return True
        for a, b in pairwise(there):
            # Of what we had written the property may have kept a part.
            held = spec.key(a.new) == spec.key(edit.new) or (a.who == OURS and history.is_shortened(a.new, edit.new))
            if held and b.who == USER and b.seq > edit.seq:
                return True
    return False


def _became(history: History, spec: FieldSpec, name: Write, company: Write) -> bool:
    """Whether a company is the name of a business, as a user wrote that."""
    held = spec.key(name.new) == spec.key(company.new) or history.is_shortened(name.new, company.new)
    return held and is_business(name.new)


def ends_of(side: Side, here: str, there: str) -> tuple[str, str]:
    """What HubSpot and Stripe hold, of a side and the other one."""
    return (here, there) if side is Side.HUBSPOT else (there, here)


def _is_excused(history: History, writes: list[Write], edit: Write, over: Write) -> bool:
    cell = edit.cell
    bases = history.bases_of(cell)
    if not edit.new and (history.met_anew(edit) or not [b for b in bases if b.seq < edit.seq]):
        return True  # blank at first contact is filled
    before = [b for b in bases if b.seq < over.seq]
    held = [b for b in before if history.half(b, cell) == edit.new]
    if held and held[-1] is before[-1] and held[0].seq < edit.seq and not _was_set_back_upon_ours(history, edit):
        return True  # set back to the base before it was read
    return _was_never_told(history, edit, over) or history.is_merged(cell[0], cell[1])


def _was_never_told(history: History, edit: Write, over: Write) -> bool:
    """Overwritten unread: its webhook never came, or could not be read, and HubSpot keeps no list."""
    values = set(edit.new.split(NAME_PARTS))
    unreadable = any(contact_id == edit.cell[1] and value in values for contact_id, value in history.unreadable)
    lost = unreadable or bool(history.features & LOSES)
    return lost and edit.cell[0] is Side.HUBSPOT and not _was_told(history, edit, over)


def _was_set_back_upon_ours(history: History, edit: Write) -> bool:
    """Whether it replaced a write of ours that the base need not hold yet, and its event came."""
    earlier = [write for write in history.cells[edit.cell] if write.seq < edit.seq]
    ours = bool(earlier) and earlier[-1].who == OURS
    told = edit.new in history.told.get(edit.cell, set())
    return ours and told and not history.features & LOSES


def _was_told(history: History, edit: Write, over: Write) -> bool:
    """Whether an event of the edit was stored; of a name, an event of a part that it changed and we wrote over."""
    if edit.new in history.told.get(edit.cell, set()):
        return True
    side, record_id, name = edit.cell
    parts = zip(("firstname", "lastname"), _parts(edit.old), _parts(edit.new), _parts(over.new), strict=True)
    return any(
        new in history.told.get((side, record_id, f"{name}/{part}"), set())
        for part, old, new, after in parts
        if new not in (old, after)
    )


def _parts(name: str) -> tuple[str, str]:
    first, _, last = name.partition(NAME_PARTS)
    return first, last


def _check_invented(world: World) -> None:
    for spec in world.fields.specs:
        written = {spec.key(w.new) for w in world.facts.writes if w.cell[2] == spec.name and w.who in (USER, MERGE)}
        if spec.name == "email":
            written |= {spec.key(p.email) for p in world.crowd.payments}
        if spec.name == "name" and world.hazards.has("filled"):
            written |= _names_no_longer_recognised(world)
        if spec.name == "stage":
            written.add(spec.key("lead"))  # HubSpot sets it at creation
        if spec.name == "company":
            # The name of a business is the company of a contact without a name (docs/correctness.md#names).
            written |= {spec.key(w.new) for w in world.facts.writes if w.cell[2] == "name" and is_business(w.new)}
        for write in world.facts.writes:
            if write.cell[2] != spec.name or write.who != OURS or not write.new or spec.key(write.new) in written:
                continue
            if not (world.hazards.may_shorten(spec.name) and any(each.startswith(write.new) for each in written)):
                world.report(f"a value that was never written: {spec.name}")
                world.say("invented", write)


def _names_no_longer_recognised(world: World) -> set[str]:
    """Names that Stripe made from a company that a user changed since: nothing shows that they are none."""
    filled = [write for write in world.facts.writes if write.who == VENDOR]
    changed = {write.cell[1] for write in world.facts.writes if write.cell[2] == "company" and write.old}
    return {write.new for write in filled if write.cell[1] in changed}


def _check_uncontested(world: World, history: History, link: Link, spec: FieldSpec) -> None:
    """The last user edit since both sides last agreed, if only one side was edited since, is what both hold."""
    if spec.name in link.parked or history.is_merged(Side.HUBSPOT, link.hubspot_id):
        return
    if world.hazards.has_vanished(spec) or spec.name in world.hazards.dropped_ever:
        return
    last, sides = _last_edit(history, link, spec)
    if last is None or len(sides) > 1 or not (last.new or spec.may_clear(last.cell[0])):
        return
    cell, value = last.cell, last.new
    held = [world.facts.value((side, link.id_on(side)), spec.name) for side in Side]
    if all(spec.key(now) == spec.key(value) for now in held):
        return
    if _is_both_right(world, link, last, held) or _may_differ(history, link, last, held):
        return
    if not history.is_kept(cell, value):
        world.report("an uncontested edit was lost")
        world.say("uncontested", last, held)
    elif (
        spec.name != "name"
        and _was_calm(world, last)
        and (cell, value) not in world.clerk.overruled
        and not history.met_anew(last)
        and not world.hazards.may_shorten(spec.name)
        # A text that the other side cannot hold has no other place: a phone number with a note.
        and spec.convert(cell[0].other, value, held[0 if cell[0] is Side.STRIPE else 1]) is not None
    ):
        world.report("an uncontested edit is only in conflicts")
        world.say("uncontested", last, held)


def _is_both_right(world: World, link: Link, last: Write, held: list[str]) -> bool:
    """Whether a person saw the edit where it still stands, and said that both values are right: it shall not flow.

    Nothing of it is kept, because nothing was lost (docs/correctness.md#settled-by-a-person).
    """
    now = (held[0], held[1])
    stands = held[0 if last.cell[0] is Side.HUBSPOT else 1] == last.new
    return stands and world.clerk.both_right.get(last.cell) == now and is_both_right(link.base, last.cell[2], now)


def _may_differ(history: History, link: Link, last: Write, held: list[str]) -> bool:
    """What is known and accepted of an uncontested edit that is not what both sides hold."""
    cell, value = last.cell, last.new
    earlier = [b for b in history.bases_of(cell) if b.seq < last.seq]
    if not value and (history.met_anew(last) or not earlier):
        return True  # blank at first contact is filled
    if earlier and history.half(earlier[-1], cell) == value and not _was_set_back_upon_ours(history, last):
        return True  # set back to the base before it was read
    over = next((w for w in history.cells[cell] if w.seq > last.seq and w.who == OURS), None)
    if over is not None and _was_never_told(history, last, over):
        return True
    if cell[2] == "company" and not value and _was_named_later(history, link, last, held[0]):
        return True
    if cell[0] is Side.STRIPE and cell[2] == "name" and is_business(value):
        company = history.facts.value((Side.HUBSPOT, link.hubspot_id), "company")
        if comparable(company) == comparable(value):
            return True  # it is the contact's company
    unsplit = [history.is_kept((side, link.id_on(side), "name"), now) for side, now in zip(Side, held, strict=True)]
    # Both were edited as we saw it, and the owner's name cannot be told apart into two fields.
    return cell[2] == "name" and any(unsplit)


def _was_named_later(history: History, link: Link, last: Write, company: str) -> bool:
    """Whether a user gave the customer the name of a business after the company was cleared: that is its company."""
    ours = [w for w in history.cells.get((Side.HUBSPOT, link.hubspot_id, "company"), []) if w.new == company]
    named = history.cells.get((Side.STRIPE, link.stripe_id, "name"), [])
    return any(w.who == OURS for w in ours[-1:]) and any(
        w.who == USER
        and w.seq > last.seq
        and is_business(w.new)
        and (w.new == company or history.is_shortened(company, w.new))
        for w in named
    )


def _last_edit(history: History, link: Link, spec: FieldSpec) -> tuple[Write | None, set[Side]]:
    """The last user edit of a linked field, and the sides edited since both last agreed, as it was made."""
    moments: list[Write | BaseSet] = [b for b in history.facts.bases if b.link.id == link.id]
    for side in Side:
        moments += history.cells.get((side, link.id_on(side), spec.name), [])
    held: dict[Side, str] = dict.fromkeys(Side, "")
    base: tuple[str, str] | None = None
    linked, last = False, None
    dirty, since = set(Side), set(Side)
    for moment in sorted(moments, key=lambda m: m.seq):
        if isinstance(moment, BaseSet):
            linked, base = True, moment.base.get(spec.name)
        else:
            held[moment.cell[0]] = moment.new
            if linked and moment.who == USER:
                dirty = dirty | {moment.cell[0]}
                last, since = moment, dirty
        now = (held[Side.HUBSPOT], held[Side.STRIPE])
        if linked and (base == now or spec.agree(*now)):
            dirty = set()
    return last, since
