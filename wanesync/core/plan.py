"""Plans: the rules, the context a plan is made from, and the plan itself, as values that can be printed.

``planner.plan`` turns a ``PlanContext`` and ``Rules`` into a ``Plan``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.core.change_guard import HeldValue
from wanesync.core.evidence.answers import Settled
from wanesync.core.fields import FieldMap
from wanesync.core.jobs import WaitCode
from wanesync.core.merge import DifferPolicy
from wanesync.core.model import (
    BasePair,
    Change,
    Conflict,
    Deletion,
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
from wanesync.core.setup.portal_checks import NO_DEFINITIONS, SETUP_WAIT, FieldDefinitions

FIRST_LISTING = Note(NoteCode.FIRST_LISTING, "first listing missing")
CONFIRMATION_WAIT = "what was created since this database ran last is looked for first"
NO_EMAIL = Note(NoteCode.EXCLUDED, "excluded: no e-mail")
NO_CUSTOMERS = Note(NoteCode.EXCLUDED, "excluded: no customers are created")
NO_CONTACTS = Note(NoteCode.EXCLUDED, "excluded: no contacts are created")
COUNTERPART_DELETED = Note(NoteCode.ORPHANED, "orphaned: its other record was deleted")
ERASED = Note(NoteCode.ERASED, "orphaned: the data of a person with its address were erased")
MISSING = Note(NoteCode.MISSING, "missing: it is not found any more, and no deletion is known")
COUNTERPART_MISSING = Note(NoteCode.MISSING, "missing: a record that may be its counterpart is not found")
MERGE_UNDECIDED = Note(
    NoteCode.AMBIGUOUS,
    "ambiguous: it was merged from contacts with different customers; put the id of the right one into its property "
    "stripe_customer_id",
)
CUSTOMER_LINKED = Note(NoteCode.AMBIGUOUS, "ambiguous: its customer belongs to another contact")

MAX_MERGES = 20
"""Merges that are followed from one contact; a longer chain is a circle."""

WAIT_TEXTS = {
    WaitCode.READ_PENDING: "a read of its records is under way",
    WaitCode.EMAIL_BEING_CREATED: "its e-mail is being created by another job",
    WaitCode.MERGED_BEING_CREATED: "the customer of a contact that was merged into it is being created",
    WaitCode.SETUP: SETUP_WAIT,
    WaitCode.CONFIRMATION: CONFIRMATION_WAIT,
}
"""What a plan may wait for -> the reason for people."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator configured: the field map, which records are created, and the first-contact policy."""

    fields: FieldMap
    create_customers: bool = True
    create_contacts: bool = True
    differ: DifferPolicy = "keep"


