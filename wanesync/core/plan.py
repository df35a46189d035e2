"""What a pass decides: actions (intended writes) and what is to be remembered, as values that can be printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.core.change_guard import HeldValue
from wanesync.core.fields import FieldMap
from wanesync.core.jobs import WaitCode
from wanesync.core.merge import DifferPolicy
from wanesync.core.model import (
    BasePair,
    Change,
    Conflict,
    Link,
    LinkState,
    Note,
    NoteCode,
    PendingWrite,
    RecordRef,
    Side,
    StoredRecord,
    WriteKind,
    WriteResult,
)

FIRST_LISTING = Note(NoteCode.FIRST_LISTING, "first listing missing")
NO_EMAIL = Note(NoteCode.EXCLUDED, "excluded: no e-mail")
NO_CUSTOMERS = Note(NoteCode.EXCLUDED, "excluded: no customers are created")
NO_CONTACTS = Note(NoteCode.EXCLUDED, "excluded: no contacts are created")
COUNTERPART_DELETED = Note(NoteCode.ORPHANED, "orphaned: its other record was deleted")
CUSTOMER_LINKED = Note(NoteCode.AMBIGUOUS, "ambiguous: its customer belongs to another contact")

WAIT_TEXTS = {
    WaitCode.READ_PENDING: "a read of its records is under way",
    WaitCode.EMAIL_BEING_CREATED: "its e-mail is being created by another job",
}
"""What a plan may wait for -> the reason for people."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided: the field map, whom to create, what to do with unlike values at first contact."""

    fields: FieldMap
    create_customers: bool = True
    create_contacts: bool = True
    differ: DifferPolicy = "keep"


@dataclass(slots=True)
class PlanContext:
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
    records: dict[RecordRef, StoredRecord] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    email_holders: Mapping[str, str] = field(default_factory=dict)
    creates: list[PendingWrite] = field(default_factory=list)
    tombstones: frozenset[str] = frozenset()
    reading: frozenset[RecordRef] = frozenset()
    late: frozenset[tuple[Side, str, str]] = frozenset()
    landed: Mapping[str, Mapping[str, BasePair]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, HeldValue]] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[tuple[str, str], str] = field(default_factory=dict)
    listed: bool = True
    generation: int = 0

    def find(self, side: Side, record_id: str) -> StoredRecord | None:
        """A record of the scene."""
        return self.records.get((side, record_id))

    def living(self, side: Side, record_id: str) -> StoredRecord | None:
        """A record that is neither deleted nor merged away."""
        stored = self.records.get((side, record_id))
        return stored if stored is not None and stored.alive else None

    def survivor(self, contact_id: str) -> str:
        """The contact a merged one lives on in."""
        for _ in range(20):
            stored = self.records.get((Side.HUBSPOT, contact_id))
            if stored is None or not stored.survivor:
                break
            contact_id = stored.survivor
        return contact_id

    def sharing(self, side: Side, hmacs: Iterable[str]) -> list[StoredRecord]:
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

    def being_read(self, *records: StoredRecord) -> bool:
        """Whether what we know of one of them may be old."""
        return any((s.side, s.id) in self.reading or s.stale for s in records)

    def is_counterpart_deleted(self, stored: StoredRecord) -> bool:
        """Whether the record our id on it names was deleted, perhaps before the two were linked."""
        other = self.find(stored.side.other, stored.record.other_id) if stored.record.other_id else None
        return other is not None and other.deleted

    def creation_of(self, contact_id: str, customer_id: str) -> PendingWrite | None:
        """The create of ours that made one of the two from the other: the open one before those given up."""
        found = [pending for pending in self.creates if self._made(pending, contact_id, customer_id)]
        return max(found, key=lambda pending: (pending.result is None, pending.generation), default=None)

    def stops_of(self, link_id: str) -> Mapping[str, str]:
        """Field -> the hold that keeps a link's changes back: the operator's, or the brake's in this very pass."""
        if not (self.paused or self.stopped):
            return {}
        return {name: hold for (at, name), hold in self.stopped.items() if at == link_id} | dict(self.paused)

    def holds_without_flow(self) -> list[tuple[str, str]]:
        """(link id, field) held of links that nothing flows over: not active, or not primary."""
        if not self.held:
            return []
        flowing = {k.id for k in self.links if k.state is LinkState.ACTIVE and k.primary}
        return [(link_id, name) for link_id, names in self.held.items() if link_id not in flowing for name in names]

    def _made(self, pending: PendingWrite, contact_id: str, customer_id: str) -> bool:
        if pending.side is Side.STRIPE:
            customer = self.find(Side.STRIPE, customer_id)
            ours = customer is not None and customer.record.other_id == pending.source_id
            return ours and self.survivor(pending.source_id) == contact_id
        contact = self.find(Side.HUBSPOT, contact_id)
        return (
            pending.source_id == customer_id
            and contact is not None
            and contact.record.intent == pending.idempotency_key
        )


@dataclass(frozen=True, slots=True)
class Action:
    """One intended API write. ``source_id``: the opposite record; ``target_id`` "" for a create."""

    side: Side
    kind: WriteKind
    source_id: str
    target_id: str
    changes: Mapping[str, Change]
    conflicts: tuple[Conflict, ...] = ()
    link_id: str = ""
    hmacs: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """What a pass wants, in the order in which it is carried out.

    ``locks``: keys to be held besides the pass's own. ``links``: new or changed links (version
    already raised; ``base_of`` says what each new one starts from is known in it). ``settled``:
    creates whose record was found. ``wake``: (lane, key) of write jobs to queue. ``actions``: at most
    one per side. ``wait``: not now, and why. ``held``: (link id, field, what is held back of it).
    ``unheld``: (link id, field) that is held no more.
    """

    locks: set[str] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    linked: list[tuple[str, str]] = field(default_factory=list)
    settled: list[tuple[PendingWrite, WriteResult]] = field(default_factory=list)
    notes: dict[RecordRef, Note | None] = field(default_factory=dict)
    tombstones: list[tuple[Side, str, frozenset[str]]] = field(default_factory=list)
    conflicts: list[tuple[Conflict, str]] = field(default_factory=list)
    wake: set[tuple[Side, str]] = field(default_factory=set)
    actions: dict[Side, Action] = field(default_factory=dict)
    wait: WaitCode = WaitCode.NONE
    held: list[tuple[str, str, HeldValue]] = field(default_factory=list)
    unheld: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing to write and nothing to remember."""
        return not (self.actions or self.changes or self.wait)

    @property
    def changes(self) -> bool:
        """Whether something is to be remembered."""
        remembered = (self.links, self.settled, self.notes, self.tombstones, self.conflicts, self.linked)
        return any(remembered) or bool(self.wake or self.held or self.unheld)
