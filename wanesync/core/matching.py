"""Matching: which contact a customer belongs to (CORRECTNESS section 3), and the scene it is decided on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.core.brake import Held
from wanesync.core.model import TWIN_EXCLUDED, Halves, Link, LinkState, OwnWrite, Seen, Side

Ref = tuple[Side, str]


@dataclass(slots=True)
class Scene:
    """Everything one pass over a key needs to know, loaded in one go.

    ``records``: the key's record, its linked ones, and all that share an address or an id with them.
    ``links``: every link, of any state, of any of them. ``holders``: address hash -> link key of the
    open create intent that holds it. ``creates``: unanswered or given-up creates of the key's
    records, whose record may have turned up. ``reading``: records a read of which is under way or
    wanted. ``late``: (side, id, field) whose value is our own late write. ``landed``: link id -> field
    -> what a write of ours without an answer made of the two halves of its base: it arrived, and a
    person edited on top of it. ``held``: link id -> field -> what the brake holds back. ``paused``:
    field -> the hold of the operator who stopped it. ``stopped``: (link id, field) -> the hold that
    stops it in this very pass.
    """

    key: str
    records: dict[Ref, Seen] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    holders: Mapping[str, str] = field(default_factory=dict)
    creates: list[OwnWrite] = field(default_factory=list)
    tombstones: frozenset[str] = frozenset()
    reading: frozenset[Ref] = frozenset()
    late: frozenset[tuple[Side, str, str]] = frozenset()
    landed: Mapping[str, Mapping[str, Halves]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[tuple[str, str], str] = field(default_factory=dict)
    listed: bool = True
    generation: int = 0

    def get(self, side: Side, record_id: str) -> Seen | None:
        """A record of the scene."""
        return self.records.get((side, record_id))

    def alive(self, side: Side, record_id: str) -> Seen | None:
        """A record that is neither deleted nor merged away."""
        seen = self.records.get((side, record_id))
        return seen if seen is not None and seen.alive else None

    def survivor(self, contact_id: str) -> str:
        """The contact a merged one lives on in."""
        for _ in range(20):
            seen = self.records.get((Side.HUBSPOT, contact_id))
            if seen is None or not seen.survivor:
                break
            contact_id = seen.survivor
        return contact_id

    def sharing(self, side: Side, hmacs: Iterable[str]) -> list[Seen]:
        """Living records of a side that carry one of the addresses, oldest id first."""
        wanted = set(hmacs)
        found = [s for (at, _), s in self.records.items() if at is side and s.alive and wanted & s.hmacs]
        return sorted(found, key=lambda s: (len(s.id), s.id))

    def active(self, side: Side, record_id: str) -> list[Link]:
        """Active links of a record."""
        return [k for k in self.links if k.state is LinkState.ACTIVE and k.id_on(side) == record_id]

    def orphaned(self, side: Side, record_id: str) -> bool:
        """Whether a link of the record lost its other end."""
        return any(k.state is not LinkState.ACTIVE and k.id_on(side) == record_id for k in self.links)

    def released(self, contact_id: str, customer_id: str) -> bool:
        """Whether the two were taken apart by hand."""
        pair = (contact_id, customer_id)
        return any(k.state is LinkState.RELEASED and (k.hubspot_id, k.stripe_id) == pair for k in self.links)

    def being_read(self, *records: Seen) -> bool:
        """Whether what we know of one of them may be old."""
        return any((s.side, s.id) in self.reading or s.in_doubt for s in records)

    def bereft(self, seen: Seen) -> bool:
        """Whether the record our id on it names was deleted, perhaps before the two were linked."""
        other = self.get(seen.side.other, seen.record.other_id) if seen.record.other_id else None
        return other is not None and other.deleted

    def create_of(self, contact_id: str, customer_id: str) -> OwnWrite | None:
        """The create of ours that made one of the two from the other: the open one before those given up."""
        found = [own for own in self.creates if self._made(own, contact_id, customer_id)]
        return max(found, key=lambda own: (own.answer is None, own.generation), default=None)

    def stops_of(self, link_id: str) -> Mapping[str, str]:
        """Field -> the hold that keeps a link's changes back: the operator's, or the brake's in this very pass."""
        if not (self.paused or self.stopped):
            return {}
        return {name: hold for (at, name), hold in self.stopped.items() if at == link_id} | dict(self.paused)

    def held_in_vain(self) -> list[tuple[str, str]]:
        """(link id, field) held of links that nothing flows over: not active, or not primary."""
        if not self.held:
            return []
        flowing = {k.id for k in self.links if k.state is LinkState.ACTIVE and k.primary}
        return [(link_id, name) for link_id, names in self.held.items() if link_id not in flowing for name in names]

    def _made(self, own: OwnWrite, contact_id: str, customer_id: str) -> bool:
        if own.side is Side.STRIPE:
            customer = self.get(Side.STRIPE, customer_id)
            ours = customer is not None and customer.record.other_id == own.source_id
            return ours and self.survivor(own.source_id) == contact_id
        contact = self.get(Side.HUBSPOT, contact_id)
        return own.source_id == customer_id and contact is not None and contact.record.intent == own.key


@dataclass(frozen=True, slots=True)
class Match:
    """``contact_id`` "" with a ``problem``: ambiguous. Both "": nobody."""

    contact_id: str = ""
    problem: str = ""


def match_customer(scene: Scene, customer: Seen) -> Match:
    """Which contact an unlinked customer belongs to: our ids first, then addresses; two answers are none."""
    by_id = {
        s.id for (side, _), s in scene.records.items() if side is Side.HUBSPOT and s.alive and _claims(s, customer)
    }
    if customer.record.other_id:
        survivor = scene.survivor(customer.record.other_id)
        if scene.alive(Side.HUBSPOT, survivor):
            by_id.add(survivor)
    by_email = {s.id for s in scene.sharing(Side.HUBSPOT, customer.hmacs)}
    if excluded := {i for i in by_id | by_email if scene.records[Side.HUBSPOT, i].excluded}:
        by_id, by_email = by_id - excluded, by_email - excluded
        if not by_id | by_email:
            return Match(problem=TWIN_EXCLUDED)
    if len(by_id) > 1:
        return Match(problem=f"ambiguous: {len(by_id)} contacts carry its id")
    if by_id:
        if by_email and by_email != by_id:
            return Match(problem="ambiguous: ids and e-mail disagree")
        return Match(contact_id=by_id.pop())
    if len(by_email) > 1:
        return Match(problem=f"ambiguous: {len(by_email)} contacts carry its e-mail")
    return Match(contact_id=by_email.pop()) if by_email else Match()


def _claims(contact: Seen, customer: Seen) -> bool:
    return contact.record.other_id == customer.id


def base_of_create(own: OwnWrite) -> dict[str, Halves]:
    """What each side held when a create of ours was sent: the source's values and the exact body's."""
    if own.side is Side.STRIPE:
        return {name: (change.source, change.after) for name, change in own.changes.items()}
    return {name: (change.after, change.source) for name, change in own.changes.items()}