@dataclass(slots=True)
class PlanContext:
    """Everything the plan of one key is made from, loaded in one go.

    ``records``: the key's record, its linked ones, and all that share an e-mail address or an id with them.
    ``links``: every link of these records, whatever its state. ``email_holders``: address hash -> key of the job whose
    open creation holds the address. ``creates``: creations for the key's records that have no answer or were given
    up, and whose record may have been created after all. ``tombstones``: address hash -> the newest deletion of a
    record with it. ``kept``: survivor of a merge -> the contact whose values HubSpot kept, as the merge events name it.
    ``reading``: records with a read that is queued or running. ``late``: (side, id, field) whose value is a late write
    of ours. ``landed``: link id -> field -> the base that an unanswered write of ours left: it arrived, and a user
    edited the field afterwards. ``held``: link id -> field -> the value a hold keeps back. ``paused``: field -> the
    hold by which an operator stopped it. ``stopped``: (link id, field) -> the hold that stops it in this planning
    round. ``unusable``: fields whose HubSpot property is missing or read-only; ``blocked``: sides on which nothing can
    be created (docs/correctness.md#start-checks). ``listed``: both sides have been listed once completely.
    ``definitions``: of the mapped HubSpot properties.
    ``unconfirmed``: the database may be an older state (docs/correctness.md#restored-databases).
    ``arriving``: another transaction stores a stale record's new copy at this moment, so that neither sees both.
    ``generation``: number of the next create attempt. ``answers``: creation's id -> what its answer settled.
    """

    key: str
    records: dict[RecordRef, StoredRecord] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    email_holders: Mapping[str, str] = field(default_factory=dict)
    creates: list[PendingWrite] = field(default_factory=list)
    tombstones: Mapping[str, Deletion] = field(default_factory=dict)
    reading: frozenset[RecordRef] = frozenset()
    late: frozenset[tuple[Side, str, str]] = frozenset()
    landed: Mapping[str, Mapping[str, BasePair]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, HeldValue]] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[tuple[str, str], str] = field(default_factory=dict)
    answers: Mapping[str, Settled] = field(default_factory=dict)
    unusable: frozenset[str] = frozenset()
    redefined: Mapping[str, int] = field(default_factory=dict)
    blocked: frozenset[Side] = frozenset()
    definitions: FieldDefinitions = NO_DEFINITIONS
    listed: bool = True
    unconfirmed: bool = False
    arriving: bool = False
    generation: int = 0
    kept: Mapping[str, str] = field(default_factory=dict)

    def find(self, side: Side, record_id: str) -> StoredRecord | None:
        """Return a record of the context, alive or not; None if there is none."""
        return self.records.get((side, record_id))

    def find_alive(self, side: Side, record_id: str) -> StoredRecord | None:
        """Return a record that is neither deleted nor merged away; None if there is none."""
        stored = self.records.get((side, record_id))
        return stored if stored is not None and stored.alive else None

    def survivor(self, contact_id: str) -> str:
        """Return the contact that a merged contact became; a contact that was not merged is returned as it is."""
        for _ in range(MAX_MERGES):
            stored = self.records.get((Side.HUBSPOT, contact_id))
            if stored is None or not stored.survivor:
                break
            contact_id = stored.survivor
        return contact_id

    def is_merged_by_way_of(self, contact_id: str, other_id: str) -> bool:
        """Return whether a merged contact is another one, or was merged into that one before."""
        for _ in range(MAX_MERGES):
            if contact_id == other_id:
                return True
            stored = self.records.get((Side.HUBSPOT, contact_id))
            if stored is None or not stored.survivor:
                break
            contact_id = stored.survivor
        return False

    def find_kept(self, survivor_id: str) -> list[str]:
        """Return the contacts whose values HubSpot kept in one merge after the other, the newest first, as known."""
        found: list[str] = []
        kept_id = self.kept.get(survivor_id, "")
        while kept_id and kept_id not in {survivor_id, *found} and len(found) < MAX_MERGES:
            found.append(kept_id)
            kept_id = self.kept.get(kept_id, "")
        return found

    def has_merged(self, contact_id: str) -> bool:
        """Return whether other contacts were merged into a contact."""
        return bool(self.find_merged(contact_id))

    def find_merged(self, contact_id: str) -> set[str]:
        """Return the contacts that were merged into a contact."""
        return {
            i
            for (at, i), stored in self.records.items()
            if at is Side.HUBSPOT and stored.survivor and self.survivor(i) == contact_id
        }

    def find_sharing(self, side: Side, hmacs: Iterable[str]) -> list[StoredRecord]:
        """Return the alive records of a side that carry one of the address hashes, oldest id first."""
        wanted = set(hmacs)
        found = [
            stored for (at, _), stored in self.records.items() if at is side and stored.alive and wanted & stored.hmacs
        ]
        return sorted(found, key=lambda stored: (len(stored.id), stored.id))

    def active_links(self, side: Side, record_id: str) -> list[Link]:
        """Return the active links of a record."""
        return [link for link in self.links if link.state is LinkState.ACTIVE and link.id_on(side) == record_id]

    def has_inactive_link(self, side: Side, record_id: str) -> bool:
        """Return whether the record has a link that is no longer active."""
        return any(link.state is not LinkState.ACTIVE and link.id_on(side) == record_id for link in self.links)

    def is_counterpart_erased(self, stored: StoredRecord) -> bool:
        """Return whether the data of a contact that a record was linked with, or names, were deleted for privacy.

        A contact from which an operator released the record is another person.
        """
        side = stored.side.other
        ends = [link.id_on(side) for link in self.links if link.id_on(stored.side) == stored.id]
        ends += [stored.record.other_id] if stored.record.other_id else []
        found = [other for record_id in ends if (other := self.find(side, record_id)) is not None and other.erased]
        pairs = [(other.id, stored.id) if side is Side.HUBSPOT else (stored.id, other.id) for other in found]
        return not all(self.is_released(*pair) for pair in pairs)

    def is_released(self, contact_id: str, customer_id: str) -> bool:
        """Return whether an operator released a customer from a contact, or from one that was merged into it."""
        return any(
            link.state is LinkState.RELEASED
            and link.stripe_id == customer_id
            and self.is_merged_by_way_of(link.hubspot_id, contact_id)
            for link in self.links
        )

    def is_released_for_good(self, contact_id: str, link: Link) -> bool:
        """Return whether the customer of a link was released from a contact, and no decision linked the two."""
        return not link.decided and self.is_released(contact_id, link.stripe_id)

    def has_released_link(self, side: Side, record_id: str) -> bool:
        """Return whether an operator released a record, or a contact that was merged into it, from another record."""
        return any(
            link.state is LinkState.RELEASED
            and (
                link.stripe_id == record_id
                if side is Side.STRIPE
                else self.is_merged_by_way_of(link.hubspot_id, record_id)
            )
            for link in self.links
        )

    def is_excluded_by_merge(self, contact: StoredRecord) -> bool:
        """Return whether a contact that was merged into this one was excluded, and no decision since says otherwise."""
        merged = (self.find(Side.HUBSPOT, contact_id) for contact_id in self.find_merged(contact.id))
        return not contact.wanted and any(one is not None and one.excluded for one in merged)

    def may_be_outdated(self, *records: StoredRecord) -> bool:
        """Return whether the stored copy of one of the records may be outdated: it is stale, or a read is pending."""
        return any((stored.side, stored.id) in self.reading or stored.stale for stored in records)

    def is_counterpart_deleted(self, stored: StoredRecord) -> bool:
        """Return whether the counterpart named by the id on the record was deleted, perhaps before they were linked."""
        other = self.find(stored.side.other, stored.record.other_id) if stored.record.other_id else None
        return other is not None and other.deleted

    def creation_of(self, contact_id: str, customer_id: str) -> PendingWrite | None:
        """Return our create that made one of the two from the other: an open one before those that were given up."""
        found = [pending for pending in self.creates if self._made(pending, contact_id, customer_id)]
        return max(found, key=lambda pending: (pending.result is None, pending.generation), default=None)

    def stops_of(self, link_id: str) -> Mapping[str, str]:
        """Return field -> hold that keeps a link's changes back: an operator's, or the change guard's in this round."""
        if not (self.paused or self.stopped):
            return {}
        return {name: hold for (at, name), hold in self.stopped.items() if at == link_id} | dict(self.paused)

    def find_idle_holds(self) -> list[tuple[str, str]]:
        """Return (link id, field) of holds on links over which nothing flows: not active, or not primary."""
        if not self.held:
            return []
        flowing = {link.id for link in self.links if link.state is LinkState.ACTIVE and link.primary}
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
    """One intended API write.

    ``source_id``: the record of the other side that the values come from. ``target_id``: "" for a create.
    ``conflicts``: values that the write overwrites. ``hmacs``: address hashes of the source, for a create.
    """

    side: Side
    kind: WriteKind
    source_id: str
    target_id: str
    changes: Mapping[str, Change]
    conflicts: tuple[Conflict, ...] = ()
    link_id: str = ""
    hmacs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deleted record and the hashes of its addresses (docs/correctness.md#tombstones)."""

    side: Side
    record_id: str
    hmacs: frozenset[str]
    at_ms: int
    erased: bool = False


@dataclass(slots=True)
class Plan:
    """What is to be done for one key, in the order in which it is carried out.

    ``locks``: keys to be locked besides the key itself. ``links``: id -> new or changed link, its version already
    raised. ``linked``: (contact, customer) of new links, ``revived``: of
    links that are active again. ``matched_creates``: creates whose record was
    found. ``notes``: record -> its new note. ``tombstones``: those of deleted records.
    ``conflicts``: (conflict, link id). ``wake``: (lane, key) of write jobs to queue. ``actions``: side -> the one write
    to it. ``wait``: nothing is written now, because of what it names. ``new_holds``: (link id, field, held value).
    ``dropped_holds``: (link id, field) that is no longer held.
    ``agreed``: (link id, field, by edits) in which both sides hold the same again.
    ``reads``: records to be read, because our copy does not
    hold a field of the map -> how many answers in a row lacked it. ``parted``: (contact, customer) whose link ends,
    because the customer was released from a contact that was merged with it.
    """

    locks: set[str] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    linked: list[tuple[str, str]] = field(default_factory=list)
    revived: list[tuple[str, str]] = field(default_factory=list)
    matched_creates: list[tuple[PendingWrite, WriteResult]] = field(default_factory=list)
    notes: dict[RecordRef, Note | None] = field(default_factory=dict)
    tombstones: list[Tombstone] = field(default_factory=list)
    conflicts: list[tuple[Conflict, str]] = field(default_factory=list)
    wake: set[tuple[Side, str]] = field(default_factory=set)
    actions: dict[Side, Action] = field(default_factory=dict)
    wait: WaitCode = WaitCode.NONE
    new_holds: list[tuple[str, str, HeldValue]] = field(default_factory=list)
    dropped_holds: list[tuple[str, str]] = field(default_factory=list)
    agreed: list[tuple[str, str, bool]] = field(default_factory=list)
    reads: dict[RecordRef, int] = field(default_factory=dict)
    parted: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to write, to store or to wait for."""
        return not (self.actions or self.changes or self.wait)

    @property
    def changes(self) -> bool:
        """Return whether there is something to store."""
        stored = (
            self.links,
            self.matched_creates,
            self.notes,
            self.tombstones,
            self.conflicts,
            self.linked,
            self.revived,
        )
        return any(stored) or bool(self.wake or self.new_holds or self.dropped_holds)
